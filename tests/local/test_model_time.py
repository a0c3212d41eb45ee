"""What time does to a stream: iterators and tokens expire, records and closed shards go, limits refill, states end."""

import msgspec

from kcl_py.core.shard import HASH_KEY_MAX
from kcl_py.local import answers, requests
from kcl_py.local.limits import MIB, Limits
from tests.local.model_driver import NAME, ModelDriver
from tests.local.ticking_clock import START_MS

ZERO, ONE = "shardId-000000000000", "shardId-000000000001"
TOO_FAST = "ProvisionedThroughputExceededException"


def test_an_iterator_is_good_for_five_minutes() -> None:
    driver = ModelDriver()
    iterator = driver.iterator()
    driver.clock.advance(seconds=300)
    following = driver.page(iterator).next_shard_iterator
    driver.clock.advance(seconds=0.001)
    assert driver.refusal("GetRecords", ShardIterator=iterator) == "ExpiredIteratorException"
    assert driver.refusal("GetRecords", ShardIterator=following) == "accepted"


def test_a_listing_token_is_good_for_five_minutes() -> None:
    driver = ModelDriver(shard_count=3)
    request = requests.ListShards(stream_name=NAME, max_results=2)
    token = driver.ask(request, answers.ListShardsAnswer).next_token
    driver.clock.advance(seconds=300)
    assert driver.refusal("ListShards", NextToken=token) == "accepted"
    driver.clock.advance(seconds=1)
    assert driver.refusal("ListShards", NextToken=token) == "ExpiredNextTokenException"


def test_a_listing_token_stays_with_its_filter_and_its_moment() -> None:
    driver = ModelDriver(shard_count=2)
    shard_filter = requests.ShardFilter(type="AT_LATEST")
    first = driver.ask(
        requests.ListShards(stream_name=NAME, max_results=1, shard_filter=shard_filter), answers.ListShardsAnswer
    )
    driver.split(ZERO, 2**100)
    rest = driver.ask(requests.ListShards(next_token=first.next_token), answers.ListShardsAnswer)
    assert [shard.shard_id[-1] for shard in rest.shards] == ["1", "2", "3"]


def test_a_java_kcl_may_send_the_arn_beside_the_token() -> None:
    driver = ModelDriver(shard_count=2)
    token = driver.ask(requests.ListShards(stream_name=NAME, max_results=1), answers.ListShardsAnswer).next_token
    arn = driver.model.arn_of(NAME)
    assert driver.refusal("ListShards", NextToken=token, StreamARN=arn) == "accepted"
    assert driver.refusal("ListShards", NextToken=token, StreamARN=arn + "s") == "InvalidArgumentException"
    assert driver.refusal("ListShards", NextToken=token, ExclusiveStartShardId=ZERO) == "InvalidArgumentException"


def test_records_older_than_the_retention_are_gone() -> None:
    driver = ModelDriver()
    driver.put(b"old")
    driver.clock.advance(hours=1)
    driver.put(b"young")
    driver.clock.advance(hours=23)
    assert driver.read() == [b"old", b"young"]
    driver.clock.advance(seconds=1)
    assert driver.read() == [b"young"]


def test_an_iterator_at_a_trimmed_record_goes_on_with_the_oldest_left() -> None:
    driver = ModelDriver(limits=msgspec.structs.replace(Limits.unthrottled(), iterator_lifetime_ms=10**12))
    driver.put(b"old")
    driver.clock.advance(hours=2)
    driver.put(b"young")
    iterator = driver.iterator()
    driver.clock.advance(hours=23)
    assert [record.data for record in driver.page(iterator).records] == [b"young"]


def test_a_sequence_number_of_a_trimmed_record_still_opens_the_shard() -> None:
    driver = ModelDriver()
    number = driver.put(b"old").sequence_number
    driver.clock.advance(hours=25)
    driver.put(b"young")
    request = requests.GetShardIterator(
        stream_name=NAME, shard_id=ZERO, shard_iterator_type="AT_SEQUENCE_NUMBER", starting_sequence_number=number
    )
    iterator = driver.ask(request, answers.GetShardIteratorAnswer).shard_iterator
    assert [record.data for record in driver.page(iterator).records] == [b"young"]


