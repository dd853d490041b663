"""The one table of signature algorithms (RFC 7518 section 3, RFC 8037, RFC 9864): nothing else ever lists them.

Never knows a token, a key's name or where a key came from.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hmac import HMAC

from stagedoor.encoding import decode, encode
from stagedoor.errors import KeyRejected


def _as_it_is(key: Any) -> Any:
    return key


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row: what its keys are, and how they sign and verify."""

    name: str
    names: frozenset[str]
    """The `alg` values that mean this algorithm; more than one only for Ed25519 (RFC 9864 section 2.2)."""
    key_type: str
    """`kty` of its keys (RFC 7518 section 6.1, RFC 8037 section 2)."""
    curve: str | None
    """`crv` of its keys, for EC and OKP."""
    smallest: int
    """Bits that a key must have at least: of the modulus for RSA, of the secret for oct."""
    sign: Callable[[Any, bytes], bytes]
    """(prepared private key or secret, data) -> signature."""
    verify: Callable[[Any, bytes, str], bool]
    """(prepared public key or secret, data, signature as a token carries it) -> whether it holds. MalformedToken: no base64url."""
    prepare: Callable[[Any], Any] = _as_it_is
    """A key or secret, as `sign` and `verify` take it: once for each key, because it can cost more than they do."""


def algorithm(name: object) -> Algorithm:
    """The row of this `alg`; KeyRejected `key_algorithm_unknown` for any other value, `none` among them."""
    row = ALGORITHMS.get(name) if isinstance(name, str) else None
    if row is None:
        raise KeyRejected("key_algorithm_unknown", f"{name!r:.20} is no algorithm of ours; there are {', '.join(ALGORITHMS)}")
    return row


def _hmac(bits: int) -> Algorithm:
    chosen = _HASHES[bits]

    def prepare(secret: bytes) -> HMAC:
        return HMAC(secret, chosen)  # the two blocks that the secret alone fills are hashed here, and never again

    def sign(prepared: HMAC, data: bytes) -> bytes:
        context = prepared.copy()
        context.update(data)
        return context.finalize()

    def verify(prepared: HMAC, data: bytes, signature: str) -> bool:
        context = prepared.copy()
        context.update(data)
        # As text, of which there is one for each value: to write this one takes half as long as to read the other.
        try:
            is_same = hmac.compare_digest(encode(context.finalize()), signature)
        except TypeError:  # it is not ASCII
            is_same = False
        if is_same:
            return True
        decode(signature)  # what is no base64url is malformed
        return False

    return Algorithm(f"HS{bits}", frozenset({f"HS{bits}"}), "oct", None, bits, sign, verify, prepare)


def _rsa(name: str, bits: int, pad: padding.AsymmetricPadding) -> Algorithm:
    chosen = _HASHES[bits]

    def sign(private: Any, data: bytes) -> bytes:
        return bytes(private.sign(data, pad, chosen))

    def verify(public: Any, data: bytes, signature: str) -> bool:
        try:
            public.verify(decode(signature), data, pad, chosen)
        except InvalidSignature:
            return False
        return True

    return Algorithm(name, frozenset({name}), "RSA", None, 2048, sign, verify)


def _ecdsa(bits: int, curve: str, width: int) -> Algorithm:
    scheme = ec.ECDSA(_HASHES[bits])

    def sign(private: Any, data: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(data, scheme))
        return r.to_bytes(width, "big") + s.to_bytes(width, "big")

    def verify(public: Any, data: bytes, signature: str) -> bool:
        raw = decode(signature)
        # The raw form has one width (RFC 7518 section 3.4); DER, which has others, is no signature here.
        if len(raw) != 2 * width:
            return False
        # As ECDSA-Sig-Value (RFC 3279 section 2.2.3); by way of Python's integers it takes four times as long.
        r, s = raw[:width].lstrip(b"\0"), raw[width:].lstrip(b"\0")
        if not r or r[0] > 127:
            r = b"\0" + r
        if not s or s[0] > 127:
            s = b"\0" + s
        length = 4 + len(r) + len(s)
        der = b"\x30%b%c\x02%c%b\x02%c%b" % (b"\x81" if length > 127 else b"", length, len(r), r, len(s), s)
        try:
            public.verify(der, data, scheme)
        except InvalidSignature:
            return False
        return True

    return Algorithm(f"ES{bits}", frozenset({f"ES{bits}"}), "EC", curve, 256, sign, verify)


def _ed25519(name: str) -> Algorithm:
    def sign(private: Any, data: bytes) -> bytes:
        return bytes(private.sign(data))

    def verify(public: Any, data: bytes, signature: str) -> bool:
        try:
            public.verify(decode(signature), data)
        except InvalidSignature:
            return False
        return True

    return Algorithm(name, frozenset({"Ed25519", "EdDSA"}), "OKP", "Ed25519", 256, sign, verify)


_HASHES: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 512: hashes.SHA512()}

_ROWS = (
    *(_hmac(bits) for bits in _HASHES),
    *(_rsa(f"RS{bits}", bits, padding.PKCS1v15()) for bits in _HASHES),
    # The salt is as long as the hash (RFC 7518 section 3.5).
    *(_rsa(f"PS{bits}", bits, padding.PSS(mgf=padding.MGF1(chosen), salt_length=chosen.digest_size)) for bits, chosen in _HASHES.items()),
    _ecdsa(256, "P-256", 32),
    _ecdsa(384, "P-384", 48),
    _ecdsa(512, "P-521", 66),
    _ed25519("Ed25519"),
    _ed25519("EdDSA"),
)

ALGORITHMS: dict[str, Algorithm] = {row.name: row for row in _ROWS}
"""alg -> its row. What is not here does not exist: no `none`, no RSA1_5, no ES256K."""
