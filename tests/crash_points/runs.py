"""A scenario is played once in peace, which says what there is to cut; then again for every cut, and judged."""

import asyncio

import msgspec

from tests.crash_points.scenarios import Scenario
from tests.crash_points.stage import AUDIT_SECONDS, FAILOVER_SECONDS, REPEATS_MAX, Cut, Stage
from tests.crash_points.steps import StepOrder
from tests.crash_points.victim import Victim, Way
from tests.simulation.facts import Crashed, Log
from tests.simulation.laws import liveness
from tests.simulation.laws.history import History
from tests.simulation.numbered_tasks import number_tasks
from tests.simulation.simulation import Simulation, simulated
from tests.simulation.verdict import SAFETY, judged

LAWS = (*SAFETY, liveness.soon_elsewhere, liveness.no_orphan)

WHEN_ASKED = "none_when_asked"


class Run(msgspec.Struct, frozen=True):
    """What one run was.

    Attributes:
        places: where each step of the victim ended, up to the cut.
        breaches: which laws were broken, and how.
    """

    places: tuple[str, ...]
    breaches: tuple[str, ...]
    log: Log


def played(scenario: Scenario, seed: int, cut: Cut | None = None) -> Run:
    """Play it, cut or in peace, and judge it by every law."""
    stages: list[Stage] = []

    async def play(fleet: Simulation) -> None:
        number_tasks(asyncio.get_running_loop())
        stages.append(Stage(fleet, cut, scenario.settings))
        await stages[0].play(scenario.scene)

    log = simulated(seed, play, shards=scenario.shards, make_worker=Victim, make_order=StepOrder)
    is_hasty = cut is not None and (cut.way in (Way.TWICE, Way.CUT_OFF) or scenario.is_on_its_way_out)
    is_orderly = not is_hasty and not any(log.of(Crashed))
    # who does not wait for the batch in flight leaves what was not written to be done again, within the limit
    laws = tuple(law for law in LAWS if not (is_hasty and law.__name__ == WHEN_ASKED))
    repeats_max = 0 if is_orderly else REPEATS_MAX
    history = History(log, FAILOVER_SECONDS, audit_seconds=AUDIT_SECONDS, repeats_max=repeats_max)
    broken = judged(history, laws)
    breaches = [f"{law}: {how}" for law, hows in broken.items() for how in hows]
    breaches += [f"too late: {what}" for what in stages[0].late]
    return Run(tuple(stages[0].places), tuple(breaches), log)


def cut_again(scenario: Scenario, seed: int, peaceful: Run, cut: Cut) -> Run:
    """Play it again up to a step that the peaceful run had, and end the victim there.

    Raises:
        AssertionError: there is no such step, or the replay was another one.
    """
    assert cut.step <= len(peaceful.places), f"{scenario.name} has only {len(peaceful.places)} steps"
    run = played(scenario, seed, cut)
    assert run.places == peaceful.places[: cut.step], f"{scenario.name}: the replay went another way"
    return run
