"""From the stream's shards to the table's rows: the first ones, the missing ones, and what follows an ended shard."""

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from kcl_py.config import Config
from kcl_py.core import audit, bootstrap, shard_end
from kcl_py.core.bootstrap import Incomplete, Start
from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST
from kcl_py.core.lease import Binding, Change, Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.listing import Listing, Listings
from kcl_py.core.session import Session
from kcl_py.core.shard import ChildShard, HashRange
from kcl_py.core.shard_end import ShardEnd, Unconfirmed
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import TROUBLE, ConditionFailed, LeaseLost, ServiceUnavailable, StreamNotFound, Throttled
from kcl_py.events import HashRangeHole, LeaseCreated, LeaseRemoved, ServiceTrouble
from kcl_py.interfaces import LeaseTable, ShardFilter, Stream, StreamDescription
from kcl_py.retrying import Sleep, jittered, retrying
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.in_parallel import in_parallel

_FILTER_OF = {"LATEST": "AT_LATEST", "TRIM_HORIZON": "AT_TRIM_HORIZON", "AT_TIMESTAMP": "AT_TIMESTAMP"}
_LIST_AGAIN, _INCOMPLETE_LISTINGS_MAX = jittered(1.0, 30.0), 6  # about half a minute
WRITES_AT_ONCE = 4  # of the threads for rows: checkpoints go beside them


class _ListAgain(Exception):
    """The listing does not say enough yet."""


