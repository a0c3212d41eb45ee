"""`pytest tests/stories --rewrite` writes what happens into the stories, instead of comparing it."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--rewrite`."""
    parser.addoption("--rewrite", action="store_true", help="write what happens into the stories")