def test_a_longer_retention_keeps_more_but_brings_nothing_back() -> None:
    driver = ModelDriver()
    driver.put(b"gone")
    driver.clock.advance(hours=25)
    driver.put(b"kept")
    driver.do(requests.IncreaseStreamRetentionPeriod(stream_name=NAME, retention_period_hours=72))
    driver.clock.advance(hours=47)
    assert driver.read() == [b"kept"]


def test_a_shorter_retention_trims_at_once() -> None:
    driver = ModelDriver()
    driver.do(requests.IncreaseStreamRetentionPeriod(stream_name=NAME, retention_period_hours=48))
    driver.put(b"old")
    driver.clock.advance(hours=30)
    driver.put(b"young")
    driver.do(requests.DecreaseStreamRetentionPeriod(stream_name=NAME, retention_period_hours=24))
    assert driver.read() == [b"young"]


def test_a_closed_shard_leaves_the_listing_when_the_retention_has_passed_it() -> None:
    driver = ModelDriver()
    driver.put(b"x")
    driver.clock.advance(hours=1)
    driver.split(ZERO, 2**127)
    driver.clock.advance(hours=23, seconds=3_599)
    assert driver.ids() == [0, 1, 2]
    assert driver.ids("AT_TRIM_HORIZON") == [0]
    driver.clock.advance(seconds=2)
    assert driver.ids() == [1, 2]
    assert driver.ids("AT_TRIM_HORIZON") == [1, 2]
    assert driver.shards()[0].parent_shard_id == ZERO
    assert (
        driver.refusal("GetShardIterator", StreamName=NAME, ShardId=ZERO, ShardIteratorType="TRIM_HORIZON")
        == "ResourceNotFoundException"
    )


def test_the_filters_by_time_go_by_opening_and_closing() -> None:
    driver = ModelDriver()
    driver.clock.advance(seconds=100)
    driver.split(ZERO, 2**127)
    moment = START_MS / 1_000 + 100
    driver.clock.advance(seconds=100)
    assert driver.ids("AT_TIMESTAMP", moment - 1) == [0]
    assert driver.ids("AT_TIMESTAMP", moment) == [0, 1, 2], "the closing moment counts in"
    assert driver.ids("AT_TIMESTAMP", moment + 1) == [1, 2]
    assert driver.ids("FROM_TIMESTAMP", moment - 1) == [0, 1, 2]
    assert driver.ids("FROM_TIMESTAMP", moment + 1) == [1, 2]
    assert driver.ids("AT_TIMESTAMP", START_MS / 1_000 - 1) == []


def test_a_sixth_read_has_to_wait_until_the_first_is_a_second_old() -> None:
    driver = ModelDriver(limits=Limits())
    iterator = driver.iterator()

    def read() -> str:
        return driver.refusal("GetRecords", ShardIterator=iterator)

    assert [read() for _ in range(6)] == ["accepted"] * 5 + [TOO_FAST]
    driver.clock.advance(seconds=0.999)
    assert read() == TOO_FAST
    driver.clock.advance(seconds=0.001)
    assert read() == "accepted"


def test_five_iterators_a_second_are_given_for_a_shard() -> None:
    driver = ModelDriver(limits=Limits(), shard_count=2)

    def ask(shard_id: str) -> str:
        return driver.refusal("GetShardIterator", StreamName=NAME, ShardId=shard_id, ShardIteratorType="LATEST")

    assert [ask(ZERO) for _ in range(6)] == ["accepted"] * 5 + [TOO_FAST]
    assert ask(ONE) == "accepted"


def test_after_ten_mebibytes_the_next_five_seconds_are_refused() -> None:
    driver = ModelDriver(limits=Limits())
    for _ in range(11):
        assert driver.put_many(1, MIB - 1) == [None]
        driver.clock.advance(seconds=1)
    iterator = driver.iterator()
    page = driver.page(iterator)
    assert len(page.records) == 10
    driver.clock.advance(seconds=4.9)
    assert driver.refusal("GetRecords", ShardIterator=page.next_shard_iterator) == TOO_FAST
    driver.clock.advance(seconds=0.1)
    assert len(driver.page(page.next_shard_iterator or "").records) == 1


