"""A session is dead once its beat stood still for the failover time while we could watch, and never sooner."""

from hypothesis import given
from hypothesis import strategies as st

from kcl_py.core.liveness import Liveness

F = 10.0


def test_a_beat_that_stands_still_longer_than_the_failover_time_is_silent() -> None:
    liveness = Liveness(F)
    for second in range(11):
        liveness.saw({"a": 1, "b": second}, float(second))
    assert liveness.silent(10.0) == ()
    assert liveness.silent(10.1) == ("a",)


def test_the_longest_silent_session_comes_first() -> None:
    liveness = Liveness(F)
    liveness.saw({"z": 1}, 0.0)
    for second in range(1, 20):
        liveness.saw({"z": 1, "a": 1}, float(second))
    assert liveness.silent(19.0) == ("z", "a")


def test_a_change_of_the_beat_to_anything_else_is_life() -> None:
    liveness = Liveness(F)
    for second in range(30):
        liveness.saw({"a": 7 if second < 9 else 3}, float(second))
    assert liveness.silent(18.0) == ()
    assert liveness.silent(19.1) == ("a",)


def test_silence_does_not_count_while_we_could_not_watch() -> None:
    liveness = Liveness(F)
    liveness.saw({"a": 1}, 0.0)
    liveness.saw({"a": 1}, 4.0)
    liveness.saw({"a": 1}, 9.5)  # a gap of more than half the failover time
    liveness.saw({"a": 1}, 14.5)
    liveness.saw({"a": 1}, 19.5)
    assert liveness.silent(19.5) == ()
    assert liveness.silent(19.6) == ("a",)


def test_a_machine_that_was_suspended_between_look_and_verdict_condemns_nobody() -> None:
    liveness = Liveness(F)
    for second in range(10):
        liveness.saw({"a": 1}, float(second))
        liveness.wrote(float(second))
    assert liveness.silent(70.0) == ()
    assert not liveness.is_silent("a", 70.0)
    liveness.saw({"a": 1}, 71.0)
    assert liveness.silent(72.0) == ()


def test_a_restart_begins_every_window_anew() -> None:
    liveness = Liveness(F)
    for second in range(9):
        liveness.saw({"a": 1}, float(second))
    liveness.restart(8.5)
    liveness.saw({"a": 1}, 13.0)
    liveness.saw({"a": 1}, 18.0)
    assert liveness.silent(18.5) == ()
    assert liveness.silent(18.6) == ("a",)


def test_a_session_that_left_and_came_back_is_watched_from_its_return() -> None:
    liveness = Liveness(F)
    liveness.saw({"a": 1}, 0.0)
    liveness.saw({}, 4.0)
    assert liveness.silent(100.0) == ()
    liveness.saw({"a": 1}, 8.0)
    assert liveness.silent(18.0) == ()


def test_silence_does_not_count_while_no_write_of_our_own_lands() -> None:
    liveness = Liveness(F)
    for second in range(31):
        if second <= 3 or second >= 25:
            liveness.wrote(float(second))
        liveness.saw({"a": 1}, float(second))
        assert liveness.silent(float(second)) == ()  # the table may refuse everybody's beats as it refuses ours
    for second in range(31, 36):
        liveness.wrote(float(second))
        liveness.saw({"a": 1}, float(second))
    assert liveness.silent(35.0) == ()
    assert liveness.silent(35.1) == ("a",)


def test_writes_that_land_in_time_hide_nobodys_silence() -> None:
    liveness = Liveness(F)
    for second in range(11):
        if second % 4 == 0:
            liveness.wrote(float(second))
        liveness.saw({"a": 1}, float(second))
    assert liveness.silent(10.1) == ("a",)


def test_one_session_is_asked_about_by_its_key() -> None:
    liveness = Liveness(F)
    for second in range(11):
        liveness.saw({"a": 1, "b": second}, float(second))
    assert liveness.is_silent("a", 10.1)
    assert not liveness.is_silent("b", 10.1)
    assert not liveness.is_silent("nobody", 10.1)
    assert liveness.quiet_seconds("a", 10.0) == 10.0
    assert liveness.quiet_seconds("b", 10.5) == 0.5
    assert liveness.quiet_seconds("nobody", 10.5) == 0.0


@given(st.lists(st.tuples(st.floats(0.1, 15.0), st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_nobody_who_beat_within_the_failover_time_is_ever_called_silent(
    steps: list[tuple[float, bool, bool]],
) -> None:
    liveness = Liveness(F)
    now, beat, beat_seen_at = 0.0, 0, 0.0
    for pause, beats, own_write_fails in steps:
        now += pause
        beat += beats
        if beats:
            beat_seen_at = now
        liveness.saw({"a": beat}, now)
        if own_write_fails:
            liveness.restart(now)
        if now - beat_seen_at <= F:
            assert liveness.silent(now) == ()
