"""KPL de-aggregation in memory, MD5 and hash ranges checked: `python -m benchmarks.clients.unpacking`."""

import itertools
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from benchmarks.bodies import AGGREGATED, Body
from kcl_py.core import aggregation
from kcl_py.core.record import Record
from kcl_py.core.shard import HASH_KEY_MAX, HashRange

ROUNDS = 5  # interleaved: a machine that others use is slow for a second now and then


def main(seconds: str) -> None:
    """Unpack pages whose user records have keys of their own, or share one by tens; in one shard, or in one of four.

    A shard that is the only one takes every hash, and no key is hashed; in any other each of an aggregate's keys is.
    """
    keys = {"of its own": AGGREGATED, "of ten": msgspec.structs.replace(AGGREGATED, sharing_key=10)}
    ranges = {"the only shard": HASH_KEY_MAX, "one of 4 shards": HASH_KEY_MAX // 4}
    pages = {key: _page(body) for key, body in keys.items()}
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for (key, page), (shard, end) in itertools.product(pages.items(), ranges.items()):
            rates[f"{key}, {shard}"].append(_per_second(page, HashRange(0, end), float(seconds) / ROUNDS))
    print(json.dumps({name: statistics.median(of_rounds) for name, of_rounds in rates.items()}), flush=True)


def _page(body: Body) -> list[Record]:
    return [
        Record(data=body.payload(), partition_key="a", sequence_number=str(number), arrival_timestamp_seconds=1.0)
        for number in range(body.records)
    ]


def _per_second(records: Sequence[Record], hash_range: HashRange, seconds: float) -> float:
    """User records in a second of CPU."""
    user_records, until = 0, time.monotonic() + seconds
    began = time.process_time()
    while time.monotonic() < until:
        user_records += sum(map(len, aggregation.unpack_all(records, hash_range)))
    return user_records / (time.process_time() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
