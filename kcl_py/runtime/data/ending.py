"""How an epoch ends in the data plane."""

from enum import IntEnum


class Ending(IntEnum):
    """Why a consumer stops; a stronger reason replaces a weaker one."""

    SHARD_END = 1
    LET_GO = 2
    LOST = 3
