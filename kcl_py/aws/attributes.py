"""Attributes as DynamoDB's API writes them, read with their types checked.

What does not parse raises `RowError` here and becomes an `OddRow` in a snapshot, so that one bad item never hides the
others.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

_INTEGER = re.compile(r"[0-9]{1,19}")
_INTEGER_MAX = 2**63 - 1  # a long of Java's, whose rows these are; what is counted on from it still fits 38 digits
_DECIMAL = re.compile(r"-?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]{1,3})?")
_DECIMAL_END = 1e126  # DynamoDB's numbers end below it; so does what can be reckoned with

Value = TypeVar("Value")
AttributeValue = dict[str, Any]
"""A value as DynamoDB's API writes it: one type letter and its value, such as `{"N": "7"}`."""
Attributes = Mapping[str, AttributeValue]


class RowError(ValueError):
    """An item is not the row it claims to be; the text says why."""


class RowUpdate(msgspec.Struct, frozen=True):
    """Which attributes to set and which to remove; no other is touched."""

    assigned: dict[str, AttributeValue]
    removed: tuple[str, ...]


def difference(before: Attributes, after: dict[str, AttributeValue]) -> RowUpdate:
    """What turns `before` into `after`."""
    return RowUpdate(
        {name: value for name, value in after.items() if before.get(name) != value},
        tuple(name for name in before if name not in after),
    )


def number(value: float) -> AttributeValue:
    """A number, to three decimals if it is no whole one."""
    return {"N": str(value) if isinstance(value, int) else f"{value:.3f}".rstrip("0").rstrip(".")}


def value_in(item: Attributes, name: str, letter: str, kind: type[Value]) -> Value | None:
    """The value of one attribute, None if it is absent.

    Raises:
        RowError: it is of another type.
    """
    if name not in item:
        return None
    typed = item[name]
    value = typed.get(letter) if isinstance(typed, Mapping) and len(typed) == 1 else None
    if not isinstance(value, kind):
        raise RowError(f"{name} is not of type {letter}")
    return value


def required(name: str, value: Value | None) -> Value:
    """`value`, if there is one.

    Raises:
        RowError: there is none.
    """
    if value is None:
        raise RowError(f"{name} is missing")
    return value


def text_in(item: Attributes, name: str) -> str | None:
    """A string; see `value_in`."""
    return value_in(item, name, "S", str)


def texts_in(item: Attributes, name: str) -> tuple[str, ...]:
    """A set of strings, sorted; empty if it is absent."""
    texts: list[str] = value_in(item, name, "SS", list) or []
    if not all(isinstance(text, str) for text in texts):
        raise RowError(f"{name} is not of type SS")
    return tuple(sorted(texts))


def integer_in(item: Attributes, name: str) -> int | None:
    """A whole number that Java's long holds, 0 or more; see `value_in`."""
    digits = value_in(item, name, "N", str)
    if digits is None:
        return None
    if not _INTEGER.fullmatch(digits) or int(digits) > _INTEGER_MAX:
        raise RowError(f"{name} is {digits[:64]!r}, not a whole number from 0 to 2**63 - 1")
    return int(digits)


def decimal_of(typed: object) -> float | None:
    """Any number that DynamoDB can hold, to a float's precision; None for anything else."""
    digits = typed.get("N") if isinstance(typed, Mapping) and len(typed) == 1 else None
    if not isinstance(digits, str) or not _DECIMAL.fullmatch(digits):
        return None
    value = float(digits)
    return value if abs(value) < _DECIMAL_END else None


def text_of(item: Attributes, name: str) -> str | None:
    """A string attribute of an item that may be anything; None if it is absent or no string."""
    try:
        return text_in(item, name)
    except RowError:
        return None
