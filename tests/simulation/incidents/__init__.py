"""Everything that can happen to a fleet, by name. A kind is one function; a seed chooses which of them it meets."""

from collections.abc import Callable, Coroutine, Mapping

from tests.simulation.incidents import fan_out, membership, shards, stream, table, user_code
from tests.simulation.scene import Scene

Strike = Callable[[Scene], Coroutine[object, object, None] | None]
KINDS: Mapping[str, Strike] = {
    # who runs
    "leave": membership.leave,
    "leave in a hurry": membership.leave_in_a_hurry,
    "crash": membership.crash,
    "crash of all": membership.crash_of_all,
    "crash of the leader": membership.crash_of_the_leader,
    "pause": membership.pause,
    "burst of joins": membership.burst_of_joins,
    "twin": membership.twin,
    # user code
    "slow": user_code.slow,
    "failing": user_code.failing,
    "always failing": user_code.always_failing,
    "blocked loop": user_code.blocked_loop,
    # shards
    "split": shards.split,
    "merge": shards.merge,
    "generations": shards.generations,
    # the lease table
    "throttled table": table.throttled,
    "throttled beats": table.throttled_beats,
    "lost answers": table.lost_answers,
    "lost requests": table.lost_requests,
    "late requests": table.late_requests,
    "late answers": table.late_answers,
    "stale index": table.stale_index,
    "table gone": table.gone,
    "expired credentials": table.expired_credentials,
    "erased row": table.erased_row,
    # the stream
    "throttled reads": stream.throttled_reads,
    "failing reads": stream.failing_reads,
    "slow reads": stream.slow_reads,
    "refused iterators": stream.refused_iterators,
    "expired iterators": stream.expired_iterators,
    "false ends": stream.false_ends,
    "nameless children": stream.nameless_children,
    "stale listing": stream.stale_listing,
    "partial listing": stream.partial_listing,
    "slow listing": stream.slow_listing,
    "stream gone": stream.gone,
    # clocks
    "wall clock": membership.wall_clock,
}
FAN_OUT: Mapping[str, Strike] = {
    "broken subscriptions": fan_out.broken_subscriptions,
    "half-open subscriptions": fan_out.half_open_subscriptions,
    "lost pages": fan_out.lost_pages,
    "refused subscriptions": fan_out.refused_subscriptions,
    "throttled subscriptions": fan_out.throttled_subscriptions,
    "lost subscriptions": fan_out.lost_subscriptions,
    "nameless last pages": fan_out.nameless_last_pages,
    "taken subscriptions": fan_out.taken_subscriptions,
    "deleted consumer": fan_out.deleted_consumer,
}
"""What happens beside all that in fleets that read by enhanced fan-out."""
MEMBERSHIP = ("leave", "crash", "crash of the leader", "pause", "burst of joins", "slow", "split", "merge")
"""What happens in fleets whose doors work."""
