"""Stagedoor: a Verifier that follows the revocations of a store, and what an Issuer does to sign."""

from __future__ import annotations

import gc
import secrets
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

from bench.libraries.contestant import Contestant, Given
from stagedoor import KeySet, Revocations, Verifier, access_token, jws
from stagedoor.errors import TokenExpired, TokenRevoked
from stagedoor.keys import Key
from stagedoor.revocation import Record
from stagedoor.scope import Scope
from stagedoor.stores.memory import MemoryStore

LIFE = 3600


def key_of(given: Given) -> Key:
    """The key that signs; a new object each time, so that nothing is remembered with it."""
    if given.is_secret:
        return Key.from_secret(given.secret.encode(), given.alg, kid=given.kid)
    return Key.from_pem(given.private.encode(), given.alg, kid=given.kid)


def make(variant: str, given: Given) -> Contestant:
    """`variant` "read": every field and claim is read besides; "": the verified token in hand."""
    # What is busy elsewhere on the machine must not make it stale: then there would be nothing to measure.
    revocations = Revocations.following(MemoryStore(), bound="10s")
    revocations.hear()
    now = time.time()
    revocations.add(*(Record.of_session(n.to_bytes(16, "little"), LIFE, now) for n in range(1000)), now=now)
    own = key_of(given)
    public = Key.from_secret(given.secret.encode(), given.alg, kid=given.kid) if given.is_secret else None

    def verifier(clock: Callable[[], float] = time.time) -> Verifier:
        key = public or Key.from_pem(given.public.encode(), given.alg, kid=given.kid)
        return Verifier(given.issuer, audience=given.audience, keys=KeySet(key), revocations=revocations, clock=clock)

    def reading() -> Callable[[str], Any]:
        verify = verifier().verify

        def read(text: str) -> Any:
            token = verify(text)
            fields = (token.subject, token.session_id, token.scope, token.client_id, token.id, token.issued_at, token.expires_at)
            return fields, token.auth_time, token.issuer, token.audience, token.key_id, dict(token.claims)

        return read

    def sign(given_: tuple[str, str, str, dict[str, Any], int]) -> str:
        subject, session_id, token_id, claims, moment = given_
        text = access_token.draft(
            own,
            issuer=given.issuer,
            audience=given.audience,
            client_id=given.audience,
            subject=subject,
            session_id=session_id,
            token_id=token_id,
            scope=_NO_SCOPE,
            issued_at=moment,
            expires_at=moment + LIFE,
            auth_time=moment,
            claims=claims,
        )
        return jws.complete(text, own.sign(text.encode("ascii")))

    def payloads(all_: Sequence[dict[str, Any]]) -> list[Any]:
        return [(each["sub"], each["sid"], each["jti"], {"username": each["username"]}, each["iat"]) for each in all_]

    def token_of(session_id: str, n: int) -> str:
        return sign(("user-1", session_id, f"{n:022}", {"username": "ada"}, int(time.time())))

    def prove() -> None:
        """A token that was seen is refused once it has expired, and once its session has ended."""
        moment = [time.time()]
        there = verifier(lambda: moment[0])
        text = token_of("0" * 22, 0)
        for _ in range(3):
            there.verify(text)
        moment[0] += LIFE + 1
        _must_refuse(there, text, TokenExpired)
        moment[0] -= LIFE + 1
        there.verify(text)
        ended = Record.of_session(secrets.token_bytes(16), LIFE, time.time())
        text = token_of(ended.name, 1)
        there.verify(text)
        there.verify(text)
        revocations.add(ended, now=time.time())
        _must_refuse(there, text, TokenRevoked)

    def memory(number: int) -> dict[str, float]:
        """Bytes that each of the first tokens leaves behind, its text among them, and all together after so many, and twice as many."""
        reader = verifier()
        for n in range(16):
            reader.verify(token_of(f"{n:022}", n))
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]

        def after(first: int, last: int) -> float:
            for n in range(first, last):
                reader.verify(token_of(f"{n:022}", n))
            gc.collect()
            return float(tracemalloc.get_traced_memory()[0] - before)

        few = min(1000, number)
        found = {"bytes a token": after(100, 100 + few) / few}
        found["characters a token"] = float(len(token_of(f"{0:022}", 0)))
        found["after"] = after(100 + few, 100 + number)
        found["after twice as many"] = after(100 + number, 100 + 2 * number)
        tracemalloc.stop()
        return found

    made = reading if variant == "read" else lambda: verifier().verify
    return Contestant(made, sign, payloads=payloads, memory=memory, prove=prove)


_NO_SCOPE = Scope.parse("")


def _must_refuse(reader: Verifier, text: str, why: type[Exception]) -> None:
    try:
        reader.verify(text)
    except why:
        return
    raise AssertionError(f"a token that was seen is not refused with {why.__name__}")
