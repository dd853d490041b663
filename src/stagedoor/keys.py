"""Key: one key, one algorithm, one name (RFC 7517, RFC 7638), refused at the door when it is weak.

Never knows a file, a set, a life cycle or a token.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from stagedoor.algorithms import Algorithm, algorithm
from stagedoor.encoding import decode, encode
from stagedoor.errors import KeyRejected, MalformedToken

_CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_GENERATED_RSA_BITS = 3072
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MARKS_OF_A_KEY = (b"-----begin", b"ssh-rsa", b"ssh-ed25519", b"ecdsa-sha2", b'"kty"')
"""What random bytes never hold, wherever it stands: before it there may be blanks, a byte order mark or a preamble."""


class Key:
    """One key with its one algorithm. Its `kid` is the RFC 7638 thumbprint; for a secret it is derived from the secret.

    Built by `generate`, `from_secret`, `from_pem`, `from_der` and `from_jwk`; each refuses a weak key with KeyRejected.
    """

    __slots__ = ("_private", "_public", "algorithm", "kid")

    def __init__(self, row: Algorithm, public: Any, private: Any, kid: str | None = None) -> None:
        _check(row, public)
        self.algorithm = row
        self._public = public
        self._private = private
        if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= 255):
            raise KeyRejected("key_malformed", "kid is no text of 1 to 255 characters")
        self.kid = kid or self.thumbprint()

    @classmethod
    def generate(cls, name: str) -> Key:
        """A fresh key for this algorithm, RSA with 3072 bits. KeyRejected for an unknown algorithm."""
        row = algorithm(name)
        if row.key_type == "oct":
            return cls.from_secret(secrets.token_bytes(row.smallest // 8), name)
        private: Any
        if row.key_type == "RSA":
            private = rsa.generate_private_key(public_exponent=65537, key_size=_GENERATED_RSA_BITS)
        elif row.key_type == "EC":
            private = ec.generate_private_key(_CURVES[row.curve or ""])
        else:
            private = ed25519.Ed25519PrivateKey.generate()
        return cls(row, private.public_key(), private)

    @classmethod
    def from_secret(cls, secret: bytes, name: str = "HS256", *, kid: str | None = None) -> Key:
        """A key of shared secret bytes. KeyRejected where it is shorter than the hash, or is a public key's text."""
        if not isinstance(secret, bytes):
            raise TypeError("a secret is bytes; make one with secrets.token_bytes(32), not from a password")
        row = algorithm(name)
        if row.key_type != "oct":
            raise KeyRejected("key_algorithm_misfit", f"{name} does not sign with a shared secret")
        return cls(row, secret, secret, kid)

    @classmethod
    def from_pem(cls, pem: bytes, name: str, *, password: bytes | None = None, kid: str | None = None) -> Key:
        """A private or public key from PEM (PKCS#8, PKCS#1, SEC 1, SPKI). KeyRejected `key_malformed`, or by policy."""
        return cls._from_serialized(pem, name, password, kid, serialization.load_pem_private_key, serialization.load_pem_public_key)

    @classmethod
    def from_der(cls, der: bytes, name: str, *, password: bytes | None = None, kid: str | None = None) -> Key:
        """A private or public key from DER. KeyRejected `key_malformed`, or by policy."""
        return cls._from_serialized(der, name, password, kid, serialization.load_der_private_key, serialization.load_der_public_key)

    @classmethod
    def _from_serialized(
        cls,
        data: bytes,
        name: str,
        password: bytes | None,
        kid: str | None,
        load_private: Callable[..., Any],
        load_public: Callable[..., Any],
    ) -> Key:
        row = algorithm(name)
        try:
            private = load_private(data, password)
        except (ValueError, TypeError, UnsupportedAlgorithm) as private_error:
            try:
                return cls(row, load_public(data), None, kid)
            except KeyRejected:
                raise
            except (ValueError, TypeError, UnsupportedAlgorithm):
                raise KeyRejected("key_malformed", f"no key can be read here: {private_error}") from None
        return cls(row, private.public_key(), private, kid)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any], name: str | None = None) -> Key:
        """A key from a JWK (RFC 7517). `name` is its algorithm where the JWK has no `alg`; where both stand they must agree."""
        row = algorithm(name or jwk.get("alg"))
        if "alg" in jwk and jwk["alg"] not in tuple(row.names):  # a tuple: what is not hashable may stand there
            raise KeyRejected("key_algorithm_misfit", f"the JWK says alg {jwk['alg']!r}, not {row.name}")
        if jwk.get("kty") != row.key_type or jwk.get("crv") != row.curve:
            raise KeyRejected("key_algorithm_misfit", f"{row.name} wants kty {row.key_type}, crv {row.curve}")
        if jwk.get("use", "sig") != "sig":
            raise KeyRejected("key_mixed_use", "a key here is for signatures only")
        operations = jwk.get("key_ops")
        if operations is not None and (not isinstance(operations, list) or not set(map(str, operations)) <= {"sign", "verify"}):
            raise KeyRejected("key_mixed_use", "key_ops names more than sign and verify")
        try:
            public, private = _READERS[row.key_type](jwk, row)
        except KeyRejected:
            raise
        except (ValueError, TypeError, KeyError, MalformedToken, UnsupportedAlgorithm):
            raise KeyRejected("key_malformed", f"the JWK's numbers make no {row.key_type} key") from None
        return cls(row, public, private, jwk.get("kid"))

    @property
    def can_sign(self) -> bool:
        """Whether the private part is here."""
        return self._private is not None

    @property
    def is_secret(self) -> bool:
        """Whether whoever verifies with it can also sign: it never goes into a JWKS."""
        return self.algorithm.key_type == "oct"

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`. TypeError for a key without its private part."""
        if self._private is None:
            raise TypeError(f"key {self.kid} has no private part: it verifies only")
        return self.algorithm.sign(self._private, data)

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `data`."""
        return self.algorithm.verify(self._public, data, signature)

    def jwk(self, *, private: bool = False) -> dict[str, Any]:
        """This key as a JWK; only with `private=True` does it hold what signs, and for a secret there is no other form."""
        if self.is_secret and not private:
            raise TypeError("a shared secret has no public form")
        if private and not self.can_sign:
            raise TypeError(f"key {self.kid} has no private part")
        members = _members(self.algorithm, self._public)
        if private and not self.is_secret:
            members |= _private_members(self.algorithm, self._private)
        return {**members, "kid": self.kid, "alg": self.algorithm.name, "use": "sig"}

    def thumbprint(self) -> str:
        """RFC 7638 thumbprint (SHA-256, base64url); for a secret a name derived under HMAC, so that it tells nothing."""
        if self.is_secret:
            return encode(hmac.digest(self._public, b"stagedoor key id", "sha256")[:16])
        members = _members(self.algorithm, self._public)
        canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
        return encode(hashlib.sha256(canonical.encode("ascii")).digest())

    def __repr__(self) -> str:
        return f"<Key {self.algorithm.name} {self.kid}{'' if self.can_sign else ' public'}>"


def has_private_members(jwk: Mapping[str, Any]) -> bool:
    """Whether a JWK holds what must never be published."""
    return not _PRIVATE_MEMBERS.isdisjoint(jwk)


def _check(row: Algorithm, public: Any) -> None:
    """The policy, on every way in."""
    kind = {
        "oct": bytes,
        "RSA": rsa.RSAPublicKey,
        "EC": ec.EllipticCurvePublicKey,
        "OKP": ed25519.Ed25519PublicKey,
    }
    if not isinstance(public, kind[row.key_type]):
        raise KeyRejected("key_algorithm_misfit", f"{row.name} wants a key of type {row.key_type}")
    if isinstance(public, bytes):
        if any(mark in public.lower() for mark in _MARKS_OF_A_KEY) or _is_der(public):
            raise KeyRejected("key_text_as_secret", "this is the text of a key, not a secret")
        if len(public) * 8 < row.smallest:
            raise KeyRejected("key_too_small", f"{row.name} wants a secret of at least {row.smallest // 8} bytes")
        if len(set(public)) < 8:
            raise KeyRejected("key_too_small", "a secret of a few repeated bytes is no secret")
    elif isinstance(public, rsa.RSAPublicKey):
        if public.key_size < row.smallest:
            raise KeyRejected("key_too_small", f"RSA with {public.key_size} bits; at least {row.smallest} are asked for")
        exponent = public.public_numbers().e
        if exponent < 65537 or exponent % 2 == 0:
            raise KeyRejected("key_weak_exponent", f"the public exponent {exponent} is too small or even")
    elif isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name != _CURVES[row.curve or ""].name:
        raise KeyRejected("key_algorithm_misfit", f"{row.name} wants the curve {row.curve}, not {public.curve.name}")


def _is_der(secret: bytes) -> bool:
    """Whether this is a key in DER: what a verifier that takes a public key for a secret would be given."""
    data = secret.lstrip()
    if not data.startswith(b"\x30"):
        return False
    for text in (data, data[:-1], data[:-2]):  # as it is, and with a line's end behind it
        with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
            return bool(serialization.load_der_public_key(text))
        with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
            return bool(serialization.load_der_private_key(text, None))
    return False


def _members(row: Algorithm, public: Any) -> dict[str, Any]:
    """The members that make the thumbprint (RFC 7638 section 3.2), which are the public key."""
    if row.key_type == "oct":
        return {"k": encode(public), "kty": "oct"}
    if row.key_type == "RSA":
        numbers = public.public_numbers()
        return {"e": _minimal(numbers.e), "kty": "RSA", "n": _minimal(numbers.n)}
    if row.key_type == "EC":
        numbers, width = public.public_numbers(), _width(public.curve)
        x, y = numbers.x.to_bytes(width, "big"), numbers.y.to_bytes(width, "big")
        return {"crv": row.curve, "kty": "EC", "x": encode(x), "y": encode(y)}
    return {"crv": row.curve, "kty": "OKP", "x": encode(public.public_bytes_raw())}


def _private_members(row: Algorithm, private: Any) -> dict[str, Any]:
    if row.key_type == "RSA":
        numbers = private.private_numbers()
        named = {
            "d": numbers.d,
            "p": numbers.p,
            "q": numbers.q,
            "dp": numbers.dmp1,
            "dq": numbers.dmq1,
            "qi": numbers.iqmp,
        }
        return {name: _minimal(number) for name, number in named.items()}
    if row.key_type == "EC":
        return {"d": encode(private.private_numbers().private_value.to_bytes(_width(private.curve), "big"))}
    return {"d": encode(private.private_bytes_raw())}


def _minimal(number: int) -> str:
    return encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _width(curve: ec.EllipticCurve) -> int:
    return (curve.key_size + 7) // 8


def _number(jwk: Mapping[str, Any], name: str, width: int | None = None) -> int:
    data = decode(jwk[name])
    if not data or (width is not None and len(data) != width):
        raise ValueError(name)
    return int.from_bytes(data, "big")


def _read_secret(jwk: Mapping[str, Any], row: Algorithm) -> tuple[Any, Any]:
    secret = decode(jwk["k"])
    return secret, secret


def _read_rsa(jwk: Mapping[str, Any], row: Algorithm) -> tuple[Any, Any]:
    public_numbers = rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n"))
    # Before the numbers are made a key: the policy's own codes, and no work on numbers of any size.
    if public_numbers.n.bit_length() < row.smallest:
        raise KeyRejected("key_too_small", f"RSA with {public_numbers.n.bit_length()} bits; at least {row.smallest}")
    if public_numbers.n.bit_length() > 16384:
        raise KeyRejected("key_malformed", "RSA with more than 16384 bits")
    if public_numbers.e < 65537 or public_numbers.e % 2 == 0:
        raise KeyRejected("key_weak_exponent", f"the public exponent {public_numbers.e} is too small or even")
    if "d" not in jwk:
        return public_numbers.public_key(), None
    p, q, d, dp, dq, qi = (_number(jwk, name) for name in ("p", "q", "d", "dp", "dq", "qi"))
    private = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public_numbers).private_key()
    return private.public_key(), private


def _read_ec(jwk: Mapping[str, Any], row: Algorithm) -> tuple[Any, Any]:
    curve = _CURVES[row.curve or ""]
    width = _width(curve)
    numbers = ec.EllipticCurvePublicNumbers(_number(jwk, "x", width), _number(jwk, "y", width), curve)
    public = numbers.public_key()  # ValueError for a point that is not on the curve
    if "d" not in jwk:
        return public, None
    return public, ec.EllipticCurvePrivateNumbers(_number(jwk, "d", width), numbers).private_key()


def _read_okp(jwk: Mapping[str, Any], row: Algorithm) -> tuple[Any, Any]:
    public = ed25519.Ed25519PublicKey.from_public_bytes(decode(jwk["x"]))
    if "d" not in jwk:
        return public, None
    private = ed25519.Ed25519PrivateKey.from_private_bytes(decode(jwk["d"]))
    if private.public_key().public_bytes_raw() != public.public_bytes_raw():
        raise ValueError("x")
    return public, private


_READERS: dict[str, Callable[[Mapping[str, Any], Algorithm], tuple[Any, Any]]] = {
    "oct": _read_secret,
    "RSA": _read_rsa,
    "EC": _read_ec,
    "OKP": _read_okp,
}
