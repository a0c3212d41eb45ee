"""The wall clock jumps under a running fleet; the clocks that count seconds do not."""

import datetime
import time

from integration.faults.cells import cell
from integration.faults.faulty_fleet import MakeFleet
from integration.program import eventually
from integration.worker_program import WorkerProgram
from kcl_py import host
from tests.tools import find_tool

HOUR_SECONDS = 3_600
YEAR_SECONDS = 365 * 24 * HOUR_SECONDS
TOLERANCE_SECONDS = 600


@cell("wall clock jumps", "steady", "C")
@cell("wall clock jumps", "hand-off", "C")
@cell("wall clock jumps", "shutdown", "C")
def a_wall_clock_that_jumps_by_an_hour_or_a_year_is_not_noticed(make_fleet: MakeFleet) -> None:
    library = find_tool("libfaketime")
    fleet = make_fleet("--verbose", shards=2)
    offset = fleet.app.folder / "offset"
    offset.write_text("+0\n")
    faked = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # nothing makes those jump
    }
    wrong = fleet.start(environment=faked).ready()  # one of the two only, so that they disagree as well
    with fleet.load():
        right = fleet.start().ready()
        began = host.boottime()
        for jump in (YEAR_SECONDS, HOUR_SECONDS, -HOUR_SECONDS, 0):
            offset.write_text(f"{jump:+d}\n")
            eventually(lambda jump=jump: _is_off_by(wrong, jump), f"its log to be {jump} s off", of=wrong)  # type: ignore[misc]
            fleet.last(1, since=host.boottime())
            if jump == YEAR_SECONDS:
                fleet.evened()  # a hand-off between two that disagree by a year
                began = host.boottime()
    fleet.settle()
    assert fleet.epochs_since(began) == []
    for worker in (wrong, right):
        assert worker.events("session lost") + worker.events("session revoked") == []
    offset.write_text(f"{-HOUR_SECONDS}\n")
    assert wrong.drained() == 0
    fleet.settle()
    fleet.drain()


def _is_off_by(worker: WorkerProgram, seconds: float) -> bool:
    newest = datetime.datetime.fromisoformat(worker.log[-1]["time"]).timestamp()
    return abs(newest - time.time() - seconds) < TOLERANCE_SECONDS
