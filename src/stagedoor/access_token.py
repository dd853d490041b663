"""AccessToken: the verified JWT access token (RFC 9068) as a guarded route sees it; mint it, read it.

Never knows a store, a request or where the time comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

import msgspec

from stagedoor import jws
from stagedoor.claims import (
    ACCESS_TOKEN_TYP,
    Claims,
    check_audience,
    check_issuer,
    check_times,
    text_claim,
    time_claim,
)
from stagedoor.errors import ClaimRejected
from stagedoor.revocation import Revocations
from stagedoor.scope import Scope

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    C = TypeVar("C", default=Claims)
else:
    from typing import TypeVar

    C = TypeVar("C")

RESERVED = frozenset({"iss", "aud", "sub", "client_id", "iat", "exp", "nbf", "jti", "sid", "scope", "auth_time", "cnf", "act"})
"""Claims that Stagedoor writes or that change what a token is; an application cannot set them."""


@dataclass(frozen=True, slots=True)
class AccessToken(Generic[C]):
    """One verified access token. `claims` is the whole payload: a Claims mapping, or the application's own msgspec.Struct."""

    subject: str
    session_id: str
    scope: Scope
    client_id: str
    id: str
    """`jti`, unique for each token."""
    issued_at: int
    """Unix seconds."""
    expires_at: int
    """Unix seconds; at this moment the token is dead."""
    auth_time: int
    """Unix seconds of the login; refreshing does not move it."""
    issuer: str
    audience: tuple[str, ...]
    key_id: str
    claims: C


def check_application_claims(claims: Mapping[str, Any]) -> None:
    """ValueError where an application's claims bring along one of ours."""
    taken = sorted(RESERVED.intersection(claims))
    if taken:
        raise ValueError(f"these claims are Stagedoor's own: {', '.join(taken)}")


def mint(
    key: jws.SigningKey,
    *,
    issuer: str,
    audience: str,
    client_id: str,
    subject: str,
    session_id: str,
    token_id: str,
    scope: Scope,
    issued_at: int,
    expires_at: int,
    auth_time: int,
    claims: Mapping[str, Any],
) -> str:
    """A signed access token (RFC 9068 section 2). Times in Unix seconds."""
    payload: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "client_id": client_id,
        "iat": issued_at,
        "exp": expires_at,
        "jti": token_id,
        "sid": session_id,
        "auth_time": auth_time,
    }
    if scope:
        payload["scope"] = str(scope)
    return jws.sign(key, ACCESS_TOKEN_TYP, {**claims, **payload})


class Reader(Generic[C]):
    """Reads the access tokens of one issuer: the whole verify road, in the order of the law. Frozen once made."""

    __slots__ = ("_audience", "_claims", "_clock", "_keys", "issuer", "revocations")

    def __init__(
        self,
        issuer: str,
        *,
        audience: frozenset[str],
        keys: jws.KeyFinder,
        revocations: Revocations,
        claims: type[C],
        clock: Callable[[], float],
    ) -> None:
        if claims is not Claims and isinstance(msgspec.inspect.type_info(claims), msgspec.inspect.CustomType):
            raise TypeError("claims is a msgspec.Struct, a dataclass or a TypedDict")
        self.issuer = issuer
        self.revocations = revocations
        self._audience = audience
        self._keys = keys
        self._claims = claims
        self._clock = clock

    def verify(self, token: str) -> AccessToken[C]:
        """The access token in this text, or TokenError: MalformedToken, AlgorithmNotAllowed, UnknownKey, BadSignature, then
        ClaimRejected (TokenExpired, TokenNotYetValid), then TokenRevoked. No I/O, no scope: what a route asks for is the guard's.
        """
        if not isinstance(token, str):
            raise TypeError("verify takes the token as text")
        now = self._clock()
        signed = jws.verify(token, self._keys, now)
        access_token = self._accept(signed, now)
        self.revocations.check(access_token.session_id, now)
        return access_token

    def _accept(self, signed: jws.Signed, now: float) -> AccessToken[C]:
        payload = signed.payload
        jws.check_typ(signed, ACCESS_TOKEN_TYP)
        check_issuer(payload, self.issuer)
        named = check_audience(payload, self._audience)
        check_times(payload, now)
        if "cnf" in payload:
            # Bound to a key of its holder (RFC 7800): to take it as a plain bearer token would undo the binding.
            raise ClaimRejected("cnf", "sender-bound tokens are not accepted as bearer tokens")
        return AccessToken(
            subject=text_claim(payload, "sub"),
            session_id=text_claim(payload, "sid"),
            scope=_scope(payload),
            client_id=text_claim(payload, "client_id"),
            id=text_claim(payload, "jti"),
            issued_at=time_claim(payload, "iat"),
            expires_at=time_claim(payload, "exp"),
            auth_time=time_claim(payload, "auth_time"),
            issuer=self.issuer,
            audience=named,
            key_id=signed.kid,
            claims=_typed(payload, self._claims),
        )


def _scope(payload: Mapping[str, Any]) -> Scope:
    text = payload.get("scope", "")
    if not isinstance(text, str):
        raise ClaimRejected("scope", "not a text")
    try:
        return Scope.parse(text)
    except ValueError:
        raise ClaimRejected("scope", "not a list of scope tokens") from None


def _typed(payload: dict[str, Any], claims_type: type[C]) -> C:
    if claims_type is Claims:
        return Claims(payload)  # type: ignore[return-value]
    try:
        return msgspec.convert(payload, claims_type)
    except msgspec.ValidationError as error:
        raise ClaimRejected("claims", f"not a {claims_type.__name__}: {error}") from None
