"""The laws of what a worker promises, over what was put, what processors wrote down, and samples of the lease table.

Each function returns what breaks its law, so that an assertion shows it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from integration.journal import Fact, Journal
from integration.lease_items import Sample
from integration.produced import Put
from kcl_py.core.checkpoint import Checkpoint

Parents = Mapping[str, Sequence[str]]


def missing(puts: Iterable[Put], journal: Journal) -> list[Put]:
    """S2: records that were put and never done, though they may have been delivered."""
    done = _done(journal)
    return [put for put in puts if (put.shard, put.position) not in done]


def altered(puts: Iterable[Put], journal: Journal) -> list[Fact]:
    """Deliveries that are not what was put: another key, another payload, or nothing that was put."""
    known = {(put.shard, put.position): (put.key, put.payload) for put in puts}
    return [fact for fact in journal.delivered if known.get((fact.shard, fact.position)) != (fact.key, fact.payload)]


def out_of_order(journal: Journal) -> list[tuple[Fact, Fact]]:
    """S3: neighbours of one epoch that do not strictly increase."""
    return [
        (earlier, later)
        for epoch in _epochs(journal).values()
        for earlier, later in pairwise(fact for fact in epoch if fact.kind == "record")
        if later.position <= earlier.position
    ]


def started_elsewhere(puts: Sequence[Put], journal: Journal) -> list[tuple[str, Fact]]:
    """S3: epochs whose first delivery is not the record right after the checkpoint that they began at."""
    in_shard: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for put in sorted(puts, key=lambda put: put.position):
        in_shard[put.shard].append(put.position)
    broken = []
    for (_, shard, _), epoch in _epochs(journal).items():
        began = [fact.checkpoint for fact in epoch if fact.kind == "initialize"]
        first = next((fact for fact in epoch if fact.kind == "record"), None)
        if began and first is not None and began[0] not in ("LATEST", "AT_TIMESTAMP"):
            after = _position(began[0])
            expected = next((position for position in in_shard[shard] if position > after), None)
            if first.position != expected:
                broken.append((began[0], first))
    return broken


def keys_out_of_order(puts: Iterable[Put], journal: Journal) -> dict[str, list[str]]:
    """S4: keys whose first deliveries are not in put order."""
    put_order, delivery_order = _by_key(puts), _by_key(journal.delivered)
    return {
        key: payloads
        for key, payloads in delivery_order.items()
        if payloads != [payload for payload in put_order[key] if payload in set(payloads)]
    }


def early_children(parents: Parents, journal: Journal) -> list[tuple[str, str]]:
    """S4: children that were delivered from before a parent's processor had heard of its end, or before its last
    delivery; as (child, parent). A parent that no processor here ever heard of was finished elsewhere.
    """
    first_of_child: dict[str, float] = {}
    last_of_parent: dict[str, float] = {}
    ended: dict[str, float] = {}
    for fact in journal.facts():
        ended.setdefault(fact.shard, float("inf"))
        if fact.kind == "shard_ended":
            ended[fact.shard] = min(fact.at, ended[fact.shard])
        elif fact.kind == "record":
            first_of_child.setdefault(fact.shard, fact.at)
            last_of_parent[fact.shard] = fact.at
    return [
        (child, parent)
        for child, of_child in parents.items()
        for parent in of_child
        if child in first_of_child
        and first_of_child[child] <= max(ended.get(parent, 0.0), last_of_parent.get(parent, 0.0))
    ]


def went_back(samples: Iterable[Sample]) -> list[tuple[Sample, Sample]]:
    """S5: checkpoints that were lower than before."""
    return [
        (earlier, later)
        for of_shard in _by_shard(samples).values()
        for earlier, later in pairwise(of_shard)
        if later.checkpoint < earlier.checkpoint
    ]


def skipped(puts: Iterable[Put], samples: Iterable[Sample], journal: Journal) -> list[tuple[Put, Sample]]:
    """S1: records that a durable checkpoint covered before they were done."""
    done = _done(journal)
    moves = {shard: _moves(of_shard) for shard, of_shard in _by_shard(samples).items()}
    return [
        (put, sample)
        for put in puts
        for sample in moves.get(put.shard, ())
        if _covers(sample.checkpoint, put) and sample.at < done.get((put.shard, put.position), float("inf"))
    ]


def begun_by_zombies(journal: Journal) -> list[Fact]:
    """S7: batches that began under an epoch after a later one of the shard had begun a batch."""
    newest: dict[str, int] = {}
    zombies = []
    for fact in journal.facts("batch"):
        if fact.token < newest.get(fact.shard, 0):
            zombies.append(fact)
        newest[fact.shard] = max(fact.token, newest.get(fact.shard, 0))
    return zombies


def repeats(journal: Journal) -> list[Fact]:
    """Deliveries of a record that had been delivered before."""
    seen = set()
    again = []
    for fact in journal.delivered:
        if (place := (fact.shard, fact.position)) in seen:
            again.append(fact)
        seen.add(place)
    return again


def beyond(facts: Iterable[Fact], checkpoints: Mapping[str, Checkpoint]) -> list[Fact]:
    """Of deliveries, those that these checkpoints do not cover."""
    return [
        fact
        for fact in facts
        if Checkpoint(str(fact.sequence_number), fact.sub_sequence_number) > checkpoints[fact.shard]
    ]


def _done(journal: Journal) -> dict[tuple[str, tuple[int, int]], float]:
    """When the call that a record was delivered by returned for the first time."""
    done: dict[tuple[str, tuple[int, int]], float] = {}
    for epoch in _epochs(journal).values():
        batch: list[Fact] = []
        for fact in epoch:
            if fact.kind == "batch":
                batch = []
            elif fact.kind == "record":
                batch.append(fact)
            elif fact.kind == "done":
                for record in batch:
                    place = (record.shard, record.position)
                    done[place] = min(fact.at, done.get(place, fact.at))
    return done


def _moves(of_shard: Sequence[Sample]) -> list[Sample]:
    """The samples that first showed a checkpoint."""
    return [later for earlier, later in pairwise(of_shard) if later.checkpoint != earlier.checkpoint] + [*of_shard[:1]]


def _covers(checkpoint: Checkpoint, put: Put) -> bool:
    return checkpoint.is_shard_end or (
        checkpoint.is_number and checkpoint >= Checkpoint(str(put.sequence_number), put.sub_sequence_number)
    )


def _position(checkpoint: str) -> tuple[int, int]:
    if checkpoint == "TRIM_HORIZON":
        return (-1, -1)
    sequence_number, _, sub_sequence_number = checkpoint.partition("/")
    return int(sequence_number), int(sub_sequence_number or 0)


def _epochs(journal: Journal) -> dict[tuple[int, str, int], list[Fact]]:
    epochs: dict[tuple[int, str, int], list[Fact]] = defaultdict(list)
    for fact in journal.facts():
        epochs[fact.pid, fact.shard, fact.token].append(fact)
    return epochs


def _by_key(records: Iterable[Put | Fact]) -> dict[str, list[str]]:
    by_key: dict[str, dict[str, None]] = defaultdict(dict)
    for record in records:
        by_key[record.key].setdefault(record.payload)
    return {key: list(payloads) for key, payloads in by_key.items()}


def _by_shard(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    by_shard: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.at):
        by_shard[sample.shard].append(sample)
    return by_shard
