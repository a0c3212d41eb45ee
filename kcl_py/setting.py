"""One setting: its key, the form of its value, its bounds, and the reason for its default.

The same setting is a keyword of `Config`, an option of the command line (`--checkpoint-interval`), an environment
variable (`KCL_PY_CHECKPOINT_INTERVAL`) and a key of a file (`checkpoint_interval`). Text always carries its unit,
because a bare 10 means seconds here and milliseconds in other Kinesis consumers.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from kcl_py.core.position import StartPosition
from kcl_py.errors import ConfigError
from kcl_py.printable import quoted

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", re.ASCII)
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Form(msgspec.Struct, frozen=True):
    """What a value looks like in text or in a file, and what it is in Python."""

    metavar: str  # stands for the value in the command line's help
    expected: str  # completes "expected …"
    read: Callable[[object], Any]  # from text, or from what TOML has of its own; ValueError if it is neither
    is_value: Callable[[object], bool]  # would the Python constructor take it
    shown: Callable[[Any], str] = str
    expected_in_python: str = ""  # where Python takes something else than text has


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read_quantity(raw: object, units: Mapping[str, float]) -> float:
    found = _QUANTITY.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if found is None or found[2].lower() not in units:
        raise ValueError
    return float(found[1]) * units[found[2].lower()]


def _read_bytes(raw: object) -> int:
    size = _read_quantity(raw, _BYTES)
    if not size.is_integer():
        raise ValueError
    return int(size)


def _read_text(raw: object) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError
    return raw.strip()


def _read_count(raw: object) -> int:
    if isinstance(raw, str) and re.fullmatch(r"\d[\d_]*", raw.strip(), re.ASCII):
        return int(raw.replace("_", ""))
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    raise ValueError


def _read_switch(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.strip().lower() in _TRUTH:
        return _TRUTH[raw.strip().lower()]
    raise ValueError


def _read_start(raw: object) -> StartPosition:
    if isinstance(raw, datetime):  # TOML has times of its own
        return StartPosition.at(raw)
    return StartPosition.parse(_read_text(raw))


def _read_tags(raw: object) -> dict[str, str]:
    if isinstance(raw, str):
        pairs = [pair.partition("=") for pair in raw.split(",")]
        if not all(equals and name.strip() for name, equals, _ in pairs):
            raise ValueError
        return {name.strip(): value.strip() for name, _, value in pairs}
    if not _are_tags(raw):
        raise ValueError
    assert isinstance(raw, Mapping)
    return dict(raw)


def _are_tags(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(text, str) and name for name, text in value.items()
    )


def _shown_seconds(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:g}ms"


def _shown_bytes(size: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def choice(*words: str) -> Form:
    """One of a few words."""

    def read(raw: object) -> str:
        if raw not in words:
            raise ValueError
        return str(raw)

    return Form("|".join(words), " or ".join(words), read, lambda value: value in words)


TEXT = Form("TEXT", "text that is not empty", _read_text, lambda value: isinstance(value, str) and bool(value.strip()))
COUNT = Form("N", "a whole number", _read_count, lambda value: isinstance(value, int) and not isinstance(value, bool))
SWITCH = Form(
    "", "true or false", _read_switch, lambda value: isinstance(value, bool), lambda value: str(value).lower()
)
DURATION = Form(
    "DURATION",
    "a duration with its unit, such as 10s, 500ms, 2m or 1h",
    lambda raw: _read_quantity(raw, _SECONDS),
    _is_number,
    _shown_seconds,
    "a number of seconds",
)
SIZE = Form(
    "SIZE",
    "a size with its unit, such as 64MiB or 1GB",
    _read_bytes,
    COUNT.is_value,
    _shown_bytes,
    "a whole number of bytes",
)
START = Form(
    "TRIM_HORIZON|LATEST|TIME",
    "TRIM_HORIZON, LATEST or a time with its zone, such as 2026-03-01T09:00:00Z",
    _read_start,
    lambda value: isinstance(value, StartPosition),
    str,
    "a StartPosition, such as StartPosition.LATEST",
)
TAGS = Form(
    "NAME=TEXT,…",
    "names and values, such as team=data,env=prod",
    _read_tags,
    _are_tags,
    lambda tags: ",".join(f"{name}={text}" for name, text in tags.items()) or "none",
    "a mapping of text to text",
)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What the schema in `Config` says about one of its fields."""

    form: Form
    reason: str  # for people: what it does, and why the default is what it is
    key: str = ""  # where it is not the field's own name without the unit
    minimum: float | None = None
    maximum: float | None = None
    is_required: bool = False

    @property
    def option(self) -> str:
        """The command line's name, `--…`."""
        return "--" + self.key.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment's name, `KCL_PY_…`."""
        return "KCL_PY_" + self.key.upper()

    def read(self, raw: object, where: str) -> Any:
        """Read a value as text or TOML has it.

        Args:
            raw: the text, or the TOML value.
            where: names the place for the message, such as `--failover`.

        Raises:
            ConfigError: it has the wrong form, or is out of bounds.
        """
        try:
            value = self.form.read(raw)
        except ValueError:
            raise ConfigError(f"{where} is {quoted(raw)}; expected {self.form.expected}") from None
        self._check_bounds(value, where, self.form.shown)
        return value

    def check(self, value: object, where: str) -> None:
        """Check a value given in Python.

        Raises:
            ConfigError: it has the wrong type, or is out of bounds.
        """
        if not self.form.is_value(value):
            expected = self.form.expected_in_python or self.form.expected
            raise ConfigError(f"{where} is {quoted(value)}; expected {expected}")
        self._check_bounds(value, where, str)

    def _check_bounds(self, value: Any, where: str, shown: Callable[[Any], str]) -> None:
        if self.minimum is not None and value < self.minimum:
            raise ConfigError(f"{where} is {shown(value)}; expected at least {shown(self.minimum)}")
        if self.maximum is not None and value > self.maximum:
            raise ConfigError(f"{where} is {shown(value)}; expected at most {shown(self.maximum)}")
