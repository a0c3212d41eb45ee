"""No payload, partition key or credential gets into a message, a representation, a traceback or a log."""

import base64
import logging
import traceback
from typing import Any

import pytest
from click.testing import CliRunner

from kcl_py import Config, RecordBatch, Worker
from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.aws.producer import Entry, Producer
from kcl_py.cli import main
from kcl_py.core.record import Record
from kcl_py.errors import KclError
from kcl_py.interfaces import Page
from kcl_py.processor import Checkpointer, RecordProcessor
from kcl_py.runtime.data.user_code import ProcessorRaised, UserCode
from tests.aws.scripted_dynamodb import ScriptedDynamoDB
from tests.aws.scripted_kinesis import connected, refuses, scripted_kinesis
from tests.security import planted

RECORD = Record(
    data=planted.PAYLOAD,
    partition_key=planted.PARTITION_KEY,
    explicit_hash_key="7",
    sequence_number="21",
    arrival_timestamp_seconds=0.0,
)
ECHO = " ".join([
    "Signature:", f"x-amz-security-token:{planted.SESSION_TOKEN}", f"Credential={planted.ACCESS_KEY}/20260301",
    planted.SECRET_KEY,
])  # fmt: skip
CREDENTIAL_CODES = ("ExpiredTokenException", "IncompleteSignatureException", "InvalidSignatureException",
                    "MissingAuthenticationTokenException", "SignatureDoesNotMatch",
                    "UnrecognizedClientException")  # fmt: skip
SDK_LOGGERS = ("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore", "pynamodb", "urllib3")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", planted.ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", planted.SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", planted.SESSION_TOKEN)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


def told(error: BaseException) -> list[str]:
    """All that is shown of an error."""
    return [str(error), repr(error), *traceback.format_exception(error)]


class TestTheSearch:
    @pytest.mark.parametrize("name", planted.ALL)
    @pytest.mark.parametrize(
        "written",
        [
            lambda secret: secret.decode("latin-1"),
            repr,
            lambda secret: {"Data": secret},
            lambda secret: secret.hex(),
            list,
            lambda secret: base64.b64encode(secret).decode(),
            lambda secret: base64.b64encode(b"{" + secret + b"}").decode(),
            lambda secret: base64.b64encode(b"ab" + secret + b"}").decode(),
            lambda secret: repr(secret)[:20],
        ],
    )
    def test_finds_what_is_planted_in_every_form(self, name: str, written: Any) -> None:
        assert planted.found(["before", f"a log line: {written(planted.ALL[name])} and more"]) == {name}

    def test_finds_nothing_where_nothing_is(self) -> None:
        assert planted.found(["planted", "payload", "AKIA"]) == set()


class Processor(RecordProcessor):
    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        raise ValueError(f"cannot read {records[0].data!r} of {records[0].partition_key}")


class TestRepresentations:
    def test_of_what_holds_records_tell_places_alone(self) -> None:
        config = Config(stream="orders", application="billing")
        holders = [
            RECORD,
            [RECORD],
            {"key": RECORD},
            RecordBatch([RECORD], stream="orders", shard_id="s"),
            Page(records=[RECORD], next_iterator="i", child_shards=(), millis_behind_latest=0, size_bytes=1),
            Entry(data=planted.PAYLOAD, partition_key=planted.PARTITION_KEY, explicit_hash_key="7"),
            config,
            Worker(Processor, config),
        ]
        for holder in holders:
            assert planted.found([repr(holder), str(holder), f"{holder}"]) == set(), type(holder)

    async def test_of_what_user_code_raised_neither(self) -> None:
        code = UserCode(Processor, "s")
        await code.create()
        with pytest.raises(ProcessorRaised) as raised:
            await code.call("process_records", RecordBatch([RECORD], stream="orders", shard_id="s"), None)
        code.close()
        assert planted.found([*told(raised.value), raised.value.error]) == set()


