"""One worker: a control plane, and one task for every shard that it holds."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from kcl_py import host, stream_names
from kcl_py.aws.connection import Connection
from kcl_py.aws.fan_out import KinesisFanOut, connection_for_pages
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.aws.table_life import TableOptions
from kcl_py.config import Config
from kcl_py.cpu import CpuHistory, CpuMeter
from kcl_py.errors import KclError, ProcessorError
from kcl_py.events import Listener, ServiceTrouble, WorkerDraining, WorkerStarting, WorkerStopped
from kcl_py.interfaces import LeaseTable, Stream
from kcl_py.log import LogListener
from kcl_py.processor import ProcessorFactory, is_async
from kcl_py.runtime.data.buffer import ByteBudget
from kcl_py.runtime.data.data_plane import DataPlane
from kcl_py.runtime.data.deadline import Deadline
from kcl_py.runtime.data.registration import Registration
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.keeper import Keeper
from kcl_py.runtime.keeper_thread import KeeperThread
from kcl_py.runtime.mailbox import KeeperLine, Leaving, Mailbox, Quit
from kcl_py.stop_signals import StopSignals

QUIT_SECONDS = 4.0  # after the drain: to clear what is left and delete the entry, while DynamoDB may be slow
STUCK_SECONDS = 1.0  # on top of the grace, before a blocked event loop is left behind


class Worker:
    """Consumes a stream with a processor, together with every other worker of the same application.

    `run()` blocks until it is stopped and installs signal handlers. `async with Worker(...) as worker:` runs it beside
    other coroutines; leaving the block drains it.

    Args:
        processor: a `RecordProcessor` subclass, or any callable without arguments that makes one; called once for every
            shard that is held.
        config: what to read, and how.
        session: a boto3 session for the stream; the default chain of credentials otherwise.
        table_session: a boto3 session for the lease table, which may be in another account; `session` otherwise.
        listeners: called with every event, see `kcl_py.events`; the logger `kcl_py` gets them in any case.

    Raises:
        ProcessorError: the processor is none.
    """

    def __init__(
        self,
        processor: ProcessorFactory,
        config: Config,
        *,
        session: Any = None,
        table_session: Any = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        if isinstance(processor, type):
            is_async(processor)
        elif not callable(processor):
            raise ProcessorError(f"{processor!r} is neither a RecordProcessor subclass nor a callable that makes one")
        self._factory = processor
        self._config = config
        self._session = session
        self._table_session = table_session or session
        logged = LogListener(config.application, config.stream_name, config.worker_id)
        self._emit = Emitter((logged, *listeners))
        self._body: asyncio.Task[Any] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._has_interrupted = False  # the body was cancelled because of the error
        self._is_drained = False
        self._is_stop_asked = False
        self._wake: Callable[[], object] | None = None
        self._keeper: KeeperThread | None = None
        self._on_blocked: Callable[[], None] = lambda: None

    # -- by itself ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, then drain and return; a second signal ends the process at once.

        Raises:
            KclError: the worker cannot go on; the message says why, and what to do.
        """
        # the watchdog stands until everything is over, what user code runs in the loop's executor included
        grace_seconds = self._config.shutdown_grace_seconds + STUCK_SECONDS
        with StopSignals(self._ask_to_stop, self._abandon, grace_seconds) as signals:
            self._on_blocked = signals.give_up
            asyncio.run(self._run())

    async def _run(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._wake = lambda: loop.call_soon_threadsafe(stop.set)
        if self._is_stop_asked:
            stop.set()
        async with self:
            await stop.wait()

    def _ask_to_stop(self) -> None:
        self._is_stop_asked = True
        if self._wake is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._wake()

    def _abandon(self) -> None:
        """Something blocks the process beyond the grace: give the leases up. Runs in the watchdog's thread."""
        if not self._is_drained:
            self._emit(
                ServiceTrouble(operation="drain", reason="a processor blocks the worker; the process ends without it")
            )
        if self._keeper is not None:
            self._keeper.quit_blocking(QUIT_SECONDS)

    # -- embedded -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._body = asyncio.current_task()
        self._error, self._has_interrupted, self._is_drained = None, False, False
        self._start()
        self._watch = asyncio.create_task(self._watch_for_failure(), name="kcl-py watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._watch is not None
        assert self._body is not None
        self._watch.cancel()
        try:
            await self._stop()
        except asyncio.CancelledError:
            # whoever cancels the way out wants it now: nothing is waited for, and the keeper ends by itself
            self._mailbox.to_keeper.put(Quit())
            self._data_plane.cut()
            raise
        finally:
            if self._has_interrupted:
                self._body.uncancel()
        self._error = self._error or self._data_plane.failure  # the keeper may have failed on the way out
        if self._error is not None and (error is None or isinstance(error, asyncio.CancelledError)):
            raise self._error

    async def _watch_for_failure(self) -> None:
        """Interrupt the body of `async with` when the worker cannot go on."""
        self._error = await self._data_plane.wait_for_failure()
        assert self._body is not None
        self._has_interrupted = True
        self._body.cancel()

    # -- both ---------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        config = self._config
        self._emit(WorkerStarting(application=config.application, stream=config.stream, worker_id=config.worker_id))
        mailbox = Mailbox()
        self._mailbox = mailbox
        line = KeeperLine(mailbox)
        self._stream = self._open_stream()
        self._fan_out = KinesisFanOut(connection_for_pages(**self._way_to_stream())) if config.fan_out else None
        place = Workplace(
            config=config,
            stream=self._stream,
            factory=self._factory,
            line=line,
            budget=ByteBudget(config.buffer_bytes_max),
            deadline=Deadline(host.boottime, self._emit),
            emit=self._emit,
            clock=host.boottime,
            has_read=asyncio.Event(),
            registration=Registration(self._fan_out, config.fan_out_consumer, emit=self._emit)
            if self._fan_out is not None
            else None,
        )
        self._data_plane = DataPlane(place, mailbox)
        self._keeper = KeeperThread(
            mailbox, open_stream=self._open_stream, open_table=self._open_table, make_keeper=self._make_keeper
        )
        self._keeper.start()

    async def _stop(self) -> None:
        """Leave (fleet.md, section 7). Never raises because of a service that does not answer."""
        grace_seconds = self._config.shutdown_grace_seconds
        self._emit(WorkerDraining(grace_seconds=grace_seconds))
        # 1 mark the entry and give up leadership: this worker is given nothing any more, and picks nothing up
        self._mailbox.to_keeper.put(Leaving())
        # 2 per shard: finish the batch in flight, let it flush, checkpoint and name the heir in one update
        try:
            async with asyncio.timeout(grace_seconds):
                await self._data_plane.drain()
        except TimeoutError:
            # 3 the grace is over: what still runs stays unfinished and is delivered again elsewhere
            await self._data_plane.close()
        self._is_drained = True
        # 4 pass on what is still held, without progress, and what arrived meanwhile; delete the entry
        assert self._keeper is not None
        if not await self._keeper.quit(QUIT_SECONDS):
            self._emit(
                ServiceTrouble(
                    operation="leave",
                    reason="the lease table did not answer; the leases left behind are free after the failover time",
                )
            )
        # 5 nobody is left to talk to
        await asyncio.sleep(0)  # what the keeper said last is heard
        await self._data_plane.close()
        await self._stream.close()
        if self._fan_out is not None:
            await self._fan_out.close()
        self._emit(WorkerStopped())

    def _make_keeper(self, table: LeaseTable, stream: Stream) -> Keeper:
        meter, history = CpuMeter(), CpuHistory(host.boottime())

        def cpu_percents() -> tuple[float, ...]:
            now = host.boottime()
            history.saw(meter.sample(now), now)
            return history.averages

        return Keeper(
            table,
            stream,
            self._mailbox,
            self._config,
            on_blocked=self._on_blocked,
            process=host.this_process(),
            is_gone=host.is_gone,
            emit=self._emit,
            clock=host.boottime,
            cpu_percents=cpu_percents,
        )

    def _open_stream(self) -> Stream:
        return KinesisStream(Connection(**self._way_to_stream()))

    def _way_to_stream(self) -> dict[str, Any]:
        config = self._config
        return {
            "stream": config.stream,
            "session": self._session,
            "region": config.region,
            "endpoint_url": config.endpoint_url,
            "is_plain_http_allowed": config.allow_plain_http,
            "reads_directly": config.direct_reads,
            "on_retry": self._note_trouble,
        }

    def _open_table(self) -> LeaseTable:
        config = self._config
        return DynamoDBLeaseTable(
            config.table_name,
            session=self._table_session,
            region=config.region or stream_names.region_of(config.stream),
            endpoint_url=config.endpoint_url,
            is_plain_http_allowed=config.allow_plain_http,
            options=TableOptions(
                create_table=config.create_table,
                tags=config.table_tags,
                deletion_protection=config.table_deletion_protection,
                point_in_time_recovery=config.table_point_in_time_recovery,
            ),
        )

    def _note_trouble(self, operation: str, error: KclError, _pause_seconds: float) -> None:
        self._emit(ServiceTrouble(operation=operation, reason=str(error)))
