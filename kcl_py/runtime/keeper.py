"""The control plane: beats the session, takes leases, writes checkpoints; the only writer of lease rows.

It lives in a loop of its own, apart from user code, and talks with the data plane through the mailbox alone. A lease is
picked up only when its shard may start, so nothing downstream needs to know of lineage.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from kcl_py.config import Config
from kcl_py.core.lease import Lease
from kcl_py.core.session import Process, Session
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import TROUBLE, CheckpointError, LeaseLost, ServiceUnavailable, Throttled
from kcl_py.events import ServiceTrouble, SessionLost, SessionStarted, ShardWaiting, WorkerReady
from kcl_py.interfaces import LeaseTable, Stream
from kcl_py.retrying import Sleep, jittered, retrying
from kcl_py.runtime.admission import Admission
from kcl_py.runtime.coordinator import Coordinator
from kcl_py.runtime.discovery import Discovery
from kcl_py.runtime.heartbeat import Heartbeat, SessionEnded
from kcl_py.runtime.holdings import Holdings
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
from kcl_py.runtime.user_code import Emitter

LOOK_SECONDS_MAX = 5.0  # the whole table is read no more often than this asks for, unless something calls for it
LOOKS_PER_FAILOVER = 4  # a gap of half a failover time between two looks would restart every observation
PICK_UPS_AT_ONCE = 8
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
        """
        self._table = table
        self._mailbox = mailbox
        self._config = config
        self._emit = emit
        self._clock = clock
        self._sleep = sleep
        self._is_gone = is_gone
        self._discovery = Discovery(stream, table, config, clock=clock, emit=emit, sleep=sleep)
        self._coordinator = Coordinator(
            table, failover_seconds=config.failover_seconds, is_gone=is_gone, clock=clock, emit=emit
        )
        self._heartbeat = Heartbeat(
            table,
            worker_id=config.worker_id,
            process=process,
            failover_seconds=config.failover_seconds,
            clock=clock,
            on_deadline=lambda at: mailbox.to_data_plane.put(DeadlineIs(at)),
            on_trouble=self._note_trouble,
            sleep=sleep,
        )
        self._holdings = Holdings(
            table,
            self._discovery,
            mailbox.to_data_plane,
            is_session_live=lambda: clock() < self._heartbeat.deadline,
            is_session=lambda key: self._has_joined and key == self._heartbeat.key,
            on_trouble=lambda _error: self._coordinator.own_write_failed(),
            emit=emit,
            sleep=sleep,
        )
        self._admission = Admission(table, config, clock=clock, emit=emit, sleep=sleep)
        self._look_now = asyncio.Event()
        self._quit = asyncio.Event()
        self._is_leaving = False
        self._has_joined = False
        self._errands: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, tuple[str, ...]] = {}  # shards whose parents are awaited, as last told

    async def run(self) -> None:
        """Keep until told to quit.

        Raises:
            ExceptionGroup: the worker cannot go on; holds the `KclError`.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._mailbox.to_keeper.open(self._receive)
            self._spawn(self._work())
            try:
                await self._quit.wait()
            finally:
                self._mailbox.to_keeper.close()
            await self._cancel_errands()
            await self._quit_table()

    # -- life ---------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        retry = retrying(
            Throttled,
            ServiceUnavailable,
            pause=jittered(0.5, 10.0),
            on_retry=lambda error, _attempt, _pause: self._emit(ServiceTrouble(operation="start", reason=str(error))),
            attempts_max=START_ATTEMPTS_MAX,
            sleep=self._sleep,
        )
        await retry(self._open)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_session(), name="beat")
            tasks.create_task(self._look_on_time(), name="look")
            tasks.create_task(self._audit_on_time(), name="audit")

    async def _open(self) -> None:
        listing = await self._discovery.open()  # first: a stream that is not there leaves no table behind
        self._discovery.bind(await self._table.prepare())
        await self._admission.admit(tuple(listing.shards.values()), self._discovery.binding)
        await self._table.equip()
        if not self._has_joined:
            await self._join()
        await self._discovery.make_rows(self._may_be_alive)
        self._emit(WorkerReady())

    def _may_be_alive(self, session: Session) -> bool:
        is_other = session.key != self._heartbeat.key
        return is_other and not session.is_revoked and not self._is_gone(session.process)

    async def _join(self) -> None:
        await self._heartbeat.join()
        self._has_joined = True
        self._emit(SessionStarted(session=self._heartbeat.key))

    async def _keep_session(self) -> None:
        while True:
            try:
                await self._heartbeat.keep()
            except SessionEnded as ended:
                self._has_joined = False
                self._emit(SessionLost(session=self._heartbeat.key, reason=str(ended)))
                self._holdings.lose_all(f"the session ended: {ended}")
            await self._join()
            self._look_now.set()

    async def _quit_table(self) -> None:
        if self._has_joined:
            await self._holdings.give_up_all()
            await self._heartbeat.delete()

    # -- looking ------------------------------------------------------------------------------------------------------

    async def _look_on_time(self) -> None:
        interval = min(LOOK_SECONDS_MAX, self._config.failover_seconds / LOOKS_PER_FAILOVER)
        while True:
            self._look_now.clear()
            await self._through_trouble("look at the table", self._look())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._look_now.wait()

    async def _look(self) -> None:
        asked_at = self._clock()
        snapshot = await self._table.snapshot()
        await self._holdings.look_for_rows(snapshot)
        if self._is_leaving or not self._has_joined:
            return
        session = self._heartbeat.session
        free = await self._coordinator.free_leases(snapshot, asked_at, session)
        ready = self._ready(snapshot, [lease for lease in free if self._holdings.has_room_for(lease.key)])
        limit = asyncio.Semaphore(PICK_UPS_AT_ONCE)

        async def pick_up(lease: Lease) -> None:
            async with limit:
                await self._holdings.pick_up(lease, session.key)

        async with asyncio.TaskGroup() as tasks:
            for lease in ready:
                tasks.create_task(pick_up(lease))

    def _ready(self, snapshot: TableSnapshot, free: list[Lease]) -> list[Lease]:
        """The free leases whose shards may start; of the others it is said once what they wait for."""
        lineage = self._discovery.lineage(snapshot.leases)
        gates = {lease.key: lineage.may_start(lease) for lease in free}
        waiting = {key: gate.parents for key, gate in gates.items() if not gate.is_open}
        for key, parents in waiting.items():
            if self._waiting.get(key) != parents:
                self._emit(ShardWaiting(shard_id=key, parents=parents))
        self._waiting = waiting
        return [lease for lease in free if gates[lease.key].is_open]

    async def _audit_on_time(self) -> None:
        while True:
            await self._sleep(self._config.shard_listing_interval_seconds)
            await self._through_trouble("audit the shards", self._audit())
            self._look_now.set()

    async def _audit(self) -> None:
        await self._discovery.check_stream()
        lineage = await self._discovery.audit(await self._table.snapshot())
        await self._holdings.end_trimmed(lineage)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            errand = self._tasks.create_task(work)
        except RuntimeError:  # the keeper has failed, and is going down
            work.close()
            return
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    async def _cancel_errands(self) -> None:
        errands = tuple(self._errands)
        for errand in errands:
            errand.cancel()
        if errands:
            await asyncio.wait(errands)

    async def _through_trouble(self, operation: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except* TROUBLE as group:
            self._coordinator.own_write_failed()
            self._emit(ServiceTrouble(operation=operation, reason=str(group.exceptions[0])))

    def _note_trouble(self, error: BaseException) -> None:
        self._coordinator.own_write_failed()
        self._emit(ServiceTrouble(operation="beat", reason=str(error)))

    # -- the data plane -----------------------------------------------------------------------------------------------

    def _receive(self, message: FromDataPlane) -> None:
        match message:
            case Request(shard_id=shard_id, fencing_token=fencing_token, matter=Closed()):
                self._holdings.closed(shard_id, fencing_token)
                self._look_now.set()
            case Request(shard_id=shard_id, matter=ShardMissing()):
                self._holdings.is_missing(shard_id)
                self._spawn(self._through_trouble("describe the stream", self._discovery.check_stream()))
            case Request():
                self._spawn(self._serve(message))
            case Leaving():
                self._is_leaving = True
                self._spawn(self._leave())
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
            self._look_now.set()  # the children may start

    async def _leave(self) -> None:
        with contextlib.suppress(SessionEnded):
            if self._has_joined:
                await self._heartbeat.leave()
