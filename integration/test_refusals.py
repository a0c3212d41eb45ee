"""What a worker refuses: one clear line, the documented exit code, and nothing changed."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from integration.application import Application
from integration.conftest import MakeApplication
from integration.denying_endpoint import DenyingEndpoint
from integration.program import KCL_PY, clean_environment
from integration.services import Services
from integration.worker_program import WorkerProgram

USAGE, REFUSED = 2, 3


def told(worker: WorkerProgram) -> str:
    """The one line of standard error that is not the log; there must be just one, and no traceback anywhere."""
    plain = [line for line in worker.errors if not line.startswith("{")]
    assert len(plain) == 1, worker
    assert not any("Traceback" in line for line in worker.errors), worker
    assert plain[0].startswith("kcl-py: error: ")
    return plain[0].removeprefix("kcl-py: error: ")


def documented_exit_codes() -> dict[int, str]:
    shown = subprocess.run(
        [KCL_PY, "--help"], env=clean_environment(), capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return {int(code): text for code, text in re.findall(r"^ +(\d+) {2,}(\S.*)$", shown, re.MULTILINE)}


def test_exit_codes_are_documented_by_help() -> None:
    codes = documented_exit_codes()
    assert set(codes) == {0, 1, USAGE, REFUSED, 130}
    assert "nothing was changed" in codes[USAGE]
    assert "refused" in codes[REFUSED]


def test_a_stream_that_does_not_exist_is_named(make_application: MakeApplication) -> None:
    app = make_application()
    worker = app.worker(stream="odrers")
    assert worker.ended() == REFUSED
    assert "stream odrers" in told(worker)
    assert "there is no such thing" in told(worker)
    assert app.name not in app.dynamodb.list_tables()["TableNames"]


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("kinesis", "DescribeStreamSummary"),
        ("kinesis", "ListShards"),
        ("kinesis", "GetShardIterator"),
        ("kinesis", "GetRecords"),
        ("dynamodb", "CreateTable"),
        ("dynamodb", "Scan"),
        ("dynamodb", "PutItem"),
        ("dynamodb", "UpdateItem"),
    ],
)
def test_a_missing_permission_is_named_as_its_iam_action(
    make_application: MakeApplication, service: str, operation: str
) -> None:
    app = make_application(shards=1)
    app.producer.put_one("key")
    behind = {"kinesis": app.services.kinesis_url, "dynamodb": app.services.dynamodb_url}[service]
    with DenyingEndpoint(behind, operation) as denying:
        worker = app.worker(services=app.services._replace(**{f"{service}_url": denying.url}))
        assert worker.ended() == REFUSED, worker
    assert f"{service}:{operation}" in told(worker)
    assert "allow" in told(worker)
    assert app.journal.delivered == []
    assert all(not one.is_number for one in app.leases.checkpoints().values())


@pytest.mark.parametrize(
    ("processor", "words"),
    [
        ("Recrding", ("integration.processors:Recrding is not there", "did you mean Recording?")),
        ("Recording.nothing", ("integration.processors:Recording.nothing is not there",)),
    ],
)
def test_a_processor_that_is_not_there_is_named(
    make_application: MakeApplication, processor: str, words: tuple[str, ...]
) -> None:
    app = make_application()
    worker = app.worker(processor=processor)
    assert worker.ended() == USAGE
    for word in words:
        assert word in told(worker)
    assert app.leases.leases() == {}


def test_a_module_that_does_not_import_is_named(tmp_path: Path) -> None:
    ended = subprocess.run(
        [KCL_PY, "run", "no_such_module:Processor", "--stream", "orders", "--application", "billing"],
        env=clean_environment(), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == USAGE
    assert ended.stderr.startswith("kcl-py: error: no_such_module does not import: ModuleNotFoundError")
    assert ended.stderr.count("\n") == 1


def test_an_unknown_key_of_the_file_has_its_nearest_neighbour_named(make_application: MakeApplication) -> None:
    app = make_application()
    (app.folder / "kcl.toml").write_text('chekpoint_interval = "5s"\n')
    worker = app.worker(is_quick=False)
    assert worker.ended() == USAGE
    assert told(worker) == ("unknown key 'chekpoint_interval' in kcl.toml; the nearest setting is checkpoint_interval")
    assert app.leases.leases() == {}


def test_a_table_of_another_shape_is_refused_and_left_alone(make_application: MakeApplication) -> None:
    app = make_application()
    app.dynamodb.create_table(
        TableName=app.name,
        KeySchema=[{"AttributeName": "customer", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "customer", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    app.dynamodb.put_item(TableName=app.name, Item={"customer": {"S": "ann"}})
    before = table_as_it_stands(app)
    worker = app.worker()
    assert worker.ended() == REFUSED
    assert "is not a lease table: its key is customer (S), not leaseKey (S)" in told(worker)
    assert table_as_it_stands(app) == before


def test_a_table_of_another_stream_is_refused_and_left_alone(make_application: MakeApplication) -> None:
    first, other = make_application(), make_application()
    first.producer.put_one("key")
    worker = first.worker()
    first.wait_until_delivered(worker)
    assert worker.drained() == 0
    before = table_as_it_stands(first)

    stranger = first.worker(stream=other.name)
    assert stranger.ended() == REFUSED
    assert f"lease table {first.name} belongs to stream " in told(stranger)
    assert table_as_it_stands(first) == before

    namesake = first.worker("--application", "somebody-else", "--table-name", first.name)
    assert namesake.ended() == REFUSED
    assert f"lease table {first.name} belongs to application {first.name}, not somebody-else" in told(namesake)
    assert table_as_it_stands(first) == before


def test_a_stream_that_was_made_anew_under_its_name_is_another_stream(make_application: MakeApplication) -> None:
    app = make_application()
    app.producer.put_one("key")
    worker = app.worker()
    app.wait_until_delivered(worker)
    assert worker.drained() == 0
    before = table_as_it_stands(app)
    created_at = app.kinesis.describe_stream_summary(StreamName=app.name)["StreamDescriptionSummary"]

    app.kinesis.delete_stream(StreamName=app.name)
    app.kinesis.create_stream(StreamName=app.name, ShardCount=1)
    made_anew = app.kinesis.describe_stream_summary(StreamName=app.name)["StreamDescriptionSummary"]
    assert made_anew["StreamCreationTimestamp"] > created_at["StreamCreationTimestamp"]

    again = app.worker()
    assert again.ended() == REFUSED
    assert f"lease table {app.name} belongs to stream " in told(again)
    assert table_as_it_stands(app) == before


def test_endpoints_that_are_not_there_are_given_up_in_the_end(make_application: MakeApplication) -> None:
    app = make_application()
    nowhere = Services("http://127.0.0.1:1", "http://127.0.0.1:1")
    worker = app.worker(services=nowhere)
    worker.wait_for("service trouble", count=2)
    assert worker.is_running, "a start is tried again for a while"
    assert worker.drained() == 0
    assert app.leases.leases() == {}


def table_as_it_stands(app: Application) -> str:
    """The description and all items, as text."""
    table = app.dynamodb.describe_table(TableName=app.name)["Table"]
    items = app.dynamodb.scan(TableName=app.name, ConsistentRead=True)["Items"]
    shown = {name: table[name] for name in ("KeySchema", "AttributeDefinitions")}
    shown["indexes"] = [index["IndexName"] for index in table.get("GlobalSecondaryIndexes", [])]
    return json.dumps([shown, sorted(items, key=json.dumps)], sort_keys=True)
