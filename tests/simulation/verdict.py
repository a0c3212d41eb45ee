"""Lives that are judged by every law."""

from collections.abc import Callable

from kcl_py.local.memory_lease_table import MemoryLeaseTable
from tests.simulation.facts import Log
from tests.simulation.fleet_worker import FleetWorker
from tests.simulation.laws import liveness, owners, records
from tests.simulation.laws.history import History
from tests.simulation.life import Life
from tests.simulation.simulation import MakeWorker, simulated
from tests.simulation.swarm import Swarm

Law = Callable[[History], list[str]]
SAFETY: tuple[Law, ...] = (
    records.no_skip,
    records.complete,
    records.in_order,
    records.parents_first,
    records.keys_in_order,
    records.forward_only,
    owners.guarded,
    owners.only_by_the_holder,
    owners.before_the_deadline,
    owners.no_zombie,
    owners.none_when_asked,
    liveness.nobody_fails,
)
LIVENESS: tuple[Law, ...] = (
    liveness.soon_elsewhere,
    liveness.no_orphan,
    liveness.nobody_dies_of_throttling,
    liveness.quiet,
)
LAWS = SAFETY + LIVENESS
SHOWN_MAX = 5


def judged(history: History, laws: tuple[Law, ...] = SAFETY, repeats_max: int | None = None) -> dict[str, list[str]]:
    """Which laws were broken, by their name, and how."""
    verdicts = {law.__name__: law(history) for law in laws}
    if repeats_max is not None:
        verdicts["few_repeats"] = owners.few_repeats(history, repeats_max)
    return {law: broken for law, broken in verdicts.items() if broken}


def lived(
    life: Life,
    *,
    make_worker: MakeWorker = FleetWorker,
    table: Callable[[], MemoryLeaseTable] = MemoryLeaseTable,
) -> Log:
    """The log of a life."""
    return simulated(life.seed, Swarm(life).live, shards=life.shards, make_worker=make_worker, table=table)


def judged_life(life: Life, log: Log) -> dict[str, list[str]]:
    """Which laws the log of a life breaks, and how."""
    return judged(History(log, life.failover_seconds), LAWS, repeats_max=life.repeats_max)


def verdict_on_life(life: Life, log: Log) -> str:
    """What the log breaks, and how to see it again; empty if it breaks nothing."""
    broken = judged_life(life, log)
    if not broken:
        return ""
    lines = [
        f"seed {life.seed} breaks {', '.join(broken)}; again, with its log: python -m tests.simulation {life.options}"
    ]
    for law, reasons in broken.items():
        lines += [f"  {law}: {reason}" for reason in reasons[:SHOWN_MAX]]
    return "\n".join(lines)


def life_of(
    seed: int,
    *,
    make_worker: MakeWorker = FleetWorker,
    table: Callable[[], MemoryLeaseTable] = MemoryLeaseTable,
) -> Log:
    """The log of the small life of this seed."""
    return lived(Life.of(seed), make_worker=make_worker, table=table)


def verdict_on(seed: int, log: Log) -> str:
    """The same for the small life of a seed."""
    return verdict_on_life(Life.of(seed), log)
