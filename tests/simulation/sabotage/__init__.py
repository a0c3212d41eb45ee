"""A catalogue of ways to misbehave, each of which some law notices; what nobody notices names a missing oracle."""

from collections.abc import Iterator

from tests.simulation.sabotage import delivery, fan_out, fleet, leases, shards
from tests.simulation.sabotage.sabotage import Sabotage, sabotaged

__all__ = ["CATALOGUE", "Sabotage", "sabotaged", "score"]
CATALOGUE: tuple[Sabotage, ...] = (
    *delivery.CATALOGUE,
    *fan_out.CATALOGUE,
    *shards.CATALOGUE,
    *leases.CATALOGUE,
    *fleet.CATALOGUE,
)


def score() -> Iterator[tuple[str, frozenset[str]]]:
    """Of each sabotage its name, and which laws noticed it, or which test."""
    for sabotage in CATALOGUE:
        yield sabotage.name, sabotage.caught_by()
