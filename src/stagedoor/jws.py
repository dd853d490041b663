"""Compact JWS (RFC 7515): sign and verify, nothing else; no JSON serialisation, no JWE, no key from a header.

Never knows what a payload means. Reading order is the security order: size, form, algorithm, key, signature, then the payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from stagedoor.algorithms import ALGORITHMS, Algorithm
from stagedoor.encoding import MAX_TOKEN, decode, decode_object, encode
from stagedoor.errors import AlgorithmNotAllowed, BadSignature, ClaimRejected, MalformedToken, UnknownKey

_MAX_KID = 255


class VerifyingKey(Protocol):
    """What verification needs of a key."""

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
        """The key of this `kid`, if it is accepted at this moment."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a verified token says: its key's name, its kind and its payload, all under the signature."""

    kid: str
    typ: str | None
    payload: dict[str, Any]


def sign(key: SigningKey, typ: str, payload: object) -> str:
    """The compact token of this payload, which msgspec can write as JSON."""
    header = msgspec.json.encode({"alg": key.algorithm.name, "kid": key.kid, "typ": typ})
    signed = f"{encode(header)}.{encode(msgspec.json.encode(payload))}"
    return f"{signed}.{encode(key.sign(signed.encode('ascii')))}"


def verify(token: str, keys: KeyFinder, now: float) -> Signed:
    """What `token` says, if a key of `keys` signed it.

    Raises MalformedToken, AlgorithmNotAllowed, UnknownKey, BadSignature. Nothing of the payload is parsed before the signature holds.
    """
    header, signed, payload, signature = _split(token)
    name = header.get("alg")
    if not isinstance(name, str) or name not in ALGORITHMS:
        raise AlgorithmNotAllowed("the header's alg is none of ours")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
        raise UnknownKey("the header has no usable kid")
    key = keys.find(kid, now)
    if key is None:
        raise UnknownKey("no key of this kid is accepted", kid=kid)
    if name not in key.algorithm.names:
        raise AlgorithmNotAllowed(f"key {kid} is for {key.algorithm.name}")
    if not key.verify(signed, decode(signature)):
        raise BadSignature
    typ = header.get("typ")
    if typ is not None and not isinstance(typ, str):
        raise MalformedToken("typ is not a text")
    return Signed(kid, typ, decode_object(decode(payload)))


def check_typ(signed: Signed, typ: str) -> None:
    """The kind must be this one (RFC 8725 section 3.11), with or without the media type's prefix; else ClaimRejected."""
    if signed.typ is None or signed.typ.lower().removeprefix("application/") != typ:
        raise ClaimRejected("typ", f"not {typ}")


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
