"""Scene: the store under test with an issuer on it, and time, peppers and events in the test's hand.

Never knows which store it is: all goes through the words of Store and Issuer.
"""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from stagedoor.errors import AuthError
from stagedoor.event import Event
from stagedoor.issuer import Issuer, SyncIssuer
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers, RefreshToken, attempt_hash
from stagedoor.revocation import Revocations
from stagedoor.session import Outcome, Presented, Session, Store, SyncStore
from stagedoor.testing.clock import FixedClock
from stagedoor.testing.contract.witness import Witness
from stagedoor.token_pair import TokenPair

ISSUER = "https://auth.example"
WINDOW = 60
"""Retry window of the scene's issuer, seconds."""
IDLE = 30 * 86_400
"""Idle lifetime, seconds."""
ABSOLUTE = 90 * 86_400
"""Absolute lifetime, seconds."""
TICK = 0.25
"""The smallest step of time: every store and every float keeps it exactly."""
ATTEMPT = "attempt-0123456789"
OTHER_ATTEMPT = "attempt-9876543210"


class Scene:
    """A store, two issuers on it and what belongs to them. `issuer` talks to the store through a Witness, `bare` does not.

    None of them follows the store's log: what a thread reads on its own account is no part of a scene.
    """

    def __init__(self, store: Store, clock: FixedClock) -> None:
        self.store = store
        self.clock = clock
        self.witness = Witness(store)
        self.keys = KeySet.from_secret(b"of access tokens nothing is tested here", clock=clock)
        self.peppers = Peppers.generate(clock=clock)
        self.events: list[Event] = []
        self._settings: dict[str, Any] = {
            "audience": "https://api.example",
            "keys": self.keys,
            "peppers": self.peppers,
            "refresh_idle": IDLE,
            "refresh_absolute": ABSOLUTE,
            "retry_window": WINDOW,
            "events": self.events.append,
            "clock": clock,
        }
        self.issuer = self.issuer_on(self.witness)
        self.bare = self.issuer_on(store)

    def issuer_on(self, store: Store, *, session_limit: int = 100) -> Issuer:
        """An issuer with the scene's keys, peppers and clock, on this store."""
        return Issuer(ISSUER, store=store, session_limit=session_limit, revocations=Revocations(), **self._settings)

    def sync_issuer_on(self, store: SyncStore) -> SyncIssuer:
        """The same, without await."""
        return SyncIssuer(ISSUER, store=store, revocations=Revocations(), **self._settings)

    def answered(self, outcome: Outcome) -> None:
        """This is what the store said of the last token presented."""
        assert self.witness.outcomes[-1] is outcome

    def told(self, name: str) -> int:
        """How many events of this name there were."""
        return sum(event.name == name for event in self.events)

    async def login(self, subject: str = "ada") -> str:
        """The first refresh token of a new session."""
        return (await self.issuer.issue(subject, scope="orders:read")).refresh_token

    async def refresh(self, text: str, attempt: str | None = None) -> str:
        """The refresh token that this one is answered with. What else the answer holds is held against the row."""
        pair = await self.issuer.refresh(text, attempt=attempt)
        await self._check(pair, text)
        return pair.refresh_token

    async def rotated(self, text: str, attempt: str | None = None) -> str:
        """The successor, in a session that is made old enough to rotate first."""
        self.clock.forward(WINDOW)
        successor = await self.refresh(text, attempt)
        self.answered(Outcome.ROTATED)
        return successor

    async def answer(self, text: str, attempt: str | None = None) -> str:
        """The refresh token that the bare issuer answers this one with, or the code of its refusal."""
        try:
            return (await self.bare.refresh(text, attempt=attempt)).refresh_token
        except AuthError as error:
            return error.code

    async def refused(self, code: str, text: str, attempt: str | None = None, *, alarm: bool = False) -> None:
        """Refreshing is refused with this code; the event calls for somebody, or does not."""
        with pytest.raises(AuthError) as caught:
            await self.issuer.refresh(text, attempt=attempt)
        assert caught.value.code == code
        assert caught.value.error == "invalid_grant"
        assert self.events[-1].alarm is alarm

    async def row(self, text: str) -> Session:
        """The row of this token's session."""
        session = await self.store.get(self.parse(text).session_id)
        assert session is not None
        return session

    async def reason(self, text: str) -> str | None:
        """Why the session of this token was revoked; None: it was not."""
        session = await self.row(text)
        assert (session.revoked_at is None) is (session.reason is None)
        return session.reason

    def parse(self, text: str) -> RefreshToken:
        """The parts of a refresh token."""
        return self.peppers.parse(text, self.clock.now)

    def presented(self, text: str, attempt: str | None = None) -> Presented:
        """What the issuer shows a store of this token."""
        token = self.parse(text)
        return Presented(
            session_id=token.session_id,
            generation=token.generation,
            digest=token.digest,
            pepper_id=token.pepper_id,
            successor=self._following(token).digest,
            successor_pepper_id=self.peppers.current_id(self.clock.now),
            attempt=None if attempt is None else attempt_hash(attempt, token),
            window=WINDOW,
            idle=IDLE,
        )

    def change_pepper(self) -> None:
        """From now on new tokens are made under a fresh pepper; old ones are still read."""
        self.peppers.rotate(keep=2 * ABSOLUTE, announce=1)
        self.clock.forward(1)

    async def ahead(self, text: str, steps: int) -> str:
        """The token that comes so many generations after this one: genuine, and handed out by a store that lost its last writes."""
        token = self.parse(text)
        for _ in range(steps):
            token = self._following(token)
        return self.write(token, (await self.row(text)).seed)

    def forged(self, text: str) -> str:
        """This token as somebody makes it who has its secret and the pepper, but never saw the row: its proof is under another seed."""
        return self.write(self.parse(text), secrets.token_bytes(32))

    def write(self, token: RefreshToken, seed: bytes) -> str:
        """The wire form of these parts, with the proof under this seed."""
        return self.peppers.write(
            pepper_id=token.pepper_id,
            session_id=token.session_id,
            generation=token.generation,
            secret=token.secret,
            seed=seed,
            now=self.clock.now,
        )

    def _following(self, token: RefreshToken) -> RefreshToken:
        secret = self.peppers.successor(token, self.clock.now)
        pepper_id = self.peppers.current_id(self.clock.now)
        return RefreshToken(pepper_id, token.session_id, token.generation + 1, secret, b"")

    async def _check(self, pair: TokenPair, text: str) -> None:
        row = await self.row(text)
        token = self.parse(pair.refresh_token)
        assert (token.session_id, token.generation, token.digest) == (row.id, row.generation, row.digest)
        assert self.peppers.proves(token, row.seed, self.clock.now)
        assert pair.refresh_expires_in == int(row.idle_ends_at - self.clock.now)
        assert self.issuer.verifier().verify(pair.access_token).session_id == pair.session_id
