"""What a key must be like to be let in: the same for every way in (NIST SP 800-56B, RFC 7518, RFC 8032).

Never knows where a key came from, what it is called or what it signs.
"""

from __future__ import annotations

import contextlib
import functools
import math
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519

from stagedoor.algorithms import Algorithm
from stagedoor.errors import KeyRejected

CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
"""`crv` -> its curve (RFC 7518 section 6.2.1.1)."""
LARGEST_RSA = 16384
"""Bits of the longest modulus: a longer one makes each verification a burden."""
_EXPONENTS = range(65537, 2**256, 2)
"""The odd ones that FIPS 186-5 section 5.1 allows."""
_FEWEST_BYTES = 8
"""How many different bytes a secret must hold: 32 random ones have fewer less than once in 2**130."""
_MARKS_OF_A_KEY = (b"-----begin", b"ssh-rsa", b"ssh-ed25519", b"ecdsa-sha2", b'"kty"')
"""What random bytes never hold, wherever it stands: before it there may be blanks, a byte order mark or a preamble."""
_OTHER_OKP = (ed448.Ed448PublicKey, x25519.X25519PublicKey, x448.X448PublicKey)
_PRIME = 2**255 - 19
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME


def check(row: Algorithm, public: Any) -> None:
    """Whether this public key, or these bytes of a shared secret, may be used for this algorithm; else KeyRejected with its code."""
    key_type, curve = _kind(public)
    if key_type != row.key_type:
        raise KeyRejected("key_algorithm_misfit", f"{row.name} wants a key of type {row.key_type}")
    if curve != row.curve:
        raise KeyRejected("key_curve_misfit", f"{row.name} wants the curve {row.curve}, not {curve}")
    if isinstance(public, bytes):
        _check_secret(row, public)
    elif isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        check_rsa(row, numbers.n, numbers.e)
    elif isinstance(public, ed25519.Ed25519PublicKey):
        _check_ed25519(public.public_bytes_raw())


def check_rsa(row: Algorithm, modulus: int, exponent: int) -> None:
    """Whether RSA with these numbers is sound; else KeyRejected. Told apart from `check` for numbers that no key can be made of."""
    bits = modulus.bit_length()
    if bits < row.smallest:
        raise KeyRejected("key_too_small", f"RSA with {bits} bits; at least {row.smallest} are asked for")
    if bits > LARGEST_RSA:
        raise KeyRejected("key_too_large", f"RSA with {bits} bits; at most {LARGEST_RSA} are taken")
    if exponent not in _EXPONENTS:
        raise KeyRejected("key_weak_exponent", "the public exponent is even, or not between 65537 and 2**256")
    if modulus % 2 == 0 or math.gcd(modulus, math.prod(_powers())) != 1:
        raise KeyRejected("key_weak_modulus", "a small number divides the modulus")
    if all(modulus % prime in powers for prime, powers in _powers().items()):
        raise KeyRejected("key_roca", "the modulus has the mark of a generator whose keys can be factored (CVE-2017-15361)")


@functools.cache
def _powers() -> dict[int, frozenset[int]]:
    """Each odd prime up to 167, and the powers of 65537 modulo it.

    The primes of the faulty generator are k*M + 65537**a for an M that each of these divides. Modulo each of them such a prime is a
    power of 65537, and so is the product of two. Of 240 million sound keys one is so by chance.
    """
    primes = [n for n in range(3, 168, 2) if all(n % m for m in range(3, math.isqrt(n) + 1, 2))]
    return {prime: frozenset(pow(65537, a, prime) for a in range(prime - 1)) for prime in primes}


def _check_ed25519(data: bytes) -> None:
    """The point must be one of the curve's, written in the one way, and not of the eight that any signature holds under."""
    sign, y = data[31] >> 7, int.from_bytes(data, "little") & (2**255 - 1)
    square = _x_square(y)  # -x² + y² = 1 + d x² y², RFC 8032 section 5.1
    if y >= _PRIME or pow(square, (_PRIME - 1) // 2, _PRIME) == _PRIME - 1 or (square == 0 and sign):
        raise KeyRejected("key_point_off_curve", "these bytes are no point of Ed25519 (RFC 8032 section 5.1.3)")
    for _ in range(3):  # eight times a point of small order is the neutral one, whose y is 1
        y = (y * y + square) * pow(2 + square - y * y, -1, _PRIME) % _PRIME
        square = _x_square(y)
    if y == 1:
        raise KeyRejected("key_weak_point", "a point of small order: signatures under it can be made without a key")


def _x_square(y: int) -> int:
    return (y * y - 1) * pow(_D * y * y + 1, -1, _PRIME) % _PRIME


def _check_secret(row: Algorithm, secret: bytes) -> None:
    if not secret:
        raise KeyRejected("key_secret_empty", "an empty secret is no secret")
    if any(mark in secret.lower() for mark in _MARKS_OF_A_KEY) or _is_der(secret):
        raise KeyRejected("key_text_as_secret", "this is the text of a key, not a secret")
    if len(secret) * 8 < row.smallest:
        raise KeyRejected("key_too_small", f"{row.name} wants a secret of at least {row.smallest // 8} bytes")
    if len(set(secret)) < _FEWEST_BYTES:
        raise KeyRejected("key_secret_weak", "a secret of a few repeated bytes is no secret")


def _is_der(secret: bytes) -> bool:
    """Whether this is a key in DER: what a verifier that takes a public key for a secret would be given."""
    data = secret.lstrip()
    if not data.startswith(b"\x30"):
        return False
    for text in (data, data[:-1], data[:-2]):  # as it is, and with a line's end behind it
        for load in (serialization.load_der_public_key, lambda der: serialization.load_der_private_key(der, None)):
            with contextlib.suppress(ValueError):
                with contextlib.suppress(TypeError, UnsupportedAlgorithm):  # behind a password, or of a kind that is not known: a key
                    load(text)
                return True
    return False


def _kind(public: Any) -> tuple[str, str | None]:
    """`kty` and `crv` of a key."""
    if isinstance(public, bytes):
        return "oct", None
    if isinstance(public, rsa.RSAPublicKey):
        return "RSA", None
    if isinstance(public, ec.EllipticCurvePublicKey):
        return "EC", next((name for name, curve in CURVES.items() if curve.name == public.curve.name), public.curve.name)
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "OKP", "Ed25519"
    return ("OKP", "another") if isinstance(public, _OTHER_OKP) else ("another", None)
