"""ECDSA: a signature's two numbers may be of any length; for each pair of them there is a key whose signature they are."""

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from stagedoor.encoding import encode
from stagedoor.keys import Key

from .material import CURVES, public_der
from .test_jws import ORDERS, WIDTHS

PRIMES = {
    "ES256": 2**256 - 2**224 + 2**192 + 2**96 - 1,
    "ES384": 2**384 - 2**128 - 2**96 + 2**32 - 1,
    "ES512": 2**521 - 1,
}
DATA = b"what is signed"
Point = tuple[int, int]
Number = tuple[int, int]
"""How many bytes it has, and the first of them."""


def added(one: Point | None, other: Point | None, prime: int) -> Point | None:
    """The sum of two points of a NIST curve; None is the neutral one."""
    if one is None or other is None:
        return one or other
    if one[0] == other[0] and (one[1] + other[1]) % prime == 0:
        return None
    if one == other:
        slope = 3 * (one[0] * one[0] - 1) * pow(2 * one[1], -1, prime)
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, prime)
    x = (slope * slope - one[0] - other[0]) % prime
    return x, (slope * (one[0] - x) - one[1]) % prime


def times(number: int, point: Point | None, prime: int) -> Point | None:
    total = None
    while number:
        if number & 1:
            total = added(total, point, prime)
        point = added(point, point, prime)
        number >>= 1
    return total


def signed(name: str, first: Number, second: Number) -> tuple[Key, int, int]:
    """Numbers r and s like these, and the key under which they are a signature of DATA (SEC 1 section 4.1.6)."""
    prime, order, width, curve = PRIMES[name], ORDERS[name], WIDTHS[name], CURVES[name]
    r, s = (each[1] << 8 * (each[0] - 1) for each in (first, second))
    while True:  # every other number is the x of a point
        try:
            point: Any = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x02" + r.to_bytes(width, "big")).public_numbers()
            break
        except ValueError:
            r += 1
    z = int.from_bytes(hashlib.new(f"sha{name[2:]}", DATA).digest(), "big")
    minus: Any = ec.derive_private_key(-z * pow(r, -1, order) % order, curve).public_key().public_numbers()
    found = added(times(s * pow(r, -1, order) % order, (point.x, point.y), prime), (minus.x, minus.y), prime)
    assert found is not None
    return Key.from_der(public_der(ec.EllipticCurvePublicNumbers(*found, curve).public_key()), name), r, s


def pairs() -> list[tuple[str, Number, Number]]:
    found: list[tuple[str, Number, Number]] = []
    for name, width in WIDTHS.items():
        numbers = [(length, first) for length in (1, width - 1) for first in (0x01, 0x58, 0x7F, 0x80, 0xFF)] + [(width, 0x01)]
        if name != "ES512":  # whose order is of 521 bits
            numbers += [(width, 0x7F), (width, 0x80), (width, 0xFE)]
        found += [(name, one, other) for one, other in zip(numbers, numbers[5:] + numbers[:5], strict=True)]
        found += [(name, each, each) for each in numbers]
    # In DER the two of them together, and what stands before each, have about as many bytes as one byte of length can say.
    found += [("ES512", (66, 0x01), (length, first)) for length in (55, 56, 57, 58) for first in (0x7F, 0x80)]
    found += [("ES512", (length, first), (66, 0x01)) for length in (56, 57) for first in (0x7F, 0x80)]
    return found


@pytest.mark.parametrize(("name", "first", "second"), pairs(), ids=str)
def test_numbers_of_each_length(name: str, first: Number, second: Number):
    """A signature holds, and for other data does not, however many zeros stand before its numbers and whatever bit is their first."""
    key, r, s = signed(name, first, second)
    width = WIDTHS[name]
    signature = r.to_bytes(width, "big") + s.to_bytes(width, "big")
    assert key.holds(DATA, encode(signature))
    assert not key.holds(DATA + b"0", encode(signature))
    for other in ((r + 1, s), (r, s + 1), (r, 0), (0, s), (r << 8, s), (r, s << 8)):
        numbers = [number.to_bytes(width + 1, "big")[1:] for number in other]
        assert not key.holds(DATA, encode(b"".join(numbers)))
