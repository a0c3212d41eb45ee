"""A small world is searched through: one holder whose answers get lost, and everybody else who may write its row.

The world knows who really wrote the row last; `settle` sees only the attempts and the row, and must say the same.
Everybody writes by the shipped transitions; about 160,000 worlds are reached.
"""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Binding, Change, Lease, Settlement, settle

BINDING = Binding("stream@1", "app", None)
A, B, C = "a@00000000", "b@11111111", "c@22222222"
HELD = Lease(key="s", checkpoint=Checkpoint("5"), owner=A, held_by=A, counter=3, binding=BINDING)
EVENTS_MAX = 8
ATTEMPTS_MAX = 3
WORLDS_MIN = 1_400
Move = Callable[[Lease], Change]


class World(msgspec.Struct, frozen=True):
    """The row as it truly is, and what the holder A has sent about it.

    `in_flight` are attempts that may still arrive; `counted_by` tells who moved the counter last since A's first
    attempt: None, "A" or "others".
    """

    row: Lease | None
    attempts: tuple[Change, ...]
    in_flight: tuple[Change, ...]
    counted_by: str | None


def applied(change: Change, row: Lease | None) -> Lease | None:
    """What a conditional write makes of a row; None if its condition fails."""
    guard = change.before
    if row is None or (row.owner, row.checkpoint_owner, row.counter) != (
        guard.owner,
        guard.checkpoint_owner,
        guard.counter,
    ):
        return None
    return msgspec.structs.replace(row, **{name: getattr(change.after, name) for name in change.changed_fields})


def writes_of_others(row: Lease) -> Iterator[Change | None]:
    """Every write that a correct leader, another worker or an operator may do; None deletes the row."""
    is_held = row.held_by is not None and row.held_by == row.effective_owner
    for receiver in (A, B, C):
        if is_held and row.checkpoint_owner is None and receiver != row.owner:
            yield row.offered(receiver)
        if row.checkpoint_owner is not None and receiver not in (row.owner, row.checkpoint_owner):
            yield row.readdressed(receiver)
        # the row has no owner, was not picked up, or its holder's session is revoked, which is given nothing any more
        if receiver != row.effective_owner or not is_held:
            yield row.assigned(receiver)
    if row.effective_owner == B:
        yield from writes_of_another_holder(row)
    yield None


def writes_of_another_holder(row: Lease) -> Iterator[Change]:
    if row.held_by != B:
        yield row.picked_up(B, BINDING)
        return
    if row.checkpoint < Checkpoint("8"):
        yield row.checkpointed(Checkpoint("8"))
    if not row.is_finished:
        yield row.ended(["c1", "c2"])
    if row.checkpoint_owner is not None:
        yield row.handed_over()
    yield row.released()


def next_worlds(world: World, moves: list[Move], before: Lease) -> Iterator[World]:
    known = before
    if world.attempts and world.row is not None:
        known = world.attempts[0].guarded_by(world.row).before  # after a read: the owners as they stand
    if not world.attempts or settle(world.attempts, world.row) is Settlement.NOT_LANDED:
        for change in attempted(moves, known) if len(world.attempts) < ATTEMPTS_MAX else ():
            yield msgspec.structs.replace(
                world, attempts=(*world.attempts, change), in_flight=(*world.in_flight, change)
            )
    for index, change in enumerate(world.in_flight):
        rest = world.in_flight[:index] + world.in_flight[index + 1 :]
        row = applied(change, world.row)
        if row is None:
            yield msgspec.structs.replace(world, in_flight=rest)
        else:
            yield msgspec.structs.replace(world, in_flight=rest, row=row, counted_by="A")
    if world.row is not None and world.attempts:
        for other in writes_of_others(world.row):
            if other is None:
                yield msgspec.structs.replace(world, row=None, counted_by="others")
            else:
                counted_by = world.counted_by if other.is_counter_free else "others"
                yield msgspec.structs.replace(world, row=other.after, counted_by=counted_by)


def attempted(moves: list[Move], known: Lease) -> Iterator[Change]:
    for move in moves:
        try:
            yield move(known)
        except ValueError:
            continue  # a hand-off that is not open cannot be completed


def reached(name: str, events_max: int) -> Iterator[tuple[World, World]]:
    """Every step that can be taken within so many events, from one world to the next, each next one once."""
    before, moves = MOVES[name]
    seen = set()
    frontier = [World(before, (), (), None)]
    for _ in range(events_max):
        following = []
        for world in frontier:
            for then in next_worlds(world, moves, before):
                key = msgspec.msgpack.encode(then, enc_hook=repr)
                if key not in seen:
                    seen.add(key)
                    following.append(then)
                    yield world, then
        frontier = following


def truth(world: World) -> Settlement:
    if world.row is None or world.counted_by == "others":
        return Settlement.LOST
    return Settlement.LANDED if world.counted_by == "A" else Settlement.NOT_LANDED


