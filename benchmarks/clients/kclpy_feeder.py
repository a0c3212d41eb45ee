"""Feeds the child of amazon_kclpy: the page of a canned body as a `processRecords` line, until nobody reads."""

import contextlib
import json
import sys
from pathlib import Path


def main(body: str) -> None:
    """Write lines."""
    page = json.loads(Path(body).read_bytes())
    records = [
        {
            "action": "record",
            "data": record["Data"],
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "subSequenceNumber": 0,
            "approximateArrivalTimestamp": round(record["ApproximateArrivalTimestamp"] * 1_000),
        }
        for record in page["Records"]
    ]
    line = json.dumps({"action": "processRecords", "records": records, "millisBehindLatest": 1_000}).encode() + b"\n"
    with contextlib.suppress(BrokenPipeError):
        while True:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
    sys.stderr.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
