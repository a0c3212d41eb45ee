"""Every transition of a lease moves no checkpoint back, clears what a new owner lacks, and adds one to the counter.

But two: what others write beside a holder leaves the counter to it.
"""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import RECREATED_COUNTER_STEP, Binding, Change, Lease
from kcl_py.core.shard import ChildShard, HashRange

BINDING = Binding("arn:aws:kinesis:eu-west-1:123456789012:stream/s@1700000000", "app", "table-1")
A, B, C = "a@00000000", "b@11111111", "c@22222222"
HELD = Lease(key="s", checkpoint=Checkpoint("5"), owner=A, held_by=A, counter=3)
MID_HAND_OFF = Lease(key="s", checkpoint=Checkpoint("5"), owner=B, checkpoint_owner=A, held_by=A, counter=3)

checkpoints = st.one_of(
    st.sampled_from([TRIM_HORIZON, LATEST, AT_TIMESTAMP, SHARD_END]),
    st.builds(Checkpoint, st.integers(0, 9).map(str), st.integers(0, 2)),
)
owners = st.sampled_from([None, A, B])
leases = st.builds(
    Lease,
    key=st.just("shardId-000000000000"),
    owner=owners,
    checkpoint_owner=owners,
    counter=st.integers(0, 5),
    checkpoint=checkpoints,
    owner_switches=st.integers(0, 2),
    pending_checkpoint=st.none() | checkpoints,
    pending_checkpoint_state=st.none() | st.just(b"state"),
    held_by=owners,
    start_at_ms=st.none() | st.just(5),
    caught_up_at_ms=st.none() | st.just(6),
    binding=st.none() | st.just(BINDING),
    throughput_kbps=st.none() | st.just(1.5),
)
transitions: st.SearchStrategy[Callable[[Lease], Change]] = st.one_of(
    st.sampled_from([A, B]).map(lambda by: lambda lease: lease.picked_up(by, BINDING)),
    checkpoints.map(lambda position: lambda lease: lease.checkpointed(position)),
    checkpoints.map(lambda position: lambda lease: lease.prepared(position, b"more")),
    checkpoints.map(lambda position: lambda lease: lease.released().with_checkpoint(position)),
    st.just(lambda lease: lease.caught_up(9)),
    st.just(lambda lease: lease.ended(["b", "a"])),
    st.just(lambda lease: lease.released()),
    st.just(lambda lease: lease.bound(BINDING)),
    st.just(lambda lease: lease.taken_over(BINDING)),
    checkpoints.map(lambda position: lambda lease: lease.checkpointed(position, 2.5)),
    checkpoints.map(lambda position: lambda lease: lease.handed_over().with_checkpoint(position)),
    checkpoints.map(lambda position: lambda lease: lease.assigned(B).with_checkpoint(position)),
    st.sampled_from([A, B]).map(lambda to: lambda lease: lease.assigned(to)),
    st.sampled_from([B, C]).map(lambda to: lambda lease: lease.offered(to)),
    st.sampled_from([B, C]).map(lambda to: lambda lease: lease.readdressed(to)),
    st.just(lambda lease: lease.handed_over()),
    st.just(lambda lease: lease.taken_back()),
)


@given(leases, transitions)
def test_every_transition_keeps_the_laws_of_the_row(lease: Lease, transition: Callable[[Lease], Change]) -> None:
    try:
        change = transition(lease)
    except ValueError:
        return
    after = change.after
    assert change.before == lease
    assert after.counter == lease.counter + (0 if change.is_counter_free else 1)
    assert after.checkpoint >= lease.checkpoint
    assert (after.key, after.parent_shard_ids, after.hash_range) == (
        lease.key,
        lease.parent_shard_ids,
        lease.hash_range,
    )
    if after.effective_owner != lease.effective_owner:
        assert after.held_by in (None, after.effective_owner)
        assert not change.is_counter_free
    if change.is_counter_free:
        assert set(change.changed_fields) <= {"owner", "checkpoint_owner"}
    if lease.is_finished:
        assert after.is_finished


