"""Text from outside, made safe to show: a stream or a table may hold terminal escapes."""

SHOWN_MAX = 200


def printable(text: str) -> str:
    r"""Write every character that a terminal might act on as a backslash escape.

    That is what Unicode calls Other or Separator, the plain space excepted: control characters, line separators and
    the marks that reverse the direction of writing. Two texts may come out the same; this is for eyes, not for parsers.

    >>> printable("\x1b[2J")
    '\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quoted(value: object) -> str:
    """A value as an error message shows it: quoted, escaped, and cut after 200 characters."""
    text = repr(value)
    return printable(text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…")
