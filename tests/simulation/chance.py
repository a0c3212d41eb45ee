"""The jitter that all retries share, drawn from the seed."""

from kcl_py import retrying


def seed_jitter(seed: int) -> None:
    """Begin the jitter anew: there is one generator for the whole process, and no door to it."""
    retrying._SHARED_RANDOM.seed(seed)
