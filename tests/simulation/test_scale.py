"""Fifty workers and five hundred shards; `make prove` has a thousand and ten thousand."""

from tests.simulation.scale import large


def test_a_large_fleet_shares_evenly_keeps_still_and_takes_over_in_time():
    assert large(50, 500) == []
