"""The verifying side of R11: a process that has tokens signed, verifies them over their whole life by a JWKS, and tells what was refused.

Never knows when a key rotates.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import httpx2
import msgspec

from stagedoor import Revocations, Verifier, errors
from stagedoor.encoding import decode
from stagedoor.jwks import RemoteKeySet, SyncRemoteKeySet
from stagedoor.jws import read_unverified

HELD = 64
"""Tokens that are verified again and again until they expire."""
AGAIN = 12
"""Verifications for each token that is fetched."""
NOT_THERE = "verified again, the keys were not there"
PATIENCE = 60.0
"""Seconds until a silent service counts as lost."""


class Asked(msgspec.Struct, frozen=True):
    """What a process is asked to do. `wait_for_keys`: it awaits the keys of an async set; else a sync set fetches as it verifies."""

    ports: tuple[int, ...]
    number: int
    wait_for_keys: bool


def verify_until(asked: Asked, stop: Any, said: Any) -> None:
    """Say when it begins, work until told to stop, then report."""
    said.put(asyncio.run(_Side(asked).work(stop, said)))


class _Side:
    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._rng = random.Random(asked.number)
        jwks = f"http://127.0.0.1:{asked.ports[asked.number % len(asked.ports)]}/.well-known/jwks.json"
        self._keys = (RemoteKeySet if asked.wait_for_keys else SyncRemoteKeySet)(jwks, cool_down=2, max_age=2, timeout="30s")
        self._counts: Counter[str] = Counter()
        self._complaints: list[str] = []
        self._of_each_key: dict[str, str] = {}

    async def work(self, stop: Any, said: Any) -> dict[str, Any]:
        verifier = self._verifier(time.time)
        async with httpx2.AsyncClient(timeout=PATIENCE) as client:
            refresh = {port: await self._login(client, port) for port in self._asked.ports}
            said.put("ready")
            held: list[tuple[str, float]] = []
            while not stop.is_set():
                port = self._rng.choice(self._asked.ports)
                answer = await self._refreshed(client, port, refresh)
                token, expires = answer["access_token"], _claims(answer["access_token"])["exp"]
                self._of_each_key.setdefault(read_unverified(token)[0]["kid"], token)
                held = [*[each for each in held if each[1] > time.time()][-HELD:], (token, expires)]
                for text, ends in [held[-1], *self._rng.choices(held, k=AGAIN - 1)]:
                    if time.time() < ends:
                        await self._accepted(verifier, text)
            await self._look_at_what_is_gone(verifier, held[-1][0])
        return {"counts": dict(self._counts), "complaints": self._complaints[:20], "seen": list(self._of_each_key)}

    def _verifier(self, clock: Any) -> Any:
        return Verifier("http://127.0.0.1", audience="faults", keys=self._keys, revocations=Revocations.until_expiry(), clock=clock)

    async def _login(self, client: httpx2.AsyncClient, port: int) -> str:
        answer = await client.post(f"http://127.0.0.1:{port}/auth/login", json={"username": f"user-{self._asked.number}", "password": "x"})
        return str(answer.raise_for_status().json()["refresh_token"])

    async def _refreshed(self, client: httpx2.AsyncClient, port: int, refresh: dict[int, str]) -> dict[str, Any]:
        answer = await client.post(f"http://127.0.0.1:{port}/auth/refresh", json={"refresh_token": refresh[port]})
        tokens: dict[str, Any] = answer.raise_for_status().json()
        refresh[port] = tokens["refresh_token"]
        return tokens

    async def _accepted(self, verifier: Any, text: str) -> None:
        began = time.monotonic()
        try:
            while True:
                try:
                    await self._verify(verifier, text)
                    break
                except errors.KeySetUnavailable:  # a JWKS was as long on its way as it may be kept, which says nothing of the token
                    if time.monotonic() > began + PATIENCE:
                        raise
                    self._counts[NOT_THERE] += 1
                    await asyncio.sleep(0.2)
        except errors.AuthError as error:
            claims = _claims(text)
            if isinstance(error, errors.TokenExpired) and time.time() >= claims["exp"]:
                return  # it was looked at later than we had meant to
            kid = read_unverified(text)[0]["kid"]
            age = time.time() - claims["iat"]
            self._complaints.append(f"verifier {self._asked.number} refused an honest token {age:.1f} s old, key {kid[:8]}: {error.code}")
        self._counts["accepted"] += 1

    async def _look_at_what_is_gone(self, verifier: Any, newest: str) -> None:
        """Every key but the newest is gone by now. The moment is set back, so that nothing but the key can be the reason."""
        await asyncio.sleep(3)  # our copy of the JWKS ends
        current = read_unverified(newest)[0]["kid"]
        for kid, text in self._of_each_key.items():
            if kid == current:
                continue
            issued = _claims(text)["iat"]
            try:
                await self._verify(self._verifier(lambda issued=issued: issued + 0.5), text)
            except errors.UnknownKey:
                self._counts["refused, the key is gone"] += 1
            else:
                self._complaints.append(f"a token of key {kid[:8]} is accepted though that key is gone")

    async def _verify(self, verifier: Any, text: str) -> None:
        if self._asked.wait_for_keys:
            await verifier.verify_async(text)
        else:
            await asyncio.to_thread(verifier.verify, text)


def _claims(text: str) -> dict[str, Any]:
    claims: dict[str, Any] = msgspec.json.decode(decode(text.split(".")[1]))
    return claims
