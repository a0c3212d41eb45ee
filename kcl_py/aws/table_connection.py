"""Calls to one DynamoDB endpoint, made by pynamodb in a few threads, each tried once.

pynamodb's models are not used: a model keeps its connection on the class, which two applications in one process would
share, and refuses a whole page of rows when one of them does not parse. Its connection, conditions and update
expressions are what the lease table is built on.
"""

import asyncio
import json
import threading
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

import boto3
import msgspec
from botocore import xform_name
from botocore.config import Config
from botocore.parsers import ResponseParserError
from pynamodb.connection.base import Connection, MetaTable

from kcl_py import endpoint
from kcl_py.aws import region as regions
from kcl_py.aws.abandonable_threads import AbandonableThreads
from kcl_py.aws.lane import Lane
from kcl_py.aws.translate import SDK_ERRORS, translated
from kcl_py.errors import ConfigError, CredentialsError, ServiceUnavailable

CONNECT_TIMEOUT_SECONDS = 2.0
READ_TIMEOUT_SECONDS = 4.0
CALL_TIMEOUT_SECONDS = 8.0

Answer = TypeVar("Answer")
_json_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_making_client = threading.Lock()  # a boto3 session must not make two clients at once, and may be shared by tables


class TableConnection:
    """One table's calls: run in threads, ended by a deadline, their errors translated.

    Args:
        table_name: the lease table.
        session: credentials and region come from here; None makes a session of its own from the standard AWS settings.
        region: overrides the session's.
        endpoint_url: overrides AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL and the profile's.
        is_plain_http_allowed: take an http endpoint that is not loopback.
        executor: where the calls of `Lane.ROW` run; None makes one, which `close` ends, as it does the other lanes'.
        connect_timeout_seconds: for a connection to be accepted.
        read_timeout_seconds: between two packets of an answer.
        call_timeout_seconds: for a whole call, from when a thread took it up.
    """

    def __init__(
        self,
        table_name: str,
        *,
        session: boto3.Session | None = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        is_plain_http_allowed: bool = False,
        executor: Executor | None = None,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        call_timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> None:
        self.table_name = table_name
        self._call_timeout_seconds = call_timeout_seconds
        lent = {} if executor is None else {Lane.ROW: executor}
        self._own_executors = {
            lane: AbandonableThreads(lane.threads_max, f"kcl_py-{lane.name.lower()}")
            for lane in Lane
            if lane not in lent
        }
        self._executors: dict[Lane, Executor] = {**self._own_executors, **lent}
        config = Config(
            connect_timeout=connect_timeout_seconds,
            read_timeout=read_timeout_seconds,
            max_pool_connections=sum(lane.threads_max for lane in Lane),
            retries={"total_max_attempts": 1, "mode": "standard"},
            tcp_keepalive=True,
        )
        self._connection = _SessionConnection(
            session, region, endpoint_url, config, is_plain_http_allowed=is_plain_http_allowed
        )

    def describe_keys(self, description: dict[str, Any]) -> None:
        """Tell pynamodb a table's keys, as DescribeTable or CreateTable names them; it asks for them before a call."""
        if description["TableName"] not in self._connection.known_tables:
            self._connection.add_meta_table(MetaTable(description))

    async def call(
        self,
        operation: str,
        function: Callable[[Connection], Answer],
        table_name: str | None = None,
        *,
        lane: Lane = Lane.ROW,
    ) -> Answer:
        """Run one pynamodb call.

        It waits for a free thread of its lane for as long as that takes, and its deadline starts then: under load a
        queue of checkpoints gets slow, and does not fail. In the session's lane it starts at once, because a worker
        loses its leases by beats that are late.

        Args:
            operation: DynamoDB's name of what `function` does, for messages.
            function: makes the call on the connection that it is given.
            table_name: the table that it is about, if not this one.
            lane: whose threads make it.

        Raises:
            KclError: see `translate`. `ServiceUnavailable` after the deadline; the call may then still reach the table.
        """
        try:
            return await (self._at_once(function) if lane is Lane.SESSION else self._in_turn(function, lane))
        except SDK_ERRORS as error:
            failure = translated(error, f"dynamodb:{operation}", f"table {table_name or self.table_name}")
            # an SDK error about credentials, or about a request that could not be sent, may quote what was signed
            is_quoting = isinstance(failure, CredentialsError | ServiceUnavailable)
            raise failure from (None if is_quoting else error)

    async def send(
        self, operation: str, parameters: Mapping[str, object], table_name: str | None = None
    ) -> dict[str, Any]:
        """Run an operation on the table as a whole that pynamodb has no method for, or not all parameters of."""
        method = xform_name(operation)
        request = {"TableName": table_name or self.table_name, **parameters}

        def send(connection: Connection) -> dict[str, Any]:
            answer: dict[str, Any] = getattr(connection.client, method)(**request)
            return answer

        return await self.call(operation, send, table_name, lane=Lane.BULK)

    async def aside(self, function: Callable[[], Answer]) -> Answer:
        """Run what takes long and calls nobody where bulk calls run, so that the loop goes on beating meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._executors[Lane.BULK], function)

    async def close(self) -> None:
        """End the threads and the connections; a call that was given up and still hangs is left behind."""
        for executor in self._own_executors.values():
            await asyncio.to_thread(executor.shutdown, wait=True, cancel_futures=True)
        self._connection.close()

    async def _at_once(self, function: Callable[[Connection], Answer]) -> Answer:
        async with asyncio.timeout(self._call_timeout_seconds):
            executor = self._executors[Lane.SESSION]
            return await asyncio.get_running_loop().run_in_executor(executor, function, self._connection)

    async def _in_turn(self, function: Callable[[Connection], Answer], lane: Lane) -> Answer:
        loop = asyncio.get_running_loop()

        def start_clock() -> None:
            if not answer.done():  # else the caller has given up, too late to keep the thread from starting
                deadline.reschedule(loop.time() + self._call_timeout_seconds)

        def run() -> Answer:
            # The thread itself says that it is free: a call that was given up holds its thread on, unseen by the loop.
            loop.call_soon_threadsafe(start_clock)
            return function(self._connection)

        async with asyncio.timeout(None) as deadline:
            answer = loop.run_in_executor(self._executors[lane], run)
            return await answer


class _SessionConnection(Connection):
    """pynamodb's connection on a client that a boto3 session makes.

    pynamodb itself makes clients from a new botocore session, with static keys at most: no profile, role or refreshed
    credentials of a session that the user passed.
    """

    def __init__(
        self,
        session: boto3.Session | None,
        region: str | None,
        endpoint_url: str | None,
        config: Config,
        *,
        is_plain_http_allowed: bool,
    ) -> None:
        super().__init__(extra_headers={})  # not None, which would ask pynamodb's process-wide settings
        self._session = session
        chosen = regions.chosen(region, None if session is None else session.region_name)
        self._parameters = {"region_name": chosen, "endpoint_url": endpoint_url, "config": config}
        self._is_plain_http_allowed = is_plain_http_allowed
        self._is_signing = False

    @property
    def known_tables(self) -> frozenset[str]:
        """The tables whose keys pynamodb was told."""
        return frozenset(self._tables)

    @property
    def client(self) -> Any:
        """The client; made anew as long as there are no credentials, because botocore remembers their absence."""
        with _making_client:
            if self._client is None or not self._is_signing:
                self._session = self._session or boto3.Session()
                self._is_signing = self._session.get_credentials() is not None
                try:
                    client = self._session.client("dynamodb", **self._parameters)
                except ValueError as error:  # botocore's for an address that is none
                    raise ConfigError(f"the DynamoDB endpoint cannot be used: {endpoint.shown(str(error))}") from None
                # it may come from the environment or an AWS profile, which `Config` has not seen
                endpoint.check(
                    client.meta.endpoint_url,
                    "the DynamoDB endpoint",
                    is_plain_http_allowed=self._is_plain_http_allowed,
                )
                client.meta.events.register("before-parse.dynamodb.*", _refuse_garbled)
                self._client = client
            return self._client

    def close(self) -> None:
        """Close the pooled connections."""
        if self._client is not None:
            self._client.close()


def _refuse_garbled(response_dict: dict[str, Any], **_: object) -> None:
    """Refuse what botocore would read as an empty answer, which here would mean: no such row, or an empty table."""
    body = response_dict["body"]
    if response_dict["status_code"] != 200:
        _refuse_garbled_refusal(body)
        return
    checksum = response_dict["headers"].get("x-amz-crc32")
    if checksum is not None and str(zlib.crc32(body)) != checksum:
        raise ResponseParserError("the answer does not match its x-amz-crc32")
    try:
        _json_object.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise ResponseParserError("the answer is not a JSON object") from None


def _refuse_garbled_refusal(body: bytes) -> None:
    """Refuse what botocore's parser of errors fails on with an error that it does not wrap."""
    try:
        told = json.loads(body.decode())
    except UnicodeDecodeError:
        raise ResponseParserError("the refusal is not UTF-8") from None
    except ValueError:
        return  # text, such as a proxy's page: botocore takes it as the message
    if not isinstance(told, dict):
        raise ResponseParserError("the refusal is not a JSON object")
