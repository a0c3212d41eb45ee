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
from kcl_py.errors import CheckpointError, LeaseLost, ServiceUnavailable, TableMissing, Throttled
from kcl_py.events import ServiceTrouble, SessionLost, SessionStarted, WorkerReady
from kcl_py.interfaces import LeaseTable, Stream
from kcl_py.retrying import Sleep, jittered, retrying
from kcl_py.runtime.admission import Admission
from kcl_py.runtime.discovery import Discovery
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.errands import Errands
from kcl_py.runtime.fleet.coordinator import Coordinator
from kcl_py.runtime.heartbeat import Heartbeat, SessionEnded
from kcl_py.runtime.leases.desk import Desk
from kcl_py.runtime.leases.gatekeeper import Gatekeeper
from kcl_py.runtime.leases.holdings import Holdings
from kcl_py.runtime.leases.intake import Intake
from kcl_py.runtime.leases.succession import Succession
from kcl_py.runtime.mailbox import (
    Answer,
    Closed,
    DeadlineIs,
    EndShard,
    FromDataPlane,
    Leaving,
    Mailbox,
    Quit,
    Request,
    ShardMissing,
)
from kcl_py.runtime.rounds import Rounds

MARK_SECONDS = 2.0  # for the mark that this worker leaves, before its leases are passed on all the same
LEAVE_SECONDS = 2.5  # for what begins the departure, once no consumer is left
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
            rng: jitter, session suffixes and lock versions.
        """
        rng = rng or random.Random()
        self._mailbox = mailbox
        self._emit = emit
        self._errands = Errands()
        self._is_gone = is_gone
        self._discovery = Discovery(stream, table, config, clock=clock, emit=emit, sleep=sleep)
        self._admission = Admission(table, config, clock=clock, emit=emit, sleep=sleep)
        self._heartbeat = Heartbeat(
            table,
            worker_id=config.worker_id,
            process=process,
            failover_seconds=config.failover_seconds,
            leases_max=config.leases_max,
            cpu_percents=cpu_percents,
            clock=clock,
            on_deadline=lambda at: mailbox.to_data_plane.put(DeadlineIs(at)),
            on_landed=self._note_landed,
            on_trouble=self._note_trouble,
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
            spawn=self._errands.begin,
            clock=clock,
            emit=emit,
            sleep=sleep,
        )
        self._compose(is_gone, rng)
        self._quit = asyncio.Event()
        self._is_leaving = False
        self._leaving: asyncio.Task[object] | None = None
        self._has_joined = False

    def _compose(self, is_gone: Callable[[Process | None], bool], rng: random.Random) -> None:
        desk = self._desk
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
        """
        async with asyncio.TaskGroup() as tasks:
            self._errands.open(tasks)
            self._mailbox.to_keeper.open(self._receive)
            self._errands.begin(self._work())
            try:
                await self._quit.wait()
            finally:
                self._mailbox.to_keeper.close()
            if self._leaving is not None:
                await asyncio.wait([self._leaving], timeout=LEAVE_SECONDS)
            await self._holdings.wait_for_pick_ups(LEAVE_SECONDS / 2)
            await self._errands.cut_off()
            await self._quit_table()

    # -- life ---------------------------------------------------------------------------------------------------------

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
        await self._join()
        try:
            async with asyncio.TaskGroup() as tasks:
                # from the first moment: to make the rows of a large stream can take longer than the failover time
                tasks.create_task(self._keep_session(), name="beat")
                await retry(self._make_rows)
                tasks.create_task(self._rounds.run(), name="rounds")
        except* TableMissing as gone:
            raise TableMissing(
                f"{gone.exceptions[0]}: it was deleted while it was used. Restore it from a backup; or start again, "
                "which makes a new one and begins at the start position, so that records repeat or are passed over"
            ) from None

    async def _open(self) -> None:
        listing = await self._discovery.open()  # first: a stream that is not there leaves no table behind
        self._discovery.bind(await self._desk.table.prepare())
        await self._admission.admit(tuple(listing.shards.values()), self._discovery.binding)
        await self._desk.table.equip()

    async def _make_rows(self) -> None:
        await self._admission.prove_access(self._heartbeat.key)
        await self._discovery.make_rows(self._may_be_alive)
        self._emit(WorkerReady())

    def _may_be_alive(self, session: Session) -> bool:
        is_other = session.key != self._heartbeat.key
        return is_other and not session.is_revoked and not self._is_gone(session.process)

    async def _join(self) -> None:
        await self._heartbeat.join()
        self._has_joined = True
        self._emit(SessionStarted(session=self._heartbeat.key))
        if self._is_leaving:
            self._leaving = self._errands.begin(self._leave())  # a stop was asked for while the entry was being written

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

    async def _quit_table(self) -> None:
        if not self._has_joined:
            return
        if self._desk.succession is not None:
            self._desk.succession.open()
        await self._holdings.give_up_all()
        if self._desk.succession is not None:
            await self._rounds.through_trouble("take a last look", self._desk.succession.last_look())
        await self._heartbeat.delete()

    # -- beats -------------------------------------------------------------------------------------------------------

    def _note_landed(self) -> None:
        self._coordinator.own_beat_landed()

    def _note_trouble(self, error: BaseException) -> None:
        self._emit(ServiceTrouble(operation="beat", reason=str(error)))

    # -- the data plane -----------------------------------------------------------------------------------------------

    def _receive(self, message: FromDataPlane) -> None:
        match message:
            case Request(shard_id=shard_id, fencing_token=fencing_token, matter=Closed()):
                self._holdings.closed(shard_id, fencing_token)
                self._rounds.look_now()
            case Request(shard_id=shard_id, matter=ShardMissing()):
                self._holdings.is_missing(shard_id)
                self._errands.begin(self._rounds.through_trouble("describe the stream", self._discovery.check_stream()))
            case Request():
                self._errands.begin(self._serve(message))
            case Leaving():
                self._is_leaving = True
                self._leaving = self._errands.begin(self._leave())
            case Quit():
                self._quit.set()

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

    async def _leave(self) -> None:
        if not self._has_joined:
            return
        succession = Succession(
            self._desk.table,
            self._coordinator.strategy,
            me=self._heartbeat.key,
            seems_dead=self._coordinator.seems_dead,
            emit=self._emit,
        )
        self._desk.succession = succession
        give_up = self._rounds.through_trouble("give up leadership", self._coordinator.leave(succession.me))
        async with asyncio.TaskGroup() as tasks:
            marking = tasks.create_task(self._mark_leaving())
            tasks.create_task(give_up)
            await succession.read()
            # a fleet that stops at once shall know of each other before leases are passed on
            await asyncio.wait([marking], timeout=MARK_SECONDS)
            succession.open()

    async def _mark_leaving(self) -> None:
        with contextlib.suppress(SessionEnded):
            await self._heartbeat.leave()
