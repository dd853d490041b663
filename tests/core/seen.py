"""Tokens that are looked at twice, and how many signature checks that costs.

Never knows what a test expects.
"""

from collections.abc import Callable
from typing import Any

import pytest

from stagedoor import Revocations, Verifier, errors, jws
from stagedoor.keys import Key
from stagedoor.testing.clock import FixedClock

from .material import NOW, SECRET, forge

ISS, AUD = "https://auth.example", "https://api.example"
A, B = (Key.from_secret(secret) for secret in (SECRET, SECRET[::-1]))


class Checks:
    """How many tokens were looked at from their signature on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.meanwhile: Callable[[], Any] = lambda: None
        """Done once, when the next signature has been found good and nothing else was looked at."""
        real = jws.verify

        def verify(*arguments: Any) -> Any:
            self.count += 1
            signed = real(*arguments)
            meanwhile, self.meanwhile = self.meanwhile, lambda: None
            meanwhile()
            return signed

        patch.setattr(jws, "verify", verify)

    def of(self, verifier: Verifier[Any], text: str) -> int:
        """How many an accepted token costs."""
        before = self.count
        verifier.verify(text)
        return self.count - before


def verifier(keys: Any, clock: Callable[[], float] | None = None, revocations: Revocations | None = None) -> Verifier[Any]:
    heard = Revocations() if revocations is None else revocations
    return Verifier(ISS, audience=AUD, keys=keys, revocations=heard, clock=clock or FixedClock(NOW))


def token(signer: Key = A, *, named: bool = True, **claims: Any) -> str:
    said = {"iss": ISS, "aud": AUD, "sub": "user", "client_id": "c", "iat": NOW, "exp": NOW + 900, "jti": "j", "sid": "s", "auth_time": NOW}
    head = {"alg": signer.algorithm.name, "typ": "at+jwt"} | ({"kid": signer.kid} if named else {})
    return forge(head, {name: value for name, value in (said | claims).items() if value is not None}, signer)


def refused(verifier: Verifier[Any], text: str) -> str:
    with pytest.raises(errors.AuthError) as caught:
        verifier.verify(text)
    return caught.value.code


def seen(checks: Checks, verifier: Verifier[Any], text: str) -> None:
    """It is accepted, and then once more at no cost."""
    verifier.verify(text)
    assert checks.of(verifier, text) == 0
