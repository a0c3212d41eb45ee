"""A journal written by hand: what laws are tried on."""

import json
from pathlib import Path
from typing import Any

from integration.journal import Journal
from integration.produced import Put


class Scribe:
    """Writes a journal as a worker would, one second a fact."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder)
        self._file = folder / "1.jsonl"
        self._now = 0.0

    def begins(self, shard: str, token: int, checkpoint: str = "TRIM_HORIZON") -> None:
        self._write(kind="initialize", shard=shard, token=token, checkpoint=checkpoint)

    def delivers(self, *puts: Put, token: int, is_cut_off: bool = False) -> None:
        self._write(kind="batch", shard=puts[0].shard, token=token)
        for put in puts:
            self._write(
                kind="record", shard=put.shard, token=token, sequence_number=put.sequence_number,
                sub_sequence_number=put.sub_sequence_number, key=put.key, payload=put.payload,
            )  # fmt: skip
        if not is_cut_off:
            self._write(kind="done", shard=puts[0].shard, token=token)

    def is_asked_to_end(self, shard: str, token: int) -> None:
        self._write(kind="shutdown_requested", shard=shard, token=token)

    def ends(self, shard: str, token: int) -> None:
        self._write(kind="shard_ended", shard=shard, token=token)

    def comes_back(self, shard: str, token: int) -> None:
        """From a batch that was cut off."""
        self._write(kind="done", shard=shard, token=token)

    def _write(self, **fact: Any) -> None:
        self._now += 1.0
        with self._file.open("a") as file:
            file.write(json.dumps({"at": self._now, "pid": 1, "worker": "w"} | fact) + "\n")
