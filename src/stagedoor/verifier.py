"""Verifier: the resource server's half; public keys, revocations and no I/O; of one issuer or of several.

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
from stagedoor.trusted_issuer import Expected, TrustedIssuer, TrustedKeys, check_finder, texts


class Verifier(Reader[C]):
    """Reads the access tokens of one issuer, for an application that does not issue them itself; `Verifier.of` those of several.

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
        if not isinstance(issuer, str) or not issuer:
            raise ValueError("a verifier needs the exact iss of its issuer")
        check_finder(keys)
        expected = Expected(issuer, texts("audience", audience))
        super().__init__(expected, keys=keys, revocations=_said(revocations), claims=claims, clock=clock)

    @classmethod
    def of(
        cls,
        *issuers: TrustedIssuer,
        revocations: Revocations,
        claims: type[C] = cast(Any, Claims),  # noqa: B008 - a class, not a call's result
        clock: Callable[[], float] = time.time,
    ) -> Verifier[C]:
        """A verifier of the access tokens of these issuers, other people's among them, each as its entry says.

        Whose a token is, its `kid` says: all keys are asked for it, in this order. What an access token of others may leave out is then
        empty: `session_id`, `client_id`, `id`, `scope`; `issued_at` and `auth_time` are 0. Two issuers may have one subject: who somebody
        is, issuer and subject say together. ValueError where it could not be said whose a token is.
        """
        verifier = cls.__new__(cls)
        keys = TrustedKeys(issuers, clock())
        Reader.__init__(verifier, None, keys=keys, revocations=_said(revocations), claims=claims, clock=clock)
        return verifier


def _said(revocations: Revocations) -> Revocations:
    if not isinstance(revocations, Revocations):
        raise TypeError("revocations: hand over Revocations, or say Revocations.until_expiry()")
    return revocations
