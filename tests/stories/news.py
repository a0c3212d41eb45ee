"""Which entries of a log are worth telling in a story, and in which words."""

from collections.abc import Callable
from typing import Any

from kcl_py import events
from tests.simulation import facts

Name = Callable[[str], str]
"""Gives a session its short name."""
News = tuple[str, tuple[str, ...]]
"""A sentence, with {} in place of the shards, and the shards."""
_Teller = Callable[[Any, str, Name], News]

_NEWS: dict[type[facts.What], _Teller] = {
    events.SessionStarted: lambda what, _who, name: (f"{name(what.session)} joins", ()),
    events.LeadershipTaken: lambda _what, who, _name: (f"{who} leads", ()),
    events.LeasePickedUp: lambda what, who, _name: (f"{who} takes up {{}}", (what.shard_id,)),
    events.LeaseHandedOver: lambda what, who, name: (
        f"{who} hands {{}} over to {name(what.to)}{', forced' * what.is_forced}",
        (what.shard_id,),
    ),
    events.HandOffCalledOff: lambda what, who, _name: (f"{who} keeps {{}} after all", (what.shard_id,)),
    events.LeaseGivenUp: lambda what, who, _name: (f"{who} gives {{}} up", (what.shard_id,)),
    events.LeaseWasLost: lambda what, who, _name: (f"{who} loses {{}}", (what.shard_id,)),
    events.SessionRevoked: lambda what, who, name: (f"{who} declares {name(what.session)} dead", ()),
    events.SessionLost: lambda what, _who, name: (f"{name(what.session)} learns that it was declared dead", ()),
    events.ShardFinished: lambda what, who, _name: (
        f"{who} finishes shard {number(what.shard_id)}, before {{}}",
        what.children,
    ),
    facts.Crashed: lambda _what, who, _name: (f"{who} loses power", ()),
    facts.Paused: lambda _what, who, _name: (f"{who} stands still", ()),
    facts.Resumed: lambda _what, who, _name: (f"{who} goes on", ()),
    facts.Left: lambda _what, who, _name: (f"{who} has left", ()),
    facts.Failed: lambda what, who, _name: (f"{who} fails: {what.error}", ()),
}


def news_of(what: facts.What, who: str, name: Name) -> News | None:
    """What is to be told of an entry; None if it is not worth it."""
    teller = _NEWS.get(type(what))
    return None if teller is None else teller(what, who, name)


def number(shard_id: str) -> int:
    """By which a story calls a shard."""
    return int(shard_id.rpartition("-")[2])


def listed(numbers: list[int]) -> str:
    """`shard 3`, or `shards 0 1 5`."""
    return f"shard{'s' * (len(numbers) > 1)} {' '.join(map(str, sorted(numbers)))}"
