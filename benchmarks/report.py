"""What was measured as Markdown, for the terminal and for docs/performance.md."""

# ruff: noqa: S603 - every command is one of our own

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.bodies import Body
from benchmarks.cells import LAG_SECONDS_MAX, OURS, PACED, STOCK, TARGETS, USER_RECORDS_PER_SECOND_MIN
from benchmarks.environment import ROOT
from benchmarks.rounds import Outcome


class Latency(msgspec.Struct, frozen=True):
    """From put to callback."""

    median_seconds: float
    p90_seconds: float


class Results(msgspec.Struct, frozen=True):
    """One whole run."""

    about: str
    side_by_side: list[Outcome]
    idle: Outcome
    packed: Outcome
    lag: list[Outcome]
    by_size: list[Outcome]
    by_records: list[Outcome]
    by_shards: list[Outcome]
    latency: dict[str, Latency]
    memory: dict[str, dict[str, float]]  # bytes per record by body and reader
    user_records_per_second: dict[str, float]  # by whose the partition keys are


def about(seconds: float) -> str:
    """Where, when and with what."""
    commit = _said("git", "describe", "--always", "--dirty") or "no commit"
    packages = ", ".join(f"{name} {version(name)}" for name in ("aioboto3", "botocore", "aiohttp", "msgspec"))
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, kcl_py at {commit}, {_processor()}, {os.cpu_count()} cores, {gib:.0f} GiB, "
        f"{platform.system()} {platform.release()}, {platform.python_implementation()} {platform.python_version()}, "
        f"{packages}; samples of {seconds:g} s, load average {os.getloadavg()[0]:.1f} at the end."
    )


def sections(results: Results) -> dict[str, str]:
    """Every table by its name in the document."""
    return {
        "about": f"{results.about} {_rounds(results)}",
        "targets": _targets(results),
        "records": _records(results),
        "calls": _calls(results),
        "others": _others(results),
        "growth": _growth(results),
    }


def written_into(document: str, tables: dict[str, str]) -> str:
    """The document with every table in its place.

    Raises:
        LookupError: a place is missing.
    """
    for name, table in tables.items():
        place = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if place.search(document) is None:
            raise LookupError(f"the document has no place for {name}")
        document = place.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", document)  # type: ignore[misc]
    return document


def _rounds(results: Results) -> str:
    """How many there were: a median of one is a single sample."""
    compared, others = len(results.side_by_side[0].rounds), len(results.by_size[0].rounds)
    return f"Rounds: {compared} for CPU per record against peers, {others} for every other table, lag included."


def _records(results: Results) -> str:
    clients = list(dict.fromkeys(name for outcome in results.side_by_side for name in outcome.cell.clients))
    rows = []
    for client in clients:
        cells = []
        for outcome in results.side_by_side:
            if client in outcome.cell.clients:
                ratio = outcome.ratio(OURS, than=client)
                cells.append(f"{outcome.us_per_record(client):.3g} µs · {ratio:.3g}x")
            else:
                cells.append("-")
        rows.append((client, *cells))
    return _table(("CPU per record", *(_title(outcome.cell.body) for outcome in results.side_by_side)), rows)


def _calls(results: Results) -> str:
    _, large, small = results.side_by_side
    rows = []
    for client in large.cell.clients:
        idle = f"{results.idle.us_per_call(client):.0f} µs" if client in results.idle.cell.clients else "-"
        per_call = f"{small.us_per_record(client) * 10:.0f} µs" if client in small.cell.clients else "-"
        rows.append((client, idle, per_call, f"{large.ms_per_megabyte(client):.3g} ms"))
    titles = ("", "empty call", f"call of {_title(small.cell.body)}", f"MB of {_title(large.cell.body)}")
    return _table(titles, rows)


def _targets(results: Results) -> str:
    outcomes = {outcome.cell: outcome for outcome in results.side_by_side}
    rows: list[tuple[str, ...]] = []
    for target in TARGETS:
        outcome = outcomes[target.cell]
        ratios, ratio = outcome.ratios(OURS, target.against), outcome.ratio(OURS, target.against)
        verdict = "met" if ratio >= target.wanted else "gate met, target not" if ratio >= target.gate else "**not met**"
        measured = f"{ratio:.3g}x ({ratios[0]:.3g} to {ratios[-1]:.3g})"
        marks = f"{target.wanted:g}x ({target.gate:g}x)"
        rows.append((target.against, _title(target.cell.body), measured, marks, verdict))
    rows += _lags(results.lag)
    for key, speed in results.user_records_per_second.items():
        verdict = "met" if speed >= USER_RECORDS_PER_SECOND_MIN else "**not met**"
        what = f"100 B in memory, partition key {key}"
        rows.append(("KPL user records per second of CPU", what, f"{speed / 1e6:.2g} M", "1.5 M", verdict))
    return _table(("against", "page", "measured", "target (gate)", ""), rows)


def _lags(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, ...]]:
    for outcome in outcomes:
        stock, *ours = outcome.cell.clients
        of_stock = outcome.lag_p99_seconds(stock) * 1_000
        for client in ours:
            lag = outcome.lag_p99_seconds(client) * 1_000
            verdict = "met" if lag < LAG_SECONDS_MAX * 1_000 else "**not met**"
            what = f"8 shards of {_title(outcome.cell.body)}{', at the real pace' if client == PACED else ''}"
            beside = "" if client == PACED else f" against {of_stock:.0f} ms"  # which keeps no pace
            yield f"event-loop lag p99, {stock}", what, f"{lag:.0f} ms{beside}", "25 ms", verdict


def _others(results: Results) -> str:
    packed, other = results.packed, "boto3 + aws-kinesis-agg"
    per_user_record = f"{packed.us_per_record(OURS):.3g} µs; {other} {packed.us_per_record(other):.3g} µs"
    what = "KPL aggregates, 400 x 100 B each: CPU per user record"
    rows = [(what, f"{per_user_record}, {packed.ratio(OURS, other):.3g}x")]
    for name, latency in results.latency.items():
        measured = f"median {latency.median_seconds * 1_000:.0f} ms, p90 {latency.p90_seconds * 1_000:.0f} ms"
        rows.append((f"put → callback at the tip, {name}", measured))
    for body, held in results.memory.items():
        measured = f"{held['kcl_py']:.0f} B; boto3 {held['boto3']:.0f} B"
        rows.append((f"memory per record held, {body}", measured))
    return _table(("", "measured"), rows)


def _growth(results: Results) -> str:
    groups = {"record size": results.by_size, "records per call": results.by_records, "shards": results.by_shards}
    clients = results.by_size[0].cell.clients
    rows = []
    for grows, outcomes in groups.items():
        for outcome in outcomes:
            shards = f"{outcome.cell.shards} shard{'s' if outcome.cell.shards > 1 else ''}"
            known = outcome.cell.clients
            cells = [f"{outcome.us_per_record(client):.3g} µs" if client in known else "-" for client in clients]
            ratio = f"{outcome.ratio(OURS, STOCK):.3g}x"
            rows.append((grows, f"{_title(outcome.cell.body)}, {shards}", *cells, ratio))
    return _table(("what grows", "page", *clients, f"{STOCK} to {OURS}"), rows)


def _title(body: Body) -> str:
    size = f"{body.size_bytes // 1_000} KB" if body.size_bytes >= 1_000 else f"{body.size_bytes} B"
    return f"{body.records:,} x {size}"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [tuple(titles), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([text[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *text[1:]])


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", info.read_text(encoding="utf-8")) if info.exists() else None
    return named[1] if named else platform.processor() or platform.machine()


def _said(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
