"""The fan-out consumer of one worker: registered once for all its shards, and again when somebody deletes it.

    absent ─ register, wait until it is ACTIVE ─→ there ─ the service does not know it ─→ said aloud, a pause, absent

It is registered again because the setting says that the stream is to be read through it: who polls instead takes from
the five reads and 2 MB a second that every other application shares. The pause grows, so that whoever deletes
it time and again is no opponent.
"""

import asyncio

from kcl_py.errors import AccessDenied, CredentialsError, ServiceUnavailable, StreamNotFound, Throttled
from kcl_py.events import ConsumerDeleted, ConsumerRegistered, ServiceTrouble
from kcl_py.interfaces import FanOut, StreamConsumer
from kcl_py.retrying import Sleep, jittered, retrying
from kcl_py.runtime.emitter import Emitter

_TRY_AGAIN = jittered(1.0, 60.0)
_REGISTER_AGAIN = jittered(2.0, 30.0)
_TRANSIENT = (Throttled, ServiceUnavailable, StreamNotFound)  # of a stream that is gone the keeper says what follows


class Registration:
    """Handed to every shard; `keep` runs once, beside them.

    Attributes:
        fan_out: the door.
        arn: the consumer's; None while it is not there.
        is_stream_missing: the last attempt to register it found no stream.
    """

    def __init__(self, fan_out: FanOut, name: str, *, emit: Emitter, sleep: Sleep = asyncio.sleep) -> None:
        self.fan_out = fan_out
        self.arn: str | None = None
        self.is_stream_missing = False
        self._name = name
        self._emit = emit
        self._sleep = sleep
        self._missing = asyncio.Event()

    async def keep(self) -> None:
        """Register the consumer, and again whenever it is missing.

        Raises:
            AccessDenied, CredentialsError: it may not be registered, and never was.
        """
        deletions = 0
        while True:
            self._missing.clear()
            self.arn = await self._registered(is_first=not deletions)
            self.is_stream_missing = False
            self._emit(ConsumerRegistered(consumer=self._name))
            await self._missing.wait()
            deletions += 1
            self._emit(ConsumerDeleted(consumer=self._name))
            await self._sleep(_REGISTER_AGAIN(deletions))

    def is_missing(self, arn: str) -> None:
        """The service does not know the consumer of this ARN."""
        if arn == self.arn:
            self.arn = None
            self._missing.set()

    async def _registered(self, *, is_first: bool) -> str:
        # a permission that was there and is gone may come back; one that never was is a mistake to be told of
        errors = _TRANSIENT if is_first else (*_TRANSIENT, AccessDenied, CredentialsError)
        retry = retrying(*errors, pause=_TRY_AGAIN, on_retry=self._note, sleep=self._sleep)
        consumer: StreamConsumer = await retry(self.fan_out.register, self._name)
        return consumer.arn

    def _note(self, error: BaseException, _attempt: int, _pause: float) -> None:
        self.is_stream_missing = isinstance(error, StreamNotFound)
        self._emit(ServiceTrouble(operation=f"register consumer {self._name}", reason=str(error)))
