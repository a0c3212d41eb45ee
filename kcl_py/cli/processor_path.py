"""`MODULE:PROCESSOR` on the command line, and what it names."""

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kcl_py.errors import ProcessorError
from kcl_py.printable import quoted
from kcl_py.processor import RecordProcessor, is_async


def load(path: str, directory: Path) -> Callable[[], RecordProcessor]:
    """Find the processor's class, or a callable without arguments that makes one.

    Args:
        path: such as `billing.orders:OrderProcessor`.
        directory: where modules are looked for first, as `python -m` does with the current one.

    Raises:
        ProcessorError: it does not import, is not there, or is not a processor. `__cause__` has the import's error.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise ProcessorError(f"{quoted(path)} is not MODULE:PROCESSOR, such as billing.orders:OrderProcessor")
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    found = _attribute(_imported(module_name), attribute, path)
    if not callable(found):
        raise ProcessorError(f"{path} is neither a class nor a callable that makes a processor")
    if isinstance(found, type):
        is_async(found)  # checks the class as the worker will, before anything is reached out to
    if (wanted := _wanted_arguments(found)) is not None:
        raise ProcessorError(f"{path} needs arguments ({wanted}); name a callable without any that makes a processor")
    factory: Callable[[], RecordProcessor] = found
    return factory


def _imported(module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        hint = ""
        if module_name.endswith(".py") or "/" in module_name:
            hint = "; write a module as Python imports it, billing.orders for billing/orders.py"
        elif isinstance(error, ModuleNotFoundError) and error.name == module_name.partition(".")[0]:
            hint = "; it is looked for in the current directory first"
        raise ProcessorError(f"{module_name} does not import: {type(error).__name__}: {error}{hint}") from error


def _attribute(module: Any, attribute: str, path: str) -> Any:
    found = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            near = difflib.get_close_matches(name, [other for other in dir(found) if other[0] != "_"], n=1)
            raise ProcessorError(f"{path} is not there{f'; did you mean {near[0]}?' if near else ''}")
        found = getattr(found, name)
    return found


def _wanted_arguments(found: Callable[..., Any]) -> str | None:
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # made in C, without a signature: calling it will tell
        return None
    wanted = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    return ", ".join(wanted) or None
