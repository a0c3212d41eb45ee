"""The rows of a table in memory, with the index by owner that DynamoDB would keep."""

from collections import defaultdict
from collections.abc import Iterator, MutableMapping

from kcl_py.core.lease import Lease


class LeaseRows(MutableMapping[str, Lease]):
    """Rows by key."""

    def __init__(self) -> None:
        self._rows: dict[str, Lease] = {}
        self._keys_of: defaultdict[str | None, set[str]] = defaultdict(set)

    def keys_of(self, owner: str) -> tuple[str, ...]:
        """The keys of the rows that name `owner`, sorted."""
        return tuple(sorted(self._keys_of.get(owner, ())))

    def __getitem__(self, key: str) -> Lease:
        return self._rows[key]

    def __setitem__(self, key: str, lease: Lease) -> None:
        before = self._rows.get(key)
        if before is not None:
            self._keys_of[before.owner].discard(key)
        self._rows[key] = lease
        self._keys_of[lease.owner].add(key)

    def __delitem__(self, key: str) -> None:
        self._keys_of[self._rows.pop(key).owner].discard(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
