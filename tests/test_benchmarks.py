"""That the benchmarks still measure: each client for a moment, against the real load source."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks import environment
from benchmarks.bodies import AGGREGATED, of
from benchmarks.environment import ROOT, Missing
from benchmarks.load_source import Endpoints, serving
from benchmarks.plot import drawn
from benchmarks.report import written_into
from benchmarks.rounds import Cell, Outcome, Sample, sampled

CLIENTS_WITHOUT_PEERS = (
    "floor in C",
    "boto3 loop",
    "boto3, timestamps free",
    "aioboto3 loop",
    "kcl_py polling",
    "kcl_py polling at its pace",
    "kcl_py fan-out",
)
PAGE = of(100, 1_000)


@pytest.fixture(scope="module")
def endpoints() -> Iterator[Endpoints]:
    try:
        with serving() as served:
            yield served
    except Missing as missing:
        pytest.skip(f"needs gcc: {missing}")


@pytest.mark.parametrize("client", CLIENTS_WITHOUT_PEERS)
def test_a_client_reads_whole_pages_over_tls(client: str, endpoints: Endpoints) -> None:
    sample = sampled(client, Cell(PAGE, 4 if client != "floor in C" else 1, ()), endpoints, 0.2)

    assert sample.records > 0
    assert sample.records % PAGE.records == 0
    assert 0 < sample.cpu_seconds < 5


@pytest.mark.skipif(not environment.has_peers(), reason="the peers are not installed; make bench does that")
@pytest.mark.parametrize("client", ["async-kinesis", "kclpy child", "boto3 + aws-kinesis-agg"])
def test_a_peer_reads_too(client: str, endpoints: Endpoints) -> None:
    sample = sampled(client, Cell(AGGREGATED if "agg" in client else PAGE, 1, ()), endpoints, 0.2)

    assert sample.records > 0
    assert sample.cpu_seconds > 0


def test_a_worker_unpacks_the_aggregates_of_the_load_source(endpoints: Endpoints) -> None:
    sample = sampled("kcl_py polling", Cell(AGGREGATED, 1, ()), endpoints, 0.2)

    assert sample.records >= AGGREGATED.user_records


def test_memory_is_less_than_what_boto3_holds(endpoints: Endpoints) -> None:
    command = (sys.executable, "-m", "benchmarks.clients.memory", f"{PAGE.name}-1")
    held = json.loads(subprocess.check_output(command, cwd=ROOT, env=endpoints.environment(is_tls=False)))

    assert 1_000 < held["kcl_py"] < held["boto3"]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    def sample(cpu_seconds: float) -> Sample:
        return Sample(cpu_seconds, records=100, calls=1)

    rounds = [{"a": sample(a), "b": sample(b)} for a, b in ((1, 3), (1, 5), (10, 40))]
    outcome = Outcome(Cell(PAGE, 1, ("a", "b")), rounds)

    assert outcome.ratio("a", than="b") == 4
    assert outcome.us_per_record("a") == 10_000


def test_every_table_has_its_place_in_the_document() -> None:
    document = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    names = ("about", "targets", "records", "calls", "others", "growth")
    written = written_into(document, {name: f"the table of {name}" for name in names})

    assert all(f"<!-- measured: {name} -->\nthe table of {name}\n<!-- end -->" in written for name in names)
    with pytest.raises(LookupError):
        written_into(document, {"something else": ""})


def test_the_picture_shows_every_client() -> None:
    rounds = [{client: Sample(1.0, records=100_000, calls=10) for client in ("boto3 loop", "kcl_py polling")}]
    picture = drawn([Outcome(Cell(PAGE, 1, ("boto3 loop", "kcl_py polling")), rounds)])

    assert picture.count("<rect") == 3
    assert ">boto3 loop<" in picture
