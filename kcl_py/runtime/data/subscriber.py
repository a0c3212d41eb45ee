"""Pages of one shard by SubscribeToShard, as the service pushes them, into the buffer.

    subscribed ─ five minutes are over ────────────────→ subscribed anew, right after the last page that was taken
               ─ it broke, or was silent ──────────────→ the same after a pause; after a few failures in a row: given up
                                                         for minutes
               ─ somebody else subscribed, or has lately → given up for more than five seconds; before the next attempt
                                                         the lease table is asked whether the shard is still ours
               ─ the consumer is gone ─────────────────→ given up until it is registered again

While it is given up, polling may stand in (`ShardReader`). The service refuses a subscription within five seconds after
one that it accepted, also our own; so nothing is tried within them. None is begun past the session's deadline either,
because others may own the shard by then: who wakes up after its lease was taken must not take the subscription from
the new owner.
"""

import asyncio
from collections.abc import Awaitable, Callable

from kcl_py.errors import (
    READ_TROUBLE,
    AccessDenied,
    ConsumerMissing,
    SequenceRefused,
    ServiceUnavailable,
    StreamNotFound,
    SubscriptionTaken,
)
from kcl_py.events import FanOutInterrupted, FanOutResumed, Level, ServiceTrouble
from kcl_py.interfaces import Page, Subscription
from kcl_py.retrying import Sleep, jittered
from kcl_py.runtime.data.buffer import PageBuffer
from kcl_py.runtime.data.deadline import Deadline
from kcl_py.runtime.data.pulse import Pulse
from kcl_py.runtime.data.registration import Registration
from kcl_py.runtime.data.shard_position import ShardPosition
from kcl_py.runtime.emitter import Emitter

REFUSED_SECONDS = 5.5  # the service's five, on a clock that may be fast
FAILURES_MAX = 5  # in a row
HUNGRY_SECONDS = 30.0  # without a page, after which the second failure is one too many
ABSENT_SECONDS = 2.0  # between two looks at whether the consumer is there
LASTING_SECONDS = 60.0  # a subscription that lived so long was not fought over
ROOM_SECONDS = 0.2  # for which room is held for a page that does not come
_PAUSE = jittered(0.3, 10.0)
_TAKEN_AGAIN = jittered(1.0, 60.0)
_GIVEN_UP = jittered(240.0, 1800.0)


