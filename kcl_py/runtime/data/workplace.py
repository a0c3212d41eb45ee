"""What all shards of one worker share in the data plane."""

import asyncio
from collections.abc import Callable

import msgspec

from kcl_py.config import Config
from kcl_py.core.lease import Lease
from kcl_py.interfaces import Stream
from kcl_py.processor import ProcessorFactory, ShardContext
from kcl_py.retrying import Sleep
from kcl_py.runtime.data.buffer import ByteBudget
from kcl_py.runtime.data.deadline import Deadline
from kcl_py.runtime.data.registration import Registration
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.mailbox import KeeperLine


class Workplace(msgspec.Struct, frozen=True):
    """Handed to every shard consumer."""

    config: Config
    stream: Stream
    factory: ProcessorFactory
    line: KeeperLine
    budget: ByteBudget
    deadline: Deadline
    emit: Emitter
    clock: Callable[[], float]  # shared with the keeper, seconds
    has_read: asyncio.Event  # set once any shard was read
    sleep: Sleep = asyncio.sleep
    registration: Registration | None = None  # with enhanced fan-out

    def context_of(self, lease: Lease) -> ShardContext:
        """What a processor is told about its shard."""
        return ShardContext(
            application=self.config.application,
            stream=self.config.stream_name,
            shard_id=lease.key,
            worker_id=self.config.worker_id,
            checkpoint=lease.checkpoint,
            fencing_token=lease.counter,
            pending_checkpoint=lease.pending_checkpoint,
            pending_checkpoint_state=lease.pending_checkpoint_state,
        )
