"""How far checkpoints are behind a stream's tip. The table does not hold it: every unfinished shard is read once."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec

from kcl_py.core.lease import Lease
from kcl_py.core.position import ReadFrom
from kcl_py.errors import ConfigError, KclError, Throttled
from kcl_py.interfaces import Page, Stream

_SHARDS_AT_ONCE_MAX = 8
_MEASURE_SECONDS_MAX = 30.0
_THROTTLED_PAUSES_SECONDS = (0.25, 0.35, 0.45)  # a shard's five reads a second are the worker's first
_LATE = f"the stream did not answer within {_MEASURE_SECONDS_MAX:g} s"


class Lags(msgspec.Struct, frozen=True):
    """What the service answered.

    Attributes:
        behind_ms: by shard, from the checkpoint to the tip; without those that could not be asked.
        trouble: why one could not, the first reason.
    """

    behind_ms: Mapping[str, int]
    trouble: str | None = None


class LagMeter:
    """Asks the service. Keeps its connection between two measurements.

    Args:
        open_stream: opens the stream of a name or ARN.
        stream: whose shards these are; None for the one that the rows name.
    """

    def __init__(self, open_stream: Callable[[str], Stream], stream: str | None) -> None:
        self._open_stream = open_stream
        self._named = stream
        self._opened: dict[str, Stream] = {}

    async def measure(self, leases: Iterable[Lease]) -> Lags:
        """Ask once for every unfinished lease. Never raises because of what the service answers."""
        unfinished = [lease for lease in leases if not lease.is_finished]
        if not unfinished:
            return Lags({})
        try:
            stream = self._stream_of(unfinished)
        except KclError as error:
            return Lags({}, str(error))
        turns = asyncio.Semaphore(_SHARDS_AT_ONCE_MAX)
        asked = {lease.key: asyncio.create_task(_behind_ms(stream, lease, turns)) for lease in unfinished}
        try:
            await asyncio.wait(asked.values(), timeout=_MEASURE_SECONDS_MAX)
        finally:
            for task in asked.values():
                task.cancel()
            await asyncio.gather(*asked.values(), return_exceptions=True)
        answers = {key: _LATE if task.cancelled() else task.result() for key, task in asked.items()}
        troubles = [f"{key}: {answer}" for key, answer in answers.items() if isinstance(answer, str)]
        return Lags(
            {key: answer for key, answer in answers.items() if isinstance(answer, int)}, next(iter(troubles), None)
        )

    async def close(self) -> None:
        """Let go of the connections."""
        for stream in self._opened.values():
            await stream.close()

    def _stream_of(self, leases: Iterable[Lease]) -> Stream:
        name = self._named or _bound_stream(leases)
        if name not in self._opened:
            self._opened[name] = self._open_stream(name)
        return self._opened[name]


def _bound_stream(leases: Iterable[Lease]) -> str:
    """The ARN that the rows name."""
    bound = {lease.binding.stream for lease in leases if lease.binding is not None}
    if len(bound) != 1:
        raise ConfigError(f"the rows name {'several streams' if bound else 'no stream'}; name it with --stream")
    (incarnation,) = bound
    return incarnation.rpartition("@")[0]


async def _behind_ms(stream: Stream, lease: Lease, turns: asyncio.Semaphore) -> int | str:
    """From the checkpoint to the tip, or why that is not known."""
    try:
        position = ReadFrom.resuming(lease.checkpoint, lease.start_at_ms)
    except ValueError as error:
        return str(error)
    try:
        page = await _read_patiently(stream, lease.key, position, turns)
    except KclError as error:
        return str(error)
    behind_ms = page.millis_behind_latest
    return "the answer does not say" if behind_ms is None else behind_ms


async def _read_patiently(stream: Stream, shard_id: str, position: ReadFrom, turns: asyncio.Semaphore) -> Page:
    """Read one record; what is throttled is tried again for about a second."""
    for pause_seconds in _THROTTLED_PAUSES_SECONDS:
        try:
            return await _read(stream, shard_id, position, turns)
        except Throttled:
            await asyncio.sleep(pause_seconds)
    return await _read(stream, shard_id, position, turns)


async def _read(stream: Stream, shard_id: str, position: ReadFrom, turns: asyncio.Semaphore) -> Page:
    async with turns:
        # a number is opened inclusively: what this reads is the record done last, and the answer counts from there
        return await stream.read(await stream.open(shard_id, position), 1)
