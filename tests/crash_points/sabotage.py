"""Shipped code that is made to do things in the wrong order, each in one way; some of it shows only in a cut."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.lineage import Gate, Lineage
from kcl_py.core.position import ReadFrom
from kcl_py.errors import LeaseLost
from kcl_py.events import ShardFinished
from kcl_py.runtime.data.checkpointer import ShardCheckpointer
from kcl_py.runtime.data.data_plane import DataPlane
from kcl_py.runtime.data.ending import Ending
from kcl_py.runtime.data.shard_consumer import ShardConsumer
from kcl_py.runtime.departure import Departure
from kcl_py.runtime.discovery import Discovery
from kcl_py.runtime.leases.hand_off import HandOff
from kcl_py.runtime.leases.tenure import Tenure
from kcl_py.runtime.mailbox import LetGo


async def _end_before_the_children(tenure: Tenure, named: Any) -> None:
    discovery = tenure._desk.discovery
    end = await discovery.end_of(tenure.lease, named, lambda: tenure.is_over)
    await tenure._save(lambda row: row.ended(end.child_shard_ids))
    await discovery.create(end.children)
    tenure._end()
    tenure._emit(ShardFinished(shard_id=tenure.lease.key, children=end.child_shard_ids))


async def _hand_over_at_once(hand_off: HandOff) -> None:
    """The row names the receiver, and nobody tells the processor."""
    await hand_off._held.change(lambda row: row.handed_over())


async def _let_go_of_everything(plane: DataPlane) -> None:
    """Whatever was delivered counts as done: nobody waits for the batch in flight."""
    plane._is_draining = True
    for consumer in plane._consumers.values():
        checkpointer = consumer._checkpointer
        position = checkpointer._watermark.delivered_to if checkpointer is not None else None
        consumer._line.tell(LetGo(position))
        consumer.stop(Ending.LOST)
    await asyncio.sleep(0.2)


def _from_the_tip(checkpoint: Checkpoint, start_at_ms: int | None) -> ReadFrom:
    return ReadFrom("LATEST") if checkpoint.is_number else _resuming(checkpoint, start_at_ms)


_resuming = ReadFrom.resuming


async def _create_only_once(discovery: Discovery, leases: Iterable[Lease]) -> None:
    for lease in leases:
        if await discovery._table.lease(lease.key) is not None:
            raise LeaseLost(f"{lease.key} was made by somebody else")
        await discovery._table.create(lease)


def _one_parent(lineage: Lineage, lease: Lease) -> Gate:
    return _may_start(lineage, msgspec.structs.replace(lease, parent_shard_ids=lease.parent_shard_ids[:1]))


_may_start = Lineage.may_start


def _checkpoint_early(checkpointer: ShardCheckpointer, batch: RecordBatch) -> None:
    _delivering(checkpointer, batch)
    assert checkpointer._batch is not None
    checkpointer._watermark.completed(checkpointer._batch)


_delivering = ShardCheckpointer.delivering


async def _delete_the_entry_first(departure: Departure) -> None:
    succession = departure._desk.succession = departure.succession()
    await departure._heartbeat.delete()
    await departure._give_up_leadership(succession.me)
    await succession.read()
    succession.open()


async def _leave_a_task_behind(consumer: ShardConsumer, checkpointer: ShardCheckpointer) -> None:
    _left_behind.append(asyncio.create_task(consumer._write_on_time(checkpointer)))
    assert await consumer._has_delivered_all(checkpointer)


_left_behind: list["asyncio.Task[None]"] = []


class Sabotage(msgspec.Struct, frozen=True):
    """What is replaced by what, and where it shows.

    Attributes:
        scenario: in which it is caught.
        shows_in_peace: it is wrong even when nobody is cut.
        seed: of a run in which it matters.
    """

    name: str
    owner: type
    attribute: str
    replacement: Any
    scenario: str
    shows_in_peace: bool = False
    seed: int = 1


SABOTAGES = (
    Sabotage(
        "SHARD_END comes before the children's rows", Tenure, "_end_shard", _end_before_the_children, "split", True
    ),
    Sabotage("a child that is there already stops a shard's end", Discovery, "create", _create_only_once, "split"),
    Sabotage("a drain lets go without waiting", DataPlane, "drain", _let_go_of_everything, "start-up"),
    Sabotage("who takes over begins at the tip", ReadFrom, "resuming", _from_the_tip, "start-up"),
    Sabotage("a merged child waits for one parent", Lineage, "may_start", _one_parent, "merge"),
    Sabotage("a hand-off waits for nobody", HandOff, "run", _hand_over_at_once, "hand-off, giver", True),
    Sabotage("a checkpoint comes too early", ShardCheckpointer, "delivering", _checkpoint_early, "start-up", True),
    Sabotage("the entry goes before the leases", Departure, "begin", _delete_the_entry_first, "shutdown", True, seed=2),
    Sabotage("a task is left behind", ShardConsumer, "_read_and_deliver", _leave_a_task_behind, "shutdown"),
)


@contextmanager
def sabotaged(sabotage: Sabotage) -> Iterator[None]:
    """Misbehave for a while."""
    with patch.object(sabotage.owner, sabotage.attribute, sabotage.replacement):
        yield
