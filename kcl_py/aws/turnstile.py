"""Spreads what takes long over the passes of the event loop.

Large answers to several shards often come in together. Were all of them decoded in one pass, whatever else the loop has
to do would wait for all of them; so it waits for one.
"""

import asyncio


class Turnstile:
    """Lets one through in each pass of the loop, in the order of coming."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def passed(self) -> None:
        """Wait for a pass in which nobody else comes through."""
        async with self._turn:
            await asyncio.sleep(0)  # whoever held it before works in this pass
