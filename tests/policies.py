"""What the IAM policies that ship allow."""

import json
from importlib import resources
from typing import Any


def statements(name: str) -> list[dict[str, Any]]:
    """The statements of one policy, with each action and resource in a list."""
    text = resources.files("kcl_py").joinpath("policies", f"{name}.json").read_text()
    found = json.loads(text)["Statement"]
    return [one | {key: _listed(one[key]) for key in ("Action", "Resource")} for one in found]


def allowed(name: str) -> set[str]:
    """The actions that one policy allows."""
    return {action for statement in statements(name) for action in statement["Action"]}


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
