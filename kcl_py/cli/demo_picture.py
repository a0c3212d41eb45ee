"""The demo's live picture: shards, who has them, where they are, how far behind, how fast."""

import asyncio
import time
from collections import deque

import click
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kcl_py.events import (
    BatchDone,
    CheckpointWritten,
    Event,
    HandOffBegun,
    LeadershipTaken,
    LeaseGivenUp,
    LeaseHandedOver,
    LeasePickedUp,
    LeaseWasLost,
    SessionLost,
    SessionRevoked,
    ShardFinished,
    WorkerReady,
)
from kcl_py.printable import printable

_RATE_WINDOW_SECONDS = 3.0
_FRAMES_PER_SECOND = 5
_POSITION_DIGITS = 6
_COLOURS = {"reading": "green", "handing over": "cyan", "waiting": "yellow", "orphaned": "red", "finished": "dim"}


class ShardView(msgspec.Struct):
    """One line of the picture."""

    shard_id: str
    parents: tuple[str, ...] = ()
    state: str = "listed"
    owner: str = ""
    records: int = 0
    position: str = ""
    checkpoint: str = ""
    millis_behind: int | None = None


class Picture:
    """What the workers' events and the stream's listing have told so far."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.shards: dict[str, ShardView] = {}
        self.ready: set[str] = set()
        self.leader = ""
        self._dead: set[str] = set()
        self.sentences: list[tuple[float, str]] = []
        self._began = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque()

    def say(self, sentence: str) -> None:
        """Tell what happens next; names and reasons in it are others', so it is escaped."""
        self.sentences.append((time.monotonic() - self._began, printable(sentence)))

    def listed(self, shard_id: str, parents: tuple[str, ...]) -> None:
        """The stream lists this shard."""
        view = self._view(shard_id)
        if view.parents != parents:
            view.parents = parents
        waiting = [parent for parent in parents if self._view(parent).state != "finished"]
        if view.state == "listed" and waiting:
            view.state = "waiting"
            self.say(f"{short(shard_id)} waits for its parents: {' and '.join(map(short, waiting))}")

    def killed(self, worker: str) -> None:
        """This worker is no more; nobody has what it had."""
        self._dead.add(worker)
        self.say(f"worker {worker} is killed, by SIGKILL; its shards go on at their last checkpoints, elsewhere")
        for view in self.shards.values():
            if view.owner == worker:
                view.state = "orphaned"

    def note(self, worker: str, event: Event) -> None:
        """Take what a worker tells."""
        match event:
            case WorkerReady():
                self.ready.add(worker)
                self.say(f"worker {worker} is ready")
            case LeadershipTaken():
                self.leader = worker
                self.say(f"worker {worker} leads: it plans who has which shard")
            case SessionRevoked():
                self.say(f"worker {worker} sees that worker {_worker(event.session)} is dead: {event.reason}")
            case SessionLost():
                self.say(f"worker {worker} lost its session: {event.reason}")
            case BatchDone():
                view = self._view(event.shard_id)
                view.records += event.records
                view.position = _position(event.last)
                view.millis_behind = event.millis_behind_latest
                self._recent.append((time.monotonic(), event.records))
            case CheckpointWritten():
                self._view(event.shard_id).checkpoint = _position(event.checkpoint)
            case _:
                self._note_owner(worker, event)

    def _note_owner(self, worker: str, event: Event) -> None:
        match event:
            case LeasePickedUp():
                view = self._view(event.shard_id)
                view.state, view.owner = "reading", worker
                view.checkpoint = _position(event.checkpoint)
                self.say(f"worker {worker} picks up {short(event.shard_id)} at {view.checkpoint}")
            case HandOffBegun():
                self._view(event.shard_id).state = "handing over"
            case LeaseHandedOver():
                self.say(f"worker {worker} hands {short(event.shard_id)} over to worker {_worker(event.to)}")
            case ShardFinished():
                view = self._view(event.shard_id)
                view.state, view.owner = "finished", ""
                self.say(f"worker {worker} has finished {short(event.shard_id)}")
            case LeaseGivenUp() | LeaseWasLost():
                view = self._view(event.shard_id)
                view.state, view.owner = "given up", ""

    def has_shards(self, worker: str) -> bool:
        """True if this worker owns a shard, dead or alive."""
        return any(view.owner == worker for view in self.shards.values())

    def is_inherited(self, worker: str) -> bool:
        """True if this worker is dead, and others have all that it had."""
        return worker in self._dead and not self.has_shards(worker)

    @property
    def finished_shards(self) -> int:
        """How many shards were processed to their end."""
        return sum(view.state == "finished" for view in self.shards.values())

    @property
    def records_per_second(self) -> float:
        """Over the last few seconds."""
        now = time.monotonic()
        while self._recent and now - self._recent[0][0] > _RATE_WINDOW_SECONDS:
            self._recent.popleft()
        return sum(count for _, count in self._recent) / _RATE_WINDOW_SECONDS

    @property
    def records(self) -> int:
        """All that were processed."""
        return sum(view.records for view in self.shards.values())

    def _view(self, shard_id: str) -> ShardView:
        return self.shards.setdefault(shard_id, ShardView(shard_id))


