"""A14, A52 and A54: forgeries by the signature: of nothing, in other forms, nearly right, by weak keys.

Never knows who verifies them.
"""

from __future__ import annotations

import hashlib
import itertools
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from .forgery import (
    ALGORITHM,
    HASHES,
    MALFORMED,
    SIGNATURE,
    Forgeries,
    Given,
    as_json,
    attack,
    b64,
    forged,
    public_jwk,
    signer,
    token,
    unb64,
)

ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "ES512": (2**261 - 1 << 260) + 0xA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
}
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


@attack
def a14(given: Given) -> Forgeries:
    signed, _, text = given.tokens[0].rpartition(".")
    raw = unb64(text)
    forms: dict[str, bytes] = {
        "nothing": b"",
        "one byte": b"\0",
        "cut by one": raw[:-1],
        "one more": raw + b"\0",
        "a zero before": b"\0" + raw,
        "twice": raw + raw,
        "zeros": bytes(len(raw)),
        "ones": b"\xff" * len(raw),
        "half": raw[: len(raw) // 2],
    }
    if given.alg in ORDERS:
        width, order = given.width, ORDERS[given.alg]
        r, s = int.from_bytes(raw[:width], "big"), int.from_bytes(raw[width:], "big")
        halves = raw[:width], raw[width:]
        forms |= {
            "DER": encode_dss_signature(r, s),
            "DER, fresh": given.private.sign(signed.encode(), ec.ECDSA(HASHES[given.alg[2:]])),
            "halves changed": halves[1] + halves[0],
            "halves wider": b"\0" + halves[0] + b"\0" + halves[1],
            "second half wider": halves[0] + b"\0" + halves[1],
            "r beyond the order": (r + order).to_bytes(width + 1, "big")[-width:] + halves[1],
        }
        edges = {"0": 0, "1": 1, "n-1": order - 1, "n": order, "n+1": order + 1, "all ones": (1 << 8 * width) - 1}
        for (at, one), (beside, other) in itertools.product(edges.items(), repeat=2):
            forms[f"r {at}, s {beside}"] = one.to_bytes(width, "big") + other.to_bytes(width, "big")
            forms[f"DER of r {at}, s {beside}"] = encode_dss_signature(one, other)
    elif given.alg == "RS256":
        n = given.public.public_numbers().n
        size, s = len(raw), int.from_bytes(raw, "big")
        forms |= {f"the number {name}": value.to_bytes(size, "big") for name, value in {"1": 1, "n-1": n - 1, "n": n}.items()}
        forms |= {"s + n, wider": (s + n).to_bytes(size + 1, "big"), "s + n, cut": (s + n).to_bytes(size + 1, "big")[1:]}
        forms["n - s"] = (n - s).to_bytes(size, "big")
    elif given.alg == "Ed25519":
        s = int.from_bytes(raw[32:], "little")
        neutral, small = (1).to_bytes(32, "little"), bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
        forms |= {
            "s + L": raw[:32] + (s + ED25519_ORDER).to_bytes(32, "little"),
            "the neutral point": neutral + bytes(32),
            "a point of small order": small + bytes(32),
            "s = L": raw[:32] + ED25519_ORDER.to_bytes(32, "little"),
        }
    for name, form in forms.items():
        yield forged(name, f"{signed}.{b64(form)}", SIGNATURE)
    admin = f"{b64(as_json(given.header))}.{b64(as_json(given.admin))}"
    for name in ("zeros", "ones", "nothing"):
        yield forged(f"{name}, another payload", f"{admin}.{b64(forms[name])}", SIGNATURE)
    for name, form in forms.items():
        if name.startswith(("r ", "DER of")):
            yield forged(f"{name}, an admin", f"{admin}.{b64(form)}", SIGNATURE)


def twin_of(text: str, alg: str) -> str:
    """The token with s replaced by n - s, which every sound ECDSA takes for the same signature."""
    signed, _, signature = text.rpartition(".")
    raw, width = unb64(signature), len(unb64(signature)) // 2
    s = ORDERS[alg] - int.from_bytes(raw[width:], "big")
    return f"{signed}.{b64(raw[:width] + s.to_bytes(width, 'big'))}"


@attack
def a52(given: Given) -> Forgeries:
    """Signatures that are right up to some byte: who compares byte by byte answers later and later, and some day yes."""
    signed = f"{b64(as_json(given.header))}.{b64(as_json(given.payload))}"
    right = given.sign(signed.encode())
    for place in range(len(right)) if len(right) <= 64 else (0, 1, 7, 127, 254, 255):
        wrong = right[:place] + bytes([right[place] ^ 1]) + right[place + 1 :]
        yield forged(f"byte {place} is wrong", f"{signed}.{b64(wrong)}", SIGNATURE)
        yield forged(f"right for {place} bytes", f"{signed}.{b64(right[:place])}", SIGNATURE)
    yield forged("another payload, a kept signature", token(given.header, given.admin, given.signature), SIGNATURE)
    yield forged("another header, a kept signature", token(given.named(note=1), given.payload, given.signature), SIGNATURE)
    yield forged("hex", f"{signed}.{right.hex()}", SIGNATURE, MALFORMED)


@cache
def weak_key(kind: str) -> rsa.RSAPrivateKey:
    bits, exponent = {"1024 bits": (1024, 65537), "e is 3": (2048, 3)}[kind]
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits)


@attack
def a54(given: Given) -> Forgeries:
    for kind in ("1024 bits", "e is 3"):
        weak = weak_key(kind)
        jwk = public_jwk(weak.public_key(), kid=given.kid, alg="RS256")
        for alg in ("RS256", "PS256"):
            code = SIGNATURE if alg == given.alg else ALGORITHM
            yield forged(f"{alg} with {kind}", token(given.named(alg=alg), given.admin, signer(weak, alg)), code)
            yield forged(f"{alg} with {kind}, embedded", token(given.named(alg=alg, jwk=jwk), given.admin, signer(weak, alg)), code)
    # With e = 1 the signature is the padded digest itself: anybody writes it.
    size = 256
    yield forged("e is 1", token(given.named(alg="RS256"), given.admin, lambda signed: _padded(signed, size)), _rs256(given))


def _rs256(given: Given) -> str:
    return SIGNATURE if given.alg == "RS256" else ALGORITHM


def _padded(signed: bytes, size: int) -> bytes:
    information = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(signed).digest()
    return b"\0\1" + b"\xff" * (size - len(information) - 3) + b"\0" + information
