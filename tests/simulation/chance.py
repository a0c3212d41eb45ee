"""Everything that production draws by chance, drawn from the seed."""

import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from kcl_py import retrying


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw session suffixes, lock versions and jitter from a seed. There is no door for chance, so it is replaced."""
    dice = random.Random(seed)
    retrying._SHARED_RANDOM.seed(seed)
    with patch.object(secrets, "token_hex", lambda size=16: dice.randbytes(size).hex()):
        yield
