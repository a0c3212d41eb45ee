"""Where records go and which ones are refused. One contract for everything that speaks Kinesis."""

import hashlib

from tests.contracts.kinesis_deviations import DEVIATIONS
from tests.contracts.kinesis_services import Service
from tests.contracts.tested_stream import TestedStream, code_of, number_of, range_of

MIB = 1024 * 1024


def test_a_record_goes_to_the_shard_of_its_keys_md5(service: Service) -> None:
    stream = service.stream(4)
    ranges = [range_of(shard) for shard in stream.shards()]
    for number in range(20):
        key = f"user-{number}"
        hashed = int(hashlib.md5(key.encode()).hexdigest(), 16)
        expected = next(i for i, (start, end) in enumerate(ranges) if start <= hashed <= end)
        assert number_of(stream.put(key=key)["ShardId"]) == expected


def test_an_explicit_hash_key_overrides_the_md5_at_both_ends_of_every_range(service: Service) -> None:
    stream = service.stream(3)
    observed = [
        [hashed_to(stream, start), hashed_to(stream, (start + end) // 2), hashed_to(stream, end)]
        for start, end in map(range_of, stream.shards())
    ]
    service.expect("hash ranges include both ends", observed, [[0, 0, 0], [1, 1, 1], [2, 2, 2]])


def hashed_to(stream: TestedStream, hash_key: int) -> int | str:
    """The number of the shard that takes this hash key, or the error."""
    shard: list[int] = []
    code = code_of(lambda: shard.append(number_of(stream.put(hash_key=hash_key)["ShardId"])))
    return shard[0] if shard else code


def test_a_hash_key_beyond_the_space_is_refused(service: Service) -> None:
    stream = service.stream()
    assert code_of(lambda: stream.put(hash_key=2**128)) == "InvalidArgumentException"


def test_sequence_numbers_have_56_digits_and_rise_within_a_shard(service: Service) -> None:
    stream = service.stream(2)
    numbers: list[list[int]] = []
    for shard, described in enumerate(stream.shards()):
        put = [stream.put(hash_key=range_of(described)[0])["SequenceNumber"] for _ in range(5)]
        assert [record["SequenceNumber"] for record in stream.records(shard)] == put
        numbers.append([int(number) for number in put])
        assert numbers[-1] == sorted(set(numbers[-1]))
        assert int(described["SequenceNumberRange"]["StartingSequenceNumber"]) <= numbers[-1][0]
    digits = {len(str(number)) for of_shard in numbers for number in of_shard}
    service.expect("a sequence number has 56 digits", digits, {56})
    told = [{(number >> 4) & 0xFFFFFFFF for number in of_shard} for of_shard in numbers]
    service.expect("a sequence number tells its shard", told, [{0}, {1}])


def test_records_of_one_request_keep_their_order_and_their_answers(service: Service) -> None:
    stream = service.stream(2)
    entries = [{"Data": str(n).encode(), "PartitionKey": f"key-{n}"} for n in range(30)]
    answer = service.client.put_records(StreamName=stream.name, Records=entries)
    assert answer["FailedRecordCount"] == 0
    put = [
        [str(n) for n, entry in enumerate(answer["Records"]) if number_of(entry["ShardId"]) == shard]
        for shard in (0, 1)
    ]
    assert [stream.read(shard) for shard in (0, 1)] == put
    stored = {record["SequenceNumber"] for shard in (0, 1) for record in stream.records(shard)}
    assert stored == {entry["SequenceNumber"] for entry in answer["Records"]}


def test_payload_and_key_come_back_as_they_were_put(service: Service) -> None:
    stream = service.stream()
    payload = bytes(range(256)) * 3
    stream.put(payload, key="Schlüssel-鍵")
    stream.put(b"", key="k" * 256)
    records = stream.records(0)
    assert [(record["Data"], record["PartitionKey"]) for record in records] == [
        (payload, "Schlüssel-鍵"),
        (b"", "k" * 256),
    ]
    for record in records:
        assert abs(record["ApproximateArrivalTimestamp"].timestamp() - service.now_seconds()) < 60


def test_malformed_puts_are_refused_and_leave_nothing_behind(service: Service) -> None:
    stream = service.stream()
    client, named = service.client, {"StreamName": stream.name}
    good = {"Data": b"", "PartitionKey": "k"}
    observed = {
        "no key": code_of(lambda: client.put_record(**named, Data=b"")),
        "empty key": code_of(lambda: stream.put(key="")),
        "long key": code_of(lambda: stream.put(key="k" * 257)),
        "hash key of letters": code_of(
            lambda: client.put_record(**named, Data=b"", PartitionKey="k", ExplicitHashKey="abc")
        ),
        "no records": code_of(lambda: client.put_records(**named, Records=[])),
        "501 records": code_of(lambda: client.put_records(**named, Records=[good] * 501)),
        "one bad among good": code_of(
            lambda: client.put_records(**named, Records=[good, {"Data": b"", "PartitionKey": "k" * 257}])
        ),
    }
    service.expect("malformed puts are refused", observed, dict.fromkeys(observed, "ValidationException"))
    if (service.name, "malformed puts are refused") not in DEVIATIONS:
        assert stream.read(0) == []


def test_a_record_is_at_most_one_mebibyte_with_its_key(service: Service) -> None:
    stream = service.stream()
    stream.put(b"x" * (MIB - 3), key="key")
    service.expect(
        "a payload above 1 MiB is refused",
        code_of(lambda: stream.put(b"x" * (MIB + 1))),
        "ValidationException",
    )
    service.expect(
        "the key counts in the size of a record",
        code_of(lambda: stream.put(b"x" * (MIB - 2), key="key")),
        "ValidationException",
    )


def test_a_request_is_at_most_ten_mebibytes(service: Service) -> None:
    stream = service.stream()
    entries = [{"Data": b"x" * (MIB - 3), "PartitionKey": "key"}] * 11
    service.expect(
        "a request above 10 MiB is refused",
        code_of(lambda: service.client.put_records(StreamName=stream.name, Records=entries)),
        "InvalidArgumentException",
    )
