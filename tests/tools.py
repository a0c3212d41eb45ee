"""Programs that only some machines have: find them, or say what is missing."""

from pathlib import Path

import pytest

from integration import provision


def find_tool(name: str) -> Path:
    """The path of a tool that integration/provision.py installs; skips the test where this machine cannot have it.

    The reason begins with `needs`, by which the run's last lines count what did not run, and KCL_PY_REQUIRE_ALL=1 turns
    the skip into a failure (see conftest.py).
    """
    tool = provision.find(name)
    if tool.obstacle is not None:
        pytest.skip(f"needs {name}: {tool.obstacle}")
    return tool.path
