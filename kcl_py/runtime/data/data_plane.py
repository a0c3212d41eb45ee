"""The data plane: one consumer for every lease that the keeper gives, each in a task that is watched."""

import asyncio
from collections.abc import Iterable

from kcl_py.runtime.data.ending import Ending
from kcl_py.runtime.data.shard_consumer import ShardConsumer
from kcl_py.runtime.data.stall_watch import StallWatch
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.mailbox import Answer, DeadlineIs, FromKeeper, HandOver, KeeperFailed, Lost, Mailbox, Yours

_CUT_SECONDS = 2.0


class DataPlane:
    """Lives in one loop, which is also where asynchronous processors run."""

    def __init__(self, place: Workplace, mailbox: Mailbox) -> None:
        self._place = place
        self._mailbox = mailbox
        self._consumers: dict[asyncio.Task[None], ShardConsumer] = {}
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._is_draining = False
        self._stall_watch = StallWatch(place, mailbox)
        self._beside = [asyncio.create_task(self._stall_watch.run(self._judged), name="watch for stalls")]
        if place.registration is not None:
            self._beside.append(asyncio.create_task(place.registration.keep(), name="keep the fan-out consumer"))
        for task in self._beside:
            task.add_done_callback(self._note_end)
        mailbox.to_data_plane.open(self._receive)

    async def wait_for_failure(self) -> BaseException:
        """Wait until the worker cannot go on, which may be never; return why."""
        return await asyncio.shield(self._failure)

    async def drain(self) -> None:
        """Begin no other batch, finish those in flight, checkpoint and let every lease go."""
        self._is_draining = True
        for consumer in self._consumers.values():
            consumer.stop(Ending.LET_GO)
        if self._consumers:
            await asyncio.wait(self._consumers)

    async def close(self) -> None:
        """Stop at once: whatever still runs is left unfinished, and unadvanced."""
        self.cut()
        # bounded, because user code may swallow a cancellation
        await asyncio.wait([*self._beside, *self._consumers], timeout=_CUT_SECONDS)

    def cut(self) -> None:
        """Tell everything to stop, and wait for nothing."""
        self._is_draining = True
        for task in self._beside:
            task.cancel()
        self._mailbox.to_data_plane.close()
        self._place.line.hang_up()
        for task in self._consumers:
            task.cancel()

    @property
    def failure(self) -> BaseException | None:
        """Why the worker cannot go on, if that is so."""
        return self._failure.result() if self._failure.done() else None

    def _receive(self, message: FromKeeper) -> None:
        match message:
            case Yours(lease, horizon_ms):
                self._start(ShardConsumer(lease, horizon_ms, self._place))
            case HandOver(shard_id, fencing_token):
                self._stop(shard_id, fencing_token, Ending.LET_GO)
            case Lost(shard_id, fencing_token):
                self._stop(shard_id, fencing_token, Ending.LOST)
            case DeadlineIs(at):
                self._place.deadline.extend(at)
            case Answer():
                self._place.line.answered(message)
            case KeeperFailed(error):
                self._place.line.hang_up()
                for consumer in self._consumers.values():
                    consumer.stop(Ending.LOST)
                self._fail(error)

    def _stop(self, shard_id: str, fencing_token: int, ending: Ending) -> None:
        for consumer in self._consumers.values():
            if (consumer.shard_id, consumer.fencing_token) == (shard_id, fencing_token):
                consumer.stop(ending)

    def _start(self, consumer: ShardConsumer) -> None:
        task = asyncio.create_task(consumer.run(), name=f"consume {consumer.shard_id}")
        self._consumers[task] = consumer
        task.add_done_callback(self._ended)
        if self._is_draining:
            consumer.stop(Ending.LET_GO)

    def _judged(self) -> Iterable[ShardConsumer]:
        """Who drains has its grace."""
        return () if self._is_draining else self._consumers.values()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._stall_watch.ended(self._consumers.pop(task))
        self._note_end(task)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_result(error)
