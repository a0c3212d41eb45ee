"""The asyncio shell. Knows the doors of `interfaces`, never AWS."""
