"""Shipped code with one condition or ordering taken out. A search that does not notice proves nothing."""

from collections.abc import Callable
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec

from kcl_py.core import lease as lease_module
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Binding, Change, Lease, Settlement
from kcl_py.core.liveness import Liveness
from kcl_py.core.watermark import Watermark
from kcl_py.local import memory_lease_table
from kcl_py.runtime import heartbeat
from kcl_py.runtime.fleet.planner import Planner
from kcl_py.runtime.leases import held_lease
from kcl_py.runtime.leases.held_lease import HeldLease
from tests.exhaustive import fleet, holder, landing
from tests.exhaustive.beats import BeatSearch
from tests.exhaustive.outcome import Outcome
from tests.exhaustive.search import Search
from tests.exhaustive.world import Bounds, World

STATES_MAX = 100_000
"""Every one of these is found within a few thousand states; a search that needs more is not awake."""


class Sabotage(NamedTuple):
    """What is taken out, and what must happen for it to matter; without bounds the search of the beats must notice."""

    name: str
    target: Any
    attribute: str
    replacement: Any
    law: str  # words of the violation that it must lead to
    bounds: Bounds | None = Bounds()

    def outcome(self) -> Outcome:
        """Search with the condition gone."""
        with patch.object(self.target, self.attribute, self.replacement):
            if self.bounds is None:
                return BeatSearch().run()
            return Search(2, self.bounds).run(states_max=STATES_MAX)


def _is_counter_free_always(lease: Lease, **values: object) -> Change:
    return Change(lease, msgspec.structs.replace(lease, counter=lease.counter + 1, **values), is_counter_free=True)


def _guarded_by_owners(lease: Lease, _change: Change) -> tuple[object, ...]:
    return lease.owner, lease.checkpoint_owner


def _guarded_by_counter(lease: Lease, change: Change) -> tuple[object, ...]:
    return (lease.held_by if change.is_counter_free else lease.counter,)


def _without_counting(transition: Callable[..., Change]) -> Callable[..., Change]:
    def uncounted(lease: Lease, *arguments: Any, **named: Any) -> Change:
        change = transition(lease, *arguments, **named)
        return Change(change.before, msgspec.structs.replace(change.after, counter=lease.counter))

    return uncounted


def _picked_up_unheld(lease: Lease, by: str, binding: Binding, start_at_ms: int | None = None) -> Change:
    change = _picked_up(lease, by, binding, start_at_ms)
    return Change(change.before, msgspec.structs.replace(change.after, held_by=None))


def _held_still(lease: Lease) -> Change:
    return lease._to(checkpoint_owner=None)


def _with_checkpoint_of_nobody(change: Change, position: Checkpoint | None) -> Change:
    """Progress without the owner: two writes where one is due, of which only the second is made."""
    return change if position is None else Change(change.before, change.before.checkpointed(position).after)


def _judged_by_counter(attempts: list[Change], row: Lease | None) -> Settlement:
    if row is None:
        return Settlement.LOST
    is_unmoved = row.counter == attempts[0].before.counter
    return Settlement.NOT_LANDED if is_unmoved else Settlement.LANDED


def _missing_answers_are_refusals(attempts: list[Change], row: Lease | None) -> Settlement:
    return Settlement.NOT_LANDED if row is not None else Settlement.LOST


def _missing_answers_are_losses(attempts: list[Change], row: Lease | None) -> Settlement:
    return Settlement.LOST


def _refusals_are_read_anew(attempts: list[Change], row: Lease | None) -> Settlement:
    """After a failed condition the row is written again with the counter that was merely read."""
    verdict = _settle(attempts, row)
    if verdict is Settlement.LOST and row is not None:
        attempts[:] = [Change(row, row)]
        return Settlement.NOT_LANDED
    return verdict


def _remembering_its_last_attempt_alone(self: HeldLease, tried: list[Change]) -> Any:
    self._attempts[:] = self._attempts[-1:]
    return _is_settled_by(self, tried)


def _blind_to_deaths(self: Planner, lease: Lease, living: Any, **named: Any) -> Any:
    """The dead go on to own what they owned."""
    view = _view(self, lease, living, **named)
    return msgspec.structs.replace(view, owner=lease.owner) if lease.owner is not None else view


def _assigning_what_is_held(self: Planner, lease: Lease, living: Any, **named: Any) -> Any:
    return msgspec.structs.replace(_view(self, lease, living, **named), owner=None, giver=None)


