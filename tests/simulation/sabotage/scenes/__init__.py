"""Small fleets, each of which goes through what some sabotage shows in. Nothing is left to chance but for a seed."""

from collections.abc import Mapping

from tests.simulation.sabotage.scenes import fan_out, membership, resharding, table, user_code
from tests.simulation.sabotage.scenes.scene import Scene

SCENES: Mapping[str, Scene] = {
    name: one
    for module in (fan_out, membership, resharding, table, user_code)
    for name, one in vars(module).items()
    if isinstance(one, Scene)
}
