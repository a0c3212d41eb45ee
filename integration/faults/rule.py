"""When a fault happens: to which requests, and to which of these."""

import threading

from integration.faults.effects import Effect
from integration.faults.exchange import Exchange
from integration.program import PATIENCE_SECONDS, eventually


class Rule:
    """One fault.

    Args:
        effect: what happens to a request that is hit.
        operations: which; all if none is named.
        place: how what it is about begins: a shard id, a lease key, a stream or table; empty for everything.
        containing: what the request must say somewhere.
        first: the number, from 1, of the first such request that is hit.
        every: of those from the first on, this is hit: each, each second, each third …
        times: how many are hit at most.
    """

    def __init__(
        self,
        effect: Effect,
        *operations: str,
        place: str = "",
        containing: str = "",
        first: int = 1,
        every: int = 1,
        times: int | None = None,
    ) -> None:
        self.effect = effect
        self._operations = operations
        self._place = place
        self._containing = containing.encode()
        self._first = first
        self._every = every
        self._times = times
        self._seen = 0
        self._lock = threading.Lock()
        self.hits: list[Exchange] = []

    def takes(self, exchange: Exchange) -> bool:
        """True if this request is hit; asked once for each."""
        request = exchange.request
        if self._operations and request.operation not in self._operations:
            return False
        if not exchange.place.startswith(self._place) or self._containing not in request.body:
            return False
        with self._lock:  # several proxies may share a rule
            self._seen += 1
            turn = self._seen - self._first
            if turn < 0 or turn % self._every or len(self.hits) == self._times:
                return False
            self.hits += [exchange]
            return True

    def wait_for_hits(self, count: int = 1, *, within: float = PATIENCE_SECONDS) -> Exchange:
        """Wait until so many requests were hit; the last of them."""
        return eventually(lambda: self.hits[count - 1 :], f"{count} hits of {self}", within=within)[0]

    def __str__(self) -> str:
        name = getattr(self.effect, "__qualname__", self.effect)
        return f"{name} {' '.join(self._operations)} {self._place} (seen {self._seen}, hit {len(self.hits)})"
