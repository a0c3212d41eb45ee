"""`kcl-py demo`: a shorter one, as a process of its own, because it sets its environment."""

import os
import subprocess
import sys

import pytest

SHORTER = """
from kcl_py.cli import demo_story, main

demo_story.PRODUCE_SECONDS, demo_story.SPLIT_AT_SECONDS, demo_story.MERGE_AT_SECONDS = 2.0, 0.3, 0.6
main(["demo"])
"""
WITHOUT_MOTO = """
import importlib.util

find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *others: None if name == "moto" else find(name, *others)
"""


@pytest.mark.parametrize("before", ["", WITHOUT_MOTO], ids=["with moto", "without moto"])
def test_the_demo_proves_itself_without_a_terminal_and_without_settings(before: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KCL_PY_"))}
    environment |= {"AWS_PROFILE": "absent", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}

    ended = subprocess.run(
        [sys.executable, "-c", before + SHORTER],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.endswith("every record was processed, in order per key\n")
    assert "across 3 finished shards" in ended.stdout
    assert "0 missing, 0 repeated" in ended.stdout
    assert ("kept in memory this time" in ended.stdout) is bool(before)
    assert "waits for its parents" in ended.stdout
    assert ended.stderr == ""
