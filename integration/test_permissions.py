"""The IAM policies that ship: a fleet uses all that they allow and no more, and names the action that it is denied."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from integration.application import Application
from integration.conftest import MakeApplication
from integration.faults.exchange import Exchange
from integration.faults.proxy import FaultProxy
from integration.faults.wire import refusal
from integration.program import eventually
from integration.services import Services
from tests.policies import allowed

REFUSED = 3
STEADY = ("GetRecords", "UpdateItem", "GetItem", "Query", "Scan")
NOT_AT_EVERY_START = {"kms:Decrypt", "dynamodb:UpdateTable", "dynamodb:TagResource", "dynamodb:UpdateContinuousBackups"}


async def deny(exchange: Exchange) -> None:
    """The identity lacks the permission."""
    await exchange.answer(refusal("AccessDeniedException", "User: somebody is not authorized to perform it", 400))


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


def test_what_is_denied_to_a_running_worker_is_named_and_ends_it_not(make_application: MakeApplication) -> None:
    app = make_application(shards=1)
    with watched(app) as (services, kinesis, dynamodb):
        worker = app.worker(services=services).ready()
        app.producer.put_one("key")
        app.wait_until_delivered(worker)
        for operation in STEADY:
            action = f"{'kinesis' if operation == 'GetRecords' else 'dynamodb'}:{operation}"
            with kinesis.under(deny, operation), dynamodb.under(deny, operation):
                eventually(
                    lambda action=action: [  # type: ignore[misc]
                        entry for entry in worker.events("service trouble") if f"allow {action}" in str(entry["reason"])
                    ],
                    f"trouble that names {action}; {worker}",
                    within=40,
                )
            assert worker.is_running
        app.producer.put_one("key")
        app.wait_until_delivered(worker)
        assert worker.drained() == 0
