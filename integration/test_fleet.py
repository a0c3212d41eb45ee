"""Four workers and eight shards under load: they stop, die, join, fall silent, and all stop at once."""

import signal
import time
from collections.abc import Mapping

from integration import owner_changes
from integration.application import Application
from integration.conftest import MakeApplication
from integration.fleet import Fleet
from integration.lease_items import Sampler
from integration.load import Load
from integration.program import eventually
from integration.worker_program import WorkerProgram
from kcl_py import host

KEYS = [f"key-{number}" for number in range(64)]
FAILOVER_SECONDS = 3.0
# a machine that does other things at the same time; promised are about one second, and the failover time and 3 s
HAND_OVER_SECONDS_MAX = 6.0
TAKE_OVER_SECONDS_MAX = FAILOVER_SECONDS + 3.0 + 6.0
BOUNDED = ("--uncheckpointed-records-max", "100", "--read-limit", "50")
REDELIVERED_MAX = 100 + 50  # the cap, and one page


def test_shards_go_on_elsewhere_when_their_worker_stops_or_joins_or_is_killed(
    make_application: MakeApplication,
) -> None:
    app = make_application(shards=8)
    fleet = Fleet(app, *BOUNDED, pause_seconds=0.05)
    with Sampler(app.leases) as sampler:
        with Load(app.producer, KEYS):
            fleet.join(4)
            assert sorted(fleet.evened().values()) == [2, 2, 2, 2]
            stops_one(fleet)
            joins_one(fleet)
            for who in (fleet.ordinary, fleet.leader, fleet.standby):
                kills_one(fleet, who())
        app.wait_until_delivered()
        fleet.drain()
    app.samples = sampler.samples
    assert app.broken_laws() == {}
    assert owner_changes.redelivered_after_order(app.journal, fleet.killed) == {}
    assert owner_changes.redelivered_beyond(app.journal, REDELIVERED_MAX) == {}


def stops_one(fleet: Fleet) -> None:
    """SIGTERM: its shards are handed to others at once, and nothing repeats."""
    worker = fleet.ordinary()
    shards = fleet.shards_of(worker)
    assert len(shards) == 2
    stopped_at = worker.terminated()
    seconds = fleet.gone_on(shards, worker, stopped_at)
    assert worker.ended() == 0, worker
    tell("SIGTERM", seconds)
    assert max(seconds.values()) < HAND_OVER_SECONDS_MAX
    assert moved_since(fleet.app, stopped_at) == shards, "the others keep what they have"
    assert owner_changes.moved_again(fleet.app.journal, stopped_at) == {}
    fleet.evened()


def joins_one(fleet: Fleet) -> None:
    """A worker gets its share by hand-off: nothing repeats, and nothing moves that need not."""
    joined_at = host.boottime()
    (worker,) = fleet.join()
    fleet.evened()
    shards = fleet.shards_of(worker)
    assert len(shards) == 2
    assert moved_since(fleet.app, joined_at) == shards
    assert owner_changes.moved_again(fleet.app.journal, joined_at) == {}
    assert owner_changes.redelivered(fleet.app.journal) == {}, "until here everything was done in order"


def kills_one(fleet: Fleet, worker: WorkerProgram) -> None:
    """SIGKILL: others take its shards over."""
    shards = fleet.shards_of(worker)
    killed_at = host.boottime()
    worker.killed()
    seconds = fleet.gone_on(shards, worker, killed_at)
    tell("SIGKILL", seconds)
    assert max(seconds.values()) < TAKE_OVER_SECONDS_MAX
    fleet.owned()
    assert fleet.leader().is_running


