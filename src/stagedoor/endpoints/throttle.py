"""Throttle: how many failed logins there may be, and who is kept waiting.

Never knows a password; keeps names and addresses only as digests.
"""

from __future__ import annotations

import hashlib
import math
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stagedoor.errors import TooManyAttempts

_KNOWN_FOR = 90 * 86_400.0


class Counters(Protocol):
    """Where counts are kept. Each call is one atomic step for each key."""

    async def add(self, keys: list[bytes], amount: int, *, lifetime: float, now: float) -> list[int]:
        """Add to each count and return them; one that is new, or ended, starts at 0 and ends `lifetime` seconds later. Never below 0."""

    async def get(self, key: bytes, *, now: float) -> int:
        """The count, 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login that was let through to the password; to be forgiven when the password was right."""

    keys: list[bytes]
    known: bytes


class Throttle:
    """Limits failed logins in each window: per account and address together, per address, per account.

    An attempt counts before its password is looked at, so that a thousand at once are no more than the limit. An address from which the
    account has logged in before has its own count: a stranger who uses up the account's cannot lock its owner out.
    """

    def __init__(
        self,
        counters: Counters,
        *,
        window: float = 600.0,
        together: int = 10,
        address: int = 50,
        account: int = 100,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._counters = counters
        self._window = window
        self._limits = (together, address, account)
        self._clock = clock

    async def attempt(self, account: str, address: str) -> Attempt:
        """Count an attempt. TooManyAttempts where a limit is used up: the password is then not looked at."""
        now = self._clock()
        account = _plain(account)
        window, elapsed = divmod(now, self._window)
        known = _key("known", account, address)
        whose = address if await self._counters.get(known, now=now) else ""
        keys = [
            _key("together", account, address, str(window)),
            _key("address", address, str(window)),
            _key("account", account, whose, str(window)),
        ]
        counts = await self._counters.add(keys, 1, lifetime=self._window, now=now)
        if any(count > limit for count, limit in zip(counts, self._limits, strict=True)):
            # Only logins whose password was looked at count: else ten wrong guesses a minute would lock the account for everybody.
            await self._counters.add(keys, -1, lifetime=self._window, now=now)
            raise TooManyAttempts(max(1, math.ceil(self._window - elapsed)))
        return Attempt(keys, known)

    async def withdraw(self, attempt: Attempt) -> None:
        """The password was not looked at after all: the attempt does not count."""
        await self._counters.add(attempt.keys, -1, lifetime=self._window, now=self._clock())

    async def forgive(self, attempt: Attempt) -> None:
        """The password was right: the attempt does not count, and the account knows this address from now on."""
        await self.withdraw(attempt)
        now = self._clock()
        if not await self._counters.get(attempt.known, now=now):
            await self._counters.add([attempt.known], 1, lifetime=_KNOWN_FOR, now=now)


def _plain(account: str) -> str:
    """All the ways to write one name: an application that takes them for one must not give each a count of its own."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", account).casefold())
    return "".join(mark for mark in folded if mark.isprintable() and not mark.isspace())


def _key(*parts: str) -> bytes:
    # People type passwords into the field for names: what is kept must not be readable.
    return hashlib.sha256("\0".join(("stagedoor", *parts)).encode("utf-8", "surrogatepass")).digest()
