"""Compact JWS (RFC 7515): sign and verify, nothing else; no JSON serialisation, no JWE, no key from a header.

Never knows what a payload means. Reading order is the security order: size, form, algorithm, key, signature, then the payload.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from stagedoor.algorithms import ALGORITHMS, Algorithm
from stagedoor.claims import ABSENT, Absent
from stagedoor.encoding import MAX_TOKEN, decode, decode_object, encode
from stagedoor.errors import AlgorithmNotAllowed, BadSignature, ClaimRejected, MalformedToken, UnknownKey

_MAX_KID = 255


class VerifyingKey(Protocol):
    """What verification needs of a key."""

    @property
    def kid(self) -> str:
        """The key's name."""

    @property
    def algorithm(self) -> Algorithm:
        """The key's one algorithm."""

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether the signature holds."""


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


@dataclass(frozen=True, slots=True)
class Signed:
    """What a verified token says: its key's name, its kind and its payload, all under the signature; and the key that verified it."""

    kid: str
    typ: str | None
    payload: dict[str, Any]
    key: VerifyingKey = field(compare=False, repr=False)


def sign(key: SigningKey, typ: str, payload: object) -> str:
    """The compact token of this payload, which msgspec can write as JSON."""
    text = draft(key, typ, payload)
    return complete(text, key.sign(text.encode("ascii")))


def draft(key: SigningKey, typ: str, payload: object) -> str:
    """The token without its signature, which is what `key` is to sign, in ASCII (RFC 7515 section 5.1)."""
    header = msgspec.json.encode({"alg": key.algorithm.name, "kid": key.kid, "typ": typ})
    return f"{encode(header)}.{encode(msgspec.json.encode(payload))}"


def complete(text: str, signature: bytes) -> str:
    """The compact token of a draft and its signature."""
    return f"{text}.{encode(signature)}"


def verify(token: str, keys: KeyFinder, now: float) -> Signed:
    """What `token` says, if a key of `keys` signed it.

    Raises MalformedToken, AlgorithmNotAllowed, UnknownKey, BadSignature. Nothing of the payload is parsed before the signature holds.
    A token without `kid` has a key only where `keys` knows one for it (RFC 7515 section 4.1.4 makes `kid` optional).
    """
    header, signed, payload, signature = _split(token)
    name = header.get("alg")
    if not isinstance(name, str) or name not in ALGORITHMS:
        raise AlgorithmNotAllowed("the header's alg is none of ours")
    kid = header.get("kid")
    if (kid is not None or "kid" in header) and (not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID):
        raise UnknownKey("the header has no usable kid")
    key = keys.find(kid, now)
    if key is None and kid is None:
        raise UnknownKey("the token names no key; TrustedIssuer(…, kid=ABSENT) accepts such tokens of one issuer")
    if key is None:
        raise UnknownKey("no key of this kid is accepted", kid=kid)
    if name not in key.algorithm.names:
        raise AlgorithmNotAllowed(f"key {key.kid} is for {key.algorithm.name}")
    if not key.verify(signed, decode(signature)):
        raise BadSignature
    typ = header.get("typ")
    if not isinstance(typ, str) and (typ is not None or "typ" in header):
        raise MalformedToken("typ is not a text")
    return Signed(key.kid, typ, decode_object(decode(payload)), key)


def check_typ(signed: Signed, typ: str | Collection[str] | Absent) -> None:
    """The kind must be this one or one of these, in lower case, with or without the media type's prefix; or it must not be said.

    Else ClaimRejected (RFC 8725 section 3.11).
    """
    if typ is ABSENT:
        if signed.typ is not None:
            raise ClaimRejected("typ", "there, though this issuer's tokens lack it")
        return
    kinds = (typ,) if isinstance(typ, str) else typ
    # ASCII alone: in lower case the Kelvin sign would be a k.
    if signed.typ is None or not signed.typ.isascii() or signed.typ.lower().removeprefix("application/") not in kinds:
        # What it says is told: it is a header's, and nobody's data.
        raise ClaimRejected("typ", f"{signed.typ!r:.40}, not {' or '.join(sorted(kinds))}")


def read_unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a token that nobody has verified: to look at, never to act on. MalformedToken."""
    header, _, payload, _ = _split(token)
    return header, decode_object(decode(payload))


def _split(token: str) -> tuple[dict[str, Any], bytes, str, str]:
    if len(token) > MAX_TOKEN:
        raise MalformedToken(f"over {MAX_TOKEN} bytes")
    parts = token.split(".", 3)
    if len(parts) != 3 or not token.isascii():
        raise MalformedToken("not three parts of ASCII")
    header = decode_object(decode(parts[0]))
    if "crit" in header or "b64" in header:
        raise MalformedToken("critical header parameters are not understood")  # RFC 7515 section 4.1.11
    return header, f"{parts[0]}.{parts[1]}".encode("ascii"), parts[1], parts[2]
