"""Enhanced fan-out on bad lines: what happens to a subscription after some of its events have passed.

Without fallback whatever is delivered was pushed: the proxies have seen no GetRecords.
"""

import json
from contextlib import ExitStack

from integration import laws
from integration.faults import effects
from integration.faults.cells import cell
from integration.faults.exchange import Exchange
from integration.faults.faulty_fleet import KEYS, FaultyFleet, MakeFleet
from integration.program import eventually
from kcl_py import host

SUBSCRIBE, EVENT = "SubscribeToShard", "SubscribeToShardEvent"
POLLED_MEANWHILE = ("--fan-out",)
ALWAYS_PUSHED = ("--fan-out", "--no-fan-out-fallback")
MANY_KEYS = [f"key-{number}" for number in range(60)]  # in one request, so that they make one event of each shard
SILENCE_SECONDS = 120.0  # a subscription may be silent for 45 before it is given up, and this machine is busy


class Pushed:
    """A worker, its shards, and what it has been through since it was first pushed to."""

    def __init__(self, fleet: FaultyFleet) -> None:
        self.fleet = fleet
        (self.worker,) = fleet.join()
        self.shards = sorted(shard["ShardId"] for shard in fleet.app.operator.open_shards())
        fleet.app.producer.put_rounds(KEYS, 2)
        fleet.app.wait_until_delivered(self.worker)
        self._began = host.boottime()

    def asked(self, *operations: str, shard: str = "") -> list[Exchange]:
        return self.fleet.lines(self.worker).kinesis.requests(*operations, place=shard)

    def subscriptions(self, shard: str) -> list[str]:
        """How each began."""
        return [_beginning(exchange) for exchange in self.asked(SUBSCRIBE, shard=shard)]

    def settle(self) -> None:
        """Everything is done, in order, no lease has moved, and nothing was delivered twice."""
        self.fleet.settle()
        assert self.fleet.epochs_since(self._began) == []
        assert laws.repeats(self.fleet.app.journal) == []

    def pushed_again(self, shard: str, number: int) -> None:
        """Wait until the subscription of this number has brought an event."""
        kinesis = self.fleet.lines(self.worker).kinesis

        def look() -> bool:
            begun = self.asked(SUBSCRIBE, shard=shard)[number - 1 :]
            passed = [one for one in kinesis.requests(EVENT, place=shard) if begun and one.at > begun[0].at]
            return len([one for one in passed if one.status == 200]) > 1  # the first piece says that it has begun

        eventually(look, f"an event of {shard} by subscription {number}", of=self.worker)


def _beginning(subscribing: Exchange) -> str:
    return str(json.loads(subscribing.request.body)["StartingPosition"]["Type"])


@cell("half-open socket", "steady", "R")
@cell("fan-out", "steady", "back off")
def a_subscription_that_falls_silent_drips_or_never_begins_is_made_again(make_fleet: MakeFleet) -> None:
    pushed = Pushed(make_fleet(*ALWAYS_PUSHED, shards=4))
    fleet, (silent, dripping, hanging, well) = pushed.fleet, pushed.shards
    with ExitStack() as stack:
        rules = [
            stack.enter_context(fleet.under(effect, operation, place=shard, times=1))
            for effect, operation, shard in (
                (effects.half_open, EVENT, silent),
                (effects.drip, EVENT, dripping),
                (effects.half_open, SUBSCRIBE, hanging),
                (effects.drop, EVENT, hanging),
            )
        ]
        fleet.app.producer.put_rounds(KEYS, 2)
        for rule in rules:
            rule.wait_for_hits()
        put = {put.payload for put in fleet.app.producer.puts if put.shard == well}
        eventually(lambda: put <= fleet.app.journal.payloads, "the records of the shard beside them", of=fleet)
        for shard in (silent, dripping, hanging):
            pushed.worker.wait_for("service trouble", shard=shard, count=1 + (shard == hanging), within=SILENCE_SECONDS)
    pushed.settle()
    again = "AFTER_SEQUENCE_NUMBER"
    assert [pushed.subscriptions(shard)[1:] for shard in pushed.shards] == [[again], [again], [again, again], []]
    assert pushed.asked("GetRecords") == []
    fleet.drain()


@cell("fan-out", "steady", "back off")
def a_subscription_that_is_reset_inside_a_frame_goes_on_after_the_last_whole_one(make_fleet: MakeFleet) -> None:
    pushed = Pushed(make_fleet(*ALWAYS_PUSHED))
    with pushed.fleet.load(), ExitStack() as stack:
        rules = [
            stack.enter_context(pushed.fleet.under(effects.tear, EVENT, place=shard, every=2, times=2))
            for shard in pushed.shards
        ]
        for rule in rules:
            rule.wait_for_hits(2)
    pushed.settle()
    again = "AFTER_SEQUENCE_NUMBER"
    assert [pushed.subscriptions(shard)[1:] for shard in pushed.shards] == [[again, again]] * 2
    assert pushed.asked("GetRecords") == []
    pushed.fleet.drain()


@cell("malformed answers", "steady", "R")
def frames_that_are_garbled_or_say_another_letter_are_not_believed(make_fleet: MakeFleet) -> None:
    pushed = Pushed(make_fleet(*ALWAYS_PUSHED))
    first, second = pushed.shards
    with (
        pushed.fleet.load(),
        pushed.fleet.under(effects.misspell, EVENT, place=first, every=2, times=2) as misspelling,
        pushed.fleet.under(effects.garble, EVENT, place=second, times=1) as garbling,
    ):
        misspelling.wait_for_hits(2)
        garbling.wait_for_hits()
    pushed.settle()
    for shard, count in ((first, 2), (second, 1)):
        told = [entry["reason"] for entry in pushed.worker.events("service trouble", shard=shard)]
        assert [reason for reason in told if "its checksum is another" not in reason] == []
        assert len(told) == count
    assert any(b'"Data"' in hit.outcome.body for hit in misspelling.hits if hit.outcome), "a record was misspelt"
    assert [len(pushed.subscriptions(shard)) for shard in pushed.shards] == [3, 2]
    assert pushed.asked("GetRecords") == []
    pushed.fleet.drain()


