"""AccessToken: the verified JWT access token (RFC 9068) as a guarded route sees it; draft it, read it.

Never knows a store, a request or where the time comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast

import msgspec
from msgspec import structs

from stagedoor import jws
from stagedoor.claims import (
    ABSENT,
    ACCESS_TOKEN_TYP,
    FUTURE_LEEWAY,
    Claims,
    check_audience,
    check_issuer,
    check_times,
    text_claim,
    time_claim,
)
from stagedoor.encoding import MAX_TOKEN, decode_object
from stagedoor.errors import AuthError, ClaimRejected, KeySetUnavailable, RevocationsStale, StepUpRequired, TokenExpired, UnknownKey
from stagedoor.layout import Layouts
from stagedoor.revocation import Revocations
from stagedoor.scope import Scope, remembered
from stagedoor.seen_tokens import SeenTokens
from stagedoor.trusted_issuer import Expected, TrustedKey

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    C = TypeVar("C", default=Claims)
else:
    from typing import TypeVar

    C = TypeVar("C")

RESERVED = frozenset({"iss", "aud", "sub", "client_id", "iat", "exp", "nbf", "jti", "sid", "scope", "auth_time", "cnf", "act"})
"""Claims that Stagedoor writes or that change what a token is; an application cannot set them."""


_NO_SCOPE = Scope()


class AccessToken(msgspec.Struct, Generic[C], frozen=True, gc=False):
    """One verified access token. `claims` is the whole payload: a Claims mapping, or the application's own msgspec.Struct."""

    subject: str
    """`sub`. With several issuers each has subjects of its own: who this is, `issuer` and `subject` say together."""
    session_id: str
    """`sid`; "" where another's issuer names none: then no revocation of a session ends this token."""
    scope: Scope
    client_id: str
    """"" where another's issuer names none."""
    id: str
    """`jti`, unique for each token; "" where another's issuer gives none."""
    issued_at: int
    """Unix seconds; 0 where another's issuer does not say."""
    expires_at: int
    """Unix seconds; at this moment the token is dead."""
    auth_time: int
    """Unix seconds of the login; refreshing does not move it. 0, and so never recent, where another's issuer does not say."""
    issuer: str
    """`iss`; "" where it is expected to be ABSENT."""
    audience: tuple[str, ...]
    """All that `aud` names; empty where it is expected to be ABSENT."""
    key_id: str
    claims: C


def check_application_claims(claims: Mapping[str, Any]) -> None:
    """ValueError where an application's claims bring along one of ours."""
    taken = sorted(RESERVED.intersection(claims))
    if taken:
        raise ValueError(f"these claims are Stagedoor's own: {', '.join(taken)}")