MID_HAND_OFF = HELD.offered(B).after
PASSED_ON: list[Move] = [
    lambda row: (row.assigned(B) if row.checkpoint_owner is None else row.handed_over()).with_checkpoint(
        Checkpoint("8")
    ),
    lambda row: row.assigned(C) if row.checkpoint_owner is None else row.handed_over(),
]
MOVES: dict[str, tuple[Lease, list[Move]]] = {
    "checkpoints": (
        HELD,
        [lambda row: row.checkpointed(Checkpoint("6")), lambda row: row.checkpointed(Checkpoint("8"), 12.5)],
    ),
    "a checkpoint and the end": (
        HELD,
        [lambda row: row.checkpointed(Checkpoint("8")), lambda row: row.ended(["c1", "c2"])],
    ),
    "a release": (HELD, [lambda row: row.released()]),
    "a release with progress": (HELD, [lambda row: row.released().with_checkpoint(Checkpoint("8"))]),
    "a note of being caught up, and a prepared checkpoint": (
        HELD,
        [lambda row: row.caught_up(5), lambda row: row.prepared(Checkpoint("8"), b"x")],
    ),
    "passing it on, with progress and without": (HELD, PASSED_ON),
    "the end of a hand-off, with progress and without": (
        MID_HAND_OFF,
        [lambda row: row.handed_over().with_checkpoint(Checkpoint("8")), lambda row: row.handed_over()],
    ),
    "a checkpoint and the end of a hand-off": (
        HELD,
        [
            lambda row: row.checkpointed(Checkpoint("8")),
            lambda row: row.handed_over().with_checkpoint(Checkpoint("8")),
        ],
    ),
    "a hand-off called off, or completed": (
        MID_HAND_OFF,
        [lambda row: row.taken_back(), lambda row: row.handed_over().with_checkpoint(Checkpoint("8"))],
    ),
    "a checkpoint, the end of the shard and the end of a hand-off": (
        MID_HAND_OFF,
        [
            lambda row: row.checkpointed(Checkpoint("8")),
            lambda row: row.ended(["c1", "c2"]),
            lambda row: row.handed_over(),
        ],
    ),
    "a pick-up of a row without an owner": (
        Lease(key="s", checkpoint=TRIM_HORIZON, counter=3),
        [lambda row: row.picked_up(A, BINDING)],
    ),
    "a pick-up of a row that was assigned": (
        Lease(key="s", checkpoint=Checkpoint("5"), owner=A, counter=3),
        [lambda row: row.picked_up(A, BINDING)],
    ),
    "a pick-up from a session that is revoked": (
        Lease(key="s", checkpoint=Checkpoint("5"), owner=C, held_by=C, counter=3),
        [lambda row: row.picked_up(A, BINDING)],
    ),
}


@pytest.mark.parametrize("name", MOVES)
def test_every_interleaving_is_settled_as_it_truly_went(name: str) -> None:
    worlds = 0
    for _, world in reached(name, EVENTS_MAX):
        worlds += 1
        if world.attempts:
            verdict = settle(world.attempts, world.row)
            assert verdict is truth(world) or is_given_away_alike(world, verdict), world
    assert worlds > WORLDS_MIN, f"{worlds} worlds: a search that sees little proves little"


def is_given_away_alike(world: World, verdict: Settlement) -> bool:
    """True if the leader, after A was revoked, wrote just what A had tried: A has nothing left, either way."""
    row = world.row
    return (
        verdict is Settlement.LANDED
        and row is not None
        and row.effective_owner not in (A, None)
        and any(
            (change.after.effective_owner, change.after.checkpoint, change.after.counter)
            == (row.effective_owner, row.checkpoint, row.counter)
            for change in world.attempts
        )
    )


@pytest.mark.parametrize("name", MOVES)
def test_no_attempt_moves_a_checkpoint_back_or_gives_a_lease_to_another_than_the_receiver(name: str) -> None:
    steps = 0
    for world, following in reached(name, 5):
        row, then = world.row, following.row
        if row is None or then is None:
            continue
        assert then.checkpoint >= row.checkpoint
        is_by_a = len(following.in_flight) < len(world.in_flight) and then != row
        if is_by_a and row.checkpoint_owner == A:
            steps += 1
            assert then.effective_owner in (A, row.owner, None)
            if then.checkpoint_owner is not None:
                assert (then.owner, then.checkpoint_owner) == (row.owner, A)
    assert steps > 0 or MOVES[name][0].held_by != A


def test_a_row_that_is_gone_is_lost() -> None:
    assert settle([HELD.checkpointed(Checkpoint("8"))], None) is Settlement.LOST


def test_a_finished_row_that_others_finished_is_not_taken_for_ours() -> None:
    ours = HELD.ended(["c1", "c2"])
    theirs = msgspec.structs.replace(HELD, owner=B, held_by=B, counter=5, checkpoint=SHARD_END)
    assert settle([ours], theirs) is Settlement.LOST
