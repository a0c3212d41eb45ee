"""The laws of owner changes: each sees a breach of it, and none where there is none."""

from pathlib import Path

import pytest

from integration import owner_changes
from integration.produced import Put
from integration.scribe import Scribe

SHARD, OTHER = "shardId-000000000000", "shardId-000000000001"
PUTS = [Put(SHARD, number, 0, "a", f"a {number}") for number in range(10, 16)]


@pytest.fixture
def scribe(tmp_path: Path) -> Scribe:
    return Scribe(tmp_path)


def breaches(scribe: Scribe, records_max: int = 1) -> set[str]:
    found = {
        "overlaps": owner_changes.overlapping(scribe.journal),
        "too much again": owner_changes.redelivered_beyond(scribe.journal, records_max),
        "again after order": owner_changes.redelivered_after_order(scribe.journal),
        "moved again": owner_changes.moved_again(scribe.journal, since=0.0),
    }
    return {law for law, found_here in found.items() if found_here}


def test_a_hand_over_in_order_breaks_none(scribe: Scribe) -> None:
    scribe.delivers(PUTS[0], token=1)
    scribe.delivers(*PUTS[1:3], token=1)
    scribe.is_asked_to_end(SHARD, 1)
    scribe.begins(SHARD, 2, checkpoint="12/0")
    scribe.delivers(*PUTS[3:], token=2)
    assert breaches(scribe) == set()


def test_a_kill_may_repeat_a_batch_and_the_batch_in_flight_may_overlap(scribe: Scribe) -> None:
    scribe.delivers(PUTS[0], token=1)
    scribe.delivers(PUTS[1], token=1, is_cut_off=True)
    scribe.begins(SHARD, 2, checkpoint="10/0")
    scribe.delivers(*PUTS[1:], token=2)
    scribe.comes_back(SHARD, 1)
    assert breaches(scribe) == set()


def test_a_batch_that_was_tried_again_was_over_before(scribe: Scribe) -> None:
    scribe.delivers(PUTS[0], token=1, is_cut_off=True)
    scribe.delivers(PUTS[0], token=1, is_cut_off=True)
    scribe.delivers(PUTS[0], token=2)
    assert breaches(scribe) == set()


def test_a_batch_after_the_one_in_flight_overlaps(scribe: Scribe) -> None:
    scribe.delivers(PUTS[0], token=1, is_cut_off=True)
    scribe.delivers(PUTS[0], token=2)
    scribe.comes_back(SHARD, 1)
    scribe.delivers(PUTS[1], token=1)
    scribe.delivers(*PUTS[2:], token=2)
    assert breaches(scribe) == {"overlaps"}


def test_each_earlier_epoch_may_have_one_batch_in_flight_and_no_more(scribe: Scribe) -> None:
    scribe.delivers(PUTS[0], token=1, is_cut_off=True)
    scribe.delivers(PUTS[1], token=3, is_cut_off=True)
    scribe.delivers(PUTS[2], token=7)
    assert breaches(scribe) == set()
    scribe.delivers(PUTS[3], token=3)
    assert [fact.token for fact in owner_changes.overlapping(scribe.journal)] == [3]


def test_more_repeats_than_a_change_of_owner_may_cost_are_seen(scribe: Scribe) -> None:
    scribe.delivers(*PUTS[:4], token=1)
    scribe.delivers(*PUTS[2:], token=2)
    assert breaches(scribe, records_max=1) == {"too much again"}
    assert breaches(scribe, records_max=2) == set()
    assert owner_changes.redelivered_beyond(scribe.journal, 1) == {(SHARD, 1): 2}


def test_a_repeat_after_an_end_in_order_is_seen(scribe: Scribe) -> None:
    scribe.delivers(*PUTS[:2], token=1)
    scribe.is_asked_to_end(SHARD, 1)
    scribe.delivers(*PUTS[1:], token=2)
    assert breaches(scribe) == {"again after order"}
    assert owner_changes.redelivered_after_order(scribe.journal, killed={1}) == {}


def test_a_repeat_is_the_fault_of_whoever_delivered_it_last(scribe: Scribe) -> None:
    """The second epoch hands over in order; what the third one repeats, the first one had left behind."""
    scribe.delivers(*PUTS[:3], token=1)
    scribe.begins(SHARD, 2, checkpoint="10/0")
    scribe.delivers(PUTS[1], token=2)
    scribe.is_asked_to_end(SHARD, 2)
    scribe.delivers(*PUTS[2:], token=3)
    assert breaches(scribe, records_max=2) == set()
    assert [fact.position for fact in owner_changes.redelivered(scribe.journal)[SHARD, 1]] == [(11, 0), (12, 0)]


def test_a_shard_that_moves_twice_is_seen_and_only_within_the_burst(scribe: Scribe) -> None:
    scribe.begins(SHARD, 1)  # at second 1
    scribe.begins(OTHER, 4)
    scribe.begins(SHARD, 2)
    scribe.begins(SHARD, 3)
    assert owner_changes.moved_again(scribe.journal, since=2.0) == {SHARD: [2, 3]}
    assert owner_changes.moved_again(scribe.journal, since=2.0, until=3.5) == {}