def show_live(picture: Picture) -> "asyncio.Task[None]":
    """Draw the picture again and again until cancelled."""
    return asyncio.create_task(_live(picture), name="demo picture")


def show_lines(picture: Picture) -> "asyncio.Task[None]":
    """Print what happens, and a summary every second, until cancelled."""
    return asyncio.create_task(_lines(picture), name="demo lines")


def short(shard_id: str) -> str:
    """A shard as people say it."""
    number = shard_id.rpartition("-")[2]
    return f"shard {int(number)}" if number.isdecimal() else f"shard {printable(shard_id)}"


async def _live(picture: Picture) -> None:
    with Live(_drawn(picture), console=Console(), refresh_per_second=_FRAMES_PER_SECOND) as live:
        try:
            while True:
                await asyncio.sleep(1 / _FRAMES_PER_SECOND)
                live.update(_drawn(picture))
        finally:
            live.update(_drawn(picture))


def _drawn(picture: Picture) -> Group:
    led = f"worker {printable(picture.leader)} leads" if picture.leader else "nobody leads yet"
    rate = f"{picture.records} records, {picture.records_per_second:.0f}/s"
    table = Table(title=Text(f"stream {printable(picture.stream)}: {rate}; {led}"))
    for heading in ("shard", "state", "owner", "parents"):
        table.add_column(heading)
    for heading in ("records", "position", "checkpoint", "behind"):
        table.add_column(heading, justify="right")
    for view in sorted(picture.shards.values(), key=lambda view: view.shard_id):
        behind = "" if view.millis_behind is None else f"{view.millis_behind} ms"
        table.add_row(
            Text(short(view.shard_id)),
            Text(view.state, style=_COLOURS.get(view.state, "")),
            Text(printable(view.owner)),
            Text(" ".join(map(short, view.parents))),
            str(view.records),
            Text(view.position),
            Text(view.checkpoint),
            behind,
        )
    return Group(table, *(Text(f"{at:5.1f} s  {sentence}") for at, sentence in picture.sentences[-10:]))


async def _lines(picture: Picture) -> None:
    told = 0
    frame = 0

    def tell_news() -> None:
        nonlocal told
        for at, sentence in picture.sentences[told:]:
            click.echo(f"{at:5.1f} s  {sentence}")
        told = len(picture.sentences)

    try:
        while True:
            await asyncio.sleep(1 / _FRAMES_PER_SECOND)
            tell_news()
            frame += 1
            if frame % _FRAMES_PER_SECOND == 0:
                click.echo(f"         {picture.records} records, {picture.records_per_second:.0f}/s")
    finally:
        tell_news()


def _worker(session: str) -> str:
    return session.rpartition("@")[0]


def _position(checkpoint: str) -> str:
    sequence_number = checkpoint.partition("/")[0]
    is_number = sequence_number.isdecimal()
    return f"…{sequence_number[-_POSITION_DIGITS:]}" if is_number else printable(sequence_number)
