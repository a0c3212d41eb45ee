"""One way in which a fleet may be told to misbehave, and who notices."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.simulation.sabotage.mutation import Mutation, mutated
from tests.simulation.sabotage.scenes import SCENES
from tests.simulation.verdict import LAWS, judged

ROOT = Path(__file__).parents[3]


class Sabotage(msgspec.Struct, frozen=True, kw_only=True):
    """What is told otherwise, where it shows, and to whom.

    Attributes:
        name: in words.
        mutations: of shipped code; often one line.
        scene: the fleet in which laws notice it; see `scenes`.
        laws: those that do, all of them.
        test: where no fleet can show it, the test that fails because of it.
    """

    name: str
    mutations: tuple[Mutation, ...]
    scene: str = ""
    laws: frozenset[str] = frozenset()
    test: str = ""

    def caught_by(self) -> frozenset[str]:
        """Misbehave, and return the laws that are broken, or the test that fails."""
        if self.test:
            return frozenset({self.test} if self._fails() else ())
        with mutated(*self.mutations):
            history = SCENES[self.scene].history()
        return frozenset(judged(history, LAWS))

    def _fails(self) -> bool:
        """Run the test in a process of its own: it imports what it needs after the code was changed."""
        command = (sys.executable, "-m", "tests.simulation.sabotage", self.name)
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=100)
        return ran.returncode == 1


@contextlib.contextmanager
def sabotaged(sabotage: Sabotage) -> Iterator[None]:
    """Misbehave for a while."""
    with mutated(*sabotage.mutations):
        yield


def by_law(name: str, where: str, said: str, says: str, scene: str, *laws: str) -> Sabotage:
    """What some laws notice in a scene."""
    return Sabotage(name=name, mutations=(Mutation(where, said, says),), scene=scene, laws=frozenset(laws))


def by_test(name: str, where: str, said: str, says: str, test: str) -> Sabotage:
    """What no fleet shows: a test notices it."""
    return Sabotage(name=name, mutations=(Mutation(where, said, says),), test=test)
