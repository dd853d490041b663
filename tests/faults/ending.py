"""The ending side of R12: a process that issues, announces tokens to those who verify, and revokes them at random moments in all ways.

Never knows who has heard.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from faults.hearing import keys_of
from faults.log import now
from faults.places import Place
from faults.service import SECRET, named
from stagedoor import Issuer, Peppers, Revocations
from stagedoor.errors import RefreshTokenReused
from stagedoor.token_pair import TokenPair

WORKERS = 18
"""As many work at one time; each announces, waits for a random moment and revokes."""
LIVE = 64
"""Tokens that are never revoked, for the load."""
AHEAD = (0.02, 0.25)
"""Seconds before the revocation at which it is announced: one that is not known then to be live was not tried."""
WAYS = {"logout": 45, "session": 25, "subject": 8, "reuse": 20, "key": 2}
SILENCE = 1.2
"""Seconds before everything is revoked: a record that was lost comes out."""
OF_SUBJECT = 3
"""Sessions of a subject that is logged out everywhere."""


class Ender(msgspec.Struct, frozen=True):
    """What the process is told. `wrap` names a callable "module:name" that is given the store and returns the one to use."""

    place: Place
    secrets: tuple[bytes, ...]
    """The first key signs; each other one is revoked once."""
    number: int
    seed: float
    wrap: str | None = None


def end_all(asked: Ender, hearers: list[Connection], said: Connection) -> None:
    """Revoke as many as were asked for; then wait for a word, and end."""
    logging.getLogger("stagedoor").setLevel(logging.ERROR)  # each reuse is a warning
    asyncio.run(_Side(asked, hearers, said).work())
    said.send(None)
    with suppress(EOFError):
        said.recv()


class _Side:
    def __init__(self, asked: Ender, hearers: list[Connection], said: Connection) -> None:
        self.hearers, self.said = hearers, said
        self.rng = random.Random(asked.seed)
        self.store: Any = asked.place.store()
        if asked.wrap is not None:
            self.store = named(asked.wrap)(self.store)
        self.revocations = Revocations()  # those who verify are watched: here nobody waits for news
        self.secrets = list(asked.secrets[1:])
        self.first = asked.secrets[0]
        self.issuer = self._issuer(self.first)
        self.left = asked.number
        self.numbers, self.names = count(), count()

    def _issuer(self, *secrets: bytes) -> Issuer:
        """An issuer that signs with the first of these."""
        return Issuer(
            "http://127.0.0.1",
            audience="faults",
            store=self.store,
            keys=keys_of(secrets),
            peppers=Peppers(SECRET),
            access="1h",
            retry_window="1s",
            revocations=self.revocations,
        )

    async def work(self) -> None:
        """Issue what lives on; then revoke; in the end everything."""
        for _ in range(LIVE):
            self._announce("live", 0, (await self._issue()).access_token)
        await asyncio.gather(*(self._worker() for _ in range(WORKERS)))
        await self._everything()
        await self.store.close()

    async def _worker(self) -> None:
        ways: dict[str, Callable[[], Awaitable[None]]] = {
            "logout": self._logout,
            "session": self._session,
            "subject": self._subject,
            "reuse": self._reuse,
            "key": self._key,
        }
        while self.left > 1:
            (way,) = self.rng.choices(list(WAYS), list(WAYS.values()))
            await ways[way]()

    async def _logout(self) -> None:
        pair = await self._issue()
        await self._ends("logout", [pair], lambda: self.issuer.revoke(pair.refresh_token))

    async def _session(self) -> None:
        pair = await self._issue()
        await self._ends("revoke_session", [pair], lambda: self.issuer.revoke_session(pair.session_id))

    async def _subject(self) -> None:
        name = f"everywhere-{next(self.names)}"
        pairs = [await self._issue(name) for _ in range(min(OF_SUBJECT, self.left - 1))]
        await self._ends("revoke_subject", pairs, lambda: self.issuer.revoke_subject(name))

    async def _reuse(self) -> None:
        pair = await self._issue()
        await self.issuer.refresh(pair.refresh_token)
        self.left -= 1
        await asyncio.sleep(1.1)  # the retry window
        self.left += 1
        await self._ends("reuse", [pair], lambda: self._refused(pair))

    async def _refused(self, pair: TokenPair) -> None:
        with suppress(RefreshTokenReused):
            await self.issuer.refresh(pair.refresh_token)
            raise AssertionError("a token of long ago was refreshed")

    async def _key(self) -> None:
        if not self.secrets:
            return await self._logout()
        issuer = self._issuer(self.secrets.pop(), self.first)
        kid = issuer.keys.signing(0.0).kid
        pair = await issuer.issue(f"user-{next(self.names)}")
        await self._ends("revoke_key", [pair], lambda: issuer.revoke_key(kid))
        return None

    async def _everything(self) -> None:
        await asyncio.sleep(SILENCE)
        pair = await self._issue()
        await self._ends("revoke_everything", [pair], self.issuer.revoke_everything)

    async def _issue(self, name: str | None = None) -> TokenPair:
        return await self.issuer.issue(name or f"user-{next(self.names)}")

    async def _ends(self, why: str, pairs: list[TokenPair], revoke: Callable[[], Awaitable[Any]]) -> None:
        """Announce, wait for the moment, revoke, and tell when it was acknowledged."""
        if self.left - (why != "revoke_everything") < len(pairs):
            return  # the last one is for everything
        self.left -= len(pairs)
        numbers = [next(self.numbers) for _ in pairs]
        for number, pair in zip(numbers, pairs, strict=True):
            self._announce("revoked soon", number, pair.access_token)
        await asyncio.sleep(self.rng.uniform(*AHEAD))
        sent = now()
        await revoke()
        acknowledged = now()
        for number in numbers:
            self.said.send((number, why, sent, acknowledged))

    def _announce(self, what: str, number: int, text: str) -> None:
        for hearer in self.hearers:
            hearer.send((what, number, text))