def draft(
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
    """An access token (RFC 9068 section 2) before `key` has signed it. Times in Unix seconds."""
    payload: dict[str, Any] = {
        **claims,
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
    return jws.draft(key, ACCESS_TOKEN_TYP, payload)


def _those(named: Any, audience: Mapping[object, tuple[str, ...]]) -> tuple[str, ...] | None:
    """All that `aud` names, a list where one of these is among them."""
    return named if type(named) is tuple and any(each in audience for each in named) else None


class Learns(Protocol):
    """What keys may have beside `find`, where more of them can come to be known: RemoteKeySet has it."""

    async def learn(self, error: AuthError) -> bool:
        """After UnknownKey or KeySetUnavailable: try to mend it; whether to verify again."""


class Reader(Generic[C]):
    """Reads access tokens: the whole verify road, in the order of the law. Frozen once made.

    `expected` is what they must say of themselves; None: of several issuers, and each key found is a TrustedKey, which says it.
    """

    __slots__ = ("_claims", "_clock", "_expected", "_keys", "_layouts", "_read_claims", "_seen", "revocations")

    def __init__(
        self,
        expected: Expected | None,
        *,
        keys: jws.KeyFinder,
        revocations: Revocations,
        claims: type[C],
        clock: Callable[[], float],
    ) -> None:
        if claims is not Claims and isinstance(msgspec.inspect.type_info(claims), msgspec.inspect.CustomType):
            raise TypeError("claims is a msgspec.Struct, a dataclass or a TypedDict")
        self.revocations = revocations
        self._expected = expected
        self._keys = keys
        self._claims = claims
        self._read_claims: Callable[[bytes], C] | None = None if claims is Claims else msgspec.json.Decoder(claims).decode
        self._layouts = Layouts()
        self._clock = clock
        self._seen: SeenTokens[AccessToken[C]] = SeenTokens(keys)

    def verify(self, token: str) -> AccessToken[C]:
        """The access token in this text, or TokenError: MalformedToken, AlgorithmNotAllowed, UnknownKey, BadSignature, then
        ClaimRejected (TokenExpired, TokenNotYetValid), then TokenRevoked. No I/O, no scope: what a route asks for is the guard's.
        RevocationsStale where what is known of revocations is too old: `revocations.hear()` waits for more, verify_async by itself.
        """
        now = self._clock()
        if type(token) is str and len(token) <= MAX_TOKEN:  # what is longer than any token is not even hashed
            seen = self._seen.find(token, now)
            if seen is not None:
                self.revocations.check(seen, now)
                # The application's own claims may be altered by whoever has them: each time they are made anew.
                return seen if self._read_claims is None else structs.replace(seen, claims=self._typed(jws.payload_of(token)))
        elif not isinstance(token, str):
            raise TypeError("verify takes the token as text")
        state = self._seen.state()
        signed = jws.verify(token, self._keys, now, self._layouts.read)
        access_token = self._accept_usual(signed, now)
        if access_token is not None:
            nbf = signed.payload.nbf
        else:
            access_token, nbf = self._accept_unusual(signed, now)
        self.revocations.check(access_token, now)
        # Else its key cannot be asked for by its name, or `iat` does not tell from when it may be used.
        if signed.header.kid == access_token.key_id and nbf <= access_token.issued_at:
            self._seen.add(token, access_token, state, signed.key, now)
        return access_token

    async def verify_async(self, token: str) -> AccessToken[C]:
        """As verify; but keys that can learn are asked to, once, where a key is not known (yet) or none could be had (yet).

        And where what is known of revocations is too old, or nothing is known yet, their source is asked.
        """
        try:
            return self.verify(token)
        except (UnknownKey, KeySetUnavailable, RevocationsStale):
            return await self._verify_learning(token)

    async def _verify_learning(self, token: str) -> AccessToken[C]:
        try:
            return await self._verify_heard(token)
        except (UnknownKey, KeySetUnavailable) as error:
            learn = getattr(self._keys, "learn", None)
            if learn is None or not await cast(Learns, self._keys).learn(error):
                raise
        return await self._verify_heard(token)

    async def _verify_heard(self, token: str) -> AccessToken[C]:
        try:
            return self.verify(token)
        except RevocationsStale:
            await self.revocations.hear_async()
        return self.verify(token)

    async def check_strictly(self, token: AccessToken[C]) -> None:
        """Ask the store, or the service that revocations are heard from, whether this verified token was ended.

        TokenRevoked; StoreError, RevocationsStale where no answer comes; TypeError where there is nobody to ask.
        """
        await self.revocations.check_strictly(token, self._clock())

    def check_again(self, token: AccessToken[C]) -> float:
        """Seconds that a token which was verified before still lives. TokenExpired, TokenRevoked; RevocationsStale. No I/O.

        For what stays open for longer than a request: its signature and its claims do not change, time and revocations do.
        """
        now = self._clock()
        if now >= token.expires_at:
            raise TokenExpired
        self.revocations.check(token, now)
        return token.expires_at - now

    def check_recent(self, token: AccessToken[C], max_age: int) -> None:
        """StepUpRequired unless the login of this token is at most so many seconds ago (RFC 9470)."""
        age = self._clock() - token.auth_time
        if not -FUTURE_LEEWAY <= age <= max_age:
            raise StepUpRequired(max_age)

    def _accept_usual(self, signed: jws.Signed[Any], now: float) -> AccessToken[C] | None:
        """What nearly all tokens look like, and only ever accepted: None is no refusal, that is said by the other one."""
        said = signed.payload
        if type(said) is dict:
            return None
        expected: Expected = self._expected or signed.key.expected  # type: ignore[attr-defined]  # without one a key is a TrustedKey
        issuer, audience, kinds, subject = expected.usual
        named = audience.get(said.aud)
        if named is None:
            named = _those(said.aud, audience)
        soon = now + FUTURE_LEEWAY
        if not (
            named is not None
            and signed.header.kind in kinds
            and said.iss == issuer
            and now < said.exp
            and said.iat <= soon
            and said.nbf <= soon
            and type(said.sub) is subject
            and said.sub != ""
            and (said.is_complete or not expected.complete)
        ):
            return None
        try:
            scope = remembered(said.scope) if said.scope else _NO_SCOPE
        except ValueError:
            return None
        # What stands twice is kept once: many tokens are remembered.
        client_id = said.client_id if not named or said.client_id != named[0] else named[0]
        auth_time = said.auth_time if said.auth_time != said.iat else said.iat
        sub: str = said.sub if type(said.sub) is str else str(said.sub)
        claims: Any = Claims(signed.text) if self._read_claims is None else self._typed(signed.text)
        return AccessToken(sub, said.sid, scope, client_id, said.jti, said.iat, said.exp, auth_time, issuer, named, signed.key.kid, claims)

    def _accept_unusual(self, signed: jws.Signed[Any], now: float) -> tuple[AccessToken[C], int]:
        """One claim after the other, in their order: the token that does not look like most, and its `nbf`; and why one is refused."""
        expected = self._expected or cast(TrustedKey, signed.key).expected
        payload = signed.payload if type(signed.payload) is dict else decode_object(signed.text)
        jws.check_typ(signed.header, expected.typ)
        check_issuer(payload, expected.issuer)
        named = check_audience(payload, expected.audience)
        check_times(payload, now, iat_required=expected.complete)
        if "cnf" in payload:
            # Bound to a key of its holder (RFC 7800): to take it as a plain bearer token would undo the binding.
            raise ClaimRejected("cnf", "sender-bound tokens are not accepted as bearer tokens")
        text, moment = (text_claim, time_claim) if expected.complete else (_text_or_none, _moment_or_none)
        token = AccessToken(
            subject=_number_as_text(payload, "sub") if expected.numeric_subject else text_claim(payload, "sub"),
            session_id=text(payload, "sid"),
            scope=_scope(payload),
            client_id=text(payload, "client_id"),
            id=text(payload, "jti"),
            issued_at=moment(payload, "iat"),
            expires_at=time_claim(payload, "exp"),
            auth_time=moment(payload, "auth_time"),
            issuer="" if expected.issuer is ABSENT else expected.issuer,
            audience=named,
            key_id=signed.key.kid,
            claims=self._typed(signed.text),
        )
        return token, payload.get("nbf", 0)

    def _typed(self, text: bytes) -> C:
        if self._read_claims is None:
            return Claims(text)  # type: ignore[return-value]
        try:
            return self._read_claims(text)
        except msgspec.MsgspecError as error:
            raise ClaimRejected("claims", f"not a {self._claims.__name__}: {error}") from None


def _text_or_none(payload: Mapping[str, Any], name: str) -> str:
    return text_claim(payload, name) if name in payload else ""


def _moment_or_none(payload: Mapping[str, Any], name: str) -> int:
    return time_claim(payload, name) if name in payload else 0


def _number_as_text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    # Above, a JavaScript issuer writes one number for two users (RFC 8259 section 6).
    if type(value) is not int or not 0 <= value < 2**53:
        raise ClaimRejected(name, "missing" if value is None else "not a whole number from 0 to 2**53 - 1")
    return str(value)


def _scope(payload: Mapping[str, Any]) -> Scope:
    text = payload.get("scope", "")
    if not isinstance(text, str):
        raise ClaimRejected("scope", "not a text")
    try:
        return remembered(text)
    except ValueError:
        raise ClaimRejected("scope", "not a list of scope tokens") from None