@cell("fan-out", "steady", "back off")
def a_slow_line_that_brings_bytes_is_not_taken_for_dead(make_fleet: MakeFleet) -> None:
    pushed = Pushed(make_fleet(*ALWAYS_PUSHED))
    with pushed.fleet.under(effects.slow_link(400), EVENT) as rule:
        pushed.fleet.app.producer.put_rounds(MANY_KEYS, 1)
        pushed.settle()
    assert max(len(hit.outcome.body) for hit in rule.hits if hit.outcome) > 4_000, (
        "ten seconds, twice the time between events"
    )
    assert [pushed.subscriptions(shard) for shard in pushed.shards] == [["TRIM_HORIZON"]] * 2
    assert pushed.worker.events("service trouble") == []
    assert pushed.asked("GetRecords") == []
    pushed.fleet.drain()


@cell("Kinesis 500/503/throttle", "start-up", "R")
def subscriptions_that_are_refused_at_first_are_asked_for_until_they_are_granted(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(*ALWAYS_PUSHED)
    first, second = sorted(shard["ShardId"] for shard in fleet.app.operator.open_shards())
    fleet.app.producer.put_rounds(KEYS, 2)
    worker = fleet.start()
    with (
        fleet.under(effects.fail, SUBSCRIBE, place=first, times=6),
        fleet.under(effects.throttle, SUBSCRIBE, place=second, times=6),
    ):
        fleet.app.wait_until_delivered(worker)
    fleet.settle()
    kinesis = fleet.lines(worker).kinesis
    answered = [[one.status for one in kinesis.requests(SUBSCRIBE, place=shard)] for shard in (first, second)]
    assert answered == [[500] * 6 + [200], [400] * 6 + [200]]
    assert kinesis.requests("GetRecords") == []
    assert laws.repeats(fleet.app.journal) == []
    fleet.drain()


@cell("Kinesis 500/503/throttle", "start-up", "R")
def polling_stands_in_for_subscriptions_that_are_refused_again_and_again(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(*POLLED_MEANWHILE)
    shards = sorted(shard["ShardId"] for shard in fleet.app.operator.open_shards())
    worker = fleet.start()
    with fleet.under(effects.fail, SUBSCRIBE):
        for shard in shards:
            assert worker.wait_for("fan out interrupted", shard=shard)["is_polled"]
        with fleet.load():
            eventually(
                lambda: all(fleet.lines(worker).kinesis.requests("GetRecords", place=one) for one in shards), "polls"
            )
        fleet.settle()
    assert [len(fleet.lines(worker).kinesis.requests(SUBSCRIBE, place=shard)) for shard in shards] == [5, 5]
    assert laws.repeats(fleet.app.journal) == []
    fleet.drain()


@cell("Kinesis 500/503/throttle", "steady", "R")
@cell("fan-out", "steady", "back off")
def polling_stands_in_for_a_broken_subscription_until_pushing_comes_back(make_fleet: MakeFleet) -> None:
    pushed = Pushed(make_fleet(*POLLED_MEANWHILE))
    broken, well = pushed.shards
    with (
        pushed.fleet.load(),
        pushed.fleet.under(effects.fail, SUBSCRIBE, place=broken, first=2, times=2) as refusing,
        pushed.fleet.under(effects.tear, EVENT, place=broken, every=2, times=2),
    ):
        assert pushed.worker.wait_for("fan out interrupted", shard=broken)["is_polled"]
        refusing.wait_for_hits(2)
        pushed.worker.wait_for("fan out resumed", shard=broken)
        pushed.pushed_again(broken, number=5)
    pushed.settle()
    polls, subscriptions = pushed.asked("GetRecords"), pushed.asked(SUBSCRIBE)
    assert {poll.place for poll in polls} == {broken}
    granted = [one.at for one in subscriptions if one.place == broken and one.status == 200]
    assert granted[0] < polls[0].at < polls[-1].at < granted[-1]
    assert len([one for one in subscriptions if one.place == well]) == 1
    pushed.fleet.drain()


@cell("Kinesis gone", "steady", "C, lease kept")
def kinesis_that_is_gone_takes_every_subscription_and_no_lease(make_fleet: MakeFleet) -> None:
    """One worker goes on by itself, the other with what polling gets meanwhile."""
    fleet = make_fleet("--fan-out", shards=4)
    by_itself = fleet.start("--no-fan-out-fallback").ready()
    fleet.join()
    fleet.evened()
    own = fleet.shards_of(by_itself)
    with fleet.load():
        fleet.app.wait_until_delivered()
        began = host.boottime()
        with fleet.under(effects.drop, service="kinesis") as rule:
            fleet.last(2, since=began)
        back = host.boottime()
        asked = {exchange.place for exchange in rule.hits}
    fleet.settle()
    assert own <= asked
    assert fleet.epochs_since(began) == []
    assert laws.repeats(fleet.app.journal) == []
    kinesis = fleet.lines(by_itself).kinesis
    assert {one.place for one in kinesis.requests(SUBSCRIBE, since=back) if one.status == 200} == own
    assert kinesis.requests("GetRecords") == []
    fleet.drain()
