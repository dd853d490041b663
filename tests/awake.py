"""Awake: a stopwatch for what is promised in seconds, which stands still with the machine.

Never knows what is promised.
"""

from __future__ import annotations

import threading
import time
from typing import Self

_TICK = 0.01
_MOST = 0.03
"""Seconds that one tick counts: where it came later, nobody else on this machine got on as usual either."""


class Awake:
    """Counts the seconds for which this machine works on, from its beginning on; not those for which it does nothing."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _count(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(_TICK):
            now = time.monotonic()
            self.seconds += min(now - last, _MOST)
            last = now
