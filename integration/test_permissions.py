"""The IAM policies that ship: a fleet uses all that they allow and no more, and names the action that it is denied."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from integration.application import Application
from integration.conftest import MakeApplication
from integration.faults.effects import Effect
from integration.faults.exchange import Exchange
from integration.faults.proxy import FaultProxy
from integration.faults.wire import refusal
from integration.program import eventually
from integration.services import Services
from integration.worker_program import WorkerProgram
from tests.policies import allowed

REFUSED = 3
STEADY = (
    "kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:GetRecords",
    "dynamodb:UpdateItem", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan",
)  # fmt: skip
NOT_AT_EVERY_START = {"kms:Decrypt", "dynamodb:UpdateTable", "dynamodb:TagResource", "dynamodb:UpdateContinuousBackups"}


async def deny(exchange: Exchange) -> None:
    """The identity lacks the permission."""
    await exchange.answer(refusal("AccessDeniedException", "User: somebody is not authorized to perform it", 400))


async def deny_the_key(exchange: Exchange) -> None:
    """The stream is encrypted, and the identity may not use the key."""
    await exchange.answer(refusal("KMSAccessDeniedException", "The ciphertext refers to a key", 400))


async def expire(exchange: Exchange) -> None:
    """The shard iterator was not used for five minutes."""
    await exchange.answer(refusal("ExpiredIteratorException", "Iterator expired", 400))


@contextmanager
def watched(app: Application) -> Iterator[tuple[Services, FaultProxy, FaultProxy]]:
    with FaultProxy(app.services.kinesis_url) as kinesis, FaultProxy(app.services.dynamodb_url) as dynamodb:
        yield app.services._replace(kinesis_url=kinesis.url, dynamodb_url=dynamodb.url), kinesis, dynamodb


def test_a_fleet_s_whole_life_uses_what_the_policies_allow_and_all_of_it(make_application: MakeApplication) -> None:
    app = make_application(shards=2)
    run, provision = allowed("run"), allowed("provision")
    assert {"kinesis:GetRecords", "dynamodb:Query", "dynamodb:DeleteItem"} <= run
    with watched(app) as (services, kinesis, dynamodb):

        def used() -> set[str]:
            return {f"kinesis:{one.request.operation}" for one in kinesis.requests()} | {
                f"dynamodb:{one.request.operation}" for one in dynamodb.requests()
            }

        worker = app.worker(services=services).ready()
        other = app.worker(services=services).ready()
        app.producer.put_rounds(["a", "b", "c", "d"], 2)
        app.operator.split("shardId-000000000000")
        app.wait_until_delivered(worker)
        eventually(lambda: used() >= run - NOT_AT_EVERY_START - {"dynamodb:DeleteItem"}, "all but what a leaver does")
        assert other.drained() == 0
        assert worker.drained() == 0
        assert used() - run - provision == set(), "an action is used that no policy allows"
        assert run - used() - NOT_AT_EVERY_START == set(), "the run policy allows what nobody uses"
        before = len(kinesis.exchanges), len(dynamodb.exchanges)
        again = app.worker(services=services).ready()
        assert again.drained() == 0
        later = {f"dynamodb:{one.request.operation}" for one in dynamodb.exchanges[before[1] :]}
        later |= {f"kinesis:{one.request.operation}" for one in kinesis.exchanges[before[0] :]}
        assert later - run == set(), "a table that stands needs the run policy alone"


@pytest.mark.parametrize("operation", ["DescribeTable", "GetItem", "BatchGetItem", "Query"])
def test_what_is_denied_at_the_start_on_the_table_is_named(make_application: MakeApplication, operation: str) -> None:
    app = make_application(shards=1)
    with watched(app) as (services, _, dynamodb), dynamodb.under(deny, operation):
        worker = app.worker(services=services)
        assert worker.ended() == REFUSED, worker
    assert f"allow dynamodb:{operation}" in worker.errors[-1]
    assert app.journal.delivered == []


def named(workers: Iterable[WorkerProgram], action: str) -> None:
    """Wait until one of the workers says which action it is denied; none of them ends of it."""

    def look() -> list[object]:
        told = [entry for worker in workers for entry in worker.events("service trouble")]
        return [entry for entry in told if re.search(rf"(allow|and) {action}\b", str(entry["reason"]))]

    eventually(look, f"trouble that names {action}; {[str(worker) for worker in workers]}", within=40)
    assert all(worker.is_running for worker in workers)


def test_each_action_that_is_denied_to_a_running_fleet_is_named_and_ends_nobody(
    make_application: MakeApplication,
) -> None:
    app = make_application(shards=2)
    tried: set[str] = set()
    with watched(app) as (services, kinesis, dynamodb):
        workers = [app.worker("--shard-listing-interval", "2s", services=services).ready() for _ in range(2)]
        for worker in workers:  # what was allowed before may come back; who never read ends, and says why
            worker.wait_for("shard started")
        app.producer.put_rounds(["a", "b", "c", "d"], 1)
        app.wait_until_delivered()

        @contextmanager
        def denied(action: str, effect: Effect = deny, to: str = "") -> Iterator[None]:
            operation = to or action.partition(":")[2]
            with kinesis.under(effect, operation), dynamodb.under(effect, operation):
                yield
                named(workers, action)
            tried.add(action)

        for action in STEADY:
            with denied(action):
                pass
        with denied("kms:Decrypt", deny_the_key, to="GetRecords"):
            pass
        with kinesis.under(expire, "GetRecords", times=1), denied("kinesis:GetShardIterator"):
            pass
        with denied("dynamodb:PutItem"):
            app.operator.split("shardId-000000000000")
        app.producer.put_rounds(["a", "b", "c", "d"], 1)
        app.wait_until_delivered()
        with denied("dynamodb:DescribeTable"):
            entry = app.leases.worker_entries()[0]["leaseKey"]  # whose session is over without it
            app.dynamodb.delete_item(TableName=app.name, Key={"leaseKey": entry})
        app.producer.put_rounds(["a", "b", "c", "d"], 1)
        app.wait_until_delivered()
        eventually(lambda: len(app.leases.worker_entries()) == len(workers), "all have a session again")
        for worker in workers:
            with dynamodb.under(deny, "DeleteItem"):
                assert worker.drained() == 0
            assert any("allow dynamodb:DeleteItem" in line for line in worker.errors), worker
    assert tried | {"dynamodb:DeleteItem"} == allowed("run")
