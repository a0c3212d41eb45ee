"""Spreads what takes long over the passes of the event loop.

Large answers to several shards often come in together. Were all of them decoded in one pass, whatever else the loop has
to do would wait for all of them; so it waits for one.
"""

import asyncio

_LARGE_BYTES = 64 * 1024  # what is smaller is decoded in less than a tenth of a millisecond


class Turnstile:
    """Lets one large answer through in each pass of the loop, in the order of coming, and small ones at once."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def passed(self, size_bytes: int) -> None:
        """Wait for a pass in which no other of this size comes through."""
        if size_bytes <= _LARGE_BYTES:
            return
        async with self._turn:
            await asyncio.sleep(0)  # whoever held it before works in this pass
