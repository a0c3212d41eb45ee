"""Where the emulators are known to differ from the service: (who, which law) and what is seen instead.

A test that sees something else, the right thing included, fails: then this table is out of date.
"""

_NEVER_THROTTLED = {
    "the sixth read within a second is refused": ["accepted"] * 6,
    "the 1,001st record within a second fails": [0, [None, None]],
}

# moto 5.2.5: sequence numbers are 1, 2, 3 … in every shard, closed shards still take records and never end, filters and
# limits are not looked at, and much that is malformed is an internal error.
_MOTO: dict[str, object] = {
    **_NEVER_THROTTLED,
    "DescribeStream has pages": [[2, True], [3, False]],
    "OpenShardCount follows a split": 2,
    "hash ranges include both ends": [[0, 0, "500"], [1, 1, "500"], [2, 2, "500"]],
    "a sequence number has 56 digits": {1},
    "a sequence number tells its shard": [{0}, {0}],
    "children of a split begin above it": False,
    "the child of a merge begins above it": False,
    "an iterator does not outlive its stream": False,
    "a sequence number does not outlive its stream": "accepted",
    "a number of another shard is refused": "accepted",
    "a number of no shard is refused": "accepted",
    "a number that is none is refused": "500",
    "an invented iterator is refused": "500",
    "iterator arguments: AT without number": "500",
    "iterator arguments: AFTER without number": "500",
    "iterator arguments: LATEST with number": "accepted",
    "iterator arguments: time without time": "500",
    "iterator arguments: time to come": "accepted",
    "an unknown iterator type is refused": "InvalidArgumentException",
    "malformed puts are refused": {
        "no key": "InvalidArgumentException",
        "empty key": "accepted",
        "long key": "InvalidArgumentException",
        "hash key of letters": "500",
        "no records": "accepted",
        "501 records": "ValidationException",
        "one bad among good": "InvalidArgumentException",
    },
    "a payload above 1 MiB is refused": "accepted",
    "the key counts in the size of a record": "accepted",
    "a limit out of range is refused": ["accepted"] * 2,
    "a page has at most 10 MiB": 11,
    "NextToken goes alone": "InvalidToken",
    "NextToken and StreamName exclude each other": "accepted",
    "an invented NextToken is refused": "ResourceNotFoundException",
    "a listing can begin after a shard": [0, 1, 2, 3],
    "a page of a listing has 1,000 shards": [1_002, False],
    "the filter AT_LATEST": [0, 1, 2, 3],
    "the filter AT_TRIM_HORIZON": [0, 1, 2, 3],
    "the filter AFTER_SHARD_ID": [0, 1, 2, 3],
    "the filter AT_TIMESTAMP": [0, 1, 2, 3],
    "incomplete filters are refused": {
        "after nothing": [0],
        "at no time": [0],
        "from no time": [0],
        "unknown": [0],
    },
    "UNIFORM_SCALING makes equal ranges": [False, True],
    "scaling has bounds": ["accepted"] * 2,
    "a merge copies no record": [["0"], ["1"], ["0", "1"]],
    "after a split records go to the children": [
        ["before", "0", str(2**127 - 1), str(2**127), str(2**128 - 2)],
        [],
        [],
    ],
    "a closed shard ends": False,
    "a closed shard ends from LATEST, too": False,
    "the end of a split shard names both children": [],
    "a merged shard ends": False,
    "the end of a merged shard names the child": [],
}

# kinesis-local 0.6.2: reshards rightly, but every closed shard claims to end at 2**63 - 1, the child of a merge begins
# at the starting number of its first parent, and numbers and iterators are hardly looked at.
_KINESIS_LOCAL: dict[str, object] = {
    **_NEVER_THROTTLED,
    "a closed shard ends at or above its last record": False,
    "the child of a merge begins above it": False,
    "an iterator does not outlive its stream": False,
    "a sequence number does not outlive its stream": "accepted",
    "a number of another shard is refused": "accepted",
    "a number of no shard is refused": "ResourceNotFoundException",
    "a number that is none is refused": "InvalidArgumentException",
    "an invented iterator is refused": "500",
    "iterator arguments: LATEST with number": "accepted",
    "an unknown iterator type is refused": "SerializationException",
    "malformed puts are refused": {
        "no key": "SerializationException",
        "empty key": "InvalidArgumentException",
        "long key": "InvalidArgumentException",
        "hash key of letters": "500",
        "no records": "accepted",
        "501 records": "accepted",
        "one bad among good": "InvalidArgumentException",
    },
    "a payload above 1 MiB is refused": "InvalidArgumentException",
    "the key counts in the size of a record": "accepted",
    "a request above 10 MiB is refused": "accepted",
    "a limit out of range is refused": ["InvalidArgumentException"] * 2,
    "a page of a listing has 1,000 shards": [100, True],
    "the filter AT_TRIM_HORIZON": [0, 1, 2, 3],
    "incomplete filters are refused": {
        "after nothing": "InvalidArgumentException",
        "at no time": "InvalidArgumentException",
        "from no time": "InvalidArgumentException",
        "unknown": "SerializationException",
    },
    "no split at an edge": ["accepted", "ResourceInUseException", "ResourceInUseException"],
    "no split of a closed shard": "ResourceInUseException",
    "UNIFORM_SCALING makes equal ranges": [False, True],
}

DEVIATIONS: dict[tuple[str, str], object] = {
    **{("moto", law): seen for law, seen in _MOTO.items()},
    **{("kinesis-local", law): seen for law, seen in _KINESIS_LOCAL.items()},
}
