"""Workers that are pushed to, and never poll: one joins, one is killed, a shard is split, and all stop at once."""

from integration import owner_changes
from integration.conftest import MakeApplication
from integration.fleet import Fleet
from integration.lease_items import Sampler
from integration.load import Load
from integration.program import eventually
from kcl_py import host

KEYS = [f"key-{number}" for number in range(24)]
FAN_OUT = ("--fan-out", "--no-fan-out-fallback")  # whatever is delivered was pushed
BOUNDED = ("--uncheckpointed-records-max", "100", "--shard-listing-interval", "2s")
# pages are as large as what was put within five seconds, or by chance a hundred rounds of all keys of a shard
REDELIVERED_MAX = 100 + 200
# the failover time and three seconds, the service's five between two subscriptions, and a machine that is busy
TAKE_OVER_SECONDS_MAX = 3.0 + 3.0 + 6.0 + 8.0


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
