"""The verifying side of R12: a process that verifies all the time, and is told which tokens will be revoked: when did it refuse them?

A token that is announced is verified whole, then held against what is known of revocations every two milliseconds, and once that refuses it
verified whole again. Never knows when it is revoked.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from faults.log import now
from faults.places import Place
from faults.service import named
from stagedoor import AccessToken, KeySet, Revocations, Verifier
from stagedoor.errors import RevocationsStale, TokenRevoked
from stagedoor.keys import Key

TICK = 0.002
"""Seconds between two looks at what was announced."""
ASLEEP = 0.03
"""Seconds between two looks beyond which the process was not given the processor."""
LOAD = 2
"""Other tokens that are verified at each look."""
_PATIENCE = 15.0
Seen = tuple[int, float | None, float | None, float]
"""Number, first refusal, last acceptance, and how long it had not looked before it refused."""
_TOGETHER = 0.25
"""Seconds of what was seen that are told together."""


class Hearer(msgspec.Struct, frozen=True):
    """What a process is told. `source` names a callable "module:name": (place) -> what Revocations follow."""

    place: Place
    secrets: tuple[bytes, ...]
    bound: float
    source: str = "faults.hearing:listened"


def listened(place: Place) -> Any:
    """What a verifier follows at this place."""
    return place.listened()


def keys_of(secrets: tuple[bytes, ...]) -> KeySet:
    """The same keys in each process: the first one signs."""
    return KeySet(*map(Key.from_secret, secrets))


def hear_until_closed(asked: Hearer, orders: Connection, said: Connection) -> None:
    """Work until there are no more orders; what was seen is told in between, the counts at the end."""
    side = _Side(asked)
    told_at = now()
    with suppress(EOFError):
        while True:
            if orders.poll(TICK):
                side.take(orders.recv())
            side.look()
            if now() > told_at + _TOGETHER:
                said.send(side.seen)
                side.seen, told_at = [], now()
    side.close()
    said.send(side.seen + [(number, None, side.accepted.get(number), 0.0) for number in side.watched])
    said.send(dict(side.counts) | {"longest": side.longest})


class _Side:
    def __init__(self, asked: Hearer) -> None:
        self.source = named(asked.source)(asked.place)
        self.revocations = Revocations.following(self.source, bound=asked.bound)
        self.verifier = Verifier("http://127.0.0.1", audience="faults", keys=keys_of(asked.secrets), revocations=self.revocations)
        self._begin()
        self.rng = random.Random(asked.secrets[-1])
        self.watched: dict[int, tuple[str, AccessToken[Any]]] = {}
        self.accepted: dict[int, float] = {}
        self.live: list[str] = []
        self.seen: list[Seen] = []
        self.counts: Counter[str] = Counter()
        self.longest = 0.0
        """Seconds between two looks: what is measured is never finer."""
        self._looked_at = self._looked_before = now()

    def _begin(self) -> None:
        """Follow; until something was heard each answer would be a 503, which says nothing of a feed at work."""
        until = now() + _PATIENCE
        while not self.revocations.is_fresh and now() < until:
            with suppress(RevocationsStale):
                self.revocations.hear()
            time.sleep(TICK)

    def take(self, order: tuple[str, int, str]) -> None:
        """A token that lives, or one that is about to be revoked."""
        what, number, text = order
        if what == "live":
            self.live.append(text)
        else:
            self.watched[number] = text, None

    def look(self) -> None:
        """At all that was announced; and verify others meanwhile."""
        began = now()
        self.longest = max(self.longest, began - self._looked_at)
        self._looked_before, self._looked_at = self._looked_at, began
        for number, (text, token) in list(self.watched.items()):
            self._look_at(number, text, token)
        for text in self.rng.choices(self.live, k=LOAD) if self.live else ():
            self._verified(text)

    def _look_at(self, number: int, text: str, token: AccessToken[Any] | None) -> None:
        began, heard = now(), None
        try:
            if token is not None:
                self.revocations.check(token, time.time())
                self.accepted[number] = began
                return
        except TokenRevoked:
            heard = now()
        except RevocationsStale:
            pass  # asked below
        answer = self._verified(text)
        if answer is None:
            heard = heard or now()
            stalled = max(0.0, heard - self._looked_before - ASLEEP)
            self.seen.append((number, heard, self.accepted.pop(number, None), stalled))
            del self.watched[number]
        elif answer is not ...:
            self.watched[number] = text, answer
            self.accepted[number] = began

    def _verified(self, text: str) -> Any:
        """As a guard does it: the token, None where it is refused as revoked, ... where the answer is 503."""
        self.counts["verifications"] += 1
        try:
            return self.verifier.verify(text)
        except TokenRevoked:
            return None
        except RevocationsStale:
            self.counts["asked, being stale"] += 1
        try:
            self.revocations.hear()
            return self.verifier.verify(text)
        except TokenRevoked:
            return None
        except RevocationsStale:
            self.counts["503"] += 1
            return ...

    def close(self) -> None:
        """Listen no more."""
        self.revocations.close()
        close: Any = getattr(self.source, "close", None)
        if close is not None:
            close()