def _is_first_session(_world: World, _number: int, incarnation: int) -> bool:
    return incarnation == 0


async def _token_of_its_own(self: HeldLease, transition: Any) -> Lease:
    lease = await self.change(transition)
    self.fencing_token = 7
    return lease


def _silent_early(liveness: Liveness, now: float) -> tuple[str, ...]:
    return _silent(liveness, now + liveness._failover_seconds * 0.1)


_picked_up, _settle, _view, _silent = Lease.picked_up, lease_module.settle, Planner._view, Liveness.silent
_is_settled_by = HeldLease._is_settled_by

SABOTAGES = (
    Sabotage("every write leaves the counter out", Lease, "_to", _is_counter_free_always, "S6", Bounds(silences=1)),
    Sabotage("the counter is no part of the guard", memory_lease_table, "_guard", _guarded_by_owners, "S6"),
    Sabotage(
        "the owners are no part of the guard",
        memory_lease_table,
        "_guard",
        _guarded_by_counter,
        "S6",
        Bounds(hand_offs=1),
    ),
    Sabotage("nothing guards a write", memory_lease_table, "_guard", lambda _lease, _change: (), "S6"),
    Sabotage("tokens are given by chance", HeldLease, "pick_up", _token_of_its_own, "token"),
    Sabotage(
        "a restored row goes on to count",
        lease_module,
        "RESTORED_COUNTER_STEP",
        1,
        "token",
        Bounds(restores=1),
    ),
    Sabotage(
        "a row made anew starts to count anew", landing, "REBORN_COUNTER_STEP", -100, "token", Bounds(deletions=1)
    ),
    Sabotage(
        "a checkpoint does not count",
        Lease,
        "checkpointed",
        _without_counting(Lease.checkpointed),
        "S5",
        Bounds(losses=1),
    ),
    Sabotage(
        "a pick-up does not say who holds the lease",
        Lease,
        "picked_up",
        _picked_up_unheld,
        "begins a batch",
        Bounds(misses=1),
    ),
    Sabotage(
        "a completed hand-off still says who held it",
        Lease,
        "handed_over",
        _held_still,
        "picked up",
        Bounds(hand_offs=1),
    ),
    Sabotage(
        "progress is written, and the owner is not",
        Change,
        "with_checkpoint",
        _with_checkpoint_of_nobody,
        "let go",
        Bounds(hand_offs=1),
    ),
    Sabotage("what is delivered counts as done", Watermark, "position", property(lambda self: self.delivered_to), "S1"),
    Sabotage("settle looks at the counter alone", held_lease, "settle", _judged_by_counter, "settle"),
    Sabotage("a missing answer counts as a refusal", held_lease, "settle", _missing_answers_are_refusals, "settle"),
    Sabotage(
        "a missing answer counts as a loss",
        held_lease,
        "settle",
        _missing_answers_are_losses,
        "settle",
        Bounds(losses=1),
    ),
    Sabotage("after a refusal the counter is merely read", held_lease, "settle", _refusals_are_read_anew, "settle"),
    Sabotage(
        "only the last attempt is remembered",
        HeldLease,
        "_is_settled_by",
        _remembering_its_last_attempt_alone,
        "settle",
        Bounds(losses=1, departures=1, graces=1),
    ),
    Sabotage(
        "a session is revoked before its deadline",
        fleet,
        "may_be_revoked",
        _is_first_session,
        "begins a batch",
        Bounds(silences=1),
    ),
    Sabotage(
        "a lease is let go before its batch is done",
        holder,
        "is_between_batches",
        lambda _: True,
        "S8",
        Bounds(hand_offs=1),
    ),
    Sabotage("leaders assign what is held", Planner, "_view", _assigning_what_is_held, "lives"),
    Sabotage("leaders do not see who died", Planner, "_view", _blind_to_deaths, "dead end", Bounds(crashes=1)),
    Sabotage(
        "a row written anew does not leap",
        lease_module,
        "RECREATED_COUNTER_STEP",
        0,
        "settle",
        Bounds(deletions=1, losses=1),
    ),
    Sabotage("deadlines make no allowance for slow clocks", heartbeat, "CLOCK_DRIFT", 0.0, "S7", None),
    Sabotage("silence is judged early", Liveness, "silent", _silent_early, "S7", None),
)