def test_two_mebibytes_a_second_can_be_read_for_ever() -> None:
    driver = ModelDriver(limits=Limits())
    size_bytes = 400 * 1_024
    for _ in range(40):
        assert driver.put_many(1, size_bytes) == [None]
        driver.clock.advance(seconds=0.5)
    iterator: str | None = driver.iterator()
    for _ in range(40):
        page = driver.page(iterator or "", limit=1)
        iterator = page.next_shard_iterator
        driver.clock.advance(seconds=0.2)
    assert page.millis_behind_latest == 0


def test_a_thousand_records_a_second_are_taken_and_the_others_fail_alone() -> None:
    driver = ModelDriver(limits=Limits())
    assert driver.put_many(500) + driver.put_many(500) == [None] * 1_000
    assert driver.put_many(2) == [TOO_FAST] * 2
    driver.clock.advance(seconds=0.001)
    assert driver.put_many(2) == [None, TOO_FAST]
    assert len(driver.read()) == 1_001


def test_a_mebibyte_a_second_is_taken_and_single_puts_are_refused_beyond() -> None:
    driver = ModelDriver(limits=Limits())
    assert driver.put_many(3, 400 * 1_024) == [None, None, TOO_FAST]
    big = {"StreamName": NAME, "Data": b"x" * 500_000, "PartitionKey": "k"}
    assert driver.refusal("PutRecord", **big) == TOO_FAST
    driver.clock.advance(seconds=1)
    assert driver.refusal("PutRecord", **big) == "accepted"


def test_one_shard_at_its_limit_leaves_the_others_alone() -> None:
    driver = ModelDriver(limits=Limits(put_records_per_second=1), shard_count=2)
    entries = [
        requests.PutRecordsEntry(data=b"", partition_key="k", explicit_hash_key=str(hash_key))
        for hash_key in (0, HASH_KEY_MAX, 0, HASH_KEY_MAX)
    ]
    answer = driver.ask(requests.PutRecords(stream_name=NAME, records=entries), answers.PutRecordsAnswer)
    assert [entry.error_code for entry in answer.records] == [None, None, TOO_FAST, TOO_FAST]
    assert answer.failed_record_count == 2
    assert ZERO in (answer.records[2].error_message or "")
    assert [entry.shard_id for entry in answer.records] == [ZERO, ONE, None, None]


def test_records_of_ten_mebibytes_need_the_streams_consent() -> None:
    driver = ModelDriver(limits=Limits())
    big = {"StreamName": NAME, "Data": b"x" * (10 * MIB - 1), "PartitionKey": "k"}
    assert driver.refusal("PutRecord", **big) == "ValidationException"
    driver.do(requests.UpdateMaxRecordSize(stream_arn=driver.model.arn_of(NAME), max_record_size_in_kib=10_240))
    assert driver.refusal("PutRecord", **big) == "accepted"


def test_a_stream_is_creating_then_active_and_not_served_before() -> None:
    driver = ModelDriver(limits=Limits(creating_ms=2_000))
    assert driver.status == "CREATING"
    put = {"StreamName": NAME, "Data": b"", "PartitionKey": "k"}
    assert driver.refusal("PutRecord", **put) == "ResourceNotFoundException"
    assert driver.refusal("ListShards", StreamName=NAME) == "ResourceInUseException"
    driver.clock.advance(seconds=2)
    assert driver.status == "ACTIVE"
    assert driver.refusal("PutRecord", **put) == "accepted"


def test_a_reshard_takes_effect_when_the_update_ends_and_the_stream_is_served_meanwhile() -> None:
    driver = ModelDriver(limits=Limits(updating_ms=3_000))
    driver.put(b"before")
    driver.split(ZERO, 2**127)
    assert driver.status == "UPDATING"
    assert driver.put(b"meanwhile").shard_id == ZERO
    assert driver.ids() == [0]
    again = {"StreamName": NAME, "ShardToSplit": ZERO, "NewStartingHashKey": str(2**100)}
    assert driver.refusal("SplitShard", **again) == "ResourceInUseException"
    assert driver.refusal("DeleteStream", StreamName=NAME) == "ResourceInUseException"
    driver.clock.advance(seconds=3)
    assert driver.status == "ACTIVE"
    assert driver.put(b"after").shard_id != ZERO
    assert driver.read() == [b"before", b"meanwhile"]


