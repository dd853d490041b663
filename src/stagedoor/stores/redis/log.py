"""RedisLog: what was ended, in a stream of Redis, for all processes.

Never knows a command, nor what a record is made of.
"""

from __future__ import annotations

import time
from contextlib import suppress

from stagedoor.errors import StoreError
from stagedoor.revocation import Page, Record
from stagedoor.stores.redis.link import SyncLink
from stagedoor.stores.redis.records import Records
from stagedoor.stores.redis.script import R, Steps

_AT_ONCE = 1.0
"""Seconds of one wait: whoever closes the store waits for no longer one."""


class RedisLog:
    """What an Issuer and Revocations ask of a store. Every call blocks."""

    shared = True
    """Other processes write here too: an issuer must listen."""

    def __init__(self, link: SyncLink, records: Records) -> None:
        self._link = link
        self._records = records
        self._woken = 0

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        """As Feed.read."""
        is_waiting = wait > 0
        ends, woken = time.monotonic() + wait, self._woken
        most = min(_AT_ONCE, self._link.patience / 2)
        while after is not None and self._woken == woken and (left := ends - time.monotonic()) > 0:
            if self._run(self._records.news(after, min(left, most)), anew=False):
                break
        if is_waiting and self._records.is_behind:
            with suppress(StoreError):  # it may be read where nothing can be written
                self._run(self._records.catch_up(), anew=False)
        return self._run(self._records.read(after), anew=not is_waiting)

    def wake(self) -> None:
        """As Feed.wake, at the end of the question that is under way."""
        self._woken += 1

    def expect(self, life: float) -> None:
        """As Log.expect."""
        self._run(self._records.expect(life))

    def revoke_key(self, kid: str, now: float) -> Record:
        """As Log.revoke_key."""
        return self._run(self._records.revoke_key(kid, now))

    def revoke_issuer(self, issuer: str, keep: float, now: float) -> Record:
        """As Log.revoke_issuer."""
        return self._run(self._records.revoke_issuer(issuer, keep, now))

    def _run(self, steps: Steps[R], *, anew: bool = True) -> R:
        return self._link.run(steps, [self._records.source], anew=anew)
