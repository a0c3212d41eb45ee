"""KPL de-aggregation in memory, MD5 and hash ranges checked: `python -m benchmarks.clients.unpacking`."""

import json
import sys
import time

import msgspec

from benchmarks.bodies import AGGREGATED, Body
from kcl_py.core import aggregation
from kcl_py.core.record import Record
from kcl_py.core.shard import HASH_KEY_MAX, HashRange


def main(seconds: str) -> None:
    """Unpack a page again and again: one where every user record has a key of its own, one where ten share it."""
    kinds = {"of its own": AGGREGATED, "of ten": msgspec.structs.replace(AGGREGATED, sharing_key=10)}
    print(json.dumps({name: _per_second(body, float(seconds)) for name, body in kinds.items()}), flush=True)


def _per_second(body: Body, seconds: float) -> float:
    """User records in a second of CPU."""
    records = [
        Record(data=body.payload(), partition_key="a", sequence_number=str(number), arrival_timestamp_seconds=1.0)
        for number in range(body.records)
    ]
    hash_range, user_records, until = HashRange(0, HASH_KEY_MAX), 0, time.monotonic() + seconds
    began = time.process_time()
    while time.monotonic() < until:
        user_records += sum(map(len, aggregation.unpack_all(records, hash_range)))
    return user_records / (time.process_time() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
