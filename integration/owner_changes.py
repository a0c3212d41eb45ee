"""The laws of what happens when a shard changes hands, over what processors wrote down.

An epoch is one owner's time with one shard; its fencing token tells it from every other. Each function returns what
breaks its law, so that an assertion shows it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping

from integration.journal import Fact, Journal

Epoch = tuple[str, int]
"""A shard and a fencing token."""


def overlapping(journal: Journal) -> list[Fact]:
    """S7: batches of an epoch that were not over when a later epoch of the shard began to deliver, except one for each
    epoch: the one that was in flight.
    """
    of_shard: dict[str, list[Fact]] = defaultdict(list)
    for fact in journal.facts("batch"):
        of_shard[fact.shard].append(fact)
    ends = _ends(journal)
    found = []
    for batches in of_shard.values():
        for token in sorted({batch.token for batch in batches}):
            later = min((batch.at for batch in batches if batch.token > token), default=float("inf"))
            found += [batch for batch in batches if batch.token == token and ends[batch] > later][1:]
    return found


def redelivered(journal: Journal) -> dict[Epoch, list[Fact]]:
    """S8: what other epochs delivered again, by the epoch that had delivered it last."""
    last: dict[tuple[str, tuple[int, int]], Fact] = {}
    again: dict[Epoch, list[Fact]] = defaultdict(list)
    for fact in journal.delivered:
        before = last.get(place := (fact.shard, fact.position))
        if before is not None and before.token != fact.token:
            again[before.shard, before.token].append(fact)
        last[place] = fact
    return dict(again)


def redelivered_beyond(journal: Journal, records_max: int) -> dict[Epoch, int]:
    """S8: how much of an epoch was delivered again, where that is more than a change of owner may cost."""
    return {epoch: len(again) for epoch, again in redelivered(journal).items() if len(again) > records_max}


def redelivered_after_order(journal: Journal, killed: Collection[int] = ()) -> dict[Epoch, list[Fact]]:
    """S8: what was delivered again though the epoch had ended in order, by a hand-off or by SIGTERM.

    Args:
        journal: what processors wrote down.
        killed: processes that were killed, perhaps between the call of `shutdown_requested` and the checkpoint.
    """
    in_order = {(fact.shard, fact.token) for fact in journal.facts("shutdown_requested") if fact.pid not in killed}
    return {epoch: again for epoch, again in redelivered(journal).items() if epoch in in_order}


def moved_again(journal: Journal, since: float, until: float = float("inf")) -> Mapping[str, list[int]]:
    """L3: the tokens of shards that began more than one epoch between two instants of the boot clock.

    A burst of joins or leaves may cost every shard one.
    """
    begun: dict[str, list[int]] = defaultdict(list)
    for fact in journal.facts("initialize"):
        if since <= fact.at <= until:
            begun[fact.shard].append(fact.token)
    return {shard: tokens for shard, tokens in begun.items() if len(tokens) > 1}


def _ends(journal: Journal) -> dict[Fact, float]:
    """When each batch was over: with the next fact of its epoch that is no record, or never."""
    ends: dict[Fact, float] = {}
    in_flight: dict[Epoch, Fact] = {}
    for fact in journal.facts():
        epoch = fact.shard, fact.token
        if fact.kind == "record":
            continue
        if (batch := in_flight.pop(epoch, None)) is not None:
            ends[batch] = fact.at
        if fact.kind == "batch":
            in_flight[epoch] = fact
    return ends | dict.fromkeys(in_flight.values(), float("inf"))
