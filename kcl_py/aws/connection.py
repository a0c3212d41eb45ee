"""The connection to one Kinesis stream: a client made when it is first needed, and requests with translated errors."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from aiobotocore.config import AioConfig

from kcl_py import endpoint, stream_names
from kcl_py._version import __version__
from kcl_py.aws import direct_reads, event_stream, get_records
from kcl_py.aws import region as regions
from kcl_py.aws.async_session import Session, async_session
from kcl_py.aws.calls import Calls, MalformedAnswer, OnRetry
from kcl_py.errors import ConfigError, StreamError

T = TypeVar("T")
CONNECT_TIMEOUT_SECONDS = 5.0


class Connection:
    """Sends the requests of one stream. Used from one event loop, by any number of tasks.

    Args:
        stream: the stream's name, or its ARN, which also gives the region.
        session: a boto3 or aioboto3 session; None for the default chain of credentials.
        region: beats the session's region.
        endpoint_url: beats AWS_ENDPOINT_URL_KINESIS and its like.
        is_plain_http_allowed: take an http endpoint that is not loopback.
        connections_max: open at a time; a call that waits for a free one does so within its deadline, so this is about
            the number of shards that are read at once.
        read_timeout_seconds: between two pieces of an answer; the whole of a call has a deadline of its own.
        deadline_seconds: see `Calls`.
        patience_seconds: see `Calls`.
        on_retry: see `Calls`.
        reads_directly: see `DirectReads`; False sends every request through the SDK's own client.

    Raises:
        ConfigError: `stream` is neither a name nor an ARN.
    """

    def __init__(
        self,
        stream: str,
        *,
        session: Session | None = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        is_plain_http_allowed: bool = False,
        connections_max: int = 256,
        read_timeout_seconds: float = 15.0,
        deadline_seconds: float = 30.0,
        patience_seconds: float = 60.0,
        on_retry: OnRetry | None = None,
        reads_directly: bool = True,
    ) -> None:
        stream_names.check(stream)
        self.stream_name = stream_names.name_of(stream)
        self.address = {"StreamARN" if stream_names.is_arn(stream) else "StreamName": stream}
        self._session = session
        self._region = region or stream_names.region_of(stream)
        self._endpoint_url = endpoint_url
        self._is_plain_http_allowed = is_plain_http_allowed
        self._connections_max = connections_max
        self._read_timeout_seconds = read_timeout_seconds
        self._calls = Calls(
            f"stream {self.stream_name}",
            deadline_seconds=deadline_seconds,
            patience_seconds=patience_seconds,
            on_retry=on_retry,
        )
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None
        self._reads_directly = reads_directly
        self._direct: direct_reads.DirectReads | None = None
        self._is_closed = False

    async def once(self, operation: str, parameters: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
        """Send one request, and read its answer.

        Args:
            operation: as the API reference has it, such as `GetRecords`.
            parameters: of the request.
            read: turns the parsed answer into a value; raises `MalformedAnswer`, or what comes of a wrong shape.

        Raises:
            KclError: see `Calls.once`.
        """
        return await self._calls.once(f"kinesis:{operation}", lambda: self._sent(operation, parameters, read))

    async def patiently(self, operation: str, parameters: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
        """As `once`, tried again while the service throttles or gives no usable answer."""
        return await self._calls.patiently(f"kinesis:{operation}", lambda: self._sent(operation, parameters, read))

    async def opening(
        self, operation: str, parameters: dict[str, Any], begin: Callable[[dict[str, Any]], Awaitable[T]]
    ) -> T:
        """As `once`, for an answer that goes on for longer than a call: `begin` waits for as much as belongs to it."""

        async def call() -> T:
            return await begin(await self._answered(operation, parameters))

        return await self._calls.once(f"kinesis:{operation}", call)

    async def close(self) -> None:
        """Let go of the connections; calls after this one are refused. May be called again."""
        self._is_closed = True
        async with self._opening:
            self._client = None
            await self._stack.aclose()

    async def _sent(self, operation: str, parameters: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
        answer = await self._answered(operation, parameters)
        try:
            return read(answer)
        except _WRONG_SHAPE as error:
            raise MalformedAnswer(f"its shape is wrong, {type(error).__name__}") from None

    async def _answered(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        client = self._client or await self._opened()
        direct = self._direct if operation == direct_reads.OPERATION else None
        send = direct.read if direct is not None and direct.are_possible else getattr(client, _METHODS[operation])
        try:
            answer: dict[str, Any] = await send(**parameters)
        except _WRONG_SHAPE as error:
            if not _is_of_parser(error):
                raise
            raise MalformedAnswer(f"its shape is wrong, {type(error).__name__}") from None
        return answer

    async def _opened(self) -> Any:
        async with self._opening:
            if self._is_closed:
                raise StreamError(f"the connection to stream {self.stream_name} was closed; make a new one")
            if self._client is None:
                try:
                    client = await self._stack.enter_async_context(self._new_client())
                except ValueError as error:  # what botocore raises, unwrapped, for an endpoint that is no URL
                    raise ConfigError(f"no Kinesis client can be made: {endpoint.shown(str(error))}") from None
                # it may come from the environment or an AWS profile, which `Config` has not seen
                endpoint.check(
                    client.meta.endpoint_url,
                    "the Kinesis endpoint",
                    is_plain_http_allowed=self._is_plain_http_allowed,
                )
                client.meta.events.register(get_records.BEFORE_PARSE, get_records.decode)
                client.meta.events.register(event_stream.BEFORE_PARSE, event_stream.take)
                if self._reads_directly:
                    self._direct = direct_reads.DirectReads(client)
                self._client = client
            return self._client

    def _new_client(self) -> Any:
        config = AioConfig(
            # One attempt, whatever AWS_MAX_ATTEMPTS and AWS_RETRY_MODE say: `Calls` retries, and only it.
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=self._read_timeout_seconds,
            max_pool_connections=self._connections_max,
            user_agent_extra=f"kcl_py/{__version__}",
        )
        session = async_session(self._session)
        chosen = regions.chosen(self._region, None if self._session is None else self._session.region_name)
        return session.client("kinesis", region_name=chosen, endpoint_url=self._endpoint_url, config=config)


def _is_of_parser(error: Exception) -> bool:
    """True if the SDK raised this while it read an answer, and not on the way there: that would be a bug."""
    modules = [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)]
    # the latter takes whatever was parsed for an object
    return "botocore.parsers" in modules or modules[-1] == "aiobotocore.endpoint"


# what reading an answer of the wrong shape raises, in botocore's parser, which does not wrap it, and in ours
_WRONG_SHAPE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_METHODS = {
    "DeregisterStreamConsumer": "deregister_stream_consumer",
    "DescribeStreamConsumer": "describe_stream_consumer",
    "DescribeStreamSummary": "describe_stream_summary",
    "GetRecords": "get_records",
    "GetShardIterator": "get_shard_iterator",
    "ListShards": "list_shards",
    "ListStreamConsumers": "list_stream_consumers",
    "PutRecords": "put_records",
    "RegisterStreamConsumer": "register_stream_consumer",
    "SubscribeToShard": "subscribe_to_shard",
}
