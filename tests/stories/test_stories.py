"""Every story happens as it is told. After a change that is meant: `pytest tests/stories --rewrite`; read the diff."""

import re
from pathlib import Path

import pytest

from tests.stories.teller import PROMPT, told

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STORIES = sorted(HERE.glob("*.txt"))
_TOLD_BY = re.compile(r"`([\w/]+\.(?:txt|py))(?:::(\w+))?`")


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_a_story_happens_as_it_is_told(story, request):
    text = story.read_text()
    happened = retold(text)
    if request.config.getoption("--rewrite", default=False):
        story.write_text(happened)
    else:
        assert happened == text


def test_every_story_says_first_what_it_shows_and_ends_well():
    assert len(STORIES) >= 23
    for story in STORIES:
        lines = story.read_text().splitlines()
        assert not lines[0].startswith(PROMPT)
        assert lines[-1].endswith("every law holds"), story.name


def test_what_was_found_is_told_where_the_table_says():
    rows = [line for line in (HERE / "README.md").read_text().splitlines() if line.startswith("| ")]
    findings = [row for row in rows if not row.startswith(("| **", "| What was found"))]
    assert len(findings) >= 34
    assert len({row.split("|")[1] for row in findings}) == len(findings)
    for row in findings:
        places = _TOLD_BY.findall(row)
        assert places, row
        for path, test in places:
            file = (ROOT if "/" in path else HERE) / path
            assert file.is_file(), path
            assert f"def {test}(" in file.read_text() or not test, f"{path}::{test}"


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
