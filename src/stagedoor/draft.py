"""Draft: an access token before its signature, so that a flow can have it signed here or where the key is kept.

Never knows a store, a refresh token or who asks.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from stagedoor import access_token, jws
from stagedoor.encoding import encode
from stagedoor.errors import MalformedToken
from stagedoor.keys import Key
from stagedoor.scope import Scope
from stagedoor.session import Session


class Minted(NamedTuple):
    """A fresh access token, the seconds that it lives, and its scope."""

    token: str
    expires_in: int
    scope: Scope

    def check_readable(self) -> None:
        """ValueError where the application's claims made what no verifier would read: too long, or nested too deeply."""
        try:
            jws.read_unverified(self.token)
        except MalformedToken as error:
            raise ValueError(f"no verifier would read an access token with these claims: {error}") from None


class Draft(NamedTuple):
    """What `key` is to sign."""

    key: Key
    text: str
    expires_in: int
    scope: Scope

    @property
    def data(self) -> bytes:
        """What the signature is made of."""
        return self.text.encode("ascii")

    def signed(self, signature: bytes) -> Minted:
        """The access token."""
        return Minted(jws.complete(self.text, signature), self.expires_in, self.scope)


def draft(
    key: Key,
    session: Session,
    allowed: tuple[Scope, Mapping[str, Any]],
    *,
    issuer: str,
    audience: str,
    life: int,
    now: float,
    ahead: float,
    ends_at: float,
) -> Draft:
    """An access token of this session, with this scope and these claims, for `life` seconds; the session ends at `ends_at` on our clock.

    `ahead`: seconds that our clock is ahead of the store's. What is issued before a revocation of all must not say that it came after.
    """
    scope, claims = allowed
    # Never past the session's own end: what outlived it could not be revoked with it.
    expires_at = min(int(now) + life, int(ends_at))
    text = access_token.draft(
        key,
        issuer=issuer,
        audience=audience,
        client_id=session.client_id,
        subject=session.subject,
        session_id=encode(session.id),
        token_id=encode(secrets.token_bytes(16)),
        scope=scope,
        issued_at=int(now - ahead),
        expires_at=expires_at,
        auth_time=int(session.created_at),
        claims=claims,
    )
    return Draft(key, text, expires_at - int(now), scope)
