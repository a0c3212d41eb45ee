"""Where the emulators are known to differ from the service: (who, which law) and what is seen instead.

A test that sees something else, the right thing included, fails: then this table is out of date.
"""

_NEVER_THROTTLED = {
    "the sixth read within a second is refused": ["accepted"] * 6,
    "the 1,001st record within a second fails": [0, [None, None]],
}

# moto 5.2.5: sequence numbers are 1, 2, 3 … in every shard, closed shards still take records and never end, filters and
# limits are not looked at, and much that is malformed is an internal error. Nothing can be subscribed to.
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
    "a shard can be subscribed to": "500",
    "a consumer's ARN ends with its creation second": "/consumer/billing",
    "a consumer's name is taken": "accepted",
    "what does not exist is not found": {
        "describe by ARN": "ResourceNotFoundException",
        "describe": "ResourceNotFoundException",
        "deregister": "accepted",
        "deregister by ARN": "accepted",
        "register": "500",
        "list": "500",
    },
    "a consumer is named without contradiction": {
        "nothing": "ResourceNotFoundException",
        "no name": "ResourceNotFoundException",
        "no stream": "accepted",
        "two": "accepted",
    },
    "malformed consumers are refused": {
        "no name": "accepted",
        "blank": "accepted",
        "long": "accepted",
        "an ARN of a bucket": "ResourceNotFoundException",
    },
    "an invented token of consumers is refused": "accepted",
    "a stream has twenty consumers": "accepted",
    "the summary counts the consumers": None,
    "a stream with consumers is in use": "accepted",
}

# kinesis-local 0.6.2: reshards rightly, but every closed shard claims to end at 2**63 - 1, the child of a merge begins
# at the starting number of its first parent, and numbers and iterators are hardly looked at. Events lack the
# initial-response and never end a shard, and a subscription is never refused.
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
    "a consumer is named without contradiction": {
        "nothing": "InvalidArgumentException",
        "no name": "InvalidArgumentException",
        "no stream": "InvalidArgumentException",
        "two": "accepted",
    },
    "malformed consumers are refused": {
        "no name": "SerializationException",
        "blank": "InvalidArgumentException",
        "long": "InvalidArgumentException",
        "an ARN of a bucket": "SerializationException",
    },
    "pages of consumers follow each other": [[2], ["a", "b"]],
    "an invented token of consumers is refused": "accepted",
    "events begin with an initial-response": "First event was not of type initial-response",
    "a closed shard ends without a number": True,
    "a subscription names the children": [],
    "impossible subscriptions are refused": {
        **dict.fromkeys(
            (
                "no such shard",
                "no such consumer",
                "a number of no shard",
                "a number of another shard",
                "at without number",
                "latest with number",
            ),
            "accepted",
        ),
        "no position": "SerializationException",
        "no such type": "SerializationException",
    },
    "a second subscription waits for five seconds": "accepted",
}

# ministack 1.5.33, of which only consumers and subscriptions are looked at: lets many a name pass, knows no limit and
# hardly looks at positions. A shard that is closed is gone at once, so that nothing of it can be read afterwards. Its
# sequence numbers begin with zeros, against the pattern that the API reference has for them, so kcl_py refuses them.
_MINISTACK: dict[str, object] = {
    "no zeros stand before a sequence number": True,
    "a consumer is named without contradiction": {
        "nothing": "ResourceNotFoundException",
        "no name": "ResourceNotFoundException",
        "no stream": "ValidationException",
        "two": "accepted",
    },
    "malformed consumers are refused": {
        "no name": "ValidationException",
        "blank": "accepted",
        "long": "accepted",
        "an ARN of a bucket": "ResourceNotFoundException",
    },
    "an invented token of consumers is refused": "accepted",
    "a stream has twenty consumers": "accepted",
    "a stream with consumers is in use": "accepted",
    "a closed shard can be subscribed to": "ResourceNotFoundException",
    "a closed shard ends without a number": True,
    "impossible subscriptions are refused": {
        "no such shard": "ResourceNotFoundException",
        "no such consumer": "ResourceNotFoundException",
        "a number of no shard": "accepted",
        "a number of another shard": "accepted",
        "at without number": "InvalidArgumentException",
        "latest with number": "accepted",
        "no position": "InvalidArgumentException",
        "no such type": "InvalidArgumentException",
    },
}

DEVIATIONS: dict[tuple[str, str], object] = {
    **{("moto", law): seen for law, seen in _MOTO.items()},
    **{("kinesis-local", law): seen for law, seen in _KINESIS_LOCAL.items()},
    **{("ministack", law): seen for law, seen in _MINISTACK.items()},
}