@given(leases, st.lists(transitions, max_size=8))
def test_a_chain_of_transitions_never_moves_the_checkpoint_back(
    lease: Lease, chain: list[Callable[[Lease], Change]]
) -> None:
    reached = lease.checkpoint
    for transition in chain:
        try:
            lease = transition(lease).after
        except ValueError:
            continue
        assert lease.checkpoint >= reached
        reached = lease.checkpoint


@given(leases, transitions)
def test_a_change_writes_exactly_what_differs(lease: Lease, transition: Callable[[Lease], Change]) -> None:
    try:
        change = transition(lease)
    except ValueError:
        return
    written = {name: getattr(change.after, name) for name in change.changed_fields}
    assert msgspec.structs.replace(lease, **written) == change.after
    assert all(getattr(lease, name) != value for name, value in written.items())
    assert change.has_made(change.after)
    assert not change.has_made(lease) or change.is_counter_free  # nobody has to settle one of those


def test_picking_up_makes_the_session_owner_and_holder() -> None:
    row = Lease(key="s", checkpoint=Checkpoint("5"), counter=7)
    after = row.picked_up(A, BINDING).after
    assert (after.owner, after.checkpoint_owner, after.held_by, after.counter) == (A, None, A, 8)
    assert after.binding == BINDING
    assert after.owner_switches == 0


def test_picking_up_from_another_owner_counts_as_a_switch() -> None:
    row = Lease(key="s", checkpoint=Checkpoint("5"), owner=B, held_by=B)
    assert row.picked_up(A, BINDING).after.owner_switches == 1
    assert row.picked_up(B, BINDING).after.owner_switches == 0
    mid_hand_off = Lease(key="s", checkpoint=Checkpoint("5"), owner=A, checkpoint_owner=B, held_by=B)
    assert mid_hand_off.picked_up(A, BINDING).after.owner_switches == 1


@pytest.mark.parametrize("position", [TRIM_HORIZON, Checkpoint("4"), Checkpoint("5", 1), LATEST, SHARD_END])
def test_a_checkpoint_behind_the_last_or_beyond_the_numbers_is_refused(position: Checkpoint) -> None:
    row = Lease(key="s", checkpoint=Checkpoint("5", 2))
    with pytest.raises(ValueError, match="does not follow the checkpoint 5/2"):
        row.checkpointed(position)


def test_a_finished_lease_takes_no_checkpoint() -> None:
    row = Lease(key="s", checkpoint=SHARD_END)
    for position in (Checkpoint("5"), SHARD_END, LATEST):
        with pytest.raises(ValueError, match="does not follow the checkpoint SHARD_END"):
            row.checkpointed(position)


def test_a_start_sentinel_is_not_replaced_by_another() -> None:
    with pytest.raises(ValueError, match="LATEST does not follow"):
        Lease(key="s", checkpoint=TRIM_HORIZON).checkpointed(LATEST)


def test_a_checkpoint_clears_what_was_prepared_and_what_was_caught_up() -> None:
    row = Lease(
        key="s",
        checkpoint=TRIM_HORIZON,
        owner_switches=3,
        pending_checkpoint=Checkpoint("9"),
        pending_checkpoint_state=b"half",
        caught_up_at_ms=5,
    )
    after = row.checkpointed(Checkpoint("9")).after
    assert after == Lease(key="s", checkpoint=Checkpoint("9"), counter=1)


def test_a_prepared_checkpoint_moves_nothing_yet() -> None:
    row = Lease(key="s", checkpoint=Checkpoint("5"))
    after = row.prepared(Checkpoint("9"), b"half").after
    assert (after.checkpoint, after.pending_checkpoint, after.pending_checkpoint_state) == (
        Checkpoint("5"),
        Checkpoint("9"),
        b"half",
    )
    with pytest.raises(ValueError, match="does not follow"):
        row.prepared(Checkpoint("4"), None)


def test_the_end_names_the_children_in_order_and_leaves_no_owner() -> None:
    after = Lease(key="s", checkpoint=Checkpoint("5"), owner=A, held_by=A).ended(["s-2", "s-1"]).after
    assert (after.checkpoint, after.child_shard_ids) == (SHARD_END, ("s-1", "s-2"))
    assert (after.owner, after.held_by) == (None, None)


