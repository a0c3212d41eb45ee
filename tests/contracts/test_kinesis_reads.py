"""Where a read begins, what it gives, and how it ends. One contract for everything that speaks Kinesis."""

import time
from datetime import UTC, datetime

from kcl_py.core.shard import HASH_KEY_MAX
from tests.contracts.kinesis_services import Service
from tests.contracts.tested_stream import TestedStream, code_of, number_of, range_of

KIB = 1024
MIB = 1024 * 1024


def test_the_iterator_types_begin_where_their_names_say(service: Service) -> None:
    stream = service.stream()
    numbers = [stream.put(str(n))["SequenceNumber"] for n in range(5)]
    latest = stream.iterator(0, "LATEST")
    assert stream.read(0, "TRIM_HORIZON") == ["0", "1", "2", "3", "4"]
    assert stream.read(0, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2]) == ["2", "3", "4"]
    assert stream.read(0, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2]) == ["3", "4"]
    assert stream.read(0, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[4]) == []
    stream.put("5")
    assert [record["Data"] for record in stream.page(latest)["Records"]] == [b"5"]


def test_a_time_begins_with_the_first_record_that_arrived_in_it(service: Service) -> None:
    stream = service.stream()
    seconds: list[int] = []
    while not seconds or seconds[-1] == seconds[0]:
        stream.put(str(len(seconds)))
        seconds.append(int(stream.records(0)[-1]["ApproximateArrivalTimestamp"].timestamp()))
        assert len(seconds) < 200, "time stands still"
        if service.clock is None:
            time.sleep(0.05)
    later = datetime.fromtimestamp(seconds[-1], UTC)
    assert stream.read(0, "AT_TIMESTAMP", Timestamp=later) == [str(len(seconds) - 1)]
    earlier = datetime.fromtimestamp(seconds[0], UTC)
    assert len(stream.read(0, "AT_TIMESTAMP", Timestamp=earlier)) == len(seconds)


def test_a_shard_that_does_not_exist_has_no_iterator(service: Service) -> None:
    stream = service.stream()
    assert code_of(lambda: stream.iterator(9)) == "ResourceNotFoundException"


def test_an_iterator_needs_what_its_type_says_and_nothing_else(service: Service) -> None:
    stream = service.stream()
    number = stream.put()["SequenceNumber"]
    future = datetime.fromtimestamp(service.now_seconds() + 3_600, UTC)
    observed = {
        "AT without number": code_of(lambda: stream.iterator(0, "AT_SEQUENCE_NUMBER")),
        "AFTER without number": code_of(lambda: stream.iterator(0, "AFTER_SEQUENCE_NUMBER")),
        "LATEST with number": code_of(lambda: stream.iterator(0, "LATEST", StartingSequenceNumber=number)),
        "time without time": code_of(lambda: stream.iterator(0, "AT_TIMESTAMP")),
        "time to come": code_of(lambda: stream.iterator(0, "AT_TIMESTAMP", Timestamp=future)),
    }
    expected = dict.fromkeys(observed, "InvalidArgumentException")
    for case, code in observed.items():
        service.expect(f"iterator arguments: {case}", code, expected[case])
    service.expect(
        "an unknown iterator type is refused", code_of(lambda: stream.iterator(0, "FIRST")), "ValidationException"
    )


def test_a_sequence_number_from_elsewhere_is_refused(service: Service) -> None:
    stream = service.stream(2)
    number = stream.put(hash_key=0)["SequenceNumber"]

    def refused(shard: int, text: str) -> str:
        return code_of(lambda: stream.iterator(shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=text))

    service.expect("a number of another shard is refused", refused(1, number), "InvalidArgumentException")
    service.expect("a number of no shard is refused", refused(0, "12345" * 8), "InvalidArgumentException")
    service.expect("a number that is none is refused", refused(0, "last"), "ValidationException")


def test_an_iterator_that_the_service_did_not_give_is_refused(service: Service) -> None:
    stream = service.stream()
    service.expect(
        "an invented iterator is refused", code_of(lambda: stream.page("invented")), "InvalidArgumentException"
    )


def test_an_iterator_reads_the_same_again(service: Service) -> None:
    stream = service.stream()
    for n in range(4):
        stream.put(str(n))
    iterator = stream.iterator(0)
    pages = [stream.page(iterator, Limit=2) for _ in range(2)]
    assert [[record["Data"] for record in page["Records"]] for page in pages] == [[b"0", b"1"]] * 2
    assert [record["Data"] for record in stream.page(pages[0]["NextShardIterator"])["Records"]] == [b"2", b"3"]


def test_a_page_has_at_most_limit_records_and_the_limit_ten_thousand(service: Service) -> None:
    stream = service.stream()
    for n in range(5):
        stream.put(str(n))
    pages = [stream.page(stream.iterator(0), Limit=3)]
    pages.append(stream.page(pages[0]["NextShardIterator"], Limit=3))
    assert [len(page["Records"]) for page in pages] == [3, 2]
    observed = [code_of(lambda limit=limit: stream.page(stream.iterator(0), Limit=limit)) for limit in (0, 10_001)]  # type: ignore[misc]
    service.expect("a limit out of range is refused", observed, ["ValidationException"] * 2)


