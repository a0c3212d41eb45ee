"""The laws themselves: each sees a breach of it, and none where there is none."""

from pathlib import Path

import pytest

from integration import laws
from integration.lease_items import Sample
from integration.produced import Put
from integration.scribe import Scribe
from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON, Checkpoint

PARENT, CHILD = "shardId-000000000000", "shardId-000000000001"
PUTS = [
    Put(PARENT, 10, 0, "a", "a 0"),
    Put(PARENT, 11, 0, "b", "b 1"),
    Put(PARENT, 12, 0, "a", "a 2"),
    Put(CHILD, 20, 0, "a", "a 3"),
]


@pytest.fixture
def scribe(tmp_path: Path) -> Scribe:
    return Scribe(tmp_path)


def breaches(scribe: Scribe, samples: list[Sample] | None = None) -> set[str]:
    journal = scribe.journal
    found = {
        "missing": laws.missing(PUTS, journal),
        "altered": laws.altered(PUTS, journal),
        "out of order": laws.out_of_order(journal),
        "started elsewhere": laws.started_elsewhere(PUTS, journal),
        "keys out of order": laws.keys_out_of_order(PUTS, journal),
        "early children": laws.early_children({CHILD: [PARENT]}, journal),
        "zombies": laws.begun_by_zombies(journal),
        "went back": laws.went_back(samples or []),
        "skipped": laws.skipped(PUTS, samples or [], journal),
        "repeats": laws.repeats(journal),
    }
    return {law for law, found_here in found.items() if found_here}


def test_an_orderly_story_breaks_none(scribe: Scribe) -> None:
    scribe.begins(PARENT, 1)
    scribe.delivers(*PUTS[:3], token=1)
    scribe.ends(PARENT, 1)
    scribe.begins(CHILD, 1)
    scribe.delivers(PUTS[3], token=1)
    samples = [Sample(0.5, PARENT, TRIM_HORIZON), Sample(7.5, PARENT, SHARD_END), Sample(11.5, CHILD, Checkpoint("20"))]
    assert breaches(scribe, samples) == set()


def test_a_crash_in_an_orderly_story_only_repeats(scribe: Scribe) -> None:
    scribe.begins(PARENT, 1)
    scribe.delivers(*PUTS[:2], token=1)
    scribe.begins(PARENT, 3, checkpoint="10/0")
    scribe.delivers(*PUTS[1:3], token=3)
    scribe.ends(PARENT, 3)
    scribe.delivers(PUTS[3], token=1)
    assert breaches(scribe) == {"repeats"}


def test_a_record_that_is_left_out_is_missing_and_a_checkpoint_past_it_skips(scribe: Scribe) -> None:
    scribe.begins(PARENT, 1, checkpoint="10/0")
    scribe.delivers(PUTS[2], token=1)
    scribe.ends(PARENT, 1)
    scribe.delivers(PUTS[3], token=1)
    samples = [Sample(4.5, PARENT, Checkpoint("12"))]
    assert breaches(scribe, samples) == {"missing", "started elsewhere", "skipped"}


def test_a_batch_that_was_cut_off_is_not_done_and_no_checkpoint_may_cover_it(scribe: Scribe) -> None:
    scribe.begins(PARENT, 1)
    scribe.delivers(*PUTS[:3], token=1, is_cut_off=True)
    samples = [Sample(6.5, PARENT, Checkpoint("11"))]
    assert breaches(scribe, samples) == {"missing", "skipped"}


def test_a_checkpoint_before_the_delivery_skips_and_a_lower_one_goes_back(scribe: Scribe) -> None:
    scribe.begins(PARENT, 1)
    scribe.delivers(*PUTS[:3], token=1)
    scribe.ends(PARENT, 1)
    scribe.delivers(PUTS[3], token=1)
    early = [Sample(0.5, PARENT, Checkpoint("10")), Sample(5.5, PARENT, Checkpoint("9"))]
    assert breaches(scribe, early) == {"skipped", "went back"}


def test_a_child_before_the_end_of_its_parent_is_early(scribe: Scribe) -> None:
    scribe.begins(PARENT, 1)
    scribe.delivers(*PUTS[:2], token=1)
    scribe.begins(CHILD, 1)
    scribe.delivers(PUTS[3], token=1)
    scribe.delivers(PUTS[2], token=1)
    scribe.ends(PARENT, 1)
    assert breaches(scribe) == {"early children", "keys out of order"}


def test_a_batch_of_an_epoch_that_is_over_is_a_zombie_s(scribe: Scribe) -> None:
    scribe.begins(PARENT, 1)
    scribe.delivers(PUTS[0], token=1)
    scribe.begins(PARENT, 2, checkpoint="10/0")
    scribe.delivers(PUTS[1], token=2)
    scribe.delivers(*PUTS[1:3], token=1)
    scribe.ends(PARENT, 2)
    scribe.delivers(PUTS[3], token=1)
    assert breaches(scribe) == {"zombies", "repeats"}


def test_backwards_in_an_epoch_and_a_record_that_nobody_put_are_seen(scribe: Scribe) -> None:
    scribe.begins(PARENT, 1)
    scribe.delivers(PUTS[0], PUTS[2], PUTS[1], token=1)
    scribe.ends(PARENT, 1)
    scribe.delivers(PUTS[3]._replace(payload="a 4"), token=1)
    assert breaches(scribe) == {"out of order", "altered", "keys out of order"}
