"""Fleets that are told to misbehave, each in one way. A set of laws that does not notice is missing one."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from kcl_py.core.lease import Change, Lease
from kcl_py.core.lineage import Gate, Lineage
from kcl_py.core.liveness import Liveness
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.data.checkpointer import ShardCheckpointer
from kcl_py.runtime.data.deadline import Deadline
from kcl_py.runtime.heartbeat import Heartbeat
from tests.simulation.facts import Log
from tests.simulation.verdict import life_of


class Gullible(MemoryLeaseTable):
    """Writes whatever it is told, whoever wrote the row meanwhile."""

    async def write(self, change: Change) -> None:
        row = await self.lease(change.before.key)
        if row is not None:
            seen = msgspec.structs.replace(
                change.before,
                owner=row.owner,
                checkpoint_owner=row.checkpoint_owner,
                counter=row.counter,
                held_by=row.held_by,
            )
            change = Change(seen, change.after, change.is_counter_free)
        await super().write(change)


def _one_parent(lineage: Lineage, lease: Lease) -> Gate:
    first = msgspec.structs.replace(lease, parent_shard_ids=lease.parent_shard_ids[:1])
    return _may_start(lineage, first)


_may_start = Lineage.may_start


def _judge_at_half_time(liveness: Liveness, now: float) -> tuple[str, ...]:
    return _silent(liveness, now + liveness._failover_seconds / 2)


_silent = Liveness.silent


def _never_restart(liveness: Liveness, now: float) -> None:
    """Own writes that fail say nothing about the others' silence."""


def _checkpoint_early(checkpointer: ShardCheckpointer, batch: Any) -> None:
    _delivering(checkpointer, batch)
    assert checkpointer._batch is not None
    checkpointer._watermark.completed(checkpointer._batch)


_delivering = ShardCheckpointer.delivering


def _count_from_the_answer(heartbeat: Heartbeat, sent_at: float) -> None:
    _extend(heartbeat, heartbeat._clock() + heartbeat._failover_seconds * 2)


_extend = Heartbeat._extend


async def _never_wait(deadline: Deadline) -> None:
    await asyncio.sleep(0)


def _back_a_little(change: Change, position: Any) -> Change:
    """Progress is forgotten when a lease is passed on."""
    return change


class Sabotage(msgspec.Struct, frozen=True):
    """One way to misbehave: what is replaced, by what."""

    name: str
    owner: type
    attribute: str
    replacement: Any


DEAF_VERDICT = Sabotage("the verdict does not mind own writes that fail", Liveness, "restart", _never_restart)
"""Needs the right circumstances; see `test_fleets`."""

SABOTAGES = (
    Sabotage("a second parent is forgotten", Lineage, "may_start", _one_parent),
    Sabotage("the verdict comes at half time", Liveness, "silent", _judge_at_half_time),
    Sabotage("a checkpoint comes before its records are done", ShardCheckpointer, "delivering", _checkpoint_early),
    Sabotage("the deadline is ignored", Deadline, "is_ahead", property(lambda _deadline: True)),
    Sabotage("the deadline counts from the answer, and double", Heartbeat, "_extend", _count_from_the_answer),
    Sabotage("progress is forgotten when a lease is passed on", Change, "with_checkpoint", _back_a_little),
)  # fmt: skip


@contextmanager
def sabotaged(sabotage: Sabotage) -> Iterator[None]:
    """Misbehave for a while."""
    with patch.object(sabotage.owner, sabotage.attribute, sabotage.replacement):
        yield


Life = Callable[[int], Log]


def lives_in_a_gullible_table(seed: int) -> Log:
    """A life whose table checks no condition."""
    return life_of(seed, table=Gullible)
