"""Every story happens as it is told. After a change that is meant: `pytest tests/stories --rewrite`; read the diff."""

from pathlib import Path

import pytest

from tests.stories.teller import PROMPT, told

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_a_story_happens_as_it_is_told(story, request):
    text = story.read_text()
    happened = retold(text)
    if request.config.getoption("--rewrite", default=False):
        story.write_text(happened)
    else:
        assert happened == text


def test_every_story_says_first_what_it_shows_and_ends_well():
    assert len(STORIES) >= 9
    for story in STORIES:
        lines = story.read_text().splitlines()
        assert not lines[0].startswith(PROMPT)
        assert lines[-1].endswith("every law holds"), story.name


def retold(text: str) -> str:
    """The story with what its commands lead to now."""
    lines = text.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith(PROMPT))
    script = [line.removeprefix(PROMPT) for line in lines[first:] if line.startswith(PROMPT)]
    output = told(script)
    result = lines[:first]
    for place, command in enumerate(script):
        result += [PROMPT + command, *output.get(place, [])]
    return "\n".join(result) + "\n"
