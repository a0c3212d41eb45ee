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

# in the order in which they are told
_NEWS: dict[type[facts.What], _Teller] = {
    facts.Crashed: lambda _what, who, _name: (f"{who} loses power", ()),
    facts.Paused: lambda _what, who, _name: (f"{who} stands still", ()),
    facts.Resumed: lambda _what, who, _name: (f"{who} goes on", ()),
    facts.Blocked: lambda _what, who, _name: (f"{who}'s loop is blocked", ()),
    facts.Unblocked: lambda _what, who, _name: (f"{who}'s loop runs again", ()),
    events.EventLoopBlocked: lambda _what, who, _name: (f"{who} finds its loop blocked", ()),
    events.ShardStalled: lambda what, who, _name: (
        f"{who} finds a call of {{}} hanging{', and begins it again' * what.is_restarted}",
        (what.shard_id,),
    ),
    events.SessionRevoked: lambda what, who, name: (f"{who} declares {name(what.session)} dead", ()),
    events.SessionLost: lambda what, _who, name: (f"{name(what.session)} learns that it was declared dead", ()),
    events.LeaseWasLost: lambda what, who, _name: (f"{who} loses {{}}", (what.shard_id,)),
    events.SessionStarted: lambda what, _who, name: (f"{name(what.session)} joins", ()),
    events.LeadershipTaken: lambda _what, who, _name: (f"{who} leads", ()),
    events.OddRowFound: lambda what, who, _name: (
        f"{who.rstrip('0123456789')} says that the item {what.key} does not parse",  # before it has a session, or after
        (),
    ),
    events.LeaseHandedOver: lambda what, who, _name: (
        f"{who} hands {{}} over{', forced' * what.is_forced}",
        (what.shard_id,),
    ),
    events.HandOffCalledOff: lambda what, who, _name: (f"{who} keeps {{}} after all", (what.shard_id,)),
    events.LeaseGivenUp: lambda what, who, _name: (f"{who} gives {{}} up", (what.shard_id,)),
    events.ShardFinished: lambda what, who, _name: (
        f"{who} finishes shard {number(what.shard_id)}, before {', '.join(map(number, what.children))}",
        (),
    ),
    events.LeaseRecreated: lambda what, who, _name: (f"{who} writes the row of {{}} anew", (what.shard_id,)),
    events.RecordsMissing: lambda what, who, _name: (f"{who} says that records of {{}} are missing", (what.shard_id,)),
    events.LeasePickedUp: lambda what, who, _name: (f"{who} takes up {{}}", (what.shard_id,)),
    events.ConsumerDeleted: lambda _what, who, _name: (f"{who} finds its fan-out consumer deleted", ()),
    events.FanOutInterrupted: lambda what, who, _name: (
        f"{who} cannot subscribe to {{}}, {'and polls' if what.is_polled else 'and waits'}",
        (what.shard_id,),
    ),
    events.FanOutResumed: lambda what, who, _name: (f"{who} subscribes to {{}} again", (what.shard_id,)),
    facts.Failed: lambda what, who, _name: (f"{who} fails: {what.error}", ()),
    facts.Left: lambda _what, who, _name: (f"{who} has left", ()),
}
LAST = len(_NEWS)
"""The rank of what is told after all else."""


def news_of(what: facts.What, who: str, name: Name) -> News | None:
    """What is to be told of an entry; None if it is not worth it."""
    teller = _NEWS.get(type(what))
    return None if teller is None else teller(what, who, name)


def number(shard_id: str) -> str:
    """By which a story calls a shard."""
    return str(int(shard_id.rpartition("-")[2]))


def rank(what: facts.What) -> int:
    """In which order news of about the same time are told, whatever came first by chance."""
    return list(_NEWS).index(type(what))


def counted(count: int) -> str:
    """`1 shard`, or `3 shards`."""
    return f"{count} shard{'s' * (count != 1)}"
