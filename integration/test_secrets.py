"""A fleet that says all it can, and every command beside it: no payload, key or credential is written anywhere."""

import subprocess
import sys
from pathlib import Path

import pytest

from integration.conftest import MakeApplication
from integration.faults.effects import expire_credentials
from integration.faults.proxy import FaultProxy
from integration.program import KCL_PY, Program, clean_environment
from integration.services import Services
from tests.core.kpl_aggregator import UserRecord, packed
from tests.security import planted

RECORDS = 24  # as a processor counts them: plain ones, two in an aggregate, one that only claims to be one


def environment(services: Services) -> dict[str, str]:
    credentials = {
        "AWS_ACCESS_KEY_ID": planted.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": planted.SECRET_KEY,
        "AWS_SESSION_TOKEN": planted.SESSION_TOKEN,
    }
    return {**clean_environment(), **services.environment, **credentials}


def written(directory: Path) -> list[str]:
    """What stands in any file of a folder, the journal of the tests excepted."""
    files = [path for path in directory.rglob("*") if path.is_file() and "journal" not in path.parts]
    return [path.read_text("utf-8", "replace") for path in files]


def test_a_fleet_that_says_all_it_can_shows_no_secret(make_application: MakeApplication) -> None:
    app = make_application(shards=2)
    talking = Program(
        [sys.executable, "-X", "dev", "-W", "ignore", "-m", "integration.talkative", app.name],
        environment=environment(app.services) | {"INTEGRATION_RECORDS": str(RECORDS)},
        directory=app.folder,
    )
    put = app.kinesis.put_record
    for number in range(RECORDS - 3):
        data = planted.PAYLOAD if number % 2 else planted.TEXT_PAYLOAD
        put(StreamName=app.name, Data=data, PartitionKey=f"{planted.PARTITION_KEY}-{number}")
    inner = [UserRecord(planted.AGGREGATED_KEY, planted.PAYLOAD), UserRecord(planted.PARTITION_KEY, b"x", "7")]
    put(StreamName=app.name, Data=packed(inner), PartitionKey=planted.PARTITION_KEY)
    put(StreamName=app.name, Data=packed(inner)[:-1] + b"!", PartitionKey=planted.PARTITION_KEY)
    with talking:
        assert talking.ended() == 0, talking
    assert "open loggers: []" in talking.output
    assert "root untouched: True True" in talking.output
    everything = "\n".join([*talking.output, *talking.errors])
    for told in ("BatchDelivered", "ProcessorFailed", "MalformedAggregate", "CheckpointWritten", "took 0.0", "Record("):
        assert told in everything, f"{told} was not said, so nothing is shown by its absence"
    assert planted.found([everything, *written(app.folder)]) == set()

    ended = subprocess.run(
        [KCL_PY, "leases", "--application", app.name, "--lag", "--all", "--verbose"],
        env=environment(app.services), cwd=app.folder, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "shard 0" in ended.stdout
    assert planted.found([ended.stdout, ended.stderr]) == set()
    with_payloads = subprocess.run(
        [KCL_PY, "tail", app.name, "--start", "TRIM_HORIZON", "--no-follow", "--verbose"],
        env=environment(app.services), cwd=app.folder, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert planted.found([with_payloads.stdout]) == {"payload", "text payload", "partition key", "aggregated key"}
    assert planted.found([with_payloads.stderr]) == set()


@pytest.mark.parametrize("service", ["kinesis", "dynamodb"])
def test_a_verbose_worker_that_is_refused_shows_none_either(make_application: MakeApplication, service: str) -> None:
    app = make_application(shards=1)
    url = {"kinesis": app.services.kinesis_url, "dynamodb": app.services.dynamodb_url}[service]
    with FaultProxy(url) as proxy, proxy.under(expire_credentials):
        services = app.services._replace(**{f"{service}_url": proxy.url})
        ended = subprocess.run(
            [KCL_PY, "run", "integration.talkative:Talkative", "--stream", app.name, "--application", app.name,
             "--verbose"],
            env=environment(services) | {"INTEGRATION_RECORDS": "1", "PYTHONASYNCIODEBUG": "1"},
            cwd=app.folder, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert ended.returncode == 3, ended.stderr
    assert "Traceback" in ended.stderr
    assert planted.found([ended.stdout, ended.stderr, *written(app.folder)]) == set()
    assert [path.name for path in app.folder.iterdir()] == ["journal"]