class Subscriber:
    """Reads one shard from its position on.

    Attributes:
        tip_seen_at: when the subscription began (shared clock) whose last page was empty, with nothing behind; else
            None. The page is younger than that, though nobody knows by how much.
    """

    def __init__(
        self,
        registration: Registration,
        position: ShardPosition,
        buffer: PageBuffer,
        *,
        pulse: Pulse,
        deadline: Deadline,
        verify_lease: Callable[[], Awaitable[object]],
        report_missing: Callable[[], None],
        is_polled_meanwhile: bool,
        has_read: asyncio.Event,
        emit: Emitter,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Prepare to subscribe.

        Args:
            registration: the consumer, and the door.
            position: of the shard; moved on with every page.
            buffer: where pages go; it says when there is room for another.
            pulse: told of every attempt.
            deadline: past which nothing is begun.
            verify_lease: returns if the shard is still ours by the lease table, and raises LeaseLost if not.
            report_missing: told when the service does not know the shard.
            is_polled_meanwhile: whether somebody else reads while nothing is subscribed to; else it is worth trying
                for ever.
            has_read: set once any shard of the worker was read, so that reading is known to be permitted.
            emit: where events go.
            clock: the clock shared with the keeper, seconds.
            sleep: how to wait.
        """
        self._registration = registration
        self._position = position
        self._buffer = buffer
        self._pulse = pulse
        self._deadline = deadline
        self._verify_lease = verify_lease
        self._report_missing = report_missing
        self._is_polled_meanwhile = is_polled_meanwhile
        self._has_read = has_read
        self._emit = emit
        self._clock = clock
        self._sleep = pulse.sleeper(sleep)
        self._not_before = float("-inf")  # by the loop's time: until then the service refuses
        self._is_in_doubt = False  # somebody else subscribed: the lease may be theirs
        self._failures = self._takings = self._surrenders = 0  # in a row
        self._said: Level | None = None  # how gravely, while it is interrupted
        self._reserved = 0
        self.tip_seen_at: float | None = None

    async def run(self) -> float | None:
        """Read to the end of the shard, and return None; or after how many seconds it is worth another attempt.

        Raises:
            LeaseLost: the shard is somebody else's.
            SequenceRefused: the place is not one of this shard.
            AccessDenied: reading is not permitted, and never was.
        """
        self._fed_at = self._clock()
        while True:
            arn = self._registration.arn
            if arn is None:
                if self._registration.is_stream_missing:
                    self._report_missing()
                return self._interrupted("the consumer is not ACTIVE yet", ABSENT_SECONDS)
            refused_seconds = self._not_before - asyncio.get_running_loop().time()
            if self._is_polled_meanwhile and refused_seconds > 1:
                return self._interrupted("a subscription ended early", refused_seconds)
            try:
                await self._until_allowed()
                if await self._follow(arn):
                    return None
            except SubscriptionTaken as taken:
                self._is_in_doubt = True
                self._takings += 1
                return self._interrupted(str(taken), REFUSED_SECONDS + _TAKEN_AGAIN(self._takings), "warning")
            except ConsumerMissing as missing:
                self._registration.is_missing(arn)
                return self._interrupted(str(missing), ABSENT_SECONDS, "warning")
            except (*READ_TROUBLE, AccessDenied) as error:
                if isinstance(error, AccessDenied) and not self._has_read.is_set():
                    raise
                if self._is_hopeless_after(error):
                    self._failures = 0
                    self._surrenders += 1
                    return self._interrupted(str(error), _GIVEN_UP(self._surrenders), "warning")
                await self._sleep(_PAUSE(self._failures))

    async def _follow(self, arn: str) -> bool:
        """Take the pages of one subscription; True at the end of the shard, False when it is over."""
        began_at = self._clock()
        subscription = await self._subscribe(arn)
        self._not_before = asyncio.get_running_loop().time() + REFUSED_SECONDS
        if self._said is not None:
            self._said = None
            self._emit(FanOutResumed(shard_id=self._position.shard_id))
        is_fed = False
        try:
            while (page := await self._take(subscription, began_at)) is not None:
                is_fed = True
                if page.next_iterator is None:
                    return True
        finally:
            await subscription.close()
            if self._clock() - began_at > LASTING_SECONDS:
                self._takings = self._surrenders = 0
        if not is_fed:
            raise ServiceUnavailable("a subscription was over before it brought a page")
        return False

    async def _subscribe(self, arn: str) -> Subscription:
        with self._pulse.attempting():
            while True:
                try:
                    place = self._position.to_subscribe()
                    return await self._registration.fan_out.subscribe(arn, self._position.shard_id, place)
                except SequenceRefused:
                    if not self._position.forget_continuation():
                        raise

    async def _take(self, subscription: Subscription, began_at: float) -> Page | None:
        """Take the next page into the buffer; None once the subscription is over."""
        with self._pulse.waiting():  # others hold the room, and are watched as well
            self._reserved = await self._buffer.reserve()
        # a shard that waits for records needs no room: it would keep others from reading
        lending = asyncio.get_running_loop().call_later(ROOM_SECONDS, self._lend_room)
        page = None
        try:
            pushed = await subscription.read()  # which the pulse counts from the wait for room on
            if pushed is not None:
                # any place will do for an end that is not believed: who subscribes again begins at the position
                page = await self._position.with_children(self._position.checked(pushed), going_on="")
        finally:
            lending.cancel()
            if page is None:
                self._lend_room()
        if page is None or pushed is None:
            return None
        self._buffer.put(page, self._reserved)
        self._position.fetched(page, began_at, pushed.next_iterator)
        self._has_read.set()
        self._failures, self._fed_at = 0, self._clock()
        self.tip_seen_at = began_at if not page.records and page.millis_behind_latest == 0 else None
        return page

    def _lend_room(self) -> None:
        self._buffer.give_back(self._reserved)
        self._reserved = 0

    async def _until_allowed(self) -> None:
        """Wait until a subscription can succeed, and is ours to make."""
        if self._is_in_doubt:
            await self._verify_lease()
            self._is_in_doubt = False
        while (seconds := self._not_before - asyncio.get_running_loop().time()) > 0:
            await self._sleep(seconds)
        with self._pulse.waiting():
            await self._deadline.wait_until_ahead()

    def _is_hopeless_after(self, error: BaseException) -> bool:
        """Note a failure; True if somebody else should read meanwhile."""
        self._failures += 1
        self._emit(ServiceTrouble(operation="subscribe", reason=str(error), shard_id=self._position.shard_id))
        if isinstance(error, StreamNotFound):
            self._report_missing()
        is_hungry = self._failures > 1 and self._clock() - self._fed_at > HUNGRY_SECONDS
        return self._is_polled_meanwhile and (self._failures >= FAILURES_MAX or is_hungry)

    def _interrupted(self, reason: str, seconds: float, level: Level = "info") -> float:
        """Say it, and once more if it has become grave: then it takes minutes."""
        if self._said in (None, "info") and self._said != level:
            self._said = level
            self._emit(
                FanOutInterrupted(
                    level=level,
                    shard_id=self._position.shard_id,
                    reason=reason,
                    is_polled=self._is_polled_meanwhile,
                    retry_in_seconds=round(seconds, 1),
                )
            )
        return seconds
