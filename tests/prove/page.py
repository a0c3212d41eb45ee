"""What was proven, on one page."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.prove.lives import Lived
from tests.simulation.life import Scale

WIDTH = 100


class Part(NamedTuple):
    """One line of what else was run."""

    name: str
    figures: str
    is_right: bool


def page(lives: Mapping[Scale, Lived], parts: Sequence[Part], seconds: float) -> str:
    """Everything that was seen.

    Args:
        lives: by the scale of their fleets.
        parts: what else was run.
        seconds: how long all of it took.
    """
    everything = sum(lives.values(), Lived())
    lines = [f"kcl_py: what was proven, in {seconds / 60:.1f} minutes", ""]
    lines += _lives(lives, everything)
    lines += ["", "Faults, by kind", *_in_columns(everything.hours.incidents)]
    lines += ["", "The worst that was seen", *_worst(everything)]
    lines += ["", "How often each law was judged", *_in_columns(everything.judged)]
    if parts:
        lines += ["", "Beside the lives"]
        lines += [f"  {'ok ' if part.is_right else 'RED'} {part.name}: {part.figures}" for part in parts]
    lines += ["", *everything.verdicts]
    wrong = len(everything.verdicts) + sum(not part.is_right for part in parts)
    lines.append(f"RED: {wrong} of the above went wrong" if wrong else "Nothing broke a law.")
    return "\n".join(lines)


def _lives(lives: Mapping[Scale, Lived], everything: Lived) -> Iterator[str]:
    heads = (("seeds", 7), ("fleet h", 10), ("counted h", 11), ("worker h", 10), ("faults", 8), ("records", 10))
    yield f"{'Simulated fleets':<18}" + "".join(f"{head:>{width}}" for head, width in heads) + "  log lines  broken"
    for name, one in [*lives.items(), ("all", everything)]:
        hours = one.hours
        yield (
            f"  {name:<16}{one.lives:>7}{hours.fleet:>10.1f}{hours.counted:>11.1f}{hours.worker:>10.1f}"
            f"{hours.incidents.total():>8}{hours.records:>10}{one.entries:>11}{len(one.verdicts):>8}"
        )
    yield "  counted: minutes with 5 workers or more, 20 open shards or more, a fault at least, and records done;"
    yield "  worker h: of those minutes alone"


def _worst(lived: Lived) -> Iterator[str]:
    count, bound = lived.repeats
    yield f"  duplicates of one change of owner: {count}, where {bound} were allowed"
    if lived.takeover is not None:
        yield (
            f"  takeover after a crash: {lived.takeover.seconds:.1f} s, where {lived.takeover.allowed_seconds:.0f} s "
            "were allowed"
        )
    if lived.hand_over_seconds:
        median, worst = statistics.median(lived.hand_over_seconds), max(lived.hand_over_seconds)
        count = len(lived.hand_over_seconds)
        yield f"  hand-over at calm doors: {worst:.2f} s, the median of {count} is {median:.2f} s"


def _in_columns(counts: Mapping[str, int]) -> Iterable[str]:
    cells = [f"{name} {count}" for name, count in sorted(counts.items())]
    width = max(map(len, cells), default=0) + 3
    per_line = max(1, WIDTH // width)
    for begin in range(0, len(cells), per_line):
        yield "  " + "".join(cell.ljust(width) for cell in cells[begin : begin + per_line]).rstrip()
