"""Follower: a thread that reads something again and again, so that it is known to be at most so old; and reads it at once for who asks.

Never knows what is read.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from stagedoor import watch
from stagedoor.errors import RevocationsStale
from stagedoor.flight import Flight
from stagedoor.lifetime import seconds
from stagedoor.watch import Watch

_HEARTBEATS = 5
"""Reads in each bound, at the least: one that is slow, or lost, is not noticed."""
_PAUSE = 0.01
"""Seconds between two reads at the least: what comes in great numbers is read in batches."""
_log = logging.getLogger("stagedoor.revocations")
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


uptime: Callable[[], float] = time.monotonic if _CLOCK is None else partial(time.clock_gettime, _CLOCK)
"""Seconds on a clock that never jumps, and goes on while the machine sleeps where there is such a clock. No function of ours around it:
each check asks, and that alone would be a third of what it costs."""


class FeedClosed(Exception):
    """Who is followed was closed, which is nobody's fault. Asked again without a wait it opens anew."""


class Follower:
    """Calls `read`, which may wait for as long as it is told, and returns the moment (uptime) at which what it has read was so.

    `bound`: how old that may become, a span or seconds. `stale`: whether `hear` may ask once it has ("ask", "refuse"). ValueError.
    `wake` ends the waiting of a `read` under way, if it can.
    """

    def __init__(self, read: Callable[[float], float], *, bound: str | float, stale: str, wake: Callable[[], object]) -> None:
        if stale not in ("ask", "refuse"):
            raise ValueError('stale is "ask" or "refuse"')
        if not isinstance(bound, str | int | float):
            raise TypeError(f"bound is a text such as '1s' or a number of seconds, not {type(bound).__name__}")
        self.bound = float(seconds(bound) if isinstance(bound, str) else bound)
        if not 0.05 <= self.bound <= 3600:
            raise ValueError("bound lies between 50 milliseconds and an hour")
        self.fresh_until = -math.inf
        """Until this moment (uptime) what was read is within its bound."""
        self._read = read
        self._wake = wake
        self._asks = stale == "ask"
        self._heartbeat = self.bound / _HEARTBEATS
        self._patience = max(1.0, self.bound)
        self._failed_at = -math.inf
        self._failure = ""
        self._in_trouble = False
        self._was_closed = self._opens = False
        self._watch = Watch(self, interval=0.0)
        self._flight = Flight(partial(self._turn, 0.0), "stagedoor-revocations")

    @property
    def age(self) -> float | None:
        """Seconds since the moment of which it is known how things were; None where nothing was read yet."""
        return None if self.fresh_until == -math.inf else uptime() - self.fresh_until + self.bound

    def begin(self, *, anew: bool = False) -> None:
        """Start the thread, unless it is there; `anew`: after a `close` who is followed is opened, who may be closed as well."""
        self._opens = self._opens or (anew and self._was_closed)
        with suppress(RuntimeError):  # no more threads just now: whoever checks next tries again
            self._watch.start()

    def close(self) -> None:
        """End the thread, which is not waited for while it only waits; it may begin again."""
        self._was_closed = True
        self._watch.stop(wake=self._wake)

    def hear(self, *, strict: bool = False) -> None:
        """Have it read once more from now on, and wait for that: the bound, at least a second. RevocationsStale where no answer comes.

        Unless it is `strict`, only where that may be, and where it has not failed just now.
        """
        try:
            self._ask(strict).result(self._patience)
        except Exception as error:
            raise self._unheard(error) from error

    async def hear_async(self, *, strict: bool = False) -> None:
        """As hear, with await."""
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.wrap_future(self._ask(strict))
        except Exception as error:
            raise self._unheard(error) from error

    def tend(self) -> None:
        """One turn of the thread. It never raises."""
        began, pause = uptime(), _PAUSE
        try:
            opens, self._opens = self._opens, False
            self._turn(0.0 if opens else self._heartbeat)
        except FeedClosed:
            self._was_closed = True
            self._watch.stop()  # whoever checks next begins anew
        except Exception as error:  # noqa: BLE001 - a driver may raise anything, and the thread must go on
            if not self._in_trouble and uptime() >= self.fresh_until:
                self._in_trouble = True
                _log.warning("revocations are not heard, and guards refuse until they are: %s", _told(error))
            pause = self._heartbeat
        watch.pause(pause - (uptime() - began))

    def _turn(self, wait: float) -> None:
        try:
            holds_at = self._read(wait)
        except FeedClosed:
            raise  # nothing has failed: who asks may open it
        except Exception as error:
            self._failed_at, self._failure = uptime(), _told(error)
            raise
        self.fresh_until, self._failure = max(self.fresh_until, holds_at + self.bound), ""
        if self._in_trouble:
            self._in_trouble = False
            _log.warning("revocations are heard again")

    def _ask(self, strict: bool) -> Future[None]:
        self.begin()
        if not strict and (not self._asks or uptime() - self._failed_at < self._heartbeat):
            raise self.stale()
        return self._flight.ask()

    def stale(self) -> RevocationsStale:
        """What is raised where what was read is past its bound: it says why nothing came, as far as that is known."""
        known = "no revocations were heard yet" if self.age is None else "what is known of revocations is older than its bound"
        more = "verify_async waits for what is new, and so does hear()" if self._asks else 'stale="refuse" asks nobody'
        return RevocationsStale(f"{known}: {self._failure or more}")

    def _unheard(self, error: Exception) -> RevocationsStale:
        if isinstance(error, RevocationsStale):
            return error
        # where a read hangs too: whoever comes next is told at once, and not after as long a wait
        self._failed_at, self._failure = uptime(), _told(error)
        return RevocationsStale(f"revocations could not be heard: {self._failure}")


def _told(error: Exception) -> str:
    return "no answer came in time" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
