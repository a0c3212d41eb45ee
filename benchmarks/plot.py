"""The picture of docs/performance.md: CPU per record, on a logarithmic scale."""

import math
from collections.abc import Sequence
from html import escape

from benchmarks.cells import OURS
from benchmarks.rounds import Outcome

_WIDTH, _LABELS, _BAR, _GAP, _TITLE = 760, 220, 14, 5, 30
_DECADES = (-2, 3)  # from 0.01 to 1,000 µs
_OURS, _OTHERS, _FLOOR = "#2563eb", "#9ca3af", "#d1d5db"


def drawn(outcomes: Sequence[Outcome]) -> str:
    """An SVG with a group of bars for every page."""
    parts: list[str] = []
    top = 24.0
    for outcome in outcomes:
        body = outcome.cell.body
        size = f"{body.size_bytes // 1_000} KB" if body.size_bytes >= 1_000 else f"{body.size_bytes} B"
        parts.append(_text(0, top + 14, f"{body.records:,} x {size} a call", weight="bold"))
        top += _TITLE - 8
        for client in sorted(outcome.cell.clients, key=outcome.us_per_record):
            value = outcome.us_per_record(client)
            colour = _OURS if client.startswith("kcl_py") else _FLOOR if client.startswith("floor") else _OTHERS
            end = _across(value)
            parts.append(_text(_LABELS - 8, top + 11, client, anchor="end"))
            parts.append(
                f'<rect x="{_LABELS}" y="{top}" width="{end - _LABELS:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>'
            )
            told = f"{value:.3g} µs" if client == OURS else f"{value:.3g} µs ({outcome.ratio(OURS, client):.2g}x)"
            parts.append(_text(end + 5, top + 11, told))
            top += _BAR + _GAP
        top += 12
    heading = _text(
        0, 14, "CPU per record before the user's code, TLS on loopback, logarithmic; in brackets against kcl_py polling"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top:.0f}" font-family="sans-serif" '
        f'font-size="11.5"><rect width="100%" height="100%" fill="white"/>{heading}{"".join(parts)}</svg>\n'
    )


def _across(value: float) -> float:
    low, high = _DECADES
    share = (math.log10(value) - low) / (high - low)
    return _LABELS + max(0.0, min(1.0, share)) * (_WIDTH - _LABELS - 110)


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
