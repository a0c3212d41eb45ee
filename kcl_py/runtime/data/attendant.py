"""Calls a processor when that is allowed, and again when it raised (law S11).

A call begins only while the session's deadline is ahead and the shard is not to be let go. One that raises is tried
again with growing pauses; after `retry_attempts` the shard stands still and is tried again slowly, for as long as it
takes. Nothing is ever skipped. In the long pauses a batch is let go of, to be read again: others need the room.
"""

import asyncio
from collections.abc import Awaitable, Callable

import tenacity

from kcl_py.events import ProcessorFailed, ShardStopped
from kcl_py.retrying import jittered, retrying
from kcl_py.runtime.data.pulse import Pulse
from kcl_py.runtime.data.subscriber import REFUSED_SECONDS
from kcl_py.runtime.data.user_code import NotBegun, ProcessorRaised, UserCode
from kcl_py.runtime.data.workplace import Workplace

_FIRST_PAUSE_SECONDS = 0.5


class StandsStill(Exception):
    """A batch raised as often as it is tried in a row; its records are to be let go of, and read again later."""


class Attendant:
    """One processor instance and the rules for calling it."""

    def __init__(self, shard_id: str, place: Workplace, pulse: Pulse) -> None:
        self._shard_id = shard_id
        self._place = place
        self._pulse = pulse
        self._quick_pause = jittered(_FIRST_PAUSE_SECONDS, place.config.retry_backoff_max_seconds)
        # who subscribes again sooner is refused
        self._stopped_pause = max(place.config.retry_stopped_seconds, REFUSED_SECONDS if place.config.fan_out else 0.0)
        self._stopping = asyncio.Event()
        # made once, because that costs more than most calls
        self._retry = self._retrying(self._tell, self._stopping.is_set)
        self._retry_batch = self._retrying_a_batch()
        self._failures = 0  # of the batch, in a row
        self.user = UserCode(place.factory, name=f"kcl-py {shard_id}")

    def stop(self) -> None:
        """Begin no call that waits, and try none again."""
        self._stopping.set()

    async def create(self) -> bool:
        """Make the processor; False if told to stop before that worked."""
        return await self._until_done(lambda: self._while_calling("__init__", self.user.create(self._may_begin)))

    async def call(self, method: str, *arguments: object) -> bool:
        """Call a method until it returns; False if told to stop before it did."""
        return await self._until_done(lambda: self._call(method, *arguments))

    async def call_with(self, method: str, arguments: Callable[[int], tuple[object, ...] | None]) -> bool:
        """The same with a batch, and with arguments made for each attempt; None means that nothing is left to do.

        Args:
            method: its name.
            arguments: given the attempt, from 1; a batch that stood still goes on counting.

        Raises:
            StandsStill: it was tried often enough for now; wait with `stand_still`.
        """

        async def attempt() -> None:
            made = arguments(self._failures + 1)
            if made is not None:
                try:
                    await self._call(method, *made)
                except ProcessorRaised:
                    self._failures += 1
                    raise
            self.begin_another()

        try:
            return await self._persist(attempt, self._retry_batch)
        except ProcessorRaised as error:
            is_stopping = self._stopping.is_set()
            self._tell(error, self._failures, 0.0 if is_stopping else self._stopped_pause)
            if is_stopping:
                return False
            self._retry_batch = self._retrying_a_batch()  # the old one remembers the error, which knows the batch
            raise StandsStill from None

    async def stand_still(self) -> None:
        """Wait until a batch that stands still is to be tried again, or a stop."""
        await self._wait(self._place.sleep(self._stopped_pause))

    def begin_another(self) -> None:
        """What comes next is another batch, and another count."""
        self._failures = 0

    async def call_once(self, method: str, *arguments: object) -> None:
        """Call a method on the way out; if it raises, that is said and changes nothing."""
        try:
            await self._while_calling(method, self.user.call(method, *arguments))
        except ProcessorRaised as error:
            self._tell(error, 1, 0.0)

    async def _until_done(self, attempt: Callable[[], Awaitable[None]]) -> bool:
        try:
            return await self._persist(attempt, self._retry)
        except ProcessorRaised as error:
            self._tell(error, self._retry.statistics["attempt_number"], 0.0)  # the last one, because we are to stop
            return False

    async def _persist(self, attempt: Callable[[], Awaitable[None]], retry: tenacity.AsyncRetrying) -> bool:
        async def when_allowed() -> bool:
            while True:
                if not self._may_begin():
                    await self._wait(self._place.deadline.wait_until_ahead())
                if self._stopping.is_set():
                    return False
                try:
                    await attempt()
                except NotBegun:
                    continue  # the deadline passed while the call waited for its thread
                return True

        has_returned: bool = await retry(when_allowed)
        return has_returned

    def _retrying_a_batch(self) -> tenacity.AsyncRetrying:
        return self._retrying(
            lambda error, _attempt, pause_seconds: self._tell(error, self._failures, pause_seconds),
            lambda: self._stopping.is_set() or self._failures >= self._place.config.retry_attempts,
        )

    def _retrying(
        self, tell: Callable[[BaseException, int, float], None], is_over: Callable[[], bool]
    ) -> tenacity.AsyncRetrying:
        return retrying(
            ProcessorRaised,
            pause=self._pause,
            on_retry=tell,
            is_over=is_over,
            sleep=lambda seconds: self._wait(self._place.sleep(seconds)),
        )

    async def _call(self, method: str, *arguments: object) -> None:
        await self._while_calling(method, self.user.call(method, *arguments, may_begin=self._may_begin))

    async def _while_calling(self, method: str, called: Awaitable[None]) -> None:
        with self._pulse.calling(method):
            await called

    async def _wait(self, waiting: Awaitable[object]) -> None:
        """Stand still, which is no stall: whether the shard is stopped or may not be delivered, it will be tried."""
        with self._pulse.waiting():
            await self.unless_stopping(waiting)

    def _may_begin(self) -> bool:
        return self._place.deadline.is_ahead

    def _pause(self, attempts: int) -> float:
        is_quick = attempts < self._place.config.retry_attempts
        return self._quick_pause(attempts) if is_quick else self._stopped_pause

    def _tell(self, error: BaseException, attempt: int, pause_seconds: float) -> None:
        assert isinstance(error, ProcessorRaised)
        self._place.emit(
            ProcessorFailed(
                shard_id=self._shard_id,
                method=error.method,
                error=error.error,
                attempt=attempt,
                retry_in_seconds=round(pause_seconds, 3),
                is_stopped=attempt >= self._place.config.retry_attempts,
            )
        )

        if attempt == self._place.config.retry_attempts and pause_seconds:
            self._place.emit(
                ShardStopped(
                    shard_id=self._shard_id,
                    method=error.method,
                    tried_again_every_seconds=self._stopped_pause,
                )
            )

    async def unless_stopping(self, waiting: Awaitable[object]) -> None:
        """Wait, or return early because of a stop."""
        tasks = asyncio.ensure_future(waiting), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