@pytest.mark.parametrize("give_up", [Lease.released, lambda lease: lease.taken_over(BINDING)])
def test_giving_up_leaves_no_owner_no_hand_off_and_no_holder(give_up: Callable[[Lease], Change]) -> None:
    row = Lease(key="s", checkpoint=Checkpoint("5"), owner=B, checkpoint_owner=A, held_by=A)
    after = give_up(row).after
    assert (after.owner, after.checkpoint_owner, after.held_by, after.checkpoint) == (None, None, None, Checkpoint("5"))


def test_a_release_carries_progress_in_the_same_write() -> None:
    row = Lease(key="s", checkpoint=Checkpoint("5"), owner=A, held_by=A, counter=3)
    change = row.released().with_checkpoint(Checkpoint("8"))
    assert (change.after.checkpoint, change.after.owner, change.after.counter) == (Checkpoint("8"), None, 4)
    assert row.released().with_checkpoint(None) == row.released()
    assert row.released().with_checkpoint(Checkpoint("5")) == row.released()
    with pytest.raises(ValueError, match="does not follow"):
        row.released().with_checkpoint(Checkpoint("4"))


def test_a_row_written_anew_is_out_of_reach_of_every_old_writer() -> None:
    row = Lease(key="s", checkpoint=Checkpoint("5"), counter=41)
    assert row.recreated().counter == 41 + RECREATED_COUNTER_STEP
    assert row.recreated().checkpoint == row.checkpoint


def test_a_new_row_belongs_to_nobody_and_names_its_parents_in_order() -> None:
    child = ChildShard(shard_id="c", hash_range=HashRange(0, 9), parent_shard_ids=("p-2", "p-1"))
    row = Lease.for_shard(child, TRIM_HORIZON)
    assert row == Lease(
        key="c", checkpoint=TRIM_HORIZON, parent_shard_ids=("p-1", "p-2"), hash_range=HashRange(0, 9), counter=0
    )
    assert Lease.for_shard(child, LATEST, 5).start_at_ms == 5


def test_the_giver_stays_effective_owner_until_a_hand_off_is_complete() -> None:
    assert Lease(key="s", checkpoint=LATEST, owner=B, checkpoint_owner=A).effective_owner == A
    assert Lease(key="s", checkpoint=LATEST, owner=B).effective_owner == B
    assert Lease(key="s", checkpoint=LATEST).effective_owner is None


def test_a_checkpoint_tried_again_leaves_a_hand_off_open_that_began_meanwhile() -> None:
    held = Lease(key="s", checkpoint=Checkpoint("5"), owner=A, held_by=A, counter=3)
    mid_hand_off = msgspec.structs.replace(held, owner=B, checkpoint_owner=A)
    again = held.checkpointed(Checkpoint("8")).guarded_by(mid_hand_off)
    assert (again.after.owner, again.after.checkpoint_owner, again.after.checkpoint) == (B, A, Checkpoint("8"))
    assert set(again.changed_fields) == {"checkpoint", "counter"}
    released = held.released().guarded_by(mid_hand_off)
    assert (released.before.owner, released.before.checkpoint_owner) == (B, A)
    assert (released.after.owner, released.after.checkpoint_owner) == (None, None)


def test_an_assignment_names_an_owner_who_is_yet_to_pick_it_up() -> None:
    after = Lease(key="s", checkpoint=Checkpoint("5"), counter=3).assigned(B).after
    assert (after.owner, after.checkpoint_owner, after.held_by, after.counter) == (B, None, None, 4)
    assert after.owner_switches == 0


@pytest.mark.parametrize("row", [HELD, MID_HAND_OFF])
def test_an_assignment_away_from_its_holder_takes_the_lease_from_it_and_counts_as_a_switch(row: Lease) -> None:
    after = row.assigned(C).after
    assert (after.owner, after.checkpoint_owner, after.held_by, after.counter) == (C, None, None, 4)
    assert after.owner_switches == 1