class Discovery:
    """Knows the stream's listings and makes rows. Used by the keeper alone."""

    def __init__(
        self,
        stream: Stream,
        table: LeaseTable,
        config: Config,
        *,
        clock: Callable[[], float],
        emit: Emitter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._stream = stream
        self._table = table
        self._config = config
        self._clock = clock
        self._emit = emit
        self._sleep = sleep
        self._holes: tuple[HashRange, ...] = ()
        self._at_horizon: frozenset[str] = frozenset()  # shards that were open at the trim horizon
        self._missing: set[str] = set()  # shards whose row the last audit lacked
        self.described_at = 0.0  # when that was asked, by our clock
        self._is_running = False  # a permission that was there once may come back
        self.listings = Listings()
        self.description: StreamDescription
        self.binding: Binding
        self._start: Start  # pinned when the worker starts: a row made later misses nothing that was put since

    # -- at the start -------------------------------------------------------------------------------------------------

    async def open(self) -> Listing:
        """Describe and list the stream; nothing is written.

        Raises:
            StreamNotFound, AccessDenied, CredentialsError, ServiceUnavailable.
        """
        await self._describe()
        return await self.list_shards()

    def bind(self, table_id: str | None) -> None:
        """Note which table it is: all rows are bound to it, and to the stream as it was described."""
        self.binding = Binding(self.description.incarnation, self._config.application, table_id)

    async def make_rows(self, is_alive: Callable[[Session], bool]) -> None:
        """Make the rows that the table lacks; when this returns, every start position is durable.

        Args:
            is_alive: whether another worker's session may be alive. Beside a living worker nothing is made at once in
                a table with rows: what is missing may be about to be written again by its holder (see `audit`).

        Raises:
            ServiceUnavailable: the stream's listing stays incomplete, and there are no rows to go on with.
        """
        retry = retrying(
            _ListAgain,
            pause=_LIST_AGAIN,
            on_retry=lambda error, _attempt, _pause: self._tell("ListShards", error),
            attempts_max=_INCOMPLETE_LISTINGS_MAX,
            sleep=self._sleep,
        )
        try:
            await retry(self._make_rows, is_alive)
        except _ListAgain as incomplete:
            if not (await self._table.snapshot()).leases:
                raise ServiceUnavailable(
                    f"the listing of stream {self.description.name} stays incomplete: {incomplete}"
                ) from None
            self._tell("ListShards", incomplete)  # the audit goes on asking, from the same start position
        self._is_running = True

    async def _make_rows(self, is_alive: Callable[[Session], bool]) -> None:
        # the instant comes before the look that the decision rests on: a worker whose rows are not there yet was not
        # ready by then, so whatever is made here begins early enough
        self._start = Start(self._config.start, self.service_time_ms)
        snapshot = await self._table.snapshot()
        # a shard whose parents were trimmed long ago starts at once, and not when two listings a minute apart agree
        at_horizon = await self._stream.list_shards(ShardFilter("AT_TRIM_HORIZON"))
        self._at_horizon = frozenset(shard.shard_id for shard in at_horizon)
        if snapshot.leases:
            if any(is_alive(session) for session in snapshot.sessions):
                return
            rows = bootstrap.missing_leases(await self.list_shards(), snapshot.leases, self._start)
            if not isinstance(rows, Incomplete):
                rows = self._made_again(rows)
        else:
            position = self._config.start
            shard_filter = ShardFilter(_FILTER_OF[position.kind], timestamp_ms=position.timestamp_ms)  # type: ignore[arg-type]
            rows = bootstrap.first_leases(Listing.of(await self._stream.list_shards(shard_filter)), self._start)
        if isinstance(rows, Incomplete):
            raise _ListAgain(rows.reason)
        await self.create(rows)

    # -- while running ------------------------------------------------------------------------------------------------

    @property
    def service_time_ms(self) -> int:
        """The service's clock now, as far as we know it; never ahead of it by more than the clocks drift apart."""
        return self.description.service_time_ms + int((self._clock() - self.described_at) * 1000)

    @property
    def horizon_ms(self) -> int:
        """Records that arrived before this are out of retention, by the service's clock."""
        return self.service_time_ms - self.description.retention_hours * 3_600_000

    def bound(self, lease: Lease) -> Change:
        """Adopt a row; see `Lease.bound`."""
        return lease.bound(self.binding, self._counter_now)

    @property
    def _counter_now(self) -> int:
        """Above all that a row can have counted to: a holder's `RECREATED_COUNTER_STEP` is outrun in a second."""
        return self.service_time_ms * 1000

    def start_at_ms(self, lease: Lease) -> int | None:
        """What a start sentinel means for a row that does not say it, because a Java worker made it."""
        if lease.checkpoint == LATEST:
            return self.service_time_ms - bootstrap.LATEST_MARGIN_MS
        if lease.checkpoint == AT_TIMESTAMP:
            return self._config.start.timestamp_ms or 0
        return None

    def siblings(self, parent: str) -> frozenset[str]:
        """The listed children of a shard."""
        return frozenset(self.lineage(()).listing.child_ids.get(parent, ()))

    def lineage(self, leases: Iterable[Lease]) -> Lineage:
        """The rows and the listings, joined."""
        return Lineage(leases, self.listings, self._at_horizon)

    async def list_shards(self) -> Listing:
        """List all shards and remember it."""
        asked_at = self._clock()
        listing = Listing.of(await self._stream.list_shards())
        self.listings = self.listings.seen(listing, asked_at)
        return listing

    async def check_stream(self) -> None:
        """Make sure that the stream is still the one we began with.

        Raises:
            StreamNotFound: it is gone, or another one has taken its name.
        """
        began_with = self.description.incarnation
        try:
            await self._describe()
        except StreamNotFound as gone:
            raise StreamNotFound(f"stream {self.description.name} was deleted while it was read: {gone}") from None
        if self.description.incarnation != began_with:
            raise StreamNotFound(
                f"stream {self.description.name} was deleted and created again: its old checkpoints say nothing about "
                "the new one; start over with another application or table, or delete the lease table"
            )

    async def audit(self, snapshot: TableSnapshot, held: Iterable[Lease]) -> Lineage:
        """List the shards and make the rows that are missing; return rows and listings joined.

        A row is made when two audits lack it: one that vanished is first its holder's to write again from memory. If
        we are the holder (`held`), it is ours however long that takes.
        """
        await self.list_shards()
        leases = tuple({lease.key: lease for lease in (*held, *snapshot.leases)}.values())
        missing = list(audit.missing_children(self.lineage(leases)))
        rows = bootstrap.missing_leases(self.lineage(()).listing, leases, self._start)
        if isinstance(rows, Incomplete):
            self._tell("ListShards", ServiceUnavailable(rows.reason))
        else:
            missing += rows
        await self.create(self._made_again(lease for lease in missing if lease.key in self._missing))
        self._missing = {lease.key for lease in missing}
        lineage = self.lineage(snapshot.leases)
        holes = audit.holes(lineage)
        for hole in holes:
            if hole in self._holes:  # seen twice: no reshard in passing
                self._emit(HashRangeHole(start=hole.start, end=hole.end))
        self._holes = holes
        return lineage

    async def clean_up(self, snapshot: TableSnapshot) -> None:
        """Delete the rows of finished shards that nobody can need any more."""
        for lease in audit.removable(self.lineage(snapshot.leases)):
            try:
                await self._table.delete(lease)
            except ConditionFailed:
                continue  # somebody wrote it: the next audit judges anew
            self._emit(LeaseRemoved(shard_id=lease.key))

    async def create(self, leases: Iterable[Lease]) -> None:
        """Make rows where there are none, parents before children; an `ExceptionGroup` tells of no passing trouble."""
        for generation in bootstrap.generations(leases):
            await in_parallel(map(self._create_one, generation), at_once=WRITES_AT_ONCE)

    async def _create_one(self, lease: Lease) -> None:
        # where LATEST and a start time begin; at the horizon it tells later whether anything was trimmed
        born_ms = self.service_time_ms if lease.start_at_ms is None else lease.start_at_ms
        row = msgspec.structs.replace(lease, binding=self.binding, start_at_ms=born_ms)
        patiently = retrying(
            *(TROUBLE if self._is_running else (Throttled, ServiceUnavailable)),
            pause=_LIST_AGAIN,
            on_retry=lambda error, _attempt, _pause: self._tell("create", error),
            sleep=self._sleep,
        )
        is_new: bool = await patiently(self._table.create, row)
        if is_new:
            self._emit(LeaseCreated(shard_id=row.key, checkpoint=str(row.checkpoint)))

    def _made_again(self, leases: Iterable[Lease]) -> tuple[Lease, ...]:
        """Rows that a table lacks may have been written before: their counters, which fence, must not start over."""
        return tuple(msgspec.structs.replace(lease, counter=self._counter_now) for lease in leases)

    async def end_of(self, lease: Lease, named: tuple[ChildShard, ...], is_over: Callable[[], bool]) -> ShardEnd:
        """What follows a shard whose records are all done; waits until that is certain.

        Raises:
            LeaseLost: `is_over` says that nobody wants to know any more.
        """
        end = shard_end.shard_end(lease, named, self.listings)
        attempt = 0
        while isinstance(end, Unconfirmed):
            attempt += 1
            self._tell("ListShards", ServiceUnavailable(end.reason))
            await self._list_again(attempt, lease.key, is_over)
            end = shard_end.shard_end(lease, named, self.listings)
        return end

    async def confirm_end(self, lease: Lease, is_over: Callable[[], bool]) -> tuple[ChildShard, ...] | None:
        """Find the children of a shard whose last page named none; None if it is listed as open.

        Raises:
            LeaseLost: `is_over` says that nobody wants to know any more.
        """
        attempt = 0
        while True:
            listing = await self._list_again(attempt, lease.key, is_over)
            shard = listing.shards.get(lease.key)
            if shard is not None and not shard.is_closed:
                return None
            end = shard_end.shard_end(lease, (), self.listings)
            if isinstance(end, ShardEnd):
                return tuple(
                    ChildShard(
                        shard_id=child.key,
                        hash_range=child.hash_range or HashRange(0, 0),
                        parent_shard_ids=child.parent_shard_ids,
                    )
                    for child in end.children
                )
            attempt += 1

    async def _list_again(self, attempt: int, shard_id: str, is_over: Callable[[], bool]) -> Listing:
        """Wait, and list the shards, for as long as somebody wants to know."""
        while not is_over():
            await self._sleep(_LIST_AGAIN(attempt))
            try:
                return await self.list_shards()
            except TROUBLE as trouble:
                self._tell("ListShards", trouble)
                attempt += 1
        raise LeaseLost(f"{shard_id}: the epoch is over")

    async def _describe(self) -> None:
        asked_at = self._clock()
        self.description, self.described_at = await self._stream.describe(), asked_at

    def _tell(self, operation: str, error: BaseException) -> None:
        self._emit(ServiceTrouble(operation=operation, reason=str(error)))
