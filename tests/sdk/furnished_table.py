"""A lease table with something of everything in it, as it stands before each test."""

import asyncio

import msgspec

from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.core.checkpoint import SHARD_END, Checkpoint
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Lease
from kcl_py.core.session import Session
from kcl_py.core.table import TableSnapshot
from tests.sdk.dynamodb_in_process import DynamoDBInProcess

ANN, BOB = "ann@0123abcd", "bob@4567cdef"
ROW = Lease(key="shardId-1", owner=ANN, held_by=ANN, counter=7, checkpoint=Checkpoint("100"))
DONE = Lease(key="shardId-0", counter=3, checkpoint=SHARD_END)
SESSION = Session(key=ANN, beat=3)
LOCK = LeaderLock(owner=ANN, version="one", duration_ms=10_000)
STANDING = TableSnapshot(leases=(DONE, ROW), sessions=(SESSION,), lock=LOCK)


def standing(**changes: object) -> TableSnapshot:
    """The table as it stands, but for these."""
    return msgspec.structs.replace(STANDING, **changes)


class FurnishedTable:
    """One table for many tests, because to make a client takes longer than most of them."""

    dynamodb: DynamoDBInProcess
    door: DynamoDBLeaseTable

    async def furnish(self) -> None:
        """Make it."""
        self.dynamodb = DynamoDBInProcess()
        self.door = door = self.dynamodb.door()
        await door.prepare()
        await asyncio.gather(door.create(ROW), door.create(DONE), door.write_session(None, SESSION))
        await door.write_leader_lock(None, LOCK)
        assert await door.lease_keys_of(ANN) == (ROW.key,)  # by now the door knows that its index answers
        assert await door.snapshot() == STANDING
        self._tables = self.dynamodb.remembered()

    def restore(self) -> None:
        """As it stood, and without a fault."""
        self.dynamodb.wire.faults.clear()
        self.dynamodb.wire.sent.clear()
        self.dynamodb.wire.bodies.clear()
        self.dynamodb.recall(self._tables)

    async def clear_away(self) -> None:
        """Let go of it."""
        await self.door.close()
        self.dynamodb.forget()
