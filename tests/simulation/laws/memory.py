"""S12: what a worker holds in memory."""

from collections import defaultdict

from kcl_py.events import LeasePickedUp
from tests.simulation.facts import Buffered
from tests.simulation.laws.history import History
from tests.simulation.laws.judgement import Judgement
from tests.simulation.laws.standstills import ENDINGS


def memory(history: History) -> Judgement:
    """S12: a worker holds at most its buffer and one page for each shard that it fetches from.

    Sharper than that cannot be: every fetch in flight may bring a page that is heavier than the one it was taken for.
    """
    judgement = Judgement()
    held: defaultdict[str, set[str]] = defaultdict(set)
    for entry, what in history.log.of(LeasePickedUp, Buffered, *ENDINGS):
        if isinstance(what, LeasePickedUp):
            held[entry.worker].add(what.shard_id)
        elif isinstance(what, Buffered):
            most = what.allowed + max(1, len(held[entry.worker])) * history.page_bytes_max
            judgement.demand(
                what.size <= most, f"{entry.at:.3f} {entry.worker} holds {what.size} bytes, more than {most}"
            )
        else:
            held[entry.worker].discard(what.shard_id)
    return judgement
