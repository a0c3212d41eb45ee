"""Rules for the whole suite: nothing is silently not run, and no test leaves a task behind.

And two economies. The SDKs read what they know of a service from files of a megabyte, again for every session: here
they do it once in a process, which is most of what a client costs. And whoever looks for garbage does not look at the
tests themselves, which live as long as the process.
"""

import asyncio
import functools
import gc
import inspect
import os
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Generator

import botocore.loaders
import botocore.session
import pytest

botocore.session.create_loader = functools.cache(botocore.loaders.create_loader)
_NEEDS = re.compile(r"needs (?P<tool>[\w.-]+): (?P<why>.*)", re.DOTALL)
_REQUIRE_ALL = os.environ.get("KCL_PY_REQUIRE_ALL") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With KCL_PY_REQUIRE_ALL=1, a test that needs what the machine lacks fails."""
    report = yield
    need = _unmet_need(report)
    if _REQUIRE_ALL and need is not None:
        report.outcome = "failed"
        report.longrepr = f"needs {need[0]} ({need[1]}), and KCL_PY_REQUIRE_ALL=1 allows no gaps"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost, so that only pytest's own last line follows
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """Name what this machine could not run and why."""
    yield
    needs = Counter(
        need for report in terminalreporter.stats.get("skipped", ()) if (need := _unmet_need(report)) is not None
    )
    for (tool, why), count in sorted(needs.items()):
        tests = "1 test needs" if count == 1 else f"{count} tests need"
        terminalreporter.write_line(f"not run on this machine: {tests} {tool} ({why})", yellow=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make every async test fail that ends with a task of its own still running."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = _leaving_no_task(item.obj)


def pytest_collection_finish() -> None:
    """A twentieth of the suite's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _unmet_need(report: pytest.TestReport) -> tuple[str, str] | None:
    """The tool that a skipped test needs, and why it is not there."""
    if not report.skipped or not isinstance(report.longrepr, tuple):
        return None
    match = _NEEDS.search(report.longrepr[2])
    return None if match is None else (match["tool"], match["why"])


def _leaving_no_task(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def run(*args: object, **kwargs: object) -> None:
        before = asyncio.all_tasks()
        await test(*args, **kwargs)
        await asyncio.sleep(0)  # what was cancelled last may end
        left = sorted(repr(task) for task in asyncio.all_tasks() - before)
        assert not left, f"the test left tasks behind: {left}"

    return run
