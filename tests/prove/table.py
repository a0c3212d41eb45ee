"""`python -m tests.prove.table`: the sabotages and who notices each, as docs/proof.md lists them."""

import sys
from collections.abc import Iterator

from tests.simulation.sabotage import CATALOGUE


def rows() -> Iterator[str]:
    """The lines of the table."""
    yield "| what is told otherwise | who notices |"
    yield "|---|---|"
    for one in CATALOGUE:
        caught_by = ", ".join(f"`{law}`" for law in sorted(one.laws)) if one.laws else f"`{one.test}`"
        yield f"| {one.name} | {caught_by} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join(rows()) + "\n")
