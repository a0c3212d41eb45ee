"""What a seed has in store for a fleet: its size, its settings, what goes wrong and when, and how it ends."""

import random
import shlex
from collections.abc import Collection, Mapping
from typing import Literal

import msgspec

from kcl_py.local.limits import Limits
from tests.simulation.incidents import FAN_OUT, KINDS, MEMBERSHIP
from tests.simulation.laws.liveness import SETTLE_SECONDS

Scale = Literal["small", "hour", "fan-out", "fan-out hour"]
Ending = Literal["heal", "core", "night", "stream replaced", "table dropped", "table restored"]
ENDINGS: tuple[Ending, ...] = ("heal", "core", "night", "stream replaced", "table dropped", "table restored")
PUSHED_RECORDS_MAX = Limits().event_records_max
STEADY_SECONDS = (20.0, 55.0)  # between two incidents of an hour


class Incident(msgspec.Struct, frozen=True):
    """Something happens to a fleet.

    Attributes:
        number: of this incident in its life, from 0; the shrinker and `--only` speak of it.
        at_seconds: after the life began.
        kind: what happens, by its name in `incidents.KINDS`.
        seed: of everything about it that is left to chance, so that it stays what it is when others are left out.
    """

    number: int
    at_seconds: float
    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.number}: {self.at_seconds:.1f} s {self.kind}"


class Life(msgspec.Struct, frozen=True):
    """All of it follows from seed and scale, but for what was left out."""

    seed: int
    scale: Scale
    shards: int
    workers: int
    seconds: float
    settings: Mapping[str, object]
    incidents: tuple[Incident, ...]
    ending: Ending
    is_manual: bool  # the processors checkpoint by themselves
    is_far: bool  # the services are slow to answer
    puts: tuple[int, int]  # about once a second, from so many records to so many
    aggregate_max: int
    hosts: int  # that the workers run on; 0 where processes cannot be told apart

    @classmethod
    def of(cls, seed: int, scale: Scale = "small") -> "Life":
        dice = random.Random(f"{scale} {seed}")
        is_hour, is_fan_out = scale.endswith("hour"), scale.startswith("fan-out")
        is_calm = not is_hour and seed % 4 == 3  # every fourth small fleet has doors that work
        likely = dice.choice([0.2, 0.5, 0.8])
        kinds = [
            kind
            for kind in (MEMBERSHIP if is_calm else (*KINDS, *FAN_OUT) if is_fan_out else KINDS)
            if dice.random() < likely
        ]
        seconds = 3600.0 if is_hour else 100.0
        pauses = [5.0, 50.0] if is_calm else [2.0, 5.0, 10.0]
        return cls(
            seed=seed,
            scale=scale,
            shards=dice.randint(20, 24) if is_hour else dice.randint(1, 8),
            workers=6 if is_hour else dice.randint(2 if is_calm else 1, 6),
            seconds=seconds,
            settings=_settings(dice, is_hour=is_hour) | (_fan_out(dice, is_calm=is_calm) if is_fan_out else {}),
            incidents=_incidents(dice, kinds, seconds, None if is_hour else dice.choice(pauses)),
            ending="heal" if is_calm else dice.choices(ENDINGS, [10, 6, 2, 1, 1, 1])[0],
            is_manual=dice.random() < 0.25,
            is_far=not is_calm and dice.random() < 0.15,
            puts=dice.choice([(0, 8), (0, 2), (2, 6)]) if not is_hour else (0, 2),
            aggregate_max=dice.choice([1, 1, 4]),
            hosts=dice.choice([0, 1, 3]),
        )

    def but(self, *, only: Collection[int] | None = None, seconds: float | None = None) -> "Life":
        """The same with fewer incidents, or shorter.

        Args:
            only: the numbers of the incidents that stay; None for all of them.
            seconds: when the trouble ends; None for as long as ever.
        """
        until = self.seconds if seconds is None else round(seconds, 3)
        stay = tuple(one for one in self.incidents if one.at_seconds < until and (only is None or one.number in only))
        return msgspec.structs.replace(self, incidents=stay, seconds=until)

    @property
    def options(self) -> str:
        """What `python -m tests.simulation` must be told to live it again."""
        whole = Life.of(self.seed, self.scale)
        words = [f"--seed {self.seed}"] + [f"--scale {shlex.quote(self.scale)}"] * (self.scale != "small")
        if self.seconds != whole.seconds:
            words.append(f"--seconds {self.seconds:g}")
        if self.incidents != whole.but(seconds=self.seconds).incidents:
            words.append(f"--only {','.join(str(one.number) for one in self.incidents) or 'none'}")
        return " ".join(words)

    @property
    def failover_seconds(self) -> float:
        return self.seconds_of("failover")

    def seconds_of(self, setting: str) -> float:
        """A duration that all workers were told."""
        seconds = self.settings[f"{setting}_seconds"]
        assert isinstance(seconds, float)
        return seconds

    @property
    def is_calm(self) -> bool:
        """True if no door ever misbehaves."""
        return not self.is_far and all(one.kind in MEMBERSHIP for one in self.incidents) and self.ending == "heal"

    @property
    def quiet_seconds(self) -> float:
        """How long the fleet is watched when all is done: long enough to see it settle, where no door misbehaves."""
        return self.failover_seconds + SETTLE_SECONDS + 20 if self.is_calm else 5.0

    @property
    def repeats_max(self) -> int:
        """Law S8: so many records, plus one page."""
        cap, page = self.settings["uncheckpointed_records_max"], self.settings["read_limit"]
        if self.settings.get("fan_out"):
            page = PUSHED_RECORDS_MAX
        assert isinstance(cap, int)
        assert isinstance(page, int)
        return cap + page * self.aggregate_max


def _settings(dice: random.Random, *, is_hour: bool) -> dict[str, object]:
    return {
        "balance": dice.choice(["weight", "lease_count"]),
        "failover_seconds": dice.choice([10.0, 20.0, 30.0]) if is_hour else dice.choice([3.0, 6.0, 10.0, 20.0]),
        "checkpoint_interval_seconds": dice.choice([1.0, 5.0, 20.0]),
        "uncheckpointed_records_max": dice.choice([5, 50, 100_000]),
        "read_limit": dice.choice([3, 20, 10_000]),
        "buffer_bytes_max": dice.choice([20_000, 100_000, 64 * 2**20]),
        "shutdown_grace_seconds": dice.choice([3.0, 25.0]),
        "shard_listing_interval_seconds": dice.choice([10.0, 60.0]),
        "idle_read_interval_seconds": dice.choice([10.0, 15.0]) if is_hour else dice.choice([0.2, 1.0, 5.0]),
        "stall_timeout_seconds": dice.choice([40.0, 120.0]),
        "retry_backoff_max_seconds": 2.0,
        "retry_stopped_seconds": 5.0,
    }


def _fan_out(dice: random.Random, *, is_calm: bool) -> dict[str, object]:
    return {"fan_out": True, "fan_out_fallback": is_calm or dice.random() < 0.7}


def _incidents(dice: random.Random, kinds: list[str], seconds: float, pause: float | None) -> tuple[Incident, ...]:
    """At random moments, about `pause` seconds apart; None for at least one a minute."""
    incidents: list[Incident] = []
    at = 0.0
    while True:
        at += dice.uniform(*STEADY_SECONDS) if pause is None else dice.expovariate(1 / pause)
        if at >= seconds or not kinds:
            return tuple(incidents)
        incidents.append(Incident(len(incidents), round(at, 3), dice.choice(kinds), dice.getrandbits(32)))
