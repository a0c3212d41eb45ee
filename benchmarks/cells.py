"""What is measured: which bodies, from how many shards, by whom."""

import msgspec

from benchmarks.bodies import AGGREGATED, EMPTY, of
from benchmarks.rounds import Cell
from kcl_py.config import SETTINGS

SHARDS = 4
LARGE, LARGE_1KB, SMALL = of(10_000, 100), of(10_000, 1_000), of(10, 1_000)
OURS = "kcl_py polling"
PACED = "kcl_py polling at its pace"
STOCK = "boto3 loop"

_LOOPS = ("floor in C", STOCK, "boto3, timestamps free", "aioboto3 loop")
_HAS_FAN_OUT = "fan_out" in SETTINGS
_FAN_OUT = ("kcl_py fan-out",) if _HAS_FAN_OUT else ()
_KCL_PY = (OURS, "kcl_py polling, sync processor", *_FAN_OUT)
SIDE_BY_SIDE = (
    Cell(LARGE, SHARDS, (*_LOOPS, "async-kinesis", "kclpy child", *_KCL_PY)),
    Cell(LARGE_1KB, SHARDS, (*_LOOPS, "async-kinesis", "kclpy child", *_KCL_PY)),
    Cell(SMALL, SHARDS, (*_LOOPS, *_KCL_PY)),
)
IDLE = Cell(EMPTY, SHARDS, (STOCK, "aioboto3 loop", OURS))
PACKED = Cell(AGGREGATED, 1, ("boto3 + aws-kinesis-agg", OURS))
# at its pace a shard's page of 10 MB comes every five seconds: too seldom for a sample
LAG = (Cell(LARGE, 8, ("aioboto3 loop", OURS, PACED)), Cell(LARGE_1KB, 8, ("aioboto3 loop", OURS)))

LATENCY = {"polling": "async"} | ({"fan-out": "fan-out"} if _HAS_FAN_OUT else {})
"""Kinds of reading, and the mode of the program that measures them."""

_GROWING = (STOCK, OURS, *_FAN_OUT)
BY_SIZE = tuple(Cell(of(*shape), SHARDS, _GROWING) for shape in ((1_000, 100), (1_000, 1_000), (100, 100_000)))
BY_RECORDS = tuple(Cell(of(records, 1_000), SHARDS, _GROWING) for records in (10, 100, 1_000, 10_000))
BY_SHARDS = tuple(Cell(of(100, 1_000), shards, _GROWING) for shards in (1, 16, 256))


class Target(msgspec.Struct, frozen=True):
    """How many times cheaper a record must be than with somebody else."""

    against: str
    cell: Cell
    wanted: float
    gate: float  # below it nothing is released


TARGETS = tuple(
    Target(against, cell, wanted, gate)
    for against, marks in {
        STOCK: ((15, 10), (6, 5), (4, 3)),
        "async-kinesis": ((25, 15), (10, 7)),
        "kclpy child": ((3, 2), (2, 1.5)),
    }.items()
    for cell, (wanted, gate) in zip(SIDE_BY_SIDE, marks, strict=False)
)
LAG_SECONDS_MAX = 0.025
USER_RECORDS_PER_SECOND_MIN = 1_500_000
