"""How fast a shard is read."""

from hypothesis import given
from hypothesis import strategies as st

from kcl_py.runtime.data.pace import Pace


@given(
    st.lists(
        st.tuples(st.floats(0, 2), st.floats(0, 0.5), st.integers(0, 10 * 2**20), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_no_second_holds_more_than_five_reads_or_two_megabytes_of_spent_time(reads):
    pace = Pace(1.0)
    now = 0.0
    reached: list[float] = []  # the service counts a read somewhere between its sending and its answer
    for delay, latency, size, is_idle in reads:
        now += pace.seconds_to_wait(now) + delay
        began, now = now, now + latency
        reached.append(began + latency / 2)
        pace.answered(began, now, size, is_idle=is_idle)
        assert pace.seconds_to_wait(now) >= size / 2_000_000 - 1e-9
    for fifth_before, this in zip(reached, reached[5:], strict=False):
        assert this - fifth_before >= 1.0 - 1e-9


def test_an_idle_shard_is_read_ever_more_slowly_and_a_busy_one_at_once_again():
    pace = Pace(1.0)
    waits = []
    now = 100.0
    for _ in range(4):
        pace.answered(now, now, 0, is_idle=True)
        waits.append(pace.seconds_to_wait(now))
        now += waits[-1]
    assert waits == [0.25, 0.5, 1.0, 1.0]
    pace.answered(now, now, 1_000, is_idle=False)
    assert pace.seconds_to_wait(now) < 0.21
