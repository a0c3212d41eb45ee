"""The worker as users hold it, against local endpoints: embedded, synchronous, failing."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

import kcl_py
from kcl_py import Checkpointer, Config, RecordBatch, RecordProcessor, Worker, events
from kcl_py.errors import CheckpointError, ProcessorError, StreamNotFound
from kcl_py.local import requests
from kcl_py.local.endpoints import LocalEndpoints


@pytest.fixture(scope="module")
def endpoints() -> Iterator[LocalEndpoints]:
    with LocalEndpoints() as started:
        yield started


@pytest.fixture(autouse=True)
def environment(endpoints: LocalEndpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in endpoints.environment.items():
        monkeypatch.setenv(name, value)


def make_stream(endpoints: LocalEndpoints, name: str, payloads: int) -> None:
    endpoints.kinesis.ask(requests.CreateStream(stream_name=name, shard_count=1))
    for number in range(payloads):
        endpoints.kinesis.ask(
            requests.PutRecord(stream_name=name, data=str(number).encode(), partition_key="key of nobody's business")
        )


class Noticing:
    """Waits for events of a kind."""

    def __init__(self) -> None:
        self.events: list[events.Event] = []
        self._came = threading.Condition()

    def __call__(self, event: events.Event) -> None:
        with self._came:
            self.events.append(event)
            self._came.notify_all()

    async def wait_for(self, kind: type[events.Event]) -> events.Event:
        def look() -> events.Event:
            with self._came:
                assert self._came.wait_for(lambda: any(isinstance(event, kind) for event in self.events), 20)
                return next(event for event in self.events if isinstance(event, kind))

        return await asyncio.to_thread(look)


async def test_a_synchronous_processor_checkpoints_and_blocks_until_it_is_durable(endpoints):
    make_stream(endpoints, "sync", 10)
    errors: list[Exception] = []
    durable: list[str] = []

    class Manual(RecordProcessor):
        checkpointing = "manual"

        def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            checkpointer.checkpoint(records[4])
            durable.extend(event.checkpoint for event in noticing.events if isinstance(event, events.CheckpointWritten))
            for wrong in (records[3],):
                try:
                    checkpointer.checkpoint(wrong)
                except CheckpointError as error:
                    errors.append(error)
            try:
                raise KeyError
            except KeyError:
                try:
                    checkpointer.checkpoint()
                except CheckpointError as error:
                    errors.append(error)
            pending = checkpointer.prepare(records[8], state=b"half")
            pending.checkpoint()

    noticing = Noticing()
    config = Config(stream="sync", application="sync-app")
    async with Worker(Manual, config, listeners=[noticing]):
        await noticing.wait_for(events.BatchDone)
    assert len(durable) == 1
    assert [type(error) for error in errors] == [CheckpointError, CheckpointError]
    assert "behind" in str(errors[0])
    assert "name the last record" in str(errors[1])
    written = [event.checkpoint for event in noticing.events if isinstance(event, events.CheckpointWritten)]
    assert len(written) == 2
    (given_up,) = [event for event in noticing.events if isinstance(event, events.LeaseGivenUp)]
    assert given_up.checkpoint == written[-1]


async def test_automatic_checkpoints_refuse_a_record_that_is_still_in_the_processors_hands(endpoints):
    make_stream(endpoints, "auto", 3)
    refused: list[str] = []

    class Hasty(RecordProcessor):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            try:
                await checkpointer.checkpoint(records[0])
            except CheckpointError as error:
                refused.append(str(error))
            await checkpointer.checkpoint()

    noticing = Noticing()
    async with Worker(Hasty, Config(stream="auto", application="auto-app"), listeners=[noticing]):
        await noticing.wait_for(events.BatchDone)
    assert len(refused) == 1
    assert "process_records has not returned" in refused[0]


async def test_a_fatal_error_interrupts_the_body_and_is_raised(endpoints):
    with pytest.raises(StreamNotFound, match="no-such-stream"):
        async with Worker(Silent, Config(stream="no-such-stream", application="nobody")):
            await asyncio.sleep(60)


async def test_the_bodys_own_error_drains_the_worker_and_goes_on_its_way(endpoints):
    make_stream(endpoints, "own-error", 1)
    noticing = Noticing()
    with pytest.raises(ZeroDivisionError):
        async with Worker(Silent, Config(stream="own-error", application="own-error-app"), listeners=[noticing]):
            await noticing.wait_for(events.BatchDone)
            raise ZeroDivisionError
    assert isinstance(noticing.events[-1], events.WorkerStopped)


async def test_two_applications_in_one_process_share_nothing(endpoints):
    make_stream(endpoints, "both", 5)
    one, other = Noticing(), Noticing()
    async with (
        Worker(Silent, Config(stream="both", application="one-app"), listeners=[one]),
        Worker(Silent, Config(stream="both", application="other-app"), listeners=[other]),
    ):
        assert await one.wait_for(events.BatchDone) != await other.wait_for(events.LeasePickedUp)
        await other.wait_for(events.BatchDone)


class Silent(RecordProcessor):
    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        assert len(records) > 0


class Mixed(RecordProcessor):
    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        assert len(records) > 0

    async def lease_lost(self) -> None:
        return None


class Narrow(RecordProcessor):
    def process_records(self, records: RecordBatch) -> None:  # type: ignore[override]
        assert len(records) > 0


class Empty(RecordProcessor):
    pass


class Sometimes(Silent):
    checkpointing = "sometimes"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("processor", "words"),
    [
        (Mixed, "mixes def and async def"),
        (Empty, "lacks process_records"),
        (Narrow, r"must be process_records\(self, records, checkpointer\)"),
        (Sometimes, '"automatic" or "manual"'),
        (dict, "subclass kcl_py.RecordProcessor"),
        ("nothing", "neither a RecordProcessor subclass nor a callable"),
    ],
)
def test_what_is_no_processor_is_refused_before_anything_happens(processor, words):
    with pytest.raises(ProcessorError, match=words):
        Worker(processor, Config(stream="s", application="app"))


async def test_a_factory_may_make_the_processor(endpoints):
    make_stream(endpoints, "made", 2)
    noticing = Noticing()
    made: list[Silent] = []

    def factory() -> Silent:
        made.append(Silent())
        return made[-1]

    async with Worker(factory, Config(stream="made", application="made-app"), listeners=[noticing]):
        await noticing.wait_for(events.BatchDone)
    (processor,) = made
    assert processor.context.shard_id == "shardId-000000000000"
    assert processor.context.stream == "made"
    assert processor.context.fencing_token == 1


def test_the_package_exports_what_the_documentation_names_and_no_more():
    assert set(kcl_py.__all__) >= {"Worker", "Config", "RecordProcessor"}
    assert all(hasattr(kcl_py, name) for name in kcl_py.__all__)
    unknown = "NoSuchName"
    with pytest.raises(AttributeError, match=unknown):
        getattr(kcl_py, unknown)
