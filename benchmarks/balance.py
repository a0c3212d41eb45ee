"""How the time of one plan grows with the fleet: `python -m benchmarks.balance`.

Ten leases per worker, each with a throughput of its own. The last column is what a lease costs, as a multiple of what
it costs in the smallest fleet: a number that stays near 1 means that the time grows as the fleet does.
"""

import random
import time
from collections.abc import Callable

import msgspec

from kcl_py.core.balance import Fleet, LeaseView, Move, Strategy, WorkerView, by_lease_count, by_weight

LEASES = (100, 1_000, 10_000)
REPEATS = 5


def main() -> None:
    """Print a table for each strategy."""
    for strategy in (by_weight, by_lease_count):
        print(f"{strategy.__name__}\n  {'what is planned':<22}{'leases':>8}{'moves':>8}{'ms':>9}{'per lease':>11}")
        for name, situation in SITUATIONS.items():
            smallest = None
            for leases in LEASES:
                fleet = situation(leases, strategy)
                seconds, moves = measured(fleet, strategy)
                smallest = smallest or seconds / leases
                ratio = seconds / leases / smallest
                print(f"  {name:<22}{leases:>8,}{len(moves):>8,}{seconds * 1000:>9.2f}{ratio:>10.2f}x")


def measured(fleet: Fleet, strategy: Strategy) -> tuple[float, tuple[Move, ...]]:
    """The least seconds that a plan took, and its moves."""
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        moves = strategy(fleet)
        taken.append(time.perf_counter() - begun)
    return min(taken), moves


def first(leases: int, _: Strategy) -> Fleet:
    """Nobody owns anything yet."""
    rng = random.Random(leases)
    return Fleet(
        workers=tuple(WorkerView(key=f"worker-{number}") for number in range(leases // 10)),
        leases=tuple(
            LeaseView(key=f"shardId-{number:012}", throughput_kbps=rng.uniform(0, 1024)) for number in range(leases)
        ),
    )


def settled(leases: int, strategy: Strategy) -> Fleet:
    """All is evened out."""
    fleet = first(leases, strategy)
    while moves := strategy(fleet):
        to = {move.key: move.to for move in moves}
        held = (msgspec.structs.replace(lease, owner=to.get(lease.key, lease.owner)) for lease in fleet.leases)
        fleet = msgspec.structs.replace(fleet, leases=tuple(held))
    return fleet


def one_died(leases: int, strategy: Strategy) -> Fleet:
    """A settled fleet has lost a worker."""
    fleet = settled(leases, strategy)
    dead, *workers = fleet.workers
    left = (
        msgspec.structs.replace(lease, owner=None if lease.owner == dead.key else lease.owner) for lease in fleet.leases
    )
    return Fleet(workers=tuple(workers), leases=tuple(left))


def one_has_all(leases: int, strategy: Strategy) -> Fleet:
    """Everybody else has just joined."""
    fleet = first(leases, strategy)
    held = (msgspec.structs.replace(lease, owner=fleet.workers[0].key) for lease in fleet.leases)
    return msgspec.structs.replace(fleet, leases=tuple(held))


SITUATIONS: dict[str, Callable[[int, Strategy], Fleet]] = {
    "the first assignment": first,
    "a settled fleet": settled,
    "one worker died": one_died,
    "all others just joined": one_has_all,
}


if __name__ == "__main__":
    main()
