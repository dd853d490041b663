"""Verifier: the resource server's half; public keys, revocations and no I/O.

Never knows a store, an issuer's secrets or a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, cast

from stagedoor.access_token import C, Reader
from stagedoor.claims import Claims
from stagedoor.jws import KeyFinder
from stagedoor.revocation import Revocations


class Verifier(Reader[C]):
    """Reads the access tokens of one issuer, for an application that does not issue them itself.

    `issuer` is the exact `iss`; `audience` what this application is called in `aud`, one name or several; `keys` a KeySet; `claims` the
    application's own msgspec.Struct where its claims should arrive typed. `revocations` must be said: what is heard of ended sessions,
    or `Revocations.until_expiry()` for tokens that live until they expire (TypeError without it).
    """

    __slots__ = ()

    def __init__(
        self,
        issuer: str,
        *,
        audience: str | Iterable[str],
        keys: KeyFinder,
        revocations: Revocations,
        claims: type[C] = cast(Any, Claims),  # noqa: B008 - a class, not a call's result
        clock: Callable[[], float] = time.time,
    ) -> None:
        audiences = frozenset({audience}) if isinstance(audience, str) else frozenset(audience)
        if not issuer or not audiences or not all(isinstance(name, str) and name for name in audiences):
            raise ValueError("a verifier needs its issuer and at least one audience")
        if not isinstance(revocations, Revocations):
            raise TypeError("revocations: hand over Revocations, or say Revocations.until_expiry()")
        if isinstance(keys, str | bytes) or not callable(getattr(keys, "find", None)):
            raise TypeError("keys: hand over a KeySet; without keys nothing can be verified")
        super().__init__(issuer, audience=audiences, keys=keys, revocations=revocations, claims=claims, clock=clock)
