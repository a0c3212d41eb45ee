"""Which shards a listing shows: every ShardFilter type, as the API reference words it."""

from kcl_py.local.shard_map import ShardMap
from kcl_py.local.shard_model import ShardModel


def listed(
    shards: ShardMap, kind: str, *, horizon_ms: int, timestamp_ms: int | None = None, after_shard_id: str = ""
) -> list[ShardModel]:
    """The shards that a filter lets through, ordered by id, those after `after_shard_id` only.

    AT_TIMESTAMP counts a shard's closing moment in, so that at exactly that moment parents and children are both
    shown. FROM_TIMESTAMP is raised to the trim horizon, AT_TIMESTAMP is not.
    """
    moment_ms = horizon_ms if timestamp_ms is None else timestamp_ms
    return [
        shard
        for shard in shards
        if shard.shard_id > after_shard_id and _passes(shard, kind, moment_ms, max(moment_ms, horizon_ms))
    ]


def _passes(shard: ShardModel, kind: str, moment_ms: int, from_ms: int) -> bool:
    match kind:
        case "AT_LATEST":
            return shard.is_open
        case "AT_TRIM_HORIZON":
            return shard.is_open_at(moment_ms)
        case "AT_TIMESTAMP":
            return shard.opened_ms <= moment_ms and (shard.closed_ms is None or shard.closed_ms >= moment_ms)
        case "FROM_TIMESTAMP":
            return shard.closed_ms is None or shard.closed_ms >= from_ms
        case _:  # FROM_TRIM_HORIZON and AFTER_SHARD_ID
            return True
