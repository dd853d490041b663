"""Rounds of R7: sessions with a history, and who refreshes and who ends them at once.

Never knows the outcome.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from faults.contest import Act
from stagedoor.encoding import encode
from stagedoor.refresh_token import Peppers, RefreshToken, attempt_hash
from stagedoor.session import Session

_SPREAD = 0.03
"""Seconds within which everybody of a round starts."""
_HOUR, _MONTH = 3_600.0, 30 * 86_400.0
_ATTEMPT = "attempt-of-the-client"


@dataclass
class Grown:
    """A session as earlier refreshes left it: opened through the store with a history of its own."""

    session: str
    subject: str
    old: str
    """Two generations behind."""
    previous: str
    """Its refresh carried the attempt id and was answered an hour ago."""
    current: str
    ahead: str
    """The successor, as if it had been handed out and the store had lost that."""


@dataclass
class Round:
    """Who does what, and which tokens there were."""

    kind: str
    acts: list[Act]
    tokens: set[str] = field(default_factory=set)
    stolen: str | None = None
    """A session of which somebody else has an old token."""


class Author:
    """Makes rounds."""

    def __init__(self, store: Any, pepper: bytes, rnd: random.Random) -> None:
        self._store = store
        self._peppers = Peppers(pepper)
        self._rnd = rnd
        self._kinds: list[Callable[[], Any]] = [
            self.logout,
            self.device,
            self.everywhere,
            self.late_retry,
            self.recovered,
            self.reuse,
            self.limit,
            self.login,
            self.chain,
            self.all_at_once,
        ]
        self._next = 0

    async def round(self) -> Round:
        """The next kind's turn."""
        kind = self._kinds[self._next % len(self._kinds)]
        self._next += 1
        made: Round = await kind()
        made.tokens |= {act.argument for act in made.acts if act.argument.startswith("sdr_")}
        return made

    async def logout(self) -> Round:
        """Refreshes against logout, with an old token or the current one."""
        one = await self._grown()
        return Round("logout", [*self._refreshes(one.current), self._act("logout", self._any(one), ends=(one.session,))])

    async def device(self) -> Round:
        """Refreshes against the list of devices."""
        one = await self._grown()
        return Round("device", [*self._refreshes(one.current), self._act("device", one.session, ends=(one.session,))])

    async def everywhere(self) -> Round:
        """Refreshes of two sessions against logout everywhere."""
        one = await self._grown()
        other = await self._grown(one.subject)
        end = self._act("everywhere", one.subject, ends=(one.session, other.session))
        return Round("everywhere", [*self._refreshes(one.current, 3), *self._refreshes(other.current, 3), end])

    async def late_retry(self) -> Round:
        """Row 7: the retry with its attempt id, long after the window, writes; logout must not be undone by it."""
        one = await self._grown()
        retries = self._refreshes(one.previous, attempt=_ATTEMPT)
        return Round("late retry", [*retries, self._act("logout", self._any(one), ends=(one.session,))])

    async def recovered(self) -> Round:
        """Row 9: a token that the store does not know any more writes; logout must not be undone by it."""
        one = await self._grown()
        end = self._rnd.choice((("logout", self._any(one)), ("device", one.session)))
        return Round("recovered", [*self._refreshes(one.ahead), *self._refreshes(one.current, 1), self._act(*end, ends=(one.session,))])

    async def reuse(self) -> Round:
        """Row 8: an old token ends the session, at the same time as its owner refreshes and logs out."""
        one = await self._grown()
        thieves = [self._act("reuse", one.old, ends=(one.session,)) for _ in range(2)]
        acts = [*thieves, *self._refreshes(one.current), self._act("logout", one.current, ends=(one.session,))]
        return Round("reuse", acts[: len(acts) - self._rnd.randint(0, 1)], stolen=one.session)

    async def limit(self) -> Round:
        """One session too many ends the oldest while it refreshes."""
        one = await self._grown()
        other = await self._grown(one.subject, age=0.5 * _HOUR)
        end = self._act("login", one.subject, ends=(one.session,))
        return Round("session limit", [*self._refreshes(one.current), *self._refreshes(other.current, 1), end])

    async def login(self) -> Round:
        """Logins against logout everywhere: what was opened before is over, what comes later may live."""
        one = await self._grown()
        logins = [self._act("login", one.subject) for _ in range(2)]
        end = self._act("everywhere", one.subject, ends=(one.session,))
        return Round("login", [*logins, *self._refreshes(one.current, 2), end])

    async def chain(self) -> Round:
        """A lone client that rotates with each refresh, against logout with its first token."""
        one = await self._grown()
        chain = self._act("chain", one.current, times=10, delay=0.0)
        return Round("chain", [chain, self._act("logout", one.current, ends=(one.session,))])

    async def all_at_once(self) -> Round:
        """Every way to end a session, at once."""
        one = await self._grown()
        ends = [("logout", one.previous), ("device", one.session), ("everywhere", one.subject), ("logout", one.current)]
        acts = [self._act(*end, ends=(one.session,)) for end in ends]
        return Round("all at once", [*self._refreshes(one.current), *acts])

    def _refreshes(self, text: str, number: int = 4, attempt: str | None = None) -> list[Act]:
        return [self._act("refresh", text, attempt=attempt, times=self._rnd.randint(2, 6)) for _ in range(number)]

    def _act(self, what: str, argument: str, *, delay: float | None = None, **more: Any) -> Act:
        return Act(self._rnd.uniform(0, _SPREAD) if delay is None else delay, what, argument, **more)

    def _any(self, one: Grown) -> str:
        return self._rnd.choice((one.old, one.previous, one.current))

    async def _grown(self, subject: str | None = None, *, age: float = 2 * _HOUR) -> Grown:
        session_id, seed = secrets.token_bytes(16), secrets.token_bytes(32)
        subject = subject or f"user-{session_id.hex()}"
        moment = time.time()
        line = [RefreshToken(1, session_id, 3, secrets.token_bytes(32), b"")]
        for _ in range(3):
            line.append(RefreshToken(1, session_id, line[-1].generation + 1, self._peppers.successor(line[-1], moment), b""))
        old, previous, current, ahead = line
        row = Session(
            id=session_id,
            subject=subject,
            client_id="https://api.example",
            scope="",
            generation=current.generation,
            digest=current.digest,
            pepper_id=1,
            seed=seed,
            created_at=moment - age,
            rotated_at=moment - _HOUR / 4,
            attempt=attempt_hash(_ATTEMPT, previous),
            idle_ends_at=moment + _MONTH,
            absolute_ends_at=moment + 2 * _MONTH,
        )
        await self._store.open(row, limit=100, now=moment)
        texts = [
            self._peppers.write(pepper_id=1, session_id=session_id, generation=each.generation, secret=each.secret, seed=seed, now=moment)
            for each in (old, previous, current, ahead)
        ]
        return Grown(encode(session_id), subject, *texts)
