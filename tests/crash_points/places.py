"""Where a task waits: the chain of the product's code from its outermost coroutine down to the await."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import kcl_py
from kcl_py.runtime.mailbox import Request

PRODUCT = str(Path(kcl_py.__file__).parent)
_WIRE = str(Path("tests", "simulation", "wire.py"))
_OPERATION = "operation"  # how the wire calls it, where one function serves several
_NAMES: dict[tuple[CodeType, int], str] = {}


def place_of(handle: asyncio.Handle) -> str:
    """Where the callback that ran just now has left its task waiting; empty if nothing that matters waits.

    Such as `Keeper._serve:290 > Tenure.serve:118 > HeldLease.change:146 > write`: the last one is what is called on a
    door, if one is. A message that was delivered counts as a place as well: `PlaneBox._deliver LetGo`.
    """
    callback, arguments = _called(handle)
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return " > ".join(_names(owner)) if not owner.done() else ""
    if getattr(callback, "__name__", "") == "_deliver":
        (message,) = arguments
        what = message.matter if isinstance(message, Request) else message
        return f"{type(owner).__name__}._deliver {type(what).__name__}"
    return ""


def _called(handle: Any) -> tuple[Any, tuple[Any, ...]]:
    return handle._callback, handle._args


def _names(task: "asyncio.Task[Any]") -> Iterator[str]:
    for frame in _frames(task.get_coro()):
        code = frame.f_code
        if code.co_filename.startswith(PRODUCT):
            key = code, frame.f_lineno
            name = _NAMES.get(key)
            if name is None:
                name = _NAMES[key] = f"{code.co_qualname.replace('.<locals>', '')}:{frame.f_lineno}"
            yield name
        elif code.co_filename.endswith(_WIRE):
            yield frame.f_locals.get(_OPERATION, code.co_name)


def _frames(waiting: Any) -> Iterator[FrameType]:
    while waiting is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(waiting, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                waiting = getattr(waiting, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
                break
        else:
            return