def test_a_page_is_at_most_ten_mebibytes(service: Service) -> None:
    stream = service.stream()
    for _ in range(11):
        stream.put(b"x" * (MIB - KIB))
        if service.clock is not None:
            service.clock.advance(seconds=1)
    page = stream.page(stream.iterator(0))
    service.expect("a page has at most 10 MiB", len(page["Records"]), 10)


def test_millis_behind_latest_is_zero_at_the_tip_only(service: Service) -> None:
    stream = service.stream()
    for n in range(3):
        stream.put(str(n))
    page = stream.page(stream.iterator(0), Limit=1)
    rest = stream.page(page["NextShardIterator"])
    assert page["MillisBehindLatest"] > 0
    assert rest["MillisBehindLatest"] == 0


def test_a_closed_shard_ends_and_names_its_children(service: Service) -> None:
    stream = service.stream()
    for n in range(3):
        stream.put(str(n))
    reading = stream.iterator(0)
    stream.split(0, 2**127)
    records, children, iterator = read_to_end(stream, reading)
    assert records == ["0", "1", "2"]
    service.expect("a closed shard ends", iterator is None, True)
    service.expect(
        "the end of a split shard names both children",
        children,
        [(1, [0], 0, 2**127 - 1), (2, [0], 2**127, HASH_KEY_MAX)],
    )
    late_records, late_children, late_iterator = read_to_end(stream, stream.iterator(0, "LATEST"))
    assert [late_records, late_children] == [[], children]
    service.expect("a closed shard ends from LATEST, too", late_iterator is None, True)


def read_to_end(
    stream: TestedStream, iterator: str | None
) -> tuple[list[str], list[tuple[int, list[int], int, int]], str | None]:
    """What a shard gives until it ends, and the iterator that is left if it does not within a few calls."""
    records: list[str] = []
    children: list[tuple[int, list[int], int, int]] = []
    for _ in range(4):
        if iterator is None:
            break
        page = stream.page(iterator)
        records += [record["Data"].decode() for record in page["Records"]]
        children = [
            (number_of(child["ShardId"]), sorted(map(number_of, child["ParentShards"])), *range_of(child))
            for child in page.get("ChildShards") or []
        ]
        iterator = page.get("NextShardIterator")
    return records, sorted(children), iterator


def test_both_parents_of_a_merge_end_and_name_the_one_child(service: Service) -> None:
    stream = service.stream(2)
    stream.put("0", hash_key=0)
    stream.merge(0, 1)
    for parent, payloads in ((0, ["0"]), (1, [])):
        records, children, iterator = read_to_end(stream, stream.iterator(parent))
        assert records == payloads
        service.expect("a merged shard ends", iterator is None, True)
        service.expect("the end of a merged shard names the child", children, [(2, [0, 1], 0, HASH_KEY_MAX)])


def test_every_record_is_read_once_along_the_lineage(service: Service) -> None:
    stream = service.stream(2)
    put: list[str] = []

    def put_some() -> None:
        for _ in range(8):
            put.append(str(len(put)))
            stream.put(put[-1], hash_key=len(put) * (HASH_KEY_MAX // 40))

    put_some()
    stream.split(0)  # 0 -> 2, 3
    put_some()
    stream.merge(3, 1)  # 3, 1 -> 4
    put_some()
    stream.scale(4)
    put_some()
    read = [data for shard in stream.ids() for data in stream.read(shard)]
    service.expect("every record is read once along the lineage", sorted(read, key=int) == put, True)


def test_a_sixth_read_within_a_second_is_refused(service: Service) -> None:
    stream = service.stream()
    stream.put("x")
    with service.standing_clock():
        iterators = [stream.iterator(0) for _ in range(2)]
        codes = [code_of(lambda: stream.page(iterators[0])) for _ in range(6)]
    service.expect(
        "the sixth read within a second is refused",
        codes,
        ["accepted"] * 5 + ["ProvisionedThroughputExceededException"],
    )


def test_the_thousand_and_first_record_within_a_second_fails_alone(service: Service) -> None:
    stream = service.stream()
    entries = [{"Data": b"x", "PartitionKey": "key"}] * 500
    with service.standing_clock():
        answers = [service.client.put_records(StreamName=stream.name, Records=entries) for _ in range(2)]
        third = service.client.put_records(StreamName=stream.name, Records=entries[:2])
    assert [answer["FailedRecordCount"] for answer in answers] == [0, 0]
    service.expect(
        "the 1,001st record within a second fails",
        [third["FailedRecordCount"], [entry.get("ErrorCode") for entry in third["Records"]]],
        [2, ["ProvisionedThroughputExceededException"] * 2],
    )