class TestRefusals:
    @pytest.mark.parametrize("code", CREDENTIAL_CODES)
    async def test_that_quote_what_was_signed_are_not_quoted(self, code: str) -> None:
        with scripted_kinesis() as service:
            service.will("GetRecords", refuses(code, ECHO))
            service.will("ListShards", refuses(code, ECHO))
            stream = connected(service)
            for call in (lambda: stream.read("s i", 1), stream.list_shards):
                with pytest.raises(KclError) as refused:
                    await call()
                assert planted.found(told(refused.value)) == set()
            await stream.close()
        scripted = ScriptedDynamoDB()
        scripted.refuse("GetItem", code, text=ECHO)
        table = DynamoDBLeaseTable("orders", session=scripted.session)
        with pytest.raises(KclError) as refused:
            await table.lease("s")
        assert planted.found(told(refused.value)) == set()
        await table.close()

    @pytest.mark.parametrize("code", ["InvalidArgumentException", "ValidationException", "InternalFailure", "Odd"])
    async def test_of_a_put_never_quote_the_record(self, code: str) -> None:
        quoting = f"Value '{planted.PARTITION_KEY}' at 'partitionKey', {planted.TEXT_PAYLOAD.decode()} is no good"
        with scripted_kinesis() as service:
            service.will("PutRecords", refuses(code, quoting))
            producer = Producer(connected(service)._connection)
            with pytest.raises(KclError) as refused:
                await producer.put([Entry(data=planted.PAYLOAD, partition_key=planted.PARTITION_KEY)])
            assert planted.found(told(refused.value)) == set()
            await producer.close()

    @pytest.mark.parametrize("name", ["AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    @pytest.mark.parametrize("tail", ["\n", "\r\nx-other: 1", "\u00e4", "\n second line"])
    async def test_of_credentials_that_no_header_can_hold_do_not_show_them(
        self, monkeypatch: pytest.MonkeyPatch, name: str, tail: str
    ) -> None:
        value = {
            "AWS_SESSION_TOKEN": planted.SESSION_TOKEN,
            "AWS_ACCESS_KEY_ID": planted.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": planted.SECRET_KEY,
        }[name]
        monkeypatch.setenv(name, value + tail)
        with scripted_kinesis() as service:
            service.will("ListShards", refuses("InvalidSignatureException", ECHO))
            stream = connected(service)
            table = DynamoDBLeaseTable("orders", endpoint_url=service.endpoint_url, region="eu-west-1")
            service.will("DescribeTable", refuses("InvalidSignatureException", ECHO))
            shown = []
            for call in (stream.list_shards, table.prepare):
                with pytest.raises(KclError) as refused:
                    await call()
                shown += told(refused.value)
            await stream.close()
            await table.close()
        assert planted.found(shown) == set()


@pytest.mark.parametrize(
    "words",
    [
        ("put", "orders", planted.TEXT_PAYLOAD.decode(), "--partition-key", planted.PARTITION_KEY),
        ("tail", "orders", "--start", "TRIM_HORIZON"),
        ("leases", "--application", "orders"),
    ],
)
@pytest.mark.parametrize("code", ["InvalidSignatureException", "ExpiredTokenException"])
def test_a_verbose_command_shows_no_secret_when_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, words: tuple[str, ...], code: str
) -> None:
    with scripted_kinesis() as service, caplog.at_level(logging.DEBUG):
        monkeypatch.setenv("AWS_ENDPOINT_URL", service.endpoint_url)
        for operation in ("PutRecords", "ListShards", "DescribeTable", "Scan"):
            service.will(operation, refuses(code, ECHO))
        result = CliRunner().invoke(main, [*words, "--verbose"])
    assert result.exit_code == 3
    assert "Traceback" in result.stderr
    assert planted.found([result.output, result.stderr, caplog.text]) == set()


class TestLoggers:
    @pytest.mark.parametrize("command", ["put", "tail", "leases", "run", "Worker"])
    def test_of_the_sdk_stay_at_info_whoever_begins(self, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
        root = logging.getLogger()
        before = root.level, list(root.handlers)
        levels = {name: logging.getLogger(name).level for name in SDK_LOGGERS}
        try:
            root.setLevel(logging.DEBUG)
            for name in SDK_LOGGERS:
                logging.getLogger(name).setLevel(logging.NOTSET)
            if command == "Worker":
                Worker(Processor, Config(stream="orders", application="billing"))
            else:
                with scripted_kinesis() as service:
                    monkeypatch.setenv("AWS_ENDPOINT_URL", service.endpoint_url)
                    for operation in ("PutRecords", "ListShards", "DescribeTable", "Scan", "DescribeStreamSummary"):
                        service.will(operation, refuses("ExpiredTokenException", ECHO))
                    words = {
                        "put": ["orders", "x"],
                        "tail": ["orders"],
                        "leases": ["--application", "orders"],
                        "run": [f"{__name__}:Processor", "--stream", "orders", "--application", "billing"],
                    }[command]
                    assert CliRunner().invoke(main, [command, *words]).exit_code == 3
            on = [name for name in SDK_LOGGERS if logging.getLogger(name).isEnabledFor(logging.DEBUG)]
            assert on == []
            assert (root.level, root.handlers) == (logging.DEBUG, before[1])
        finally:
            root.setLevel(before[0])
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
