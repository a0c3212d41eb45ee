"""One try per call of the DynamoDB door; what was refused, lost or garbled is called that."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from kcl_py.core.checkpoint import TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Binding, Lease, Settlement, settle
from kcl_py.core.session import Session
from kcl_py.errors import (
    AccessDenied,
    ConditionFailed,
    ConfigError,
    CredentialsError,
    KclError,
    ServiceUnavailable,
    TableError,
    TableMissing,
    Throttled,
)
from tests.aws.scripted_dynamodb import NOWHERE, Door, ScriptedDynamoDB

KEY = "shardId-000000000000"
ANN = "ann@0123abcd"
NEW = Lease(key=KEY, checkpoint=TRIM_HORIZON)
PICK_UP = NEW.picked_up(ANN, Binding("arn@1", "billing", None))


class TestACall:
    @pytest.mark.parametrize(
        ("code", "status", "expected"),
        [
            ("ProvisionedThroughputExceededException", 400, Throttled),
            ("ThrottlingException", 400, Throttled),
            ("RequestLimitExceeded", 400, Throttled),
            ("InternalServerError", 500, ServiceUnavailable),
            ("ServiceUnavailable", 503, ServiceUnavailable),
            ("ConditionalCheckFailedException", 400, ConditionFailed),
            ("ResourceNotFoundException", 400, TableMissing),
            ("AccessDeniedException", 400, AccessDenied),
            ("ExpiredTokenException", 400, CredentialsError),
            ("ValidationException", 400, TableError),
        ],
    )
    async def test_that_is_refused_is_sent_once(
        self, door: Door, scripted: ScriptedDynamoDB, code: str, status: int, expected: type[KclError]
    ) -> None:
        scripted.refuse("UpdateItem", code, status)
        with pytest.raises(expected, match="dynamodb:UpdateItem on table leases") as caught:
            await door(session=scripted.session, endpoint_url=NOWHERE).write(PICK_UP)
        assert type(caught.value) is expected
        assert scripted.operations == ["UpdateItem"]

    @pytest.mark.parametrize(
        "error",
        [
            EndpointConnectionError(endpoint_url=NOWHERE),
            ReadTimeoutError(endpoint_url=NOWHERE),
            ConnectionClosedError(endpoint_url=NOWHERE),
            ConnectionResetError(),
        ],
    )
    async def test_without_an_answer_is_sent_once(
        self, door: Door, scripted: ScriptedDynamoDB, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
        scripted.fail("UpdateItem", error)
        with pytest.raises(ServiceUnavailable, match="dynamodb:UpdateItem on table leases"):
            await door(session=scripted.session, endpoint_url=NOWHERE).write(PICK_UP)
        assert scripted.operations == ["UpdateItem"]

    @pytest.mark.parametrize("body", [b"", b"<html>", b'{"Item": {', b"[]", b"null", b"\xff"])
    async def test_whose_answer_is_garbled_has_no_answer(
        self, door: Door, scripted: ScriptedDynamoDB, body: bytes
    ) -> None:
        """Else an empty answer would mean that the row, or every row, is gone."""
        scripted.answer("GetItem", body)
        scripted.answer("Scan", body)
        scripted.refuse("DescribeTable", "ResourceNotFoundException")
        table = door(session=scripted.session, endpoint_url=NOWHERE)
        with pytest.raises(ServiceUnavailable):
            await table.lease(KEY)
        with pytest.raises(ServiceUnavailable):
            await table.snapshot()

    @pytest.mark.parametrize("body", [b"\xe9t\xe9", b'"refused"', b"[]", b'{"__type": "\x00\xff'])
    @pytest.mark.parametrize("status", [400, 502])
    async def test_whose_refusal_is_garbled_has_no_answer(
        self, door: Door, scripted: ScriptedDynamoDB, body: bytes, status: int
    ) -> None:
        """botocore's parser fails on these with errors that are not its own."""
        scripted.answer("UpdateItem", body, status)
        with pytest.raises(ServiceUnavailable):
            await door(session=scripted.session, endpoint_url=NOWHERE).write(PICK_UP)

    async def test_whose_answer_lacks_its_items_has_no_answer(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        scripted.answer("Scan", {})
        scripted.refuse("DescribeTable", "ResourceNotFoundException")
        with pytest.raises(ServiceUnavailable):
            await door(session=scripted.session, endpoint_url=NOWHERE).snapshot()

    async def test_to_a_port_where_nobody_listens_fails_at_once(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        with pytest.raises(ServiceUnavailable):
            await door(session=scripted.session, endpoint_url=NOWHERE).lease(KEY)

    async def test_to_an_address_that_is_none_is_a_setting_to_repair(
        self, door: Door, scripted: ScriptedDynamoDB
    ) -> None:
        with pytest.raises(ConfigError, match="endpoint"):
            await door(session=scripted.session, endpoint_url="localhost:8000").lease(KEY)

    async def test_that_hangs_is_given_up(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        answered = threading.Event()

        def hang(**_: object) -> None:
            answered.wait(10)

        scripted.session.events.register("before-send.dynamodb.GetItem", hang)
        table = door(session=scripted.session, endpoint_url=NOWHERE, call_timeout_seconds=0.2)
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable, match="TimeoutError"):
            await table.lease(KEY)
        assert time.monotonic() - began < 5
        answered.set()

    async def test_runs_in_the_executor_that_was_passed(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        threads: list[str] = []
        scripted.session.events.register(
            "before-send.dynamodb.*", lambda **_: threads.append(threading.current_thread().name)
        )
        scripted.answer("GetItem", {})
        with ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
            table = door(session=scripted.session, endpoint_url=NOWHERE, executor=executor)
            assert await table.lease(KEY) is None
            await table.close()
            assert executor.submit(lambda: "alive").result() == "alive"
        assert threads == ["mine_0"]


async def test_every_read_but_the_indexs_is_consistent(door: Door, scripted: ScriptedDynamoDB) -> None:
    scripted.answer("GetItem", {})
    scripted.answer("Scan", {"Items": []})
    scripted.refuse("DescribeTable", "ResourceNotFoundException")
    table = door(session=scripted.session, endpoint_url=NOWHERE)
    await table.lease(KEY)
    await table.session(KEY)
    await table.snapshot()
    await table.foreign_pulse()
    await table.lease_keys_of(KEY)
    reads = [request for request in scripted.requests if b"DescribeTable" not in request.headers["X-Amz-Target"]]
    assert len(reads) == 5
    assert all(b'"ConsistentRead": true' in request.body for request in reads)


class TestALostAnswer:
    async def test_of_a_write_that_was_applied_is_settled_by_a_read(
        self, door: Door, scripted: ScriptedDynamoDB, moto_url: str
    ) -> None:
        table = door("lost-write", session=scripted.session, endpoint_url=moto_url)
        await table.prepare()
        await table.create(NEW)
        scripted.drop_answer("UpdateItem", ReadTimeoutError(endpoint_url=moto_url))
        with pytest.raises(ServiceUnavailable):
            await table.write(PICK_UP)
        row = await table.lease(KEY)
        assert row == PICK_UP.after
        assert settle([PICK_UP], row) == Settlement.LANDED
        assert b'"ConsistentRead": true' in scripted.requests[-1].body

    async def test_of_a_write_that_never_left_is_settled_by_a_read(
        self, door: Door, scripted: ScriptedDynamoDB, moto_url: str
    ) -> None:
        table = door("unsent-write", session=scripted.session, endpoint_url=moto_url)
        await table.prepare()
        await table.create(NEW)
        scripted.fail("UpdateItem", ConnectionClosedError(endpoint_url=moto_url))
        scripted.let_through("UpdateItem")
        with pytest.raises(ServiceUnavailable):
            await table.write(PICK_UP)
        assert settle([PICK_UP], await table.lease(KEY)) == Settlement.NOT_LANDED
        await table.write(PICK_UP)
        assert await table.lease(KEY) == PICK_UP.after

    async def test_of_a_beat_is_found_in_the_entry(self, door: Door, scripted: ScriptedDynamoDB, moto_url: str) -> None:
        table = door("lost-beat", session=scripted.session, endpoint_url=moto_url)
        await table.prepare()
        session = Session(key=ANN)
        await table.write_session(None, session)
        scripted.drop_answer("UpdateItem", ConnectionClosedError(endpoint_url=moto_url))
        with pytest.raises(ServiceUnavailable):
            await table.write_session(session, session.beaten(4))
        assert await table.session(ANN) == session.beaten(4)


async def test_a_row_of_another_owner_is_guarded_by_both_owners_and_the_counter(
    door: Door, scripted: ScriptedDynamoDB
) -> None:
    scripted.answer("UpdateItem", {})
    seen = Lease(key=KEY, owner="b", checkpoint_owner="a", counter=7, checkpoint=Checkpoint("1"))
    await door(session=scripted.session, endpoint_url=NOWHERE).write(seen.checkpointed(Checkpoint("2")))
    (request,) = scripted.requests
    body = request.body.decode()
    assert body.count('"b"') == body.count('"a"') == body.count('{"N": "7"}') == 1
    for name in ("leaseKey", "leaseOwner", "checkpointOwner", "leaseCounter"):
        assert name in body
