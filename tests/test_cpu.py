"""The processors' utilisation is read from whatever the machine has, and a machine that has nothing is no error."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kcl_py.cpu import CpuHistory, CpuMeter

ECS = "ECS_CONTAINER_METADATA_URI_V4"


def files(root: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def cgroup_v2(root: Path, usage_usec: int, **others: str) -> None:
    texts = {
        "cgroup.controllers": "cpuset cpu io memory\n",
        "cpu.stat": f"usage_usec {usage_usec}\nuser_usec 1\nsystem_usec 2\n",
        "cpuset.cpus.effective": "0-3,6\n",
    }
    files(root / "sys/fs/cgroup", texts | others)


def cgroup_v1(root: Path, usage: int, quota: int, period: int = 100_000) -> None:
    files(
        root / "sys/fs/cgroup",
        {
            "cpuacct/cpuacct.usage": f"{usage}\n",
            "cpu/cpu.cfs_quota_us": f"{quota}\n",
            "cpu/cpu.cfs_period_us": f"{period}\n",
            "cpuset/cpuset.effective_cpus": "0,2\n",
        },
    )


def machine(root: Path, *ticks: int) -> None:
    """What was spent as user, nice, system, idle, and waiting for a disk."""
    text = f"cpu  {' '.join(map(str, ticks))} 9 9 0 0 0\ncpu0 1 1 1 1 1 1 1 0 0 0\nintr 5\n"
    files(root, {"proc/stat": text})


def test_a_container_is_measured_by_its_own_limit(tmp_path: Path) -> None:
    meter = CpuMeter(tmp_path, {})
    cgroup_v2(tmp_path, 1_000_000, **{"cpu.max": "50000 100000\n"})
    assert meter.sample(10.0) is None
    cgroup_v2(tmp_path, 1_250_000)
    assert meter.sample(11.0) == pytest.approx(50.0)
    cgroup_v2(tmp_path, 1_250_000)
    assert meter.sample(12.0) == 0.0
    cgroup_v2(tmp_path, 9_000_000)
    assert meter.sample(13.0) == 100.0


@pytest.mark.parametrize("others", [{"cpu.max": "max 100000\n"}, {}])
def test_a_container_without_a_limit_has_all_processors_of_its_set(tmp_path: Path, others: dict[str, str]) -> None:
    meter = CpuMeter(tmp_path, {})
    cgroup_v2(tmp_path, 0, **others)
    meter.sample(0.0)
    cgroup_v2(tmp_path, 2_500_000)
    assert meter.sample(2.0) == pytest.approx(25.0)  # of five


def test_an_older_kernel_counts_in_nanoseconds(tmp_path: Path) -> None:
    meter = CpuMeter(tmp_path, {})
    cgroup_v1(tmp_path, 0, quota=150_000)
    assert meter.sample(0.0) is None
    cgroup_v1(tmp_path, 750_000_000, quota=150_000)
    assert meter.sample(1.0) == pytest.approx(50.0)
    cgroup_v1(tmp_path, 1_250_000_000, quota=-1)
    assert meter.sample(2.0) == pytest.approx(25.0)  # of two


def test_a_machine_without_containers_counts_waiting_for_disks_as_busy(tmp_path: Path) -> None:
    meter = CpuMeter(tmp_path, {})
    machine(tmp_path, 100, 10, 50, 1000, 40)
    assert meter.sample(0.0) is None
    machine(tmp_path, 110, 15, 60, 1060, 55)
    assert meter.sample(1.0) == pytest.approx(40.0)


def test_a_machine_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    meter = CpuMeter(tmp_path, {})
    assert [meter.sample(float(second)) for second in range(3)] == [None, None, None]


@pytest.mark.parametrize(
    "texts",
    [
        {"proc/stat": ""},
        {"proc/stat": "cpu 1 2\n"},
        {"proc/stat": "cpu a b c d e\n"},
        {"sys/fs/cgroup/cgroup.controllers": ""},
        {"sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/cpu.stat": "nr_periods 0\n"},
        {"sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/cpu.stat": "usage_usec 5\n"},
        {
            "sys/fs/cgroup/cgroup.controllers": "",
            "sys/fs/cgroup/cpu.stat": "usage_usec 5\n",
            "sys/fs/cgroup/cpu.max": "5 0\n",
        },
        {"sys/fs/cgroup/cpuacct/cpuacct.usage": "5\n"},
    ],
)
def test_what_cannot_be_understood_is_not_measured(tmp_path: Path, texts: dict[str, str]) -> None:
    files(tmp_path, texts)
    meter = CpuMeter(tmp_path, {})
    assert [meter.sample(float(second)) for second in range(3)] == [None, None, None]


def test_a_source_that_fails_once_is_measured_over_the_longer_time(tmp_path: Path) -> None:
    meter = CpuMeter(tmp_path, {})
    machine(tmp_path, 0, 0, 0, 0, 0)
    meter.sample(0.0)
    (tmp_path / "proc/stat").unlink()
    assert meter.sample(1.0) is None
    machine(tmp_path, 30, 0, 0, 70, 0)
    assert meter.sample(2.0) == pytest.approx(30.0)


def test_where_no_time_has_passed_nothing_is_said(tmp_path: Path) -> None:
    meter = CpuMeter(tmp_path, {})
    for usage in (0, 500_000):
        cgroup_v2(tmp_path, usage)
        assert meter.sample(7.0) is None


class Metadata:
    """An ECS task of two containers, as its metadata endpoint describes it."""

    def __init__(self) -> None:
        self.total_usage = 0
        self.system_cpu_usage = 0
        self.shares: list[int | None] = [256, 768]
        self.task_limits: dict[str, float] = {"CPU": 0.5, "Memory": 512}

    def get(self, uri: str) -> bytes:
        path = uri.partition("/v4/me")[2]
        containers = [
            {"DockerId": name, "Limits": {"CPU": share} if share is not None else {}, "Name": name}
            for name, share in zip(("me", "other"), self.shares, strict=True)
        ]
        answers: dict[str, Any] = {
            "": containers[0],
            "/task": {"Cluster": "default", "Containers": containers, "Limits": self.task_limits},
            "/stats": {
                "cpu_stats": {
                    "cpu_usage": {"total_usage": self.total_usage},
                    "system_cpu_usage": self.system_cpu_usage,
                    "online_cpus": 2,
                }
            },
        }
        return json.dumps(answers[path]).encode()


def settled(meter: CpuMeter, now: float) -> float | None:
    """A sample, and then the time that the next answer takes."""
    percent = meter.sample(now)
    for thread in threading.enumerate():
        if thread.name == "kcl-py-cpu":
            thread.join()
    return percent


@pytest.mark.parametrize(
    ("shares", "task_limits", "percent"),
    [
        ([256, 768], {"CPU": 0.5}, 80.0),  # a quarter of half a processor
        ([256, 768], {}, 20.0),  # a quarter of both
        ([None, None], {"CPU": 0.5}, 40.0),
        ([None, 6], {"CPU": 0.5}, 80.0),
    ],
)
def test_a_container_of_ecs_is_measured_by_its_share_of_the_task(
    tmp_path: Path, shares: list[int | None], task_limits: dict[str, float], percent: float
) -> None:
    machine(tmp_path, 0, 0, 0, 0, 0)
    metadata = Metadata()
    metadata.shares, metadata.task_limits = shares, task_limits
    meter = CpuMeter(tmp_path, {ECS: "http://ecs.example/v4/me"}, metadata.get)
    assert settled(meter, 0.0) is None
    metadata.total_usage, metadata.system_cpu_usage = 100_000_000, 2_000_000_000  # a tenth of a second out of one
    assert settled(meter, 1.0) is None
    assert settled(meter, 2.0) == pytest.approx(percent)


def refuse(_: str) -> bytes:
    raise TimeoutError


@pytest.mark.parametrize("fetch", [refuse, lambda _: b"", lambda _: b"null", lambda _: b'{"DockerId": "me"}'])
def test_metadata_that_cannot_be_had_is_not_measured(tmp_path: Path, fetch: Callable[[str], bytes]) -> None:
    meter = CpuMeter(tmp_path, {ECS: "http://ecs.example/v4/me"}, fetch)
    assert [settled(meter, float(second)) for second in range(4)] == [None] * 4


def test_nobody_waits_for_metadata_that_takes_its_time(tmp_path: Path) -> None:
    may_answer = threading.Event()

    def slow(_: str) -> bytes:
        may_answer.wait()
        raise TimeoutError

    meter = CpuMeter(tmp_path, {ECS: "http://ecs.example/v4/me"}, slow)
    assert [meter.sample(float(second)) for second in range(5)] == [None] * 5
    assert sum(thread.name == "kcl-py-cpu" for thread in threading.enumerate()) == 1
    may_answer.set()
    settled(meter, 5.0)


@pytest.fixture
def endpoint() -> Iterator[tuple[str, Metadata]]:
    """The metadata over real sockets."""
    metadata = Metadata()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = metadata.get(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v4/me", metadata
        server.shutdown()
        thread.join()


def test_metadata_is_asked_by_http_whatever_proxy_is_set(
    tmp_path: Path, endpoint: tuple[str, Metadata], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    uri, metadata = endpoint
    meter = CpuMeter(tmp_path, {ECS: uri})
    settled(meter, 0.0)
    metadata.total_usage, metadata.system_cpu_usage = 50_000_000, 2_000_000_000
    settled(meter, 1.0)
    assert settled(meter, 2.0) == pytest.approx(40.0)


def test_this_machine_can_be_asked_as_well() -> None:
    meter = CpuMeter()
    begun = time.monotonic()
    samples = [meter.sample(begun)]
    sum(range(200_000))
    samples.append(meter.sample(time.monotonic()))
    assert samples[0] is None
    assert samples[1] is None or 0.0 <= samples[1] <= 100.0


def test_a_history_tells_the_average_of_each_interval() -> None:
    history = CpuHistory(100.0)
    for second in range(101, 130):
        history.saw(10.0 if second % 2 else 20.0, float(second))
    told = [history.averages]
    history.saw(90.0, 130.0)  # belongs to the next one
    told.append(history.averages)
    assert told == [(), (round((15 * 10 + 14 * 20) / 29, 6),)]
    history.saw(80.0, 159.9)
    history.saw(None, 160.0)
    assert history.averages[1:] == (85.0,)


def test_an_interval_without_a_sample_is_told_as_failed() -> None:
    history = CpuHistory(0.0)
    history.saw(None, 5.0)
    history.saw(40.0, 31.0)
    history.saw(None, 61.0)
    assert history.averages == (-1.0, 40.0)


def test_only_the_last_ten_intervals_are_kept_however_long_nobody_looked() -> None:
    history = CpuHistory(0.0)
    for second in range(0, 600, 10):
        history.saw(float(second), float(second))
    assert len(history.averages) == 10
    assert history.averages == tuple(sorted(history.averages))
    history.saw(5.0, 1e9)
    assert history.averages == (-1.0,) * 10
