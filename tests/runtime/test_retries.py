"""The pauses between attempts: ever longer, up to a limit, and never the same for everybody."""

import random

from kcl_py.retrying import jittered


def test_pauses_double_up_to_a_limit_and_lie_between_half_and_all_of_it():
    pause = jittered(1.0, 10.0, random.Random(1))
    for attempt, ceiling in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (1_000, 10.0)):
        drawn = [pause(attempt) for _ in range(200)]
        assert ceiling / 2 <= min(drawn) < 0.55 * ceiling
        assert 0.95 * ceiling < max(drawn) <= ceiling


def test_many_that_fail_together_do_not_try_again_together():
    pause = jittered(1.0, 10.0)
    assert len({round(pause(1), 3) for _ in range(100)}) > 50
