"""Lives that are judged by every law."""

from collections.abc import Callable

from tests.simulation.facts import Log
from tests.simulation.laws import (
    binding,
    liveness,
    memory,
    owners,
    progress,
    records,
    repeats,
    shards,
    speed,
    stillness,
)
from tests.simulation.laws.history import History
from tests.simulation.laws.judgement import Judgement
from tests.simulation.life import Life
from tests.simulation.simulation import simulated
from tests.simulation.swarm import Swarm

Law = Callable[[History], Judgement]
SAFETY: tuple[Law, ...] = (
    records.no_skip,
    records.complete,
    records.in_order,
    records.parents_first,
    records.keys_in_order,
    records.forward_only,
    owners.guarded,
    owners.only_by_the_holder,
    owners.only_from_the_dead,
    owners.before_the_deadline,
    owners.no_zombie,
    owners.tokens_grow,
    repeats.few_repeats,
    repeats.none_when_asked,
    repeats.written_on_time,
    shards.shard_end,
    binding.binding,
    progress.errors_show,
    memory.memory,
    liveness.nobody_fails,
)
LIVENESS: tuple[Law, ...] = (
    liveness.soon_elsewhere,
    liveness.no_orphan,
    stillness.balanced,
    stillness.moved_once,
    stillness.quiet,
    progress.progress,
    progress.others_go_on,
    shards.discovery,
    speed.drain,
    liveness.nobody_dies_of_throttling,
    liveness.sessions_last,
    liveness.only_the_leader_plans,
    speed.heal,
    speed.cold_start,
)
LAWS = SAFETY + LIVENESS
SHOWN_MAX = 5


def judgements(history: History, laws: tuple[Law, ...] = LAWS) -> dict[str, Judgement]:
    """What each law says, by its name; one that judged nothing was never applicable."""
    return {law.__name__: law(history) for law in laws}


def judged(history: History, laws: tuple[Law, ...] = SAFETY, repeats_max: int | None = None) -> dict[str, Judgement]:
    """Which laws were broken, by their name, and how.

    Args:
        history: what happened.
        laws: those that count.
        repeats_max: see `History`.
    """
    if repeats_max is not None:
        history.repeats_max = repeats_max
    return {law: breaches for law, breaches in judgements(history, laws).items() if breaches}


def lived(life: Life) -> Log:
    """The log of a life."""
    return simulated(life.seed, Swarm(life).live, shards=life.shards)


def history_of(life: Life, log: Log) -> History:
    """The log of a life, with what its workers were told."""
    return History(
        log,
        life.failover_seconds,
        audit_seconds=life.seconds_of("shard_listing_interval"),
        checkpoint_seconds=life.seconds_of("checkpoint_interval"),
        stall_timeout_seconds=life.seconds_of("stall_timeout"),
        repeats_max=life.repeats_max,
    )


def judged_life(life: Life, log: Log) -> dict[str, Judgement]:
    """Which laws the log of a life breaks, and how."""
    return judged(history_of(life, log), LAWS)


def verdict_on_life(life: Life, log: Log) -> str:
    """What the log breaks, and how to see it again; empty if it breaks nothing."""
    return verdict_of(life, judgements(history_of(life, log)))


def verdict_of(life: Life, judgements: dict[str, Judgement]) -> str:
    """The same of what the laws have said already."""
    broken = {law: breaches for law, breaches in judgements.items() if breaches}
    if not broken:
        return ""
    lines = [
        f"seed {life.seed} breaks {', '.join(broken)}; again, with its log: python -m tests.simulation {life.options}"
    ]
    for law, reasons in broken.items():
        lines += [f"  {law}: {reason}" for reason in reasons[:SHOWN_MAX]]
    return "\n".join(lines)
