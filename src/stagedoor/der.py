"""Keys in PEM and DER (PKCS#8, PKCS#1, SEC 1, SPKI): loads them, and finds out why one cannot be loaded.

Never knows a key's name, a set or what is signed.
"""

from __future__ import annotations

import binascii
import contextlib
import re
from collections.abc import Iterator
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from stagedoor.algorithms import Algorithm
from stagedoor.errors import KeyRejected
from stagedoor.key_policy import CURVES, check_rsa

_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)
_ARMOR = re.compile(rb"-----BEGIN ([A-Z ]*KEY)-----(.*?)-----END \1-----", re.DOTALL)
_INTEGER, _BITS, _OCTETS, _NAME, _SEQUENCE, _TAGGED = 0x02, 0x03, 0x04, 0x06, 0x30, (0xA0, 0xA1)
_DEEPEST = 6
_RSA = bytes.fromhex("2a864886f70d010101")
_CURVE_NAMES = {"P-256": bytes.fromhex("2a8648ce3d030107"), "P-384": bytes.fromhex("2b81040022"), "P-521": bytes.fromhex("2b81040023")}


def load(data: bytes, password: bytes | None, row: Algorithm, *, pem: bool) -> tuple[Any, Any]:
    """The public and the private key (None where there is none) in these bytes.

    KeyRejected: with the policy's code where the numbers can be read though no key can be made of them, else `key_malformed`.
    """
    if not isinstance(data, bytes):
        raise TypeError("pem is bytes: text.encode()" if pem else "der is bytes")
    load_private = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    load_public = serialization.load_pem_public_key if pem else serialization.load_der_public_key
    try:
        private: Any = load_private(data, password)
    except _UNREADABLE as private_error:
        try:
            return load_public(data), None
        except _UNREADABLE:
            _explain(_unarmored(data) if pem else data, row)
            raise KeyRejected("key_malformed", f"no key can be read here: {private_error}") from None
    return private.public_key(), private


def _unarmored(pem: bytes) -> bytes:
    found = _ARMOR.search(pem)
    try:
        return binascii.a2b_base64(found[2]) if found else b""
    except binascii.Error:
        return b""


def _explain(der: bytes, row: Algorithm) -> None:
    """Raise the code that says what is wrong with the numbers in here; nothing where that cannot be told."""
    try:
        parts = list(_parts(der)) if der[0] == _SEQUENCE else []
    except (IndexError, ValueError):
        return
    names = [value for tag, value in parts if tag == _NAME]
    if row.key_type == "RSA" and names in ([], [_RSA]):
        _explain_rsa([int.from_bytes(value, "big", signed=True) for tag, value in parts if tag == _INTEGER], row)
    if row.key_type == "EC" and _CURVE_NAMES[row.curve or ""] in names:
        _explain_ec(parts, CURVES[row.curve or ""])


def _explain_rsa(numbers: list[int], row: Algorithm) -> None:
    while numbers and numbers[0] in (0, 1):  # versions (RFC 5208, RFC 8017 appendix A.1.2)
        del numbers[0]
    if len(numbers) < 2 or numbers[0] < 0:
        return
    check_rsa(row, *numbers[:2])
    if len(numbers) == 8:
        raise KeyRejected("key_private_misfit", "the private part does not belong to the public one")
    if len(numbers) > 8:
        raise KeyRejected("key_private_members", "an RSA key has two primes here, and no more")


def _explain_ec(parts: list[tuple[int, bytes]], curve: ec.EllipticCurve) -> None:
    for tag, value in parts:
        if tag == _BITS:
            try:
                ec.EllipticCurvePublicKey.from_encoded_point(curve, value)
            except ValueError:
                raise KeyRejected("key_point_off_curve", f"this is no point of {curve.name}") from None
    if any(tag == _OCTETS for tag, _ in parts):
        raise KeyRejected("key_private_misfit", "the private part does not belong to the public one")


def _parts(der: bytes, depth: int = 0) -> Iterator[tuple[int, bytes]]:
    """Tag and value of each number, name and string, however they are wrapped. ValueError or IndexError for what is no DER."""
    while der:
        tag, length, start = der[0], der[1], 2
        if length > 0x80:
            start += length - 0x80
            length = int.from_bytes(der[2:start], "big")
        value, der = der[start : start + length], der[start + length :]
        if len(value) != length or depth > _DEEPEST:
            raise ValueError
        if tag in (_SEQUENCE, *_TAGGED):
            yield from _parts(value, depth + 1)
            continue
        if tag == _BITS:
            value = value[1:]
        inner: list[tuple[int, bytes]] = []
        if tag in (_BITS, _OCTETS) and value[:1] == bytes([_SEQUENCE]):  # a key within PKCS#8 or SPKI, or a scalar by chance
            with contextlib.suppress(ValueError, IndexError):
                inner = list(_parts(value, depth + 1))
        yield from inner if inner and inner[0][0] == _INTEGER else [(tag, value)]
