"""Text that would act on a terminal, and how to see that it did not get there."""

from hypothesis import strategies as st

ACTING = (
    "\x1b[2J",  # CSI: clears the screen
    "\x1b]0;owned\x07",  # OSC: the window's title
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",  # OSC 8: a link
    "\x1bPq\x1b\\",  # DCS
    "\x9b31m",  # the C1 form of CSI
    "\x9d0;owned\x9c",  # and of OSC
    "\x85",  # C1 next line
    "\r",
    "\n",
    "\r\n2026-03-01T09:00:00.250Z INFO a forged line",
    "\v\f\b\a\x00\x7f",
    "\u2028\u2029",  # line and paragraph separator
    "\u202e\u2066\u2069\u200f",  # bidirectional controls
    "\u200b\ufeff\u00ad",  # not to be seen
    "\U000e0041",  # a tag
    "\ud800",  # half a character, as JSON can spell it
    "[bold red]markup[/]",
    '"quoted" \\back %s {}',
)
MARK = "mark"  # in every hostile text, so that a test can see that the text did get through

texts = st.lists(st.sampled_from((*ACTING, "ordinary", "-", "@0123abcd")), min_size=1, max_size=4).map(
    lambda parts: MARK + "".join(parts)
)


def acting_on_a_terminal(text: str) -> set[str]:
    """The characters of one line that a terminal might act on."""
    return {character for character in text if not character.isprintable()}
