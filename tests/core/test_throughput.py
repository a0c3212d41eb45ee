"""A lease's throughput follows what flows, by time and not by how often somebody looks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcl_py.core.throughput import HALF_LIFE_SECONDS, Throughput

KIB = 1024


def test_it_begins_with_what_the_row_says() -> None:
    assert Throughput(12.5, 100.0).kbps == 12.5
    assert Throughput(1.23456, 0.0).kbps == 1.235


def test_after_a_half_life_half_of_it_is_new() -> None:
    seen = Throughput(10.0, 100.0).progressed(int(50 * KIB * HALF_LIFE_SECONDS), 100.0 + HALF_LIFE_SECONDS)
    assert seen.kbps == 30.0


def test_a_steady_flow_is_found() -> None:
    seen = Throughput(0.0, 0.0)
    for second in range(1, 601):
        seen = seen.progressed(700 * KIB * second, float(second))
    assert seen.kbps == pytest.approx(700, rel=1e-4)


def test_an_idle_lease_goes_down_to_nothing() -> None:
    seen = Throughput(2048.0, 0.0)
    for second in range(1, 1201):
        seen = seen.progressed(0, float(second))
    assert seen.kbps == 0.0


def test_bytes_of_an_instant_that_takes_no_time_are_counted_with_the_next_one() -> None:
    seen = Throughput(5.0, 10.0).progressed(300 * KIB, 10.0)
    assert seen.kbps == 5.0
    assert seen.progressed(300 * KIB, 40.0) == Throughput(5.0, 10.0).progressed(300 * KIB, 40.0)
    assert Throughput(5.0, 10.0).progressed(300 * KIB, 9.0).kbps == 5.0


def test_a_total_that_begins_anew_takes_nothing_away() -> None:
    seen = Throughput(5.0, 0.0, size_bytes_total=900 * KIB).progressed(0, 1.0)
    assert 4.8 < seen.kbps < 5.0
    assert seen.progressed(60 * KIB, 2.0).kbps > seen.kbps


@given(st.floats(0, 2048), st.floats(0, 2048), st.lists(st.floats(0.1, 100), min_size=1, max_size=20))
def test_it_stays_between_what_was_and_what_flows_however_often_one_looks(
    began: float, flows: float, pauses: list[float]
) -> None:
    often, now = Throughput(began, 0.0), 0.0
    for pause in pauses:
        now += pause
        often = often.progressed(round(flows * KIB * now), now)
    once = Throughput(began, 0.0).progressed(round(flows * KIB * now), now)
    assert often.average == pytest.approx(once.average, rel=1e-6, abs=0.02)  # a total in whole bytes is rounded
    assert min(began, flows) - 0.02 <= often.average <= max(began, flows) + 0.02
