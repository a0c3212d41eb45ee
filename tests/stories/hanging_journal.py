"""Processors whose calls hang, of some shards and not of others."""

import asyncio

from tests.simulation.facts import Put
from tests.simulation.journals import Journal
from tests.stories.news import number

ALL = "all"
_FOR_EVER_SECONDS = 1e6


class HangingJournal(Journal):
    """Notes what it is given, and may never return.

    Attributes:
        hanging: workers and their shards, or all of them; a call that begins there never ends.
    """

    hanging: set[tuple[str, str]]

    async def _process(self, noted: tuple[Put, ...]) -> None:
        here = self.context
        if not self.hanging.isdisjoint({(here.worker_id, ALL), (here.worker_id, number(here.shard_id))}):
            await asyncio.sleep(_FOR_EVER_SECONDS)
        await super()._process(noted)
