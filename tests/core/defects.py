"""Keys with one thing wrong, as numbers; and every form in which a key can come, made by hand where no library would make it.

Never knows which of them is refused.
"""

import math
from base64 import encodebytes
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization

from stagedoor.encoding import encode

from .material import CURVES, private_key, rsa_key

RSA_NAME = bytes.fromhex("06092a864886f70d010101")
EC_NAME = bytes.fromhex("06072a8648ce3d0201")
CURVE_NAMES = {
    "ES256": bytes.fromhex("06082a8648ce3d030107"),
    "ES384": bytes.fromhex("06052b81040022"),
    "ES512": bytes.fromhex("06052b81040023"),
}
ED25519_NAME = bytes.fromhex("06032b6570")
RSA_MEMBERS = ("n", "e", "d", "p", "q", "dp", "dq", "qi")


@dataclass(frozen=True)
class Parts:
    """The numbers of one key. For Ed25519 `x` is the public key's bytes, for EC the coordinates are numbers."""

    name: str
    rsa: tuple[int, ...] = ()
    """n, e, d, p, q, dp, dq, qi."""
    point: tuple[int, int] = (0, 0)
    scalar: int = 0
    x: bytes = b""


@cache
def sound(name: str) -> Parts:
    """The parts of a key with which nothing is wrong."""
    private: Any = private_key(name)
    if name in CURVES:
        numbers = private.private_numbers()
        return Parts(name, point=(numbers.public_numbers.x, numbers.public_numbers.y), scalar=numbers.private_value)
    if name in ("Ed25519", "EdDSA"):
        return Parts(name, x=private.public_key().public_bytes_raw())
    return Parts(name, rsa=rsa_parts(private))


def rsa_parts(private: Any) -> tuple[int, ...]:
    n = private.private_numbers()
    return n.public_numbers.n, n.public_numbers.e, n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp


def with_rsa(**changed: int) -> Parts:
    """A sound RSA key with these members changed."""
    members = dict(zip(RSA_MEMBERS, sound("RS256").rsa, strict=True)) | changed
    return Parts("RS256", rsa=tuple(members.values()))


def small_rsa() -> Parts:
    return Parts("RS256", rsa=rsa_parts(rsa_key(1024)))


def even_exponent() -> Parts:
    return with_rsa(e=65538)


@cache
def with_the_mark_of_roca() -> Parts:
    """The modulus of two numbers k*M + 65537**a mod M, as the faulty generator made its primes; whether they are prime plays no part."""
    m = math.prod([2, *(n for n in range(3, 168, 2) if all(n % d for d in range(3, math.isqrt(n) + 1, 2)))])
    p, q = ((((3 << 1022) // m + step) | 1) * m + pow(65537, 1000 + step, m) for step in (12345, 67890))
    return with_rsa(n=p * q, p=p, q=q)


def off_the_curve(name: str) -> Parts:
    x, y = sound(name).point
    return replace(sound(name), point=(x, y ^ 1))


# Forms


def public_jwk(parts: Parts) -> dict[str, Any]:
    if parts.rsa:
        return {"kty": "RSA", "alg": parts.name, "n": number(parts.rsa[0]), "e": number(parts.rsa[1])}
    if parts.x:
        return {"kty": "OKP", "crv": "Ed25519", "alg": parts.name, "x": encode(parts.x)}
    x, y = (encode(value.to_bytes(width(parts), "big")) for value in parts.point)
    curve = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[parts.name]
    return {"kty": "EC", "crv": curve, "alg": parts.name, "x": x, "y": y}


def private_jwk(parts: Parts) -> dict[str, Any]:
    if parts.rsa:
        return {**public_jwk(parts), **{name: number(value) for name, value in zip(RSA_MEMBERS[2:], parts.rsa[2:], strict=True)}}
    return {**public_jwk(parts), "d": encode(parts.scalar.to_bytes(width(parts), "big"))}


def ed25519_jwk() -> dict[str, Any]:
    """A private key of Ed25519."""
    return {**public_jwk(sound("Ed25519")), "d": encode(private_key("Ed25519").private_bytes_raw())}


def spki(parts: Parts) -> bytes:
    if parts.rsa:
        return sequence(sequence(RSA_NAME, b"\5\0"), bits(sequence(*map(integer, parts.rsa[:2]))))
    if parts.x:
        return sequence(sequence(ED25519_NAME), bits(parts.x))
    return sequence(sequence(EC_NAME, CURVE_NAMES[parts.name]), bits(point(parts)))


def traditional(parts: Parts) -> bytes:
    """PKCS#1 or SEC 1."""
    if parts.rsa:
        return sequence(integer(0), *map(integer, parts.rsa))
    named, public = tagged(0xA0, CURVE_NAMES[parts.name]), tagged(0xA1, bits(point(parts)))
    return sequence(integer(1), octets(parts.scalar.to_bytes(width(parts), "big")), named, public)


def pkcs8(parts: Parts) -> bytes:
    if parts.rsa:
        return sequence(integer(0), sequence(RSA_NAME, b"\5\0"), octets(traditional(parts)))
    inner = sequence(integer(1), octets(parts.scalar.to_bytes(width(parts), "big")), tagged(0xA1, bits(point(parts))))
    return sequence(integer(0), sequence(EC_NAME, CURVE_NAMES[parts.name]), octets(inner))


def pem(der: bytes, label: str) -> bytes:

    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), encodebytes(der), label.encode())


def number(value: int) -> str:
    return encode(value.to_bytes((value.bit_length() + 7) // 8 or 1, "big"))


def width(parts: Parts) -> int:
    return (CURVES[parts.name].key_size + 7) // 8


def point(parts: Parts) -> bytes:
    return b"\4" + b"".join(value.to_bytes(width(parts), "big") for value in parts.point)


def tagged(tag: int, value: bytes) -> bytes:
    size = len(value).to_bytes((len(value).bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (size if len(value) < 128 else bytes([128 + len(size)]) + size) + value


def integer(value: int) -> bytes:
    return tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bits(value: bytes) -> bytes:
    return tagged(0x03, b"\0" + value)


def octets(value: bytes) -> bytes:
    return tagged(0x04, value)


def sequence(*parts: bytes) -> bytes:
    return tagged(0x30, b"".join(parts))


PUBLIC_FORMS: dict[str, Callable[[Parts], bytes]] = {"der": spki, "pem": lambda parts: pem(spki(parts), "PUBLIC KEY")}
PRIVATE_FORMS: dict[str, Callable[[Parts], bytes]] = {
    "pkcs8 der": pkcs8,
    "pkcs8 pem": lambda parts: pem(pkcs8(parts), "PRIVATE KEY"),
    "traditional der": traditional,
    "traditional pem": lambda parts: pem(traditional(parts), "RSA PRIVATE KEY" if parts.rsa else "EC PRIVATE KEY"),
}


def locked(private: Any, password: bytes) -> bytes:
    """PKCS#8 in PEM behind a password."""
    lock = serialization.BestAvailableEncryption(password)
    return bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))
