"""`kcl-py demo`: a shorter one, as a process of its own, because it sets its environment; and how its proof fails."""

import os
import re
import signal
import subprocess
import sys
from threading import Event

import pytest

from kcl_py import events
from kcl_py.cli.demo_facts import Fact, FactReader, Killed, Processed, Scribe, Told
from kcl_py.cli.demo_ledger import Ledger

SHORTER = """
from kcl_py.cli import demo_story, main

demo_story.PAUSE_SECONDS = 0.5
main(["demo"])
"""
WITHOUT_MOTO = """
import importlib.util

find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *others: None if name == "moto" else find(name, *others)
"""
VERDICT = "every record was processed, in order per key, and no hand-off repeated any\n"


def told_by_demo(program: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KCL_PY_"))}
    environment |= {"AWS_PROFILE": "absent", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert ended.stdout.endswith(VERDICT)
    assert re.search(r"processed +\d+ of them, 0 missing\n", ended.stdout)
    assert "across 3 finished shards" in ended.stdout
    assert "waits for its parents" in ended.stdout
    return ended.stdout


def test_the_demo_proves_itself_without_a_terminal_and_without_settings() -> None:
    story = told_by_demo(SHORTER)

    scenes = ("worker one leads", "worker two is ready", "over to worker two", "is split", "are merged", "is killed")
    assert [story.find(scene) > 0 for scene in scenes] == [True] * len(scenes)
    assert [story.find(scene) for scene in scenes] == sorted(story.find(scene) for scene in scenes)
    # a shard that was born a moment before may have no checkpoint yet
    assert re.search(r"worker one picks up shard \d+ at (…\d+|TRIM_HORIZON)", story.partition("is killed")[2])


def test_without_a_table_to_share_there_is_one_worker_and_the_demo_says_so() -> None:
    story = told_by_demo(WITHOUT_MOTO + SHORTER)

    assert "kept in memory this time" in story
    assert "there is one worker" in story
    assert "worker two" not in story


# -- the proof --------------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger() -> Ledger:
    """One put of records; worker one has the only shard."""
    ledger = Ledger()
    ledger.picked_up("one", "shardId-0", 1)
    return ledger


def put(ledger: Ledger) -> list[tuple[str, int]]:
    return [(entry.partition_key, int(entry.data)) for entry in ledger.next_entries()]


def processed(ledger: Ledger, worker: str, token: int, records: list[tuple[str, int]]) -> None:
    ledger.processed(Processed(worker, "shardId-0", token, records))


def is_proven(ledger: Ledger) -> bool:
    return ledger.proof(0)[1]


def repeats(ledger: Ledger) -> list[int]:
    lines, _ = ledger.proof(0)
    start = next(number for number, line in enumerate(lines) if line.startswith("repeated"))
    return [int(re.findall(r"\d+", line)[0]) for line in lines[start:]]


def test_all_of_it_in_order_is_proven(ledger: Ledger) -> None:
    records = put(ledger)
    was_behind = ledger.is_behind
    processed(ledger, "one", 1, records)

    assert (was_behind, ledger.is_behind) == (True, False)
    assert is_proven(ledger)
    assert repeats(ledger) == [0, 0]


def test_a_missing_record_fails_the_proof(ledger: Ledger) -> None:
    processed(ledger, "one", 1, put(ledger)[:-1])

    assert ledger.is_behind
    assert not is_proven(ledger)


def test_a_record_out_of_order_fails_the_proof(ledger: Ledger) -> None:
    records = put(ledger)
    processed(ledger, "one", 1, records[::-1])

    assert not ledger.is_behind
    assert not is_proven(ledger)


def test_what_a_killed_worker_had_may_come_again(ledger: Ledger) -> None:
    records = put(ledger)
    processed(ledger, "one", 1, records)
    ledger.killed("one")
    processed(ledger, "two", 2, records[-7:])

    assert is_proven(ledger)
    assert repeats(ledger) == [7, 0]


def test_what_was_handed_over_before_the_kill_may_not_come_again(ledger: Ledger) -> None:
    records = put(ledger)
    processed(ledger, "one", 1, records)
    ledger.let_go("one", "shardId-0")
    ledger.killed("one")
    processed(ledger, "two", 2, records[-7:])

    assert not is_proven(ledger)
    assert repeats(ledger) == [0, 7]


def test_what_its_new_owner_repeats_by_itself_is_not_explained_by_the_kill(ledger: Ledger) -> None:
    records = put(ledger)
    processed(ledger, "one", 1, records)
    ledger.killed("one")
    processed(ledger, "two", 2, records[-7:])
    processed(ledger, "two", 2, records[-3:])

    assert not is_proven(ledger)
    assert repeats(ledger) == [7, 3]


def test_a_hand_over_that_repeats_fails_the_proof(ledger: Ledger) -> None:
    records = put(ledger)
    processed(ledger, "one", 1, records)
    ledger.let_go("one", "shardId-0")
    processed(ledger, "two", 2, records[-1:])

    assert not is_proven(ledger)


def test_a_lost_lease_is_named_as_what_it_is(ledger: Ledger) -> None:
    records = put(ledger)
    processed(ledger, "one", 1, records)
    ledger.lost("one", "shardId-0")
    processed(ledger, "two", 2, records[-2:])

    assert is_proven(ledger)
    assert repeats(ledger) == [0, 0, 2]


# -- the reports ------------------------------------------------------------------------------------------------------


def test_reports_arrive_as_they_were_written() -> None:
    reading_end, writing_end = os.pipe()
    taken: list[Fact] = []
    reader = FactReader(reading_end, taken.append)
    reader.start()
    scribe = Scribe(writing_end, "one")
    event = events.LeasePickedUp(shard_id="shardId-0", fencing_token=3, checkpoint="TRIM_HORIZON")
    records = [(f"customer-{number}", 99_999) for number in range(40)]

    scribe.note(event)
    scribe.note(events.WorkerStopped())  # of no interest
    scribe.processed("shardId-000000000000", 3, records)
    scribe.killed("two")
    scribe.close()
    scribe.note(event)  # too late
    reader.join()

    told, *few, killed = taken
    assert isinstance(told, Told)
    assert told.event == event
    assert [record for fact in few if isinstance(fact, Processed) for record in fact.records] == records
    assert killed == Killed("two")


REPORTING = """
import sys
from kcl_py.cli.demo_facts import Scribe

scribe = Scribe(int(sys.argv[1]), "two")
for number in range(10**9):
    scribe.processed("shardId-000000000000", number, [("customer-1", number)] * 16)
"""


def test_a_kill_leaves_no_half_report() -> None:
    reading_end, writing_end = os.pipe()
    taken: list[Fact] = []
    is_enough = Event()

    def take(fact: Fact) -> None:
        taken.append(fact)
        if len(taken) == 1_000:
            is_enough.set()

    reader = FactReader(reading_end, take)  # ends with an error at a line that is not whole
    with subprocess.Popen([sys.executable, "-c", REPORTING, str(writing_end)], pass_fds=(writing_end,)) as reporting:
        reader.start()
        os.close(writing_end)
        is_enough.wait(30)
        reporting.send_signal(signal.SIGKILL)
    reader.join()

    assert reporting.returncode == -signal.SIGKILL
    numbers = [fact.fencing_token for fact in taken if isinstance(fact, Processed)]
    assert len(numbers) >= 1_000
    assert numbers == list(range(len(numbers)))