def test_the_same_owner_assigned_anew_is_no_switch() -> None:
    row = Lease(key="s", checkpoint=Checkpoint("5"), owner=B, counter=3)
    assert row.assigned(B).after == msgspec.structs.replace(row, counter=4)


def test_a_hand_off_is_opened_beside_a_holder_who_goes_on() -> None:
    change = HELD.offered(B)
    assert change.after == MID_HAND_OFF
    assert change.is_counter_free
    assert change.after.effective_owner == A
    assert change.changed_fields == ("owner", "checkpoint_owner")


@pytest.mark.parametrize(
    "row",
    [
        Lease(key="s", checkpoint=Checkpoint("5")),
        Lease(key="s", checkpoint=Checkpoint("5"), owner=A),
        Lease(key="s", checkpoint=Checkpoint("5"), owner=A, held_by=B),
        MID_HAND_OFF,
    ],
    ids=["without an owner", "not picked up", "held by a former owner", "mid hand-off"],
)
def test_only_a_lease_that_its_owner_holds_is_handed_off(row: Lease) -> None:
    with pytest.raises(ValueError, match="s: only a lease that its owner holds is handed off"):
        row.offered(C)


def test_another_receiver_is_named_beside_the_holder() -> None:
    change = MID_HAND_OFF.readdressed(C)
    assert change.after == msgspec.structs.replace(MID_HAND_OFF, owner=C)
    assert change.is_counter_free


def test_a_hand_off_is_completed_by_one_write_that_carries_progress() -> None:
    change = MID_HAND_OFF.handed_over().with_checkpoint(Checkpoint("8"))
    after = change.after
    assert (after.owner, after.checkpoint_owner, after.held_by, after.counter) == (B, None, None, 4)
    assert after.checkpoint == Checkpoint("8")
    assert not change.is_counter_free
    assert after.picked_up(B, BINDING).after.owner == B


def test_a_hand_off_that_is_called_off_leaves_its_holder_in_the_same_epoch() -> None:
    change = MID_HAND_OFF.taken_back()
    assert change.after == msgspec.structs.replace(HELD, counter=4)
    assert not change.is_counter_free


@pytest.mark.parametrize("step", [lambda row: row.readdressed(C), Lease.handed_over, Lease.taken_back])
@pytest.mark.parametrize("row", [HELD, Lease(key="s", checkpoint=Checkpoint("5"))])
def test_a_hand_off_that_is_not_open_is_not_gone_on_with(row: Lease, step: Callable[[Lease], Change]) -> None:
    with pytest.raises(ValueError, match="s: no hand-off is open"):
        step(row)


@pytest.mark.parametrize("row", [HELD, MID_HAND_OFF])
def test_the_end_of_a_shard_ends_an_open_hand_off_as_well(row: Lease) -> None:
    after = row.ended(["s-1"]).after
    assert (after.owner, after.checkpoint_owner, after.held_by, after.checkpoint) == (None, None, None, SHARD_END)


def test_a_checkpoint_notes_what_flows_and_keeps_it_where_that_is_not_known() -> None:
    noted = HELD.checkpointed(Checkpoint("6"), 12.5).after
    assert noted.throughput_kbps == 12.5
    assert noted.checkpointed(Checkpoint("7")).after.throughput_kbps == 12.5
    assert noted.checkpointed(Checkpoint("7"), 0.0).after.throughput_kbps == 0.0
    assert noted.assigned(B).after.throughput_kbps == 12.5  # whoever follows begins with it


def test_only_what_is_written_beside_a_holder_leaves_the_counter_out() -> None:
    others = (
        HELD.checkpointed(Checkpoint("6")),
        HELD.released(),
        HELD.assigned(B),
        HELD.ended([]),
        HELD.picked_up(B, BINDING),
        MID_HAND_OFF.handed_over(),
        MID_HAND_OFF.taken_back(),
    )
    assert not any(change.is_counter_free for change in others)
    assert HELD.offered(B).is_counter_free
    assert MID_HAND_OFF.readdressed(C).is_counter_free
