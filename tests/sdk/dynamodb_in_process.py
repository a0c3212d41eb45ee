"""A DynamoDB in this process, behind an unmodified pynamodb, boto3 and botocore; its calls take virtual time."""

import asyncio
import copy
import itertools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import boto3
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from moto.core.request import normalize_request
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.responses import DynamoHandler

from kcl_py.aws.lane import Lane
from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.aws.table_life import TableOptions
from kcl_py.local import dynamodb_server
from tests.sdk.wire import NOWHERE, Answer, Outcome, Wire

REGION = "eu-west-1"
T = TypeVar("T")
_MODELS = botocore.session.Session().get_component("data_loader")  # reads the service's description once
_accounts = itertools.count(900_000_000_000)


class DynamoDBInProcess:
    """Tables that begin empty and are nobody else's."""

    def __init__(self) -> None:
        self._account = str(next(_accounts))
        self.wire = Wire(self._answer)
        self._session = _WiredSession(self.wire)

    def door(self, table_name: str = "leases", *, options: TableOptions | None = None) -> DynamoDBLeaseTable:
        """A door of a worker's own, which makes its calls without a thread."""
        door = DynamoDBLeaseTable(table_name, session=self._session, endpoint_url=NOWHERE, options=options)
        connection = door._connection
        connection._executors = dict.fromkeys(Lane, self._session.executor)
        connection._own_executors = {}  # none of them has begun a thread
        return door

    def forget(self) -> None:
        """Drop the tables."""
        with dynamodb_server._single_file:
            dynamodb_backends.pop(self._account, None)

    def remembered(self) -> Any:
        """A copy of all that stands in the tables, for `recall`."""
        return copy.deepcopy(dynamodb_backends[self._account][REGION].tables)

    def recall(self, tables: Any) -> None:
        """Make everything as it was then."""
        dynamodb_backends[self._account][REGION].tables = copy.deepcopy(tables)

    def tamper(self, key: str, attributes: dict[str, Any], table_name: str = "leases") -> None:
        """Do behind everybody's back what somebody else might: set attributes, or take them away (None).

        Without attributes the whole item goes.
        """
        items = dynamodb_backends[self._account][REGION].tables[table_name].items
        place = DynamoType({"S": key})
        if not attributes:
            del items[place]
        for name, value in attributes.items():
            if value is None:
                items[place].attrs.pop(name, None)
            else:
                items[place].attrs[name] = DynamoType(value)

    def create_bare(self, table_name: str) -> None:
        """Create a table as somebody does who knows nothing of indexes."""
        dynamodb_backends[self._account][REGION].create_table(
            table_name,
            schema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
            attr=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
            throughput=None, global_indexes=None, indexes=None, streams=None, billing_mode="PAY_PER_REQUEST",
            sse_specification=None, tags=[], deletion_protection_enabled=False, warm_throughput=None,
        )  # fmt: skip

    def is_recoverable(self, table_name: str) -> bool:
        """True if the table has point-in-time recovery."""
        backups = dynamodb_backends[self._account][REGION].describe_continuous_backups(table_name)
        return bool(backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED")

    def _answer(self, request: AWSPreparedRequest) -> Answer:
        request.headers["x-moto-account-id"] = self._account
        normalized = normalize_request(request)
        with dynamodb_server._single_file:
            status, headers, body = DynamoHandler.dispatch(normalized, normalized.raw_url, normalized.headers)
        text = {str(name).lower(): str(value) for name, value in headers.items()}
        return Answer(int(status), text, body.encode() if isinstance(body, str) else body)


class _WiredSession(boto3.Session):  # type: ignore[misc]
    """A user's session, whose clients send over a wire."""

    def __init__(self, wire: Wire) -> None:
        core = botocore.session.Session()
        core.register_component("data_loader", _MODELS)
        core.set_credentials("AKIATEST", "secret")
        super().__init__(botocore_session=core, region_name=REGION)
        self.executor = _TimedExecutor()
        self._wire = wire
        self.events.register("before-send.dynamodb.*", self._sent)

    def client(self, *arguments: Any, config: Any, **options: Any) -> Any:
        self._wire.read_timeout_seconds = config.read_timeout
        return super().client(*arguments, config=config, **options)

    def _sent(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        outcome = self._wire.carry(request)
        self.executor.note(outcome)
        if isinstance(outcome.result, Exception):
            raise outcome.result
        answer = outcome.result
        return AWSResponse(request.url, answer.status, answer.headers, _Body(answer.body))


class _TimedExecutor(ThreadPoolExecutor):
    """Runs at once, in the loop's own thread, what would run in another; its outcome comes when its answer does."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)  # a thread is begun by `submit` alone, which is not this one
        self._seconds = 0.0

    def note(self, outcome: Outcome) -> None:
        """The call that runs now takes so long."""
        self._seconds += outcome.seconds

    def submit(self, function: Callable[..., T], /, *arguments: Any, **options: Any) -> "Future[T]":
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._seconds = 0.0
        try:
            finish = partial(future.set_result, function(*arguments, **options))
        except Exception as error:  # noqa: BLE001 - as every executor does
            finish = partial(future.set_exception, error)
        asyncio.get_running_loop().call_later(self._seconds, finish)
        return future


class _Body:
    """What botocore reads an answer's body from."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> list[bytes]:
        return [self._body]
