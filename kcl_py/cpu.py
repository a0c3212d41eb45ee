"""How busy the processors are that this worker may use, for Java leaders, who plan by it (protocol reference, 3.7).

Whichever source tells, it is read as three numbers that only their differences make sense of: what was used, how much
time has passed, and how many processors' worth of that may be used.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import msgspec

INTERVAL_SECONDS = 30.0
INTERVALS_KEPT = 10
FAILED = -1.0
"""The average of an interval in which nothing could be measured."""

_METADATA_URI = "ECS_CONTAINER_METADATA_URI_V4"
_FETCH_SECONDS = 2.0
_FETCH_BYTES_MAX = 1024 * 1024
_DEFAULT_SHARE = 2.0  # what ECS gives a container that asks for none
_ODD = (OSError, HTTPException, msgspec.MsgspecError, ValueError, LookupError, ArithmeticError, RuntimeError)
"""What a source raises that is not there, not readable, or says something else; or where no thread can be begun."""


class _Reading(NamedTuple):
    used: float
    elapsed: float  # in the unit of `used`
    processors: float = 1.0

    def percent_since(self, earlier: "_Reading") -> float | None:
        elapsed = self.elapsed - earlier.elapsed
        if elapsed <= 0 or self.processors <= 0:
            return None
        return min(100.0, max(0.0, (self.used - earlier.used) / elapsed / self.processors * 100))


_Source = Callable[[float], _Reading | None]
Fetch = Callable[[str], bytes]


class CpuMeter:
    """Utilisation between one sample and the next, in percent of what this container, or machine, may use."""

    def __init__(
        self, root: Path = Path("/"), environ: Mapping[str, str] = os.environ, fetch: Fetch | None = None
    ) -> None:
        """Choose the sources.

        Args:
            root: where the file systems of the kernel are mounted below.
            environ: tells whether ECS runs this container.
            fetch: answers a GET of the task's metadata; used in a thread of its own.
        """
        uri = environ.get(_METADATA_URI)
        self._sources: tuple[_Source, ...] = (_CgroupV2(root), _CgroupV1(root), _Machine(root))
        if uri is not None:  # its containers see processors that are not theirs
            self._sources = (_EcsTask(uri, fetch or _fetched),)
        self._earlier: dict[_Source, _Reading] = {}

    def sample(self, now: float) -> float | None:
        """What was used since the last sample, 0 to 100; None the first time, and where nothing can be measured.

        Never waits and never raises.

        Args:
            now: seconds on a clock that only grows.
        """
        for source in self._sources:
            try:
                reading = source(now)
                if reading is not None:
                    earlier, self._earlier[source] = self._earlier.get(source), reading
                    return None if earlier is None else reading.percent_since(earlier)
            except _ODD:
                continue
        return None


class CpuHistory:
    """The averages of the last intervals, in the form of a worker entry."""

    def __init__(self, now: float) -> None:
        """Begin the first interval at `now`, seconds on the clock that `saw` is told the time of."""
        self._begun = now
        self._samples: list[float] = []
        self._averages: deque[float] = deque(maxlen=INTERVALS_KEPT)

    @property
    def averages(self) -> tuple[float, ...]:
        """Percent, oldest first; -1 where an interval had no sample."""
        return tuple(self._averages)

    def saw(self, percent: float | None, now: float) -> None:
        """Note a sample taken at `now`; None says that there was none."""
        ended = int((now - self._begun) // INTERVAL_SECONDS)
        self._begun += ended * INTERVAL_SECONDS
        for _ in range(min(ended, INTERVALS_KEPT + 1)):  # after a suspension there may be any number
            average = sum(self._samples) / len(self._samples) if self._samples else FAILED
            self._averages.append(round(average, 6))
            self._samples = []
        if percent is not None:
            self._samples.append(percent)


class _CgroupV2:
    def __init__(self, root: Path) -> None:
        self._folder = root / "sys/fs/cgroup"

    def __call__(self, now: float) -> _Reading | None:
        if not (self._folder / "cgroup.controllers").exists():
            return None
        used = dict(line.split() for line in (self._folder / "cpu.stat").read_text().splitlines())["usage_usec"]
        return _Reading(int(used) / 1e6, now, self._processors())

    def _processors(self) -> float:
        limit = self._folder / "cpu.max"  # the root of all has none
        quota, period = limit.read_text().split() if limit.exists() else ("max", "1")
        return _counted(self._folder / "cpuset.cpus.effective") if quota == "max" else int(quota) / int(period)


class _CgroupV1:
    def __init__(self, root: Path) -> None:
        self._folder = root / "sys/fs/cgroup"

    def __call__(self, now: float) -> _Reading | None:
        used = int((self._folder / "cpuacct/cpuacct.usage").read_text())
        return _Reading(used / 1e9, now, self._processors())

    def _processors(self) -> float:
        limit = self._folder / "cpu"
        quota = int((limit / "cpu.cfs_quota_us").read_text())  # -1 = no limit
        if quota <= 0:
            return _counted(self._folder / "cpuset/cpuset.effective_cpus")
        return quota / int((limit / "cpu.cfs_period_us").read_text())


class _Machine:
    def __init__(self, root: Path) -> None:
        self._stat = root / "proc/stat"

    def __call__(self, _now: float) -> _Reading | None:
        first = self._stat.read_text().splitlines()[0].split()
        user, nice, system, idle, waiting = (int(ticks) for ticks in first[1:6])
        busy = user + nice + system + waiting  # waiting for a disk counts as busy, as Java readers expect
        return _Reading(busy, busy + idle)


class _Limits(msgspec.Struct):
    cpu: float | None = msgspec.field(default=None, name="CPU")


class _Container(msgspec.Struct, rename="pascal"):
    docker_id: str
    limits: _Limits = msgspec.field(default_factory=_Limits)

    @property
    def share(self) -> float:
        return self.limits.cpu or _DEFAULT_SHARE


class _Task(msgspec.Struct, rename="pascal"):
    containers: list[_Container]
    limits: _Limits = msgspec.field(default_factory=_Limits)


class _CpuUsage(msgspec.Struct):
    total_usage: int  # nanoseconds


class _CpuStats(msgspec.Struct):
    cpu_usage: _CpuUsage
    system_cpu_usage: int  # nanoseconds, of all processors together
    online_cpus: int


class _Stats(msgspec.Struct):
    cpu_stats: _CpuStats


class _EcsTask:
    """Task metadata, version 4. Each answer is for the sample that follows, so that nobody waits for one."""

    def __init__(self, uri: str, fetch: Fetch) -> None:
        self._uri = uri
        self._fetch = fetch
        self._thread: threading.Thread | None = None
        self._answer: _Reading | None = None

    def __call__(self, _now: float) -> _Reading | None:
        if self._thread is not None and self._thread.is_alive():
            return None
        answer, self._answer = self._answer, None
        self._thread = threading.Thread(target=self._ask, name="kcl-py-cpu", daemon=True)
        self._thread.start()
        return answer

    def _ask(self) -> None:
        try:
            self._answer = self._asked()
        except _ODD:
            self._answer = None

    def _asked(self) -> _Reading:
        own = msgspec.json.decode(self._fetch(self._uri), type=_Container)
        task = msgspec.json.decode(self._fetch(f"{self._uri}/task"), type=_Task)
        cpu = msgspec.json.decode(self._fetch(f"{self._uri}/stats"), type=_Stats).cpu_stats
        shares = sum(container.share for container in task.containers)
        processors = own.share / shares * (task.limits.cpu or cpu.online_cpus)
        return _Reading(cpu.cpu_usage.total_usage, cpu.system_cpu_usage / cpu.online_cpus, processors)


def _counted(cpuset: Path) -> float:
    """How many processors a list such as `0-3,6` names."""
    ranges = (part.partition("-") for part in cpuset.read_text().strip().split(","))
    return float(sum(int(last or first) - int(first) + 1 for first, _, last in ranges))


def _fetched(uri: str) -> bytes:
    from urllib.request import HTTPHandler, OpenerDirector  # only where ECS runs this container

    opener = OpenerDirector()
    opener.add_handler(HTTPHandler())  # plain http and nothing else: no proxy, no file
    with opener.open(uri, timeout=_FETCH_SECONDS) as answer:
        content: bytes = answer.read(_FETCH_BYTES_MAX)
    return content
