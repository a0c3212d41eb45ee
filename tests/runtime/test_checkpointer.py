"""Which progress a processor may record, and which it has recorded when it names no record."""

import asyncio
import gc

import pytest

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.record import Record
from kcl_py.errors import CheckpointError
from kcl_py.runtime.data.checkpointer import ShardCheckpointer
from kcl_py.runtime.data.epoch_line import EpochLine
from kcl_py.runtime.data.pulse import Pulse
from kcl_py.runtime.mailbox import Matter, PrepareCheckpoint, SaveCheckpoint
from tests.virtual_time import run

LEASE = Lease(key="shardId-0", checkpoint=TRIM_HORIZON)
AT_2, AT_3, AT_4 = (Checkpoint(str(number)) for number in (2, 3, 4))


class Keeper(EpochLine):
    """Notes what it is asked, and answers after a second."""

    def __init__(self) -> None:
        self.asked: list[Matter] = []

    async def ask(self, matter: Matter) -> object:
        self.asked.append(matter)
        await asyncio.sleep(1)
        return None

    @property
    def saved(self) -> list[Checkpoint]:
        return [one.position for one in self.asked if isinstance(one, SaveCheckpoint)]


def batch(*numbers: int) -> RecordBatch:
    records = [
        Record(data=b"12345", partition_key="k", sequence_number=str(number), arrival_timestamp_seconds=0.0)
        for number in numbers
    ]
    return RecordBatch(records, stream="orders", shard_id="shardId-0", millis_behind_latest=0, is_at_shard_end=False)


class Desk:
    """A checkpointer and what it says."""

    def __init__(self, *, is_manual: bool) -> None:
        self.keeper = Keeper()
        self.pulse = Pulse()
        self.checkpointer = ShardCheckpointer(LEASE, self.keeper, self.pulse, is_manual=is_manual)


def test_a_manual_checkpoint_without_a_record_covers_all_that_was_delivered():
    async def story():
        desk = Desk(is_manual=True)
        desk.checkpointer.delivering(batch(1, 2))
        await desk.checkpointer.checkpoint()
        assert desk.keeper.saved == [AT_2]
        assert desk.checkpointer.is_all_written

    run(story())


def test_an_automatic_checkpoint_within_a_call_covers_the_batches_before_it():
    async def story():
        desk = Desk(is_manual=False)
        desk.checkpointer.delivering(batch(1, 2))
        desk.checkpointer.completed()
        second = batch(3, 4)
        desk.checkpointer.delivering(second)
        with pytest.raises(CheckpointError):
            await desk.checkpointer.checkpoint(second[0])
        await desk.checkpointer.checkpoint()
        assert desk.keeper.saved == [AT_2]
        assert not desk.checkpointer.is_all_written

    run(story())


def test_while_an_exception_is_handled_only_a_manual_checkpoint_must_name_its_record():
    async def story():
        manual, automatic = Desk(is_manual=True), Desk(is_manual=False)
        records = batch(1, 2)
        for desk in (manual, automatic):
            desk.checkpointer.delivering(records)
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            with pytest.raises(CheckpointError):
                manual.checkpointer.checkpoint()
            await manual.checkpointer.checkpoint(records[1])
            await automatic.checkpointer.checkpoint()
        assert manual.keeper.saved == [AT_2]
        assert automatic.keeper.saved == [], "nothing was done yet"

    run(story())


def test_what_a_manual_processor_has_not_declared_is_never_saved_for_it():
    async def story():
        desk = Desk(is_manual=True)
        records = batch(1, 2, 3)
        desk.checkpointer.delivering(records)
        await desk.checkpointer.checkpoint(records[1])
        desk.checkpointer.completed()
        assert desk.checkpointer.unwritten is None
        await desk.checkpointer.save()
        assert desk.keeper.saved == [AT_2]
        assert desk.checkpointer.uncheckpointed_records == 3, "a batch counts until all of it is covered"

    run(story())


def test_a_position_is_prepared_only_where_a_checkpoint_may_be_and_to_wait_for_it_is_an_attempt():
    async def story():
        desk = Desk(is_manual=True)
        records = batch(1, 2, 3)
        desk.checkpointer.delivering(records)
        with desk.pulse.calling("process_records"):
            prepared = desk.checkpointer.prepare(records[2], b"state")
            for _ in range(3):
                await asyncio.sleep(0.1)
                assert desk.pulse.looked_at() == 0
            await prepared
            assert desk.pulse.looked_at() == 1, "from now on the call is silent"
        assert desk.keeper.asked == [PrepareCheckpoint(AT_3, b"state")]
        beyond = batch(4)[0]
        with pytest.raises(CheckpointError):
            await desk.checkpointer.prepare(beyond)
        await prepared.checkpoint()
        assert desk.keeper.saved == [AT_3]
        with pytest.raises(CheckpointError):
            await desk.checkpointer.checkpoint(records[0])
        await desk.checkpointer.checkpoint(records[2])
        assert desk.keeper.saved == [AT_3], "what is written is not written again"

    run(story())


def test_with_each_checkpoint_goes_what_was_delivered_up_to_now():
    async def story():
        desk = Desk(is_manual=False)
        for records in (batch(1, 2), batch(3, 4)):
            desk.checkpointer.delivering(records)
            desk.checkpointer.completed()
            await desk.checkpointer.save()
        weight = batch(1).size_bytes
        assert desk.keeper.asked == [SaveCheckpoint(AT_2, 2 * weight), SaveCheckpoint(AT_4, 4 * weight)]

    run(story())


@pytest.mark.parametrize("is_manual", [True, False])
def test_no_batch_is_kept_once_it_is_done(is_manual):
    async def story():
        desk = Desk(is_manual=is_manual)
        before = batches_alive()
        for number in range(3):
            desk.checkpointer.delivering(batch(number))
            assert batches_alive() == before + 1
            desk.checkpointer.completed()
            await desk.checkpointer.checkpoint()
            assert batches_alive() == before

    run(story())


def batches_alive() -> int:
    gc.collect()
    return sum(isinstance(one, RecordBatch) for one in gc.get_objects())
