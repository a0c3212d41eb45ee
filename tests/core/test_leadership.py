"""The lock is free once its version stood still for its own duration while we watched, and never sooner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcl_py.core.leadership import LeaderLock, LockWatch

F = 10.0


def lock(version: str, *, owner: str = "a@00000000", seconds: float = F, is_released: bool = False) -> LeaderLock:
    return LeaderLock(owner=owner, version=version, duration_ms=int(seconds * 1000), is_released=is_released)


def test_a_lock_that_is_not_there_is_free() -> None:
    watch = LockWatch()
    watch.saw(None, 0.0)
    assert watch.is_free(0.0)
    assert watch.is_free(0.0, patience_seconds=F)
    assert not watch.is_led


def test_a_version_that_stands_still_for_longer_than_its_duration_frees_the_lock() -> None:
    watch = LockWatch()
    for second in range(100, 111):
        watch.saw(lock("1"), float(second))
    assert not watch.is_free(110.0)
    assert watch.is_free(110.1)


@pytest.mark.parametrize("seconds", [2.0, 120.0])
def test_the_duration_is_what_the_item_says_and_not_our_own(seconds: float) -> None:
    watch = LockWatch()
    watch.saw(lock("1", seconds=seconds), 0.0)
    assert not watch.is_free(seconds)
    assert watch.is_free(seconds + 0.1)


def test_every_new_version_begins_the_wait_anew() -> None:
    watch = LockWatch()
    for second in range(0, 60, 9):
        watch.saw(lock(str(second)), float(second))
        assert not watch.is_free(second + F)
        assert watch.is_free(second + F + 0.1)


def test_whoever_is_no_standby_waits_longer() -> None:
    watch = LockWatch()
    watch.saw(lock("1"), 0.0)
    assert watch.is_free(10.1)
    assert not watch.is_free(10.1, patience_seconds=F)
    assert not watch.is_free(20.0, patience_seconds=F)
    assert watch.is_free(20.1, patience_seconds=F)


def test_silence_from_before_our_own_writes_failed_does_not_count() -> None:
    watch = LockWatch()
    watch.saw(lock("1"), 0.0)
    watch.restart(8.0)
    watch.saw(lock("1"), 9.0)
    assert not watch.is_free(18.0)
    assert watch.is_free(18.1)


def test_a_released_lock_is_free_at_once() -> None:
    watch = LockWatch()
    watch.saw(lock("1"), 0.0)
    watch.saw(lock("2", is_released=True), 1.0)
    assert watch.is_free(1.0)
    assert watch.is_free(1.0, patience_seconds=F)


def test_a_lock_that_was_taken_again_after_its_release_is_not_free() -> None:
    watch = LockWatch()
    watch.saw(lock("1", is_released=True), 0.0)
    watch.saw(lock("2", owner="b@11111111"), 1.0)
    assert not watch.is_free(11.0)
    assert watch.is_free(11.1)


def test_a_lock_that_vanished_and_came_back_is_watched_from_its_return() -> None:
    watch = LockWatch()
    watch.saw(lock("1"), 0.0)
    watch.saw(None, 5.0)
    assert watch.is_free(5.0)
    watch.saw(lock("1"), 6.0)
    assert not watch.is_free(16.0)
    assert watch.is_free(16.1)


@pytest.mark.parametrize("owner", ["java-worker", "10.0.0.7:2b6c", "a@b"])
def test_what_a_java_worker_left_behind_is_free_at_once(owner: str) -> None:
    watch = LockWatch()
    watch.saw(lock("1", owner=owner, seconds=120.0), 0.0)
    assert watch.is_free(0.0)


def test_a_leader_is_known_only_once_its_version_was_seen_to_move() -> None:
    watch = LockWatch()
    known = [watch.is_led]
    for second, version in enumerate([None, "1", "1", "2", "2"]):
        watch.saw(None if version is None else lock(version), float(second))
        known.append(watch.is_led)
    assert known == [False, False, False, False, True, True]  # "1" may be what a dead fleet left behind


@given(st.lists(st.tuples(st.integers(1, 8), st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_a_lock_that_was_renewed_within_its_duration_is_never_called_free(
    steps: list[tuple[int, bool, bool]],
) -> None:
    watch = LockWatch()
    now, version, renewed_at = 0, 0, 0
    watch.saw(lock("0"), now)
    for pause, is_renewed, own_write_fails in steps:
        now += pause
        version += is_renewed
        if is_renewed:
            renewed_at = now
        watch.saw(lock(str(version)), now)
        if own_write_fails:
            watch.restart(now)
            assert not watch.is_free(now + F)
        if now - renewed_at <= F:
            assert not watch.is_free(now)
        assert watch.is_free(now + F + 0.1)
