"""A fleet of values over a stream that is split, merged and trimmed at random: nothing is skipped, and order holds.

One record is put into every open shard each second. Listings come late or with a shard left out (never both, and never
two in a row with one left out), whoever makes rows dies between two of them, consumers stop anywhere, and a fleet that
was ready once sleeps beyond retention. In the end the records that had to be delivered are counted, and every delivery
is checked when it happens.
"""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcl_py.core.audit import end_of_trimmed, missing_children, removable, trimmed
from kcl_py.core.bootstrap import LATEST_MARGIN_MS, Incomplete, Start, first_leases, missing_leases
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.listing import Listing, Listings
from kcl_py.core.position import StartPosition
from kcl_py.core.shard import ChildShard, Shard
from kcl_py.core.shard_end import ShardEnd, shard_end
from tests.core.reshard_history import Place, ReshardHistory

FIRST_SECOND = 100  # before it nothing is consumed, so that a past exists


class Fleet:
    """Rows, listings, and whoever happens to consume: all decisions are those of the core."""

    def __init__(self, history: ReshardHistory, start: StartPosition, retention: int, data: st.DataObject) -> None:
        self.history = history
        self.start = start
        self.retention = retention
        self.data = data
        self.now = FIRST_SECOND
        self.rows: dict[str, Lease] = {}
        self.listings = Listings()
        self.delivered: dict[Place, int] = {}
        self.begun: set[str] = set()  # shards of which something was delivered
        self.ready_at: int | None = None
        self.was_left_out = False

    @property
    def lineage(self) -> Lineage:
        return Lineage(self.rows.values(), self.listings)

    def toss(self, *weights: object) -> object:
        return self.data.draw(st.sampled_from(weights))

    # -- listings and rows --------------------------------------------------------------------------------------------

    def listed(self, *, is_truthful: bool) -> list[Shard]:
        if is_truthful:
            return self.history.listed(self.now, self.retention)
        late = self.data.draw(st.sampled_from([0, 0, 1, 20, 59]), label="late by")
        shards = self.history.listed(self.now - late, self.retention)
        leaves_out = not late and not self.was_left_out and bool(self.toss(False, False, True))
        self.was_left_out = leaves_out
        if leaves_out:
            del shards[self.data.draw(st.integers(0, len(shards) - 1), label="left out")]
        return shards

    def create(self, rows: Iterable[Lease], *, may_crash: bool) -> bool:
        """Create rows if absent, oldest first; False if the maker died on the way."""
        for row in rows:
            if may_crash and self.toss(False, False, False, True):
                return False
            self.rows.setdefault(row.key, row)
        return True

    def make_rows(self, *, is_truthful: bool) -> None:
        """What a worker does when it starts, and what the audit does."""
        listing = Listing.of(self.listed(is_truthful=is_truthful))
        if listing.shards:
            self.listings = self.listings.seen(listing, float(self.now))
        start = Start(self.start, self.now * 1000 + LATEST_MARGIN_MS)
        answer = missing_leases(listing, self.rows.values(), start) if self.rows else first_leases(listing, start)
        if isinstance(answer, Incomplete):
            return
        if self.create(answer, may_crash=not is_truthful) and self.ready_at is None:
            self.ready_at = self.now

    def audit(self, *, is_truthful: bool) -> None:
        self.make_rows(is_truthful=is_truthful)
        self.create(missing_children(self.lineage), may_crash=not is_truthful)
        lineage = self.lineage
        for row in trimmed(lineage):
            assert not [place for place in self.readable(row) if place not in self.delivered], "trimmed, and readable"
            end = end_of_trimmed(row, lineage)
            if self.create(end.children, may_crash=not is_truthful):
                self.rows[row.key] = row.ended(end.child_shard_ids).after
        for row in removable(self.lineage):
            assert row.is_finished
            del self.rows[row.key]

    # -- consuming ----------------------------------------------------------------------------------------------------

    def readable(self, row: Lease) -> list[Place]:
        """What a reader of the shard gets from the row's checkpoint on."""
        life = self.history.lives[row.key]
        first = max(life.opened, self.now - self.retention)
        if row.checkpoint.is_number:
            first = max(first, int(row.checkpoint.sequence_number) + 1)
        elif row.start_at_ms is not None:
            first = max(first, -(-row.start_at_ms // 1000))
        end = self.now if life.closed is None else min(self.now, life.closed)
        return [Place(row.key, second) for second in range(first, end)]

    def consume(self, *, is_truthful: bool) -> bool:
        """Let one shard that may start go on; True if anything changed."""
        lineage = self.lineage
        ready = [row for row in self.rows.values() if not row.is_finished and lineage.may_start(row).is_open]
        moving = [row for row in ready if self.readable(row) or not self.history.lives[row.key].is_open(self.now)]
        if not moving:
            return False
        row = moving[0] if is_truthful else self.data.draw(st.sampled_from(moving), label="consume")
        places = self.readable(row)
        if not is_truthful and places:
            places = places[: self.data.draw(st.integers(0, len(places)), label="read")]
        self.deliver(places)
        if places:
            row = row.checkpointed(Checkpoint(str(places[-1].second))).after
            self.rows[row.key] = row
        if self.readable(row) or self.history.lives[row.key].is_open(self.now):
            return bool(places)
        return self.end(row, is_truthful=is_truthful) or bool(places)

    def deliver(self, places: list[Place]) -> None:
        for place in places:
            self.delivered[place] = self.delivered.get(place, 0) + 1
            assert self.delivered[place] == 1, f"{place} was delivered again"
        self.begun.update(place.shard_id for place in places)
        for shard_id in {place.shard_id for place in places}:
            late = [begun for begun in self.begun if shard_id in self.history.ancestors(begun)]
            assert not late, f"{shard_id} is delivered after its descendant {late[0]}"

    def end(self, row: Lease, *, is_truthful: bool) -> bool:
        if row.key not in {shard.shard_id for shard in self.history.listed(self.now, self.retention)}:
            return False  # the service does not know the shard any more
        children = [life for life in self.history.lives.values() if row.key in life.parents]
        named = [
            ChildShard(shard_id=life.shard_id, hash_range=life.hash_range, parent_shard_ids=life.parents)
            for life in children
        ]
        if not is_truthful:
            named = named[: self.data.draw(st.integers(0, len(named)), label="named")]
        answer = shard_end(row, named, self.listings)
        if not isinstance(answer, ShardEnd) or not self.create(answer.children, may_crash=not is_truthful):
            return False
        self.rows[row.key] = row.ended(answer.child_shard_ids).after
        return True

    # -- the story ----------------------------------------------------------------------------------------------------

    def live(self, steps: int, *, sleeps: tuple[int, ...]) -> None:
        for _ in range(steps):
            step = self.toss("reshard", "consume", "consume", "rows", "audit", "wait", "sleep")
            if step == "reshard":
                self.now += 1
                self.history.reshard(self.data.draw(st.integers(0, 30), label="which"), self.now)
                self.now += 1
            elif step == "consume":
                self.consume(is_truthful=False)
            elif step == "rows":
                self.make_rows(is_truthful=False)
            elif step == "audit":
                self.audit(is_truthful=False)
            elif step == "wait":
                self.now += self.data.draw(st.sampled_from([1, 7, 61]), label="wait")
            elif sleeps and self.ready_at is not None:
                self.now += self.data.draw(st.sampled_from(sleeps), label="sleep")

    def settle(self) -> None:
        """Everything is truthful and nobody dies any more: within a few minutes all must be done."""
        for _ in range(6):
            self.audit(is_truthful=True)
            while self.consume(is_truthful=True):
                pass
            self.now += 61


def grown(choices: list[int]) -> ReshardHistory:
    """A stream with a past of its own before anybody consumes it."""
    history = ReshardHistory(2)
    for index, choice in enumerate(choices):
        history.reshard(choice, 10 * (index + 1))
    return history


pasts = st.lists(st.integers(0, 30), max_size=3)


@given(past=pasts, data=st.data(), steps=st.integers(0, 25))
@settings(max_examples=120, deadline=None)
def test_from_the_horizon_everything_is_delivered_once_and_in_order(
    past: list[int], data: st.DataObject, steps: int
) -> None:
    fleet = Fleet(grown(past), StartPosition.TRIM_HORIZON, 10**9, data)
    fleet.live(steps, sleeps=())
    until = fleet.now
    fleet.settle()
    assert fleet.history.records_until(until) - fleet.delivered.keys() == set()


@given(past=pasts, data=st.data(), steps=st.integers(0, 25))
@settings(max_examples=120, deadline=None)
def test_from_latest_everything_put_after_ready_is_delivered_once_and_in_order(
    past: list[int], data: st.DataObject, steps: int
) -> None:
    fleet = Fleet(grown(past), StartPosition.LATEST, 10**9, data)
    fleet.live(steps, sleeps=())
    until = fleet.now
    fleet.settle()
    assert fleet.ready_at is not None
    due = {place for place in fleet.history.records_until(until) if place.second >= fleet.ready_at}
    assert due - fleet.delivered.keys() == set()


@pytest.mark.parametrize("start", [StartPosition.TRIM_HORIZON, StartPosition.LATEST])
@given(past=pasts, data=st.data(), steps=st.integers(0, 25))
@settings(max_examples=80, deadline=None)
def test_a_fleet_that_sleeps_beyond_retention_goes_on_with_all_that_is_left(
    start: StartPosition, past: list[int], data: st.DataObject, steps: int
) -> None:
    retention = 600
    fleet = Fleet(grown(past), start, retention, data)
    fleet.live(steps, sleeps=(100, 400, 1_500))
    until = fleet.now
    fleet.settle()
    assert fleet.ready_at is not None
    kept_since = max(fleet.ready_at, fleet.now - retention)
    due = {place for place in fleet.history.records_until(until) if place.second >= kept_since}
    assert due - fleet.delivered.keys() == set()