def test_a_leader_that_is_suspended_is_succeeded_and_joins_again_and_nobody_leaves_an_owner_behind(
    make_application: MakeApplication,
) -> None:
    app = make_application(shards=6)
    fleet = Fleet(app, *BOUNDED, pause_seconds=0.3)
    with Sampler(app.leases) as sampler:
        with Load(app.producer, KEYS):
            fleet.join(3)
            fleet.evened()
            suspends_one(fleet, fleet.leader())
            stops_all(fleet)
            fleet.join(3)
            fleet.owned()
            kills_all_and_restarts_one(fleet)
        app.wait_until_delivered()
        fleet.drain()
    app.samples = sampler.samples
    assert app.broken_laws() == {}
    assert owner_changes.redelivered_after_order(app.journal, fleet.killed) == {}
    assert owner_changes.redelivered_beyond(app.journal, REDELIVERED_MAX) == {}


def suspends_one(fleet: Fleet, worker: WorkerProgram) -> None:
    """A stopped process lives, so nobody can prove that it is gone: only its silence tells."""
    app, session, shards = fleet.app, worker.session, fleet.shards_of(worker)
    suspended_at = host.boottime()
    worker.signal(signal.SIGSTOP)
    seconds = fleet.gone_on(shards, worker, suspended_at)
    tell("SIGSTOP of the leader", seconds)
    # silence counts from the last beat, which was sent up to a third of the failover time before
    assert min(seconds.values()) > FAILOVER_SECONDS / 2
    assert max(seconds.values()) < TAKE_OVER_SECONDS_MAX
    assert fleet.leader() is not worker, "the standby has the first chance, which a busy machine may let slip"
    time.sleep(max(0.0, suspended_at + 3 * FAILOVER_SECONDS - host.boottime()))
    woken_at = host.boottime()
    worker.signal(signal.SIGCONT)
    worker.wait_for("lease was lost", count=len(shards))
    eventually(lambda: worker.session != session, "another session", of=worker)
    own = [fact for fact in app.journal.facts("batch") if fact.pid == worker.pid]
    tokens = {fact.shard: fact.token for fact in own if fact.at < suspended_at}
    late = [fact for fact in own if fact.at > woken_at and fact.token <= tokens.get(fact.shard, 0)]
    assert [(fact.shard, fact.token, f"{fact.at - woken_at:.3f} s after") for fact in late] == []
    assert owner_changes.overlapping(app.journal) == []
    fleet.evened()
    assert len(fleet.shards_of(worker)) == 2, "it has joined again"


def stops_all(fleet: Fleet) -> None:
    """Nobody is left to hand anything to: owners are cleared, and nothing repeats later on."""
    stopped_at = host.boottime()
    fleet.drain()
    left_behind = fleet.app.leases.every()
    assert [row for row in left_behind if {"leaseOwner", "checkpointOwner", "kclPyHeld"} & row.keys()] == []
    assert [entry for entry in fleet.app.leases.worker_entries() if "kclPyRevoked" not in entry] == []
    assert fleet.app.leases.leader_lock() is None
    print(f"all stopped within {host.boottime() - stopped_at:.1f} s")


def kills_all_and_restarts_one(fleet: Fleet) -> None:
    """On the same host the restarted one can prove that the processes are gone, and need not wait."""
    old = fleet.running
    for worker in old:
        worker.signal(signal.SIGKILL)
    for worker in old:
        assert worker.ended() == -signal.SIGKILL
    killed_at = host.boottime()
    (worker,) = fleet.join()
    shards = set(fleet.holders())
    assert fleet.owned() == {worker.session: len(shards)}
    seconds = fleet.gone_on(shards, old[0], killed_at)
    tell("all killed, one restarted", seconds)
    revoked = worker.events("session revoked")
    assert {str(event["reason"]) for event in revoked} == {"its process is gone"}
    assert {event["session"] for event in revoked} == {dead.session for dead in old}


def moved_since(app: Application, at: float) -> set[str]:
    """The shards that began another epoch."""
    return {fact.shard for fact in app.journal.facts("initialize") if fact.at > at}


def tell(what: str, seconds: Mapping[str, float]) -> None:
    print(f"{what}: delivered elsewhere after {', '.join(f'{value:.1f}' for value in sorted(seconds.values()))} s")
