"""Twenty workers and twenty shards: nineteen of them join in a burst, and leave in another."""

from integration import owner_changes
from integration.conftest import MakeApplication
from integration.fleet import Fleet
from integration.lease_items import Sampler
from integration.load import Load
from kcl_py import host

KEYS = [f"key-{number}" for number in range(160)]  # some in every shard
CROWDS = (5, 5, 5, 4)  # workers per process: twenty interpreters would only measure how long Python takes to start


def test_each_shard_moves_once_when_nineteen_workers_join_and_once_when_they_leave(
    make_application: MakeApplication,
) -> None:
    app = make_application(shards=20)
    # nobody is to fail over here, however busy the machine is
    fleet = Fleet(app, "--failover", "10s", pause_seconds=0.02)
    with Sampler(app.leases, interval_seconds=1.0) as sampler:
        with Load(app.producer, KEYS, interval_seconds=0.5):
            (first,) = fleet.join()
            fleet.owned()
            joined_at = host.boottime()
            crowds = fleet.join_crowds(CROWDS)
            ready_at = host.boottime()
            assert set(fleet.evened().values()) == {1}
            even_at = host.boottime()
            assert owner_changes.moved_again(app.journal, joined_at) == {}

            left_at = host.boottime()
            for crowd in crowds:
                crowd.terminated()
            elsewhere = set(fleet.holders()) - fleet.shards_of(first)
            assert len(elsewhere) == 19
            assert [crowd.ended() for crowd in crowds] == [0, 0, 0, 0]
            gone_at = host.boottime()
            assert fleet.owned() == {first.session: 20}
            app.producer.put_rounds(KEYS, 1)
        app.wait_until_delivered(first)
        assert owner_changes.moved_again(app.journal, left_at) == {}
        assert first.drained() == 0
    app.samples = sampler.samples
    print(
        f"ready after {ready_at - joined_at:.1f} s, even after {even_at - ready_at:.1f} s more, "
        f"left within {gone_at - left_at:.1f} s"
    )
    assert app.broken_laws() == {}
    assert owner_changes.redelivered(app.journal) == {}
