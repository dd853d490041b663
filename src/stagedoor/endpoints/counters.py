"""MemoryCounters: counts that end by themselves, in this process, on the `limits` package.

Never knows what is counted.
"""

from __future__ import annotations

from limits.aio.storage import MemoryStorage


class MemoryCounters:
    """Counts in memory: right for one process, gone with it."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()

    async def add(self, keys: list[bytes], amount: int, *, lifetime: float, now: float) -> list[int]:
        """As Counters.add."""
        counts = []
        for key in keys:
            if amount < 0:
                counts.append(await self._storage.decr(key.hex(), -amount))
                if not counts[-1]:  # refused logins leave nothing behind, whatever names they try
                    await self._storage.clear(key.hex())
            else:
                counts.append(await self._storage.incr(key.hex(), lifetime, amount))
        return counts

    async def get(self, key: bytes, *, now: float) -> int:
        """As Counters.get."""
        return await self._storage.get(key.hex())
