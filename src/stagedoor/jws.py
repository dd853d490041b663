"""Compact JWS (RFC 7515): sign and verify, nothing else; no JSON serialisation, no JWE, no key from a header.

Never knows what a payload means. Reading order is the security order: size, form, algorithm, key, signature, then the payload.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from stagedoor.algorithms import ALGORITHMS, Algorithm
from stagedoor.claims import ABSENT, Absent
from stagedoor.encoding import MAX_TOKEN, decode, decode_object, encode
from stagedoor.errors import AlgorithmNotAllowed, BadSignature, ClaimRejected, MalformedToken, UnknownKey

P = TypeVar("P")

_MAX_KID = 255


class VerifyingKey(Protocol):
    """What verification needs of a key."""

    @property
    def kid(self) -> str:
        """The key's name."""

    @property
    def algorithm(self) -> Algorithm:
        """The key's one algorithm."""

    def holds(self, data: bytes, signature: str) -> bool:
        """Whether this is its signature over the data, as a token carries it: in base64url. MalformedToken where it is none."""


class SigningKey(Protocol):
    """What signing needs of a key."""

    @property
    def kid(self) -> str:
        """The key's name."""

    @property
    def algorithm(self) -> Algorithm:
        """The key's one algorithm."""

    def sign(self, data: bytes) -> bytes:
        """The signature."""


class KeyFinder(Protocol):
    """Whoever knows the keys that are accepted."""

    def find(self, id_: object, now: float) -> VerifyingKey | None:
        """The key of this `kid`, if it is accepted at this moment. None: the token names no key."""


class Header(msgspec.Struct, frozen=True, gc=False):
    """What the header of a token says, as far as it matters."""

    alg: str
    kid: str | None
    typ: Any
    """A text, or None where it is not there, once the signature holds."""
    kind: str | None
    """`typ` in lower case and without the media type's prefix; None where it is not there, "" where it is no ASCII."""
    is_sound: bool
    """Whether `typ` is a text, or not there: who has not signed the token is not told."""


class Signed(msgspec.Struct, Generic[P], frozen=True, gc=False):
    """What a verified token says, its header and its payload, both under the signature; and the key that verified it."""

    header: Header
    payload: P
    key: VerifyingKey
    text: bytes
    """The payload as it was written."""


_known: dict[str, Header] = {}
"""The headers of tokens whose signature held, by their text: what that says never changes, and few issuers write more than one."""
_MOST_KNOWN = 1000


def sign(key: SigningKey, typ: str, payload: object) -> str:
    """The compact token of this payload, which msgspec can write as JSON."""
    text = draft(key, typ, payload)
    return complete(text, key.sign(text.encode("ascii")))


def draft(key: SigningKey, typ: str, payload: object) -> str:
    """The token without its signature, which is what `key` is to sign, in ASCII (RFC 7515 section 5.1)."""
    return f"{_written(key.algorithm.name, key.kid, typ)}.{encode(msgspec.json.encode(payload))}"


@lru_cache(maxsize=256)
def _written(alg: str, kid: str, typ: str) -> str:
    return encode(msgspec.json.encode({"alg": alg, "kid": kid, "typ": typ}))


def complete(text: str, signature: bytes) -> str:
    """The compact token of a draft and its signature."""
    return f"{text}.{encode(signature)}"


def verify(token: str, keys: KeyFinder, now: float, read: Callable[[bytes], P] = decode_object) -> Signed[P]:  # type: ignore[assignment]
    """What `token` says, if a key of `keys` signed it; its payload as `read` makes it of the text.

    Raises MalformedToken, AlgorithmNotAllowed, UnknownKey, BadSignature. Nothing of the payload is parsed before the signature holds.
    A token without `kid` has a key only where `keys` knows one for it (RFC 7515 section 4.1.4 makes `kid` optional).
    """
    head, data, payload, signature = _split(token)
    known = _known.get(head)
    header = _read(head) if known is None else known
    key = keys.find(header.kid, now)
    if key is None and header.kid is None:
        raise UnknownKey("the token names no key; TrustedIssuer(…, kid=ABSENT) accepts such tokens of one issuer")
    if key is None:
        raise UnknownKey("no key of this kid is accepted", kid=header.kid)
    if header.alg not in key.algorithm.names:
        raise AlgorithmNotAllowed(f"key {key.kid} is for {key.algorithm.name}")
    if not key.holds(data, signature):
        raise BadSignature
    if known is None:
        if not header.is_sound:
            raise MalformedToken("typ is not a text")
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[head] = header
    text = decode(payload)
    return Signed(header, read(text), key, text)


def payload_of(token: str) -> bytes:
    """The payload of a token that was verified before, as it was written."""
    return decode(token.split(".", 2)[1])


def check_typ(header: Header, typ: str | Collection[str] | Absent) -> None:
    """The kind must be this one or one of these, in lower case, with or without the media type's prefix; or it must not be said.

    Else ClaimRejected (RFC 8725 section 3.11).
    """
    if typ is ABSENT:
        if header.typ is not None:
            raise ClaimRejected("typ", "there, though this issuer's tokens lack it")
        return
    kinds = (typ,) if isinstance(typ, str) else typ
    if header.kind not in kinds:
        # What it says is told: it is a header's, and nobody's data.
        raise ClaimRejected("typ", f"{header.typ!r:.40}, not {' or '.join(sorted(kinds))}")


def read_unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a token that nobody has verified: to look at, never to act on. MalformedToken."""
    head, _, payload, _ = _split(token)
    return _members(head), decode_object(decode(payload))


def _split(token: str) -> tuple[str, bytes, str, str]:
    if len(token) > MAX_TOKEN:
        raise MalformedToken(f"over {MAX_TOKEN} bytes")
    text, _, signature = token.rpartition(".")
    head, dot, payload = text.partition(".")
    if not dot or "." in payload or not token.isascii():
        raise MalformedToken("not three parts of ASCII")
    return head, text.encode(), payload, signature


def _members(head: str) -> dict[str, Any]:
    header = decode_object(decode(head))
    if "crit" in header or "b64" in header:
        raise MalformedToken("critical header parameters are not understood")  # RFC 7515 section 4.1.11
    return header


def _read(head: str) -> Header:
    header = _members(head)
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise AlgorithmNotAllowed("the header's alg is none of ours")
    kid = header.get("kid")
    if (kid is not None or "kid" in header) and (not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID):
        raise UnknownKey("the header has no usable kid")
    typ, kind = header.get("typ"), None
    if isinstance(typ, str):
        # ASCII alone: in lower case the Kelvin sign would be a k.
        kind = typ.lower().removeprefix("application/") if typ.isascii() else ""
    return Header(alg, kid, typ, kind, kind is not None or "typ" not in header)
