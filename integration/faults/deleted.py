"""The table or the stream is taken away under a running fleet."""

from integration import laws
from integration.faults.cells import cell
from integration.faults.faulty_fleet import KEYS, FaultyFleet, MakeFleet
from integration.program import eventually
from integration.worker_program import WorkerProgram

REFUSED = 3


def _two(make_fleet: MakeFleet) -> FaultyFleet:
    fleet = make_fleet(shards=2)
    fleet.join(2)
    fleet.app.producer.put_rounds(KEYS, 2)
    fleet.app.wait_until_delivered()
    eventually(
        lambda: not laws.beyond(fleet.app.journal.delivered, fleet.app.leases.checkpoints()),
        "a checkpoint behind everything that was delivered",
    )
    return fleet


def _last_words(worker: WorkerProgram) -> str:
    """The one line that is not the log, of a worker that has refused to go on."""
    assert worker.ended() == REFUSED, worker
    (told,) = (line for line in worker.errors if not line.startswith("{"))
    return told.removeprefix("kcl-py: error: ")


@cell("table deleted", "steady", "X")
def a_fleet_whose_table_is_deleted_stops_and_says_what_to_do(make_fleet: MakeFleet) -> None:
    fleet = _two(make_fleet)
    fleet.app.dynamodb.delete_table(TableName=fleet.app.name)
    for worker in fleet.workers:
        assert "it was deleted while it was used. Restore it from a backup; or start again" in _last_words(worker)
    assert fleet.app.name not in fleet.app.dynamodb.list_tables()["TableNames"], "nobody makes a new one unasked"
    fleet.check()


@cell("stream deleted and created again", "steady", "X")
@cell("stream deleted and created again", "start-up", "X")
def a_fleet_whose_stream_is_created_again_stops_and_says_what_to_do(make_fleet: MakeFleet) -> None:
    fleet = _two(make_fleet)
    kinesis, name = fleet.app.kinesis, fleet.app.name
    rows = fleet.app.leases.checkpoints()
    delivered = len(fleet.app.journal.delivered)
    kinesis.delete_stream(StreamName=name)
    eventually(lambda: name not in kinesis.list_streams(Limit=1000)["StreamNames"], "the end of the stream")
    kinesis.create_stream(StreamName=name, ShardCount=2)
    for worker in fleet.workers:
        assert f"stream {name} was deleted" in _last_words(worker), "or created again, if it looks later"
    assert "give this stream an application or a table of its own" in _last_words(fleet.start())
    assert fleet.app.leases.checkpoints() == rows
    assert len(fleet.app.journal.delivered) == delivered
