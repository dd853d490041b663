"""Session: the one row of a login, the table of rotation rules, and what every store must do.

Never knows a secret, a pepper, a framework or a database: only digests, and the moment that it is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, Protocol

RECOVERABLE = 3
"""Generations that a store may have lost (failover, power cut) and a genuine token brings back."""
KEPT_DEAD = 86_400.0
"""Seconds that an ended or expired row stays, so that a late retry is told what happened, before a store deletes it."""
CLEANED_AT_ONCE = 16
"""Dead rows that a store deletes with each new session: more than come in, few enough to cost nothing."""


@dataclass(frozen=True, slots=True)
class Session:
    """What one login opened, as stored: one row, nothing in it readable as a token. Times in Unix seconds."""

    id: bytes
    """16 random bytes; clients see it as claim `sid`."""
    subject: str
    client_id: str
    scope: str
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What the application adds to each access token of this session."""
    device: str | None = None
    """What the person knows the session by: a user agent, a device's name."""
    generation: int = 0
    digest: bytes = field(default=b"", repr=False)
    """SHA-256 of the secret of the current generation."""
    pepper_id: int = 0
    """Pepper that the current generation's token is made under."""
    seed: bytes = field(default=b"", repr=False)
    """32 random bytes for the proof; for the issuer only."""
    created_at: float = 0.0
    rotated_at: float | None = None
    attempt: bytes | None = field(default=None, repr=False)
    """Hash of the attempt id that brought the current generation."""
    idle_ends_at: float = 0.0
    absolute_ends_at: float = 0.0
    revoked_at: float | None = None
    reason: str | None = None
    """Why it was revoked."""

    @property
    def last_used_at(self) -> float:
        """When it was last rotated, or opened: exact to one retry window."""
        return self.created_at if self.rotated_at is None else self.rotated_at

    def is_live(self, now: float) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and now < self.idle_ends_at and now < self.absolute_ends_at


@dataclass(frozen=True, slots=True)
class Presented:
    """A refresh token as a store sees it, and what to write if it is the current one."""

    session_id: bytes
    generation: int
    digest: bytes
    pepper_id: int
    """Pepper that the presented token was made under."""
    successor: bytes
    """Digest of the successor's secret."""
    successor_pepper_id: int
    attempt: bytes | None
    window: float
    """Retry window, seconds."""
    idle: float
    """Idle lifetime, seconds."""


class Outcome(Enum):
    """Every way in which presenting a refresh token can end."""

    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    ROTATED = "rotated"
    KEPT = "kept"
    REPLAYED = "replayed"
    REUSED = "reused"
    RECOVERED = "recovered"
    FORGED = "forged"
    """A right digest with a wrong proof: somebody has the pepper but never saw the row. Revoked, with an alarm."""
    BEHIND = "behind"
    """An older generation, its proof not looked at yet: the issuer decides between REUSED and UNKNOWN."""
    AHEAD = "ahead"
    """A generation that the store lost, its proof not looked at yet: RECOVERED or UNKNOWN."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a store says of a presented token: the outcome, and the row after it (None: there is none)."""

    outcome: Outcome
    session: Session | None
    now: float
    """The moment it was decided at, on the store's own clock where it has one: what is left of the session counts from here."""


def decide(presented: Presented, session: Session | None, now: float, *, proof_holds: bool | None) -> Outcome:
    """The table of the refresh road, row by row. `proof_holds` None: not checked yet, as stores see it."""
    if session is None:
        return Outcome.UNKNOWN
    if session.revoked_at is not None:
        return Outcome.REVOKED
    if not session.is_live(now):
        return Outcome.EXPIRED
    # Young: it has rotated before, and less than one window ago. A clock that jumped back makes it young: nobody is hurt by Kept.
    young = session.rotated_at is not None and now - session.rotated_at < presented.window
    if session.generation == presented.generation and session.digest == presented.digest:
        outcome = Outcome.KEPT if young else Outcome.ROTATED
        return Outcome.FORGED if proof_holds is False else outcome
    if session.generation == presented.generation + 1 and session.digest == presented.successor:
        same_attempt = presented.attempt is not None and presented.attempt == session.attempt
        if young or same_attempt:
            return Outcome.FORGED if proof_holds is False else Outcome.REPLAYED
    if session.generation > presented.generation:
        return {None: Outcome.BEHIND, True: Outcome.REUSED, False: Outcome.UNKNOWN}[proof_holds]
    if session.generation < presented.generation <= session.generation + RECOVERABLE:
        return {None: Outcome.AHEAD, True: Outcome.RECOVERED, False: Outcome.UNKNOWN}[proof_holds]
    return Outcome.UNKNOWN


def written(outcome: Outcome, presented: Presented, session: Session, now: float) -> Session:
    """The row after this outcome: the last column of the table."""
    young = session.rotated_at is not None and now - session.rotated_at < presented.window
    match outcome:
        case Outcome.ROTATED:
            return replace(
                session,
                generation=presented.generation + 1,
                digest=presented.successor,
                pepper_id=presented.successor_pepper_id,
                rotated_at=now,
                attempt=presented.attempt,
                idle_ends_at=min(now + presented.idle, session.absolute_ends_at),
            )
        case Outcome.REPLAYED if not young:
            return replace(session, rotated_at=now)
        case Outcome.REUSED:
            return replace(session, revoked_at=now, reason="reuse")
        case Outcome.RECOVERED:
            return replace(
                session,
                generation=presented.generation,
                digest=presented.digest,
                pepper_id=presented.pepper_id,
                rotated_at=now,
            )
    return session


class Store(Protocol):
    """What an issuer asks of a store. Every method raises StoreError when the store could not be asked; `get`, `rotate`, `settle` and
    `revoke` raise SessionUnreadable where something stands under that id that no store wrote, and `sessions` passes over it.

    `now` is the moment (Unix seconds) on the caller's clock. A store that several machines share takes its own clock's instead, for all
    that it decides and writes; `open` then moves the times of the new session along.
    """

    async def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """Write a new session. Where the subject has more than `limit` live ones, end the oldest; their ids are returned.

        It also deletes some rows that have been dead for longer than KEPT_DEAD, unless the store has another way to let them go.
        """

    async def get(self, session_id: bytes) -> Session | None:
        """The row, live or dead."""

    async def rotate(self, presented: Presented, now: float) -> Answer:
        """One atomic step: `decide` with the proof not looked at, and what is `written` for it. BEHIND and AHEAD write nothing."""

    async def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """Write REUSED or RECOVERED, if the row still stands as the table asks for it; whether it did."""

    async def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """End a session, if it is not ended yet and, where a subject is given, belongs to it; whether this call ended a live one.

        An expired one is marked as well: were the clock set back it would live again.
        """

    async def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """End all sessions of a subject that are not ended yet, in one step; the ids of those that were live."""

    async def sessions(self, subject: str, now: float) -> list[Session]:
        """The live sessions of a subject, the latest first."""


class SyncStore(Protocol):
    """The same words, without await."""

    def open(self, session: Session, *, limit: int, now: float) -> list[bytes]:
        """As Store.open."""

    def get(self, session_id: bytes) -> Session | None:
        """As Store.get."""

    def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""

    def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        """As Store.settle."""

    def revoke(self, session_id: bytes, reason: str, now: float, *, subject: str | None = None) -> bool:
        """As Store.revoke."""

    def revoke_subject(self, subject: str, reason: str, now: float) -> list[bytes]:
        """As Store.revoke_subject."""

    def sessions(self, subject: str, now: float) -> list[Session]:
        """As Store.sessions."""
