"""A small world is searched through: one holder whose answers get lost, and everybody else who may write its row.

The world knows who really wrote the row last; `settle` sees only the attempts and the row, and must say the same.
"""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Binding, Change, Lease, Settlement, settle

BINDING = Binding("stream@1", "app", None)
A, B, C = "a@00000000", "b@11111111", "c@22222222"
HELD = Lease(key="s", checkpoint=Checkpoint("5"), owner=A, held_by=A, counter=3, binding=BINDING)
EVENTS_MAX = 7


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


def writes_of_others(row: Lease) -> Iterator[tuple[Lease | None, bool]]:
    """Every write that a correct leader, receiver or operator may do, and whether it moves the counter."""
    change = msgspec.structs.replace
    if row.owner == A and row.checkpoint_owner is None and row.held_by == A:
        yield change(row, owner=B, checkpoint_owner=A), False  # a hand-off is opened
    if row.checkpoint_owner == A:
        yield change(row, owner=C if row.owner == B else B), False  # another receiver is named
        yield change(row, owner=A, checkpoint_owner=None), False  # the hand-off is called off: the receiver died
    # A's session is revoked, or the row has no owner: it is assigned, and picked up
    for receiver in (A, B):
        if row.owner != receiver or row.checkpoint_owner is not None:
            yield change(row, owner=receiver, checkpoint_owner=None, held_by=None, counter=row.counter + 1), True
    if row.effective_owner == B:
        yield row.picked_up(B, BINDING).after, True
        if row.held_by == B and not row.is_finished and row.checkpoint < Checkpoint("8"):
            yield row.checkpointed(Checkpoint("8")).after, True
            yield row.ended(["c1", "c2"]).after, True
        yield row.released().after, True
    yield None, True  # it is deleted


def next_worlds(world: World, moves: list[Callable[[Lease], Change]], before: Lease) -> Iterator[World]:
    if len(world.attempts) < 3:
        for move in moves:
            change = move(before)
            if world.attempts and world.row is not None:
                change = change.guarded_by(world.row)  # after a read: the owners as they stand, the counter as it was
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
        for row, is_counted in writes_of_others(world.row):
            yield msgspec.structs.replace(world, row=row, counted_by="others" if is_counted else world.counted_by)


def truth(world: World) -> Settlement:
    if world.row is None or world.counted_by == "others":
        return Settlement.LOST
    return Settlement.LANDED if world.counted_by == "A" else Settlement.NOT_LANDED


MOVES: dict[str, tuple[Lease, list[Callable[[Lease], Change]]]] = {
    "checkpoints": (
        HELD,
        [lambda row: row.checkpointed(Checkpoint("6")), lambda row: row.checkpointed(Checkpoint("8"))],
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
    before, moves = MOVES[name]
    seen = set()
    frontier = [World(before, (), (), None)]
    for _ in range(EVENTS_MAX):
        reached = []
        for world in frontier:
            for following in next_worlds(world, moves, before):
                key = msgspec.json.encode(following, enc_hook=repr)
                if key in seen:
                    continue
                seen.add(key)
                reached.append(following)
                if following.attempts:
                    assert settle(following.attempts, following.row) is truth(following), following
        frontier = reached
    assert len(seen) > 800  # a search that sees little proves little


@pytest.mark.parametrize("name", MOVES)
def test_no_attempt_undoes_a_hand_off_or_moves_a_checkpoint_back(name: str) -> None:
    before, moves = MOVES[name]
    frontier = [World(before, (), (), None)]
    for _ in range(4):
        reached = []
        for world in frontier:
            for following in next_worlds(world, moves, before):
                row, then = world.row, following.row
                if row is not None and then is not None:
                    assert then.checkpoint >= row.checkpoint
                    by_a = len(following.in_flight) < len(world.in_flight) and then != row
                    if by_a and row.checkpoint_owner == A and then.effective_owner is not None:
                        assert (then.owner, then.checkpoint_owner) == (row.owner, A)
                reached.append(following)
        frontier = reached


def test_a_row_that_is_gone_is_lost() -> None:
    assert settle([HELD.checkpointed(Checkpoint("8"))], None) is Settlement.LOST


def test_a_finished_row_that_others_finished_is_not_taken_for_ours() -> None:
    ours = HELD.ended(["c1", "c2"])
    theirs = msgspec.structs.replace(HELD, owner=B, held_by=B, counter=5, checkpoint=SHARD_END)
    assert settle([ours], theirs) is Settlement.LOST
