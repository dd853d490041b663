"""Keys made once, tokens of an issuer that is elsewhere, and verifiers of them: what the tests of remote keys share.

Never knows what a test expects.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from stagedoor import Key, Revocations, Verifier, jws
from stagedoor.access_token import ACCESS_TOKEN_TYP

ISSUER = "https://auth.example"
AUDIENCE = "https://api.example"
FIRST, SECOND, THIRD = (Key.generate("Ed25519") for _ in range(3))


def token(key: Key = FIRST, scope: str = "orders:read", **more: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "client_id": "shop",
        "iat": now,
        "exp": now + 600,
        "jti": "one",
        "sid": "AAAAAAAAAAAAAAAAAAAAAA",
        "auth_time": now,
        "scope": scope,
    }
    return jws.sign(key, ACCESS_TOKEN_TYP, {**claims, **more})


def of_unknown_kid(number: int) -> str:
    """A token under a kid that nobody has; its signature is good for nothing."""
    return jws.sign(Named(f"kid-{number}"), ACCESS_TOKEN_TYP, {"sub": "mallory"})


class Named:
    """A signing key of any name, which signs with zeros: quick to make by the thousand."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self.algorithm = FIRST.algorithm

    def sign(self, data: bytes) -> bytes:
        return bytes(64)


def verifier(keys: Any, **more: Any) -> Verifier:
    return Verifier(ISSUER, audience=AUDIENCE, keys=keys, revocations=Revocations.until_expiry(), **more)


async def code_of(call: Awaitable[Any]) -> str:
    """The code of the refusal, or "ok"."""
    from stagedoor.errors import AuthError

    try:
        await call
    except AuthError as error:
        return error.code
    return "ok"


def until(condition: Callable[[], bool], within: float = 30.0) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)
