"""The control plane: beats the session, takes leases, writes checkpoints; the only writer of lease rows.

It lives in a loop of its own, apart from user code, and talks with the data plane through the mailbox alone. A lease is
picked up only when its shard may start, so nothing downstream needs to know of lineage.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable

from kcl_py.config import Config
from kcl_py.core.session import Process, Session
from kcl_py.errors import CheckpointError, LeaseLost, ServiceUnavailable, TableMissing, Throttled, WorkerStalled
from kcl_py.events import EventLoopBlocked, ServiceTrouble, SessionLost, SessionStarted, WorkerReady
from kcl_py.interfaces import LeaseTable, Stream
from kcl_py.retrying import Sleep, jittered, retrying
from kcl_py.runtime.admission import Admission
from kcl_py.runtime.departure import Departure
from kcl_py.runtime.discovery import Discovery
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.errands import Errands
from kcl_py.runtime.fleet.coordinator import Coordinator
from kcl_py.runtime.heartbeat import Heartbeat, SessionEnded
from kcl_py.runtime.leases.desk import Desk
from kcl_py.runtime.leases.gatekeeper import Gatekeeper
from kcl_py.runtime.leases.holdings import Holdings
from kcl_py.runtime.leases.intake import Intake
from kcl_py.runtime.mailbox import (
    Alive,
    Answer,
    Closed,
    DeadlineIs,
    EndShard,
    FromDataPlane,
    KeeperFailed,
    Leaving,
    Mailbox,
    Quit,
    Request,
    ShardMissing,
)
from kcl_py.runtime.plane_watch import PlaneWatch
from kcl_py.runtime.rounds import Rounds
from kcl_py.runtime.trouble import deleted

LEAVE_SECONDS = 2.5  # for what begins the departure, once no consumer is left
BLOCKED_LEAVE_SECONDS = 10.0  # for all of it, when nobody is there who would cut it off
START_ATTEMPTS_MAX = 10  # about a minute


class Keeper:
    """One worker's control plane, from its first call to the deletion of its entry."""

    def __init__(
        self,
        table: LeaseTable,
        stream: Stream,
        mailbox: Mailbox,
        config: Config,
        *,
        process: Process | None,
        is_gone: Callable[[Process | None], bool],
        emit: Emitter,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
        cpu_percents: Callable[[], tuple[float, ...]] = tuple,
        on_blocked: Callable[[], None] = lambda: None,
        rng: random.Random | None = None,
    ) -> None:
        """Take what is needed; nothing is called before `run`.

        Args:
            table: the lease table.
            stream: the stream, for listings.
            mailbox: the way to the data plane.
            config: the worker's.
            process: this process, for a successor's proof that it is gone; None if it cannot be named.
            is_gone: whether a process is certainly gone.
            emit: where events go.
            clock: shared with the data plane, includes suspend, seconds.
            sleep: how to wait.
            cpu_percents: this machine's utilisation, for Java leaders; see `Session`.
            on_blocked: called when the worker has left because the data plane's loop is blocked; see `PlaneWatch`.
            rng: jitter, session suffixes and lock versions.
        """
        rng = rng or random.Random()
        self._mailbox = mailbox
        self._emit = emit
        self._errands = Errands()
        self._is_gone = is_gone
        self._on_blocked = on_blocked
        self._discovery = Discovery(stream, table, config, clock=clock, emit=emit, sleep=sleep)
        self._admission = Admission(table, self._discovery, config, clock=clock, emit=emit, sleep=sleep)
        self._heartbeat = Heartbeat(
            table,
            worker_id=config.worker_id,
            process=process,
            failover_seconds=config.failover_seconds,
            leases_max=config.leases_max,
            cpu_percents=cpu_percents,
            clock=clock,
            on_deadline=lambda at: mailbox.to_data_plane.put(DeadlineIs(at)),
            on_landed=lambda: self._coordinator.own_beat_landed(),  # noqa: PLW0108 - it is yet to be made
            on_trouble=lambda error: emit(ServiceTrouble(operation="beat", reason=str(error))),
            sleep=sleep,
            rng=rng,
        )
        self._desk = Desk(
            table=table,
            discovery=self._discovery,
            to_data_plane=mailbox.to_data_plane,
            config=config,
            session=lambda: self._heartbeat.key if self._has_joined else None,
            is_session_live=lambda: clock() < self._heartbeat.deadline,
            without_us=lambda: self._departure.succession(),  # noqa: PLW0108 - it is yet to be made
            spawn=self._errands.begin,
            clock=clock,
            emit=emit,
            sleep=sleep,
        )
        self._compose(is_gone, rng)
        self._quit = asyncio.Event()
        self._blocked: WorkerStalled | None = None
        self._is_open = self._is_leaving = self._has_joined = False
        self._leaving: asyncio.Task[object] | None = None

    def _compose(self, is_gone: Callable[[Process | None], bool], rng: random.Random) -> None:
        desk = self._desk
        self._plane_watch = PlaneWatch(desk.config, is_leaving=lambda: self._is_leaving, sleep=desk.sleep)
        self._holdings = Holdings(desk)
        self._gatekeeper = gatekeeper = Gatekeeper(desk.table, self._discovery, clock=desk.clock, emit=desk.emit)
        intake = Intake(desk.table, self._holdings, gatekeeper, desk.emit)
        self._coordinator = Coordinator(
            desk.table,
            desk.config,
            lineage=lambda snapshot: self._discovery.lineage(snapshot.leases),
            pick_up=intake.take,
            is_gone=is_gone,
            begin=self._errands.begin,
            clock=desk.clock,
            emit=desk.emit,
            rng=rng,
        )
        self._departure = Departure(desk, self._heartbeat, self._coordinator, self._holdings)
        self._rounds = Rounds(
            desk,
            holdings=self._holdings,
            intake=intake,
            gatekeeper=gatekeeper,
            coordinator=self._coordinator,
            session=lambda: self._heartbeat.session if self._has_joined and not self._is_leaving else None,
        )

    async def run(self) -> None:
        """Keep until told to quit.

        Raises:
            ExceptionGroup: the worker cannot go on; holds the `KclError`.
            WorkerStalled: the data plane's loop was blocked; all leases are given up.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                self._errands.open(tasks)
                await self._run()
        except* TableMissing as gone:  # whichever call finds it out first
            raise (deleted(gone) if self._is_open else gone) from None
        if self._blocked is not None:
            self._on_blocked()
            raise self._blocked

    # -- life ---------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        self._mailbox.to_keeper.open(self._receive)
        self._errands.begin(self._work())
        self._errands.begin(self._watch_data_plane())
        try:
            await self._quit.wait()
        finally:
            self._mailbox.to_keeper.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if self._blocked is None else BLOCKED_LEAVE_SECONDS):
                await self._end()

    async def _work(self) -> None:
        retry = retrying(
            Throttled,
            ServiceUnavailable,
            pause=jittered(0.5, 10.0),
            on_retry=lambda error, _attempt, _pause: self._emit(ServiceTrouble(operation="start", reason=str(error))),
            attempts_max=START_ATTEMPTS_MAX,
            sleep=self._desk.sleep,
        )
        await retry(self._open)
        self._is_open = True
        await self._join()
        async with asyncio.TaskGroup() as tasks:
            # both at once: to make the rows of a large stream can take longer than the failover time, and a leader who
            # is ready already may assign some of them to us
            tasks.create_task(self._keep_session(), name="beat")
            await retry(self._admission.prove_access, self._heartbeat.key)
            tasks.create_task(self._rounds.look(), name="look")
            await retry(self._discovery.make_rows, self._may_be_alive)
            self._emit(WorkerReady())
            tasks.create_task(self._rounds.lead(), name="lead")

    async def _open(self) -> None:
        listing = await self._discovery.open()  # first: a stream that is not there leaves no table behind
        self._discovery.bind(await self._desk.table.prepare())
        await self._admission.admit(tuple(listing.shards.values()))
        await self._desk.table.equip()

    def _may_be_alive(self, session: Session) -> bool:
        is_other = session.key != self._heartbeat.key
        return is_other and not session.is_revoked and not self._is_gone(session.process)

    async def _join(self) -> None:
        await self._admission.check_again()  # before as well: an entry that stands is to beat
        await self._heartbeat.join()
        await self._admission.check_again()
        self._has_joined = True
        self._emit(SessionStarted(session=self._heartbeat.key))
        if self._is_leaving:
            # a stop was asked for while the entry was being written
            self._leaving = self._errands.begin(self._departure.begin())

    async def _keep_session(self) -> None:
        while True:
            try:
                await self._heartbeat.keep()
            except SessionEnded as ended:
                self._has_joined = False
                self._emit(SessionLost(session=self._heartbeat.key, reason=str(ended)))
                self._holdings.lose_all(f"the session ended: {ended}")
                self._coordinator.leadership.abdicate(str(ended))
            if self._is_leaving:
                return  # who leaves does not join again
            await self._join()
            self._rounds.look_now()

    async def _end(self) -> None:
        if self._leaving is not None:
            await asyncio.wait([self._leaving], timeout=LEAVE_SECONDS)
        await self._holdings.wait_for_pick_ups(LEAVE_SECONDS / 2)
        await self._errands.cut_off()
        if self._has_joined:
            await self._departure.complete()

    def _begin_to_leave(self) -> None:
        if not self._is_leaving:
            self._is_leaving = True
            if self._has_joined:
                self._leaving = self._errands.begin(self._departure.begin())

    async def _watch_data_plane(self) -> None:
        """Leave for it if its loop is blocked: nobody else can (law L4)."""
        await self._plane_watch.wait_until_blocked()
        seconds = self._desk.config.stall_timeout_seconds
        self._emit(EventLoopBlocked(stall_timeout_seconds=seconds))
        self._blocked = WorkerStalled(
            f"the event loop was blocked for {seconds:g} s, so this worker gave its leases up and left the fleet; find "
            "what blocks it (a processor with async def methods must await, or be synchronous), then start it again"
        )
        # first of all: when the loop runs again, it hears of this before it begins another batch (law S7)
        self._mailbox.to_data_plane.put(KeeperFailed(self._blocked))
        self._begin_to_leave()
        self._quit.set()

    # -- the data plane -----------------------------------------------------------------------------------------------

    def _receive(self, message: FromDataPlane) -> None:
        match message:
            case Request(shard_id=shard_id, fencing_token=fencing_token, matter=Closed()):
                self._holdings.closed(shard_id, fencing_token)
                self._rounds.look_now()
            case Request(shard_id=shard_id, matter=ShardMissing()):
                self._holdings.is_missing(shard_id)
                self._errands.begin(self._rounds.check_stream())
            case Request():
                self._errands.begin(self._serve(message))
            case Leaving():
                self._begin_to_leave()
            case Quit():
                self._quit.set()
            case Alive():
                self._plane_watch.heard()

    async def _serve(self, request: Request) -> None:
        error: Exception | None = None
        result = None
        try:
            result = await self._holdings.serve(request)
        except (LeaseLost, CheckpointError) as refused:
            error = refused
        self._mailbox.to_data_plane.put(Answer(request.request_id, result, error))
        if isinstance(request.matter, EndShard):
            self._gatekeeper.wake()
            self._rounds.look_now()  # the children may start
            self._coordinator.hasten()
