"""Shipped code, told otherwise in one place: in memory, and only for a while."""

import importlib
import inspect
import types
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import msgspec


class Mutation(msgspec.Struct, frozen=True):
    """A few words of one function, replaced.

    Attributes:
        where: the function, as `kcl_py.core.lineage:Lineage.may_start`; one inside another is part of that.
        said: what its source says, in exactly one place.
        says: what it says instead; as many lines.
    """

    where: str
    said: str
    says: str


class StaleMutation(Exception):
    """The shipped code does not say any more what a mutation replaces: it must be found again."""


@contextmanager
def mutated(*mutations: Mutation) -> Iterator[None]:
    """Have functions do something else. They stay the same objects, so whoever imported them is concerned as well."""
    with ExitStack() as undo:
        for mutation in mutations:
            function = _function(mutation.where)
            undo.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = _changed(mutation)
        yield


@cache
def _changed(mutation: Mutation) -> types.CodeType:
    """The function's code as the changed source of its module has it."""
    function = _function(mutation.where)
    path = inspect.getsourcefile(function)
    assert path is not None
    lines, first = inspect.getsourcelines(function)
    source = "".join(lines)
    if source.count(mutation.said) != 1:
        raise StaleMutation(f"{mutation.where} says {source.count(mutation.said)} times {mutation.said!r}")
    module = Path(path).read_text().splitlines(keepends=True)
    module[first - 1 : first - 1 + len(lines)] = [source.replace(mutation.said, mutation.says)]
    code = _named(compile("".join(module), path, "exec"), function.__qualname__)
    if code is None:
        raise StaleMutation(f"{mutation.where} is not to be found any more")
    return code


def _function(where: str) -> types.FunctionType:
    module, _, name = where.partition(":")
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = vars(found)[part]
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    found = inspect.unwrap(found)  # type: ignore[arg-type]
    assert isinstance(found, types.FunctionType), where
    return found


def _named(code: types.CodeType, qualified_name: str) -> types.CodeType | None:
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            if inner.co_qualname == qualified_name:
                return inner
            if (found := _named(inner, qualified_name)) is not None:
                return found
    return None
