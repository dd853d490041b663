"""JWK: a key as JSON members, written and read (RFC 7517, RFC 7518 section 6, RFC 8037), in one way only.

Never knows a set, a file, a key's state or what it signs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from stagedoor.algorithms import Algorithm
from stagedoor.encoding import decode, encode
from stagedoor.errors import KeyRejected, MalformedToken
from stagedoor.key_policy import CURVES, check_rsa

_PRIVATE: dict[str, tuple[str, ...]] = {
    "oct": ("k",),
    "RSA": ("d", "p", "q", "dp", "dq", "qi"),
    "EC": ("d",),
    "OKP": ("d",),
}
"""`kty` -> the members that make a key private: all of them, and no other."""
_ALL_PRIVATE = frozenset({"oth"}.union(*_PRIVATE.values()))


def has_private_members(jwk: Mapping[str, Any]) -> bool:
    """Whether a JWK holds what must never be published."""
    return not _ALL_PRIVATE.isdisjoint(jwk)


def read(jwk: Mapping[str, Any], row: Algorithm) -> tuple[Any, Any]:
    """The public and the private key (None where there is none) in this JWK; KeyRejected where it is not one for this algorithm."""
    if "alg" in jwk and jwk["alg"] not in tuple(row.names):  # a tuple: what is not hashable may stand there
        raise KeyRejected("key_algorithm_misfit", f"the JWK is not for alg {row.name}")
    if jwk.get("kty") != row.key_type:
        raise KeyRejected("key_algorithm_misfit", f"{row.name} wants kty {row.key_type}")
    if jwk.get("crv") != row.curve:
        raise KeyRejected("key_curve_misfit", f"{row.name} wants crv {row.curve}")
    private = _ALL_PRIVATE.intersection(jwk)
    if private and private != set(_PRIVATE[row.key_type]):
        raise KeyRejected("key_private_members", f"a private {row.key_type} key has {', '.join(_PRIVATE[row.key_type])}, and no other")
    _check_purpose(jwk, row, bool(private))
    return _READERS[row.key_type](jwk, row, bool(private))


def write(row: Algorithm, public: Any) -> dict[str, Any]:
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


def write_private(row: Algorithm, private: Any) -> dict[str, Any]:
    """The members that make it private, of a key that is no shared secret."""
    if row.key_type == "RSA":
        n = private.private_numbers()
        return {name: _minimal(number) for name, number in zip(_PRIVATE["RSA"], (n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp), strict=True)}
    if row.key_type == "EC":
        return {"d": encode(private.private_numbers().private_value.to_bytes(_width(private.curve), "big"))}
    return {"d": encode(private.private_bytes_raw())}


def _check_purpose(jwk: Mapping[str, Any], row: Algorithm, private: bool) -> None:
    """One key, one use: `use` and `key_ops` may be missing, but where they stand they say just what is done with the key."""
    if jwk.get("use", "sig") != "sig":
        raise KeyRejected("key_wrong_use", "a key here is for signatures only")
    needed = {"sign", "verify"} if row.key_type == "oct" else {"sign"} if private else {"verify"}
    operations = jwk.get("key_ops", list(needed))
    if not isinstance(operations, list) or not all(isinstance(operation, str) for operation in operations):
        raise KeyRejected("key_wrong_operations", "key_ops is no list of texts")
    if not needed <= set(operations) <= {"sign", "verify"} or len(set(operations)) != len(operations):
        raise KeyRejected("key_wrong_operations", f"key_ops of this key is {' and '.join(sorted(needed))}, each once, and nothing else")


def _read_secret(jwk: Mapping[str, Any], row: Algorithm, private: bool) -> tuple[Any, Any]:
    secret = _octets(jwk, "k")
    return secret, secret


def _read_rsa(jwk: Mapping[str, Any], row: Algorithm, private: bool) -> tuple[Any, Any]:
    public = rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n"))
    check_rsa(row, public.n, public.e)  # before the numbers are made a key: no work on numbers of any size
    if not private:
        return public.public_key(), None
    d, p, q, dp, dq, qi = (_number(jwk, name) for name in _PRIVATE["RSA"])
    return public.public_key(), _fitting(lambda: rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key())


def _read_ec(jwk: Mapping[str, Any], row: Algorithm, private: bool) -> tuple[Any, Any]:
    curve = CURVES[row.curve or ""]
    numbers = ec.EllipticCurvePublicNumbers(_fixed(jwk, "x", _width(curve)), _fixed(jwk, "y", _width(curve)), curve)
    try:
        public = numbers.public_key()
    except ValueError:
        raise KeyRejected("key_point_off_curve", f"x and y are no point of {row.curve}") from None
    if not private:
        return public, None
    d = _fixed(jwk, "d", _width(curve))
    return public, _fitting(lambda: ec.EllipticCurvePrivateNumbers(d, numbers).private_key())


def _read_okp(jwk: Mapping[str, Any], row: Algorithm, private: bool) -> tuple[Any, Any]:
    public = ed25519.Ed25519PublicKey.from_public_bytes(_octets(jwk, "x", 32))
    if not private:
        return public, None
    signing = ed25519.Ed25519PrivateKey.from_private_bytes(_octets(jwk, "d", 32))
    if signing.public_key().public_bytes_raw() != public.public_bytes_raw():
        raise _misfit()
    return public, signing


def _fitting(make: Callable[[], Any]) -> Any:
    """The private key that `make` makes: it raises ValueError for parts that do not belong together."""
    try:
        return make()
    except ValueError:
        raise _misfit() from None


def _misfit() -> KeyRejected:
    return KeyRejected("key_private_misfit", "the private part does not belong to the public one")


def _octets(jwk: Mapping[str, Any], name: str, width: int | None = None) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str):
        raise KeyRejected("key_malformed", f"{name} is missing, or no text")
    try:
        data = decode(text)
    except MalformedToken:
        raise KeyRejected("key_malformed", f"{name} is not base64url") from None
    if width is not None and len(data) != width:
        raise KeyRejected("key_not_canonical", f"{name} has {len(data)} bytes, not {width}")
    return data


def _number(jwk: Mapping[str, Any], name: str) -> int:
    """Base64urlUInt (RFC 7518 section 2): as few bytes as the number needs."""
    data = _octets(jwk, name)
    if data[:1] in (b"", b"\0"):
        raise KeyRejected("key_not_canonical", f"{name} is empty or begins with a zero byte")
    return int.from_bytes(data, "big")


def _fixed(jwk: Mapping[str, Any], name: str, width: int) -> int:
    """A coordinate or a scalar (RFC 7518 section 6.2): as many bytes as the curve's."""
    return int.from_bytes(_octets(jwk, name, width), "big")


def _minimal(number: int) -> str:
    return encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _width(curve: ec.EllipticCurve) -> int:
    return (curve.key_size + 7) // 8


_READERS: dict[str, Callable[[Mapping[str, Any], Algorithm, bool], tuple[Any, Any]]] = {
    "oct": _read_secret,
    "RSA": _read_rsa,
    "EC": _read_ec,
    "OKP": _read_okp,
}
