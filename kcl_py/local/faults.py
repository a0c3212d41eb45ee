"""Faults of a door, by rule: what goes wrong, in which operation, on which shard, at which call."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, TypeVar

import msgspec

from kcl_py.core.position import ReadFrom
from kcl_py.core.shard import Shard
from kcl_py.errors import KclError, Throttled
from kcl_py.interfaces import Page, ShardFilter, Stream, StreamDescription

Operation = Literal[
    "describe", "list_shards", "open", "read",
    "register", "consumers", "deregister", "subscribe", "receive",
]  # fmt: skip
"""What the doors of a stream and of its fan-out are asked for; `receive` is the read of a subscription."""

_T = TypeVar("_T")


class Refused(msgspec.Struct, frozen=True):
    """The call fails and has no effect."""

    error: KclError


class AnswerLost(msgspec.Struct, frozen=True):
    """The call takes effect, and then fails."""

    error: KclError


class Delayed(msgspec.Struct, frozen=True):
    """The call takes this much longer, in the running loop's time."""

    seconds: float


class ChildShardsDropped(msgspec.Struct, frozen=True):
    """The last page of a closed shard names no children."""


class ListingStale(msgspec.Struct, frozen=True):
    """A listing shows the same as the last one with this filter, if that was shown less than `seconds` ago."""

    seconds: float


class ShardsMissing(msgspec.Struct, frozen=True):
    """A listing leaves these shards out."""

    shard_ids: frozenset[str]


class AnswerChanged(msgspec.Struct, frozen=True):
    """The answer is what `change` makes of it: foreign records, a false end, doubled shards."""

    change: Callable[[Any], Any]


class HalfOpen(msgspec.Struct, frozen=True):
    """The subscription stays open, and nothing arrives on it ever again."""


class Broken(msgspec.Struct, frozen=True):
    """The subscription breaks while its next page is waited for, unless that comes within `seconds`."""

    error: KclError
    seconds: float = 0.0


class ConsumerDeleted(msgspec.Struct, frozen=True):
    """Somebody deregisters the consumer just before."""


Effect = (
    Refused
    | AnswerLost
    | Delayed
    | ChildShardsDropped
    | ListingStale
    | ShardsMissing
    | AnswerChanged
    | HalfOpen
    | Broken
    | ConsumerDeleted
)


def throttled(message: str = "slow down") -> Refused:
    """The service refuses the call for coming too fast."""
    return Refused(Throttled(message))


class Fault(msgspec.Struct, kw_only=True, eq=False):
    """One rule, which counts for itself: use it on one stream.

    Attributes:
        effect: what goes wrong.
        operation: of the door; None for all of them.
        shard_id: that `open` or `read` is about; None for all of them.
        first: the call at which it begins, counting from 1 the calls that fit operation and shard.
        times: at how many calls it happens from then on; None for no end.
        every: at each how many-th of them.
        chance: how likely it happens at a call that fits everything else.
        fitting: how many calls have fitted operation and shard.
        happened: how often it happened.
    """

    effect: Effect
    operation: Operation | None = None
    shard_id: str | None = None
    first: int = 1
    times: int | None = None
    every: int = 1
    chance: float = 1.0
    fitting: int = 0
    happened: int = 0

    def strikes(self, operation: Operation, shard_id: str | None, dice: random.Random) -> bool:
        """Count a call and say whether the fault happens at it."""
        if self.operation not in (None, operation) or self.shard_id not in (None, shard_id):
            return False
        self.fitting += 1
        steps, rest = divmod(self.fitting - self.first, self.every)
        if steps < 0 or rest or (self.times is not None and steps >= self.times):
            return False
        if self.chance < 1.0 and dice.random() >= self.chance:
            return False
        self.happened += 1
        return True


class FaultyDoor:
    """What the doors with faults have in common. Change `faults` at any time to begin or to heal them.

    Args:
        faults: the rules; of several that strike one call, the first that raises wins and delays add up.
        seed: of the chances.
    """

    def __init__(self, faults: Iterable[Fault], seed: int) -> None:
        self.faults = list(faults)
        self.calls: Counter[Operation] = Counter()  # those that failed included
        self._dice = random.Random(seed)

    def struck(self, operation: Operation, shard_id: str | None) -> list[Effect]:
        """Count a call; what goes wrong with it."""
        self.calls[operation] += 1
        return [fault.effect for fault in list(self.faults) if fault.strikes(operation, shard_id, self._dice)]

    async def suffer(self, effects: list[Effect], ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask the door behind under those effects that any call may have."""
        for effect in effects:
            if isinstance(effect, Delayed):
                await asyncio.sleep(effect.seconds)
            elif isinstance(effect, Refused):
                raise anew(effect.error)
        answer = await ask()
        for effect in effects:
            if isinstance(effect, AnswerLost):
                raise anew(effect.error)
            if isinstance(effect, AnswerChanged):
                answer = effect.change(answer)
        return answer


class FaultyStream(FaultyDoor):
    """A stream on which `faults` happen.

    Args:
        stream: the stream behind.
        faults: see `FaultyDoor`.
        seed: of the chances.
    """

    def __init__(self, stream: Stream, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        super().__init__(faults, seed)
        self.stream = stream
        self._shown: dict[ShardFilter | None, tuple[float, tuple[Shard, ...]]] = {}

    async def describe(self) -> StreamDescription:
        """See `Stream.describe`."""
        answer, _ = await self._call("describe", None, self.stream.describe)
        return answer

    async def list_shards(self, shard_filter: ShardFilter | None = None) -> tuple[Shard, ...]:
        """See `Stream.list_shards`."""
        shards, effects = await self._call("list_shards", None, lambda: self.stream.list_shards(shard_filter))
        now = asyncio.get_running_loop().time()
        shown_at, shown = self._shown.setdefault(shard_filter, (now, shards))
        if any(isinstance(effect, ListingStale) and now - shown_at < effect.seconds for effect in effects):
            return shown
        self._shown[shard_filter] = now, shards
        missing = {shard_id for effect in effects if isinstance(effect, ShardsMissing) for shard_id in effect.shard_ids}
        return tuple(shard for shard in shards if shard.shard_id not in missing)

    async def open(self, shard_id: str, position: ReadFrom) -> str:
        """See `Stream.open`. The iterator carries the shard's id, so that a rule can name the shard of a read."""
        iterator, _ = await self._call("open", shard_id, lambda: self.stream.open(shard_id, position))
        return f"{shard_id} {iterator}"

    async def read(self, iterator: str, limit: int) -> Page:
        """See `Stream.read`."""
        shard_id, _, inner = iterator.rpartition(" ")
        page, effects = await self._call("read", shard_id, lambda: self.stream.read(inner, limit))
        if any(isinstance(effect, ChildShardsDropped) for effect in effects):
            page = msgspec.structs.replace(page, child_shards=())
        if page.next_iterator is None:
            return page
        return msgspec.structs.replace(page, next_iterator=f"{shard_id} {page.next_iterator}")

    async def close(self) -> None:
        """See `Stream.close`. Nothing goes wrong here."""
        await self.stream.close()

    async def _call(
        self, operation: Operation, shard_id: str | None, ask: Callable[[], Awaitable[_T]]
    ) -> tuple[_T, list[Effect]]:
        """Ask the stream behind, and name the effects that the caller still has to work into the answer."""
        effects = self.struck(operation, shard_id)
        return await self.suffer(effects, ask), effects


def anew(error: KclError) -> KclError:
    """The same error without the traceback of its last raising."""
    return type(error)(*error.args)
