"""KPL de-aggregation in memory, MD5 and hash ranges checked: `python -m benchmarks.clients.unpacking`."""

import json
import sys
import time

from benchmarks.bodies import AGGREGATED
from kcl_py.core import aggregation
from kcl_py.core.record import Record
from kcl_py.core.shard import HASH_KEY_MAX, HashRange


def main(seconds: str) -> None:
    """Unpack the same page again and again."""
    records = [
        Record(data=AGGREGATED.payload(), partition_key="a", sequence_number=str(number), arrival_timestamp_seconds=1.0)
        for number in range(AGGREGATED.records)
    ]
    hash_range, user_records, until = HashRange(0, HASH_KEY_MAX), 0, time.monotonic() + float(seconds)
    began = time.process_time()
    while time.monotonic() < until:
        user_records += sum(map(len, aggregation.unpack_all(records, hash_range)))
    print(json.dumps({"user_records_per_second": user_records / (time.process_time() - began)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
