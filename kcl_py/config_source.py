"""Where settings come from: the command line, the environment, a file. Here they are found, not yet understood."""

import difflib
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from kcl_py.errors import ConfigError
from kcl_py.printable import quoted
from kcl_py.setting import Setting

PREFIX = "KCL_PY_"
_NO_SETTINGS = frozenset({"KCL_PY_REQUIRE_ALL"})  # the test suite's own switch, set in CI


class Source(msgspec.Struct, frozen=True):
    """One place that holds values by key."""

    kind: Literal["option", "variable", "file"]
    values: Mapping[str, object]
    file_name: str = ""

    def place(self, setting: Setting) -> str:
        """How a message names a setting that stands here."""
        if self.kind == "file":
            return f"{setting.key} in {self.file_name}"
        return setting.option if self.kind == "option" else setting.variable


def sources(
    cli: Mapping[str, object], env: Mapping[str, str], directory: Path, settings: Iterable[Setting]
) -> list[Source]:
    """Every place that says something, the strongest first.

    Raises:
        ConfigError: a key is unknown, or a file cannot be read.
    """
    keys = [setting.key for setting in settings]
    found = [
        Source("option", {key: value for key, value in cli.items() if value is not None}),
        Source("variable", _of_environment(env, keys)),
    ]
    if (file := _of_file(directory)) is not None:
        for key in file.values:
            _check_known(key, keys, f"key {quoted(key)} in {file.file_name}", str)
        found.append(file)
    return found


def given(found: Iterable[Source], settings: Mapping[str, Setting]) -> dict[str, Any]:
    """What those places say, by name in Python.

    Args:
        found: the places, the strongest first.
        settings: every setting by its name in Python.

    Raises:
        ConfigError: a value has the wrong form, or one that is required is missing.
    """
    by_key = {setting.key: (name, setting) for name, setting in settings.items()}
    values: dict[str, Any] = {}
    for source in found:
        for key, raw in source.values.items():
            name, setting = by_key[key]
            read = setting.read(raw, source.place(setting))  # also where a stronger place says otherwise: it is wrong
            values.setdefault(name, read)
    for name, setting in settings.items():
        if setting.is_required and name not in values:
            raise ConfigError(
                f"no {setting.key} is given; use {setting.option}, {setting.variable}, or {setting.key} = … in kcl.toml"
            )
    return values


def _of_environment(env: Mapping[str, str], keys: Collection[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for variable, value in env.items():
        if variable.startswith(PREFIX) and variable not in _NO_SETTINGS:
            key = variable.removeprefix(PREFIX).lower()
            _check_known(key, keys, f"environment variable {quoted(variable)}", lambda near: PREFIX + near.upper())
            values[key] = value
    return values


def _of_file(directory: Path) -> Source | None:
    own = _parsed(directory / "kcl.toml")
    shared = _parsed(directory / "pyproject.toml")
    tool = shared.get("tool", {}) if shared is not None else {}
    section = tool.get("kcl_py") if isinstance(tool, dict) else None
    if own is not None and section is not None:
        raise ConfigError("kcl.toml and [tool.kcl_py] in pyproject.toml both hold settings; keep one of them")
    if own is not None:
        return Source("file", own, "kcl.toml")
    if section is None:
        return None
    if not isinstance(section, dict):
        raise ConfigError("tool.kcl_py in pyproject.toml is not a table; write [tool.kcl_py]")
    return Source("file", section, "[tool.kcl_py] of pyproject.toml")


def _parsed(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}") from error


def _check_known(key: str, keys: Collection[str], described: str, spelled: Any) -> None:
    if key in keys:
        return
    plain = key.lower().replace("-", "_")
    near = difflib.get_close_matches(plain, keys, n=1, cutoff=0.0)[0]
    raise ConfigError(f"unknown {described}; the nearest setting is {spelled(near)}")