def test_a_deleted_stream_is_deleting_then_gone() -> None:
    driver = ModelDriver(limits=Limits(deleting_ms=1_000))
    driver.put(b"x")
    driver.do(requests.DeleteStream(stream_name=NAME))
    assert driver.status == "DELETING"
    assert driver.refusal("PutRecord", StreamName=NAME, Data=b"", PartitionKey="k") == "ResourceNotFoundException"
    assert driver.refusal("CreateStream", StreamName=NAME, ShardCount=1) == "ResourceInUseException"
    driver.clock.advance(seconds=1)
    assert driver.refusal("DescribeStreamSummary", StreamName=NAME) == "ResourceNotFoundException"
    assert driver.refusal("CreateStream", StreamName=NAME, ShardCount=1) == "accepted"


def test_a_stream_made_again_at_once_is_created_in_a_later_second() -> None:
    driver = ModelDriver()
    number = driver.put(b"x").sequence_number
    iterator = driver.iterator()
    driver.do(requests.DeleteStream(stream_name=NAME))
    driver.create()
    created = driver.model.stream(NAME, None, driver.clock()).created_ms
    assert created >= START_MS + 1_000
    assert driver.read() == []
    assert driver.refusal("GetRecords", ShardIterator=iterator) == "ResourceNotFoundException"
    old = {"StreamName": NAME, "ShardId": ZERO, "ShardIteratorType": "AT_SEQUENCE_NUMBER"}
    assert driver.refusal("GetShardIterator", **old, StartingSequenceNumber=number) == "InvalidArgumentException"
    assert driver.refusal("ListShards", StreamName=NAME, StreamCreationTimestamp=START_MS / 1_000) == (
        "ResourceNotFoundException"
    )


def test_a_stream_is_scaled_ten_times_within_a_day() -> None:
    driver = ModelDriver(limits=Limits())
    for step in range(10):
        driver.scale(1 + step % 2)
    scale = {"StreamName": NAME, "TargetShardCount": 1, "ScalingType": "UNIFORM_SCALING"}
    assert driver.refusal("UpdateShardCount", **scale) == "LimitExceededException"
    driver.clock.advance(hours=24)
    assert driver.refusal("UpdateShardCount", **scale) == "accepted"


def test_the_account_has_a_shard_limit() -> None:
    driver = ModelDriver(limits=Limits(shards_max=2), shard_count=2)
    assert driver.refusal("CreateStream", StreamName="more", ShardCount=1) == "LimitExceededException"
    split = {"StreamName": NAME, "ShardToSplit": ZERO, "NewStartingHashKey": str(2**100)}
    assert driver.refusal("SplitShard", **split) == "LimitExceededException"


def test_a_page_that_leaves_records_behind_says_how_old_the_next_one_is() -> None:
    driver = ModelDriver()
    driver.put(b"1")
    driver.clock.advance(seconds=2)
    driver.put(b"2")
    driver.clock.advance(seconds=3)
    page = driver.page(driver.iterator(), limit=1)
    assert page.millis_behind_latest == 3_000
    assert driver.page(page.next_shard_iterator or "").millis_behind_latest == 0


def test_arrival_times_never_go_back_with_the_clock() -> None:
    driver = ModelDriver()
    driver.put(b"1")
    driver.clock.advance(seconds=-3_600)
    driver.put(b"2")
    times = [record.approximate_arrival_timestamp for record in driver.page(driver.iterator()).records]
    assert times == sorted(times)
    assert driver.read() == [b"1", b"2"]


def test_trimming_gives_the_memory_back() -> None:
    driver = ModelDriver()
    for _ in range(10):
        driver.put_many(500)
    driver.clock.advance(hours=25)
    driver.put(b"young")
    shard = driver.model.stream(NAME, None, driver.clock()).shard(ZERO, driver.clock())
    assert [shard.log.first, shard.log.end] == [5_000, 5_001]
    assert shard.log.held < 1_100
