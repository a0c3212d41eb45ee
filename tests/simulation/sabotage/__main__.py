"""`python -m tests.simulation.sabotage NAME` runs what notices a sabotage, sabotaged; without a name, all of them."""

import sys

import pytest

from tests.simulation.sabotage import CATALOGUE, sabotaged, score


def main() -> int:
    """What pytest returns for the test; or 1 if some sabotage was not noticed as it should be."""
    if len(sys.argv) > 1:
        sabotage = next(one for one in CATALOGUE if one.name == sys.argv[1])
        if not sabotage.test:
            sys.stdout.write(f"noticed by {', '.join(sorted(sabotage.caught_by())) or 'nobody'}\n")
            return 0
        with sabotaged(sabotage):
            return pytest.main([sabotage.test, "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"])
    expected = {one.name: one.laws or {one.test} for one in CATALOGUE}
    noticed = 0
    for name, caught in score():
        is_as_told = caught == expected[name]
        noticed += is_as_told
        sys.stdout.write(f"{'' if is_as_told else 'NOT AS TOLD '}{name}: {', '.join(sorted(caught)) or 'nobody'}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{noticed} of {len(CATALOGUE)} noticed, each by whom the catalogue names\n")
    return int(noticed < len(CATALOGUE))


if __name__ == "__main__":
    sys.exit(main())
