"""Workers that are pushed to, and never poll: one joins, one is killed, a shard is split, and all stop at once."""

from contextlib import ExitStack
from pathlib import Path

from integration import owner_changes
from integration.application import Application
from integration.conftest import MakeApplication
from integration.fleet import Fleet
from integration.lease_items import Sampler
from integration.load import Load
from integration.program import eventually
from integration.services import Services
from kcl_py import host
from tests.contracts.kinesis_services import numbered_ministack

KEYS = [f"key-{number}" for number in range(24)]
FAN_OUT = ("--fan-out", "--no-fan-out-fallback")  # whatever is delivered was pushed
BOUNDED = ("--uncheckpointed-records-max", "100", "--shard-listing-interval", "2s")
# pages are as large as what was put within five seconds, or by chance a hundred rounds of all keys of a shard
REDELIVERED_MAX = 100 + 200
# the failover time and three seconds, the service's five between two subscriptions, and a machine that is busy
TAKE_OVER_SECONDS_MAX = 3.0 + 3.0 + 6.0 + 8.0
SUBSCRIPTION_SECONDS = 6  # instead of 300; a worker waits for 5.5 at least before it subscribes again


def test_a_fleet_that_is_pushed_to_hands_over_takes_over_and_follows_a_split(make_application: MakeApplication) -> None:
    app = make_application(shards=4)
    fleet = Fleet(app, *FAN_OUT, *BOUNDED, pause_seconds=0.05)
    with Sampler(app.leases) as sampler:
        with Load(app.producer, KEYS):
            fleet.join(2)
            assert sorted(fleet.evened().values()) == [2, 2]
            fleet.join()
            fleet.evened()
            assert owner_changes.redelivered(app.journal) == {}, "until here everything was done in order"
            killed = fleet.ordinary()
            shards = fleet.shards_of(killed)
            killed_at = host.boottime()
            killed.killed()
            assert max(fleet.gone_on(shards, killed, killed_at).values()) < TAKE_OVER_SECONDS_MAX
            fleet.owned()
            app.operator.split(min(fleet.holders()))
            leaves = {shard["ShardId"] for shard in app.operator.open_shards()}
            eventually(lambda: set(fleet.holders()) == leaves, "the children's leases", of=fleet)
        app.wait_until_delivered()
        fleet.drain()
    app.samples = sampler.samples
    arn = app.kinesis.describe_stream_summary(StreamName=app.name)["StreamDescriptionSummary"]["StreamARN"]
    (consumer,) = app.kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]
    assert (consumer["ConsumerName"], consumer["ConsumerStatus"]) == (app.name, "ACTIVE"), "it outlives its workers"
    assert app.broken_laws() == {}
    assert owner_changes.redelivered_after_order(app.journal, fleet.killed) == {}
    assert owner_changes.redelivered_beyond(app.journal, REDELIVERED_MAX) == {}


def test_a_worker_reads_everything_that_an_independent_server_pushes(
    local: Services, tmp_path: Path, programs: ExitStack
) -> None:
    # no reshard: ministack forgets a shard that is closed, and what was in it
    kinesis = programs.enter_context(numbered_ministack(SUBSCRIPTION_SECONDS))
    services = local._replace(kinesis_url=kinesis.client.meta.endpoint_url)
    app = Application("independently-pushed", services, tmp_path, programs, shards=2)
    put = app.producer.put_rounds
    with Sampler(app.leases) as sampler:
        put(KEYS, 20)
        first = app.worker(*FAN_OUT, "--start", "TRIM_HORIZON").ready()
        app.wait_until_delivered(first)
        subscribed_at = host.boottime()
        with Load(app.producer, KEYS):
            eventually(lambda: host.boottime() > subscribed_at + SUBSCRIPTION_SECONDS + 1, "the next subscriptions")
        app.wait_until_delivered(first)
        assert first.drained() == 0
        put(KEYS, 20)
        second = app.worker(*FAN_OUT)
        app.wait_until_delivered(second)
        put(KEYS, 20)
        app.wait_until_delivered(second)
        assert second.drained() == 0
    app.samples = sampler.samples
    assert app.broken_laws() == {}
    assert owner_changes.redelivered(app.journal) == {}
    assert len({fact.shard for fact in app.journal.delivered}) == 2
    for worker in (first, second):
        assert [worker.events(trouble) for trouble in ("service trouble", "fan out interrupted")] == [[], []]
