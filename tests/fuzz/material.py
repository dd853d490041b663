"""Keys that are the same in every run, so that a case is the same for ever; and signatures that are the same each time.

Never knows a token. Nothing but these tests trusts these keys.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

NOW = 1_750_000_000
ISSUER = "https://issuer.example"
AUDIENCE = "https://api.example"
CURVES: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
CRV = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_PRIMES = {
    "main": (
        "f8c1a4ec2e4b220e36cc2353311258f50b1f6e1800bba971487e33ed04b8a60a3b9dab895e5e0d706e4f9fe1c2698a63b8381819f5869dc3f07ee1d8f9b11c38"
        "982de980d8d11882189458414758b4403a3a7c6e2fdac8106e06a913e4b8c8a5ffecda2c4831b1d7f764b20daca9ac2d3271b7e0709f5ca9bf364ec57972468f",
        "da8e753d8d3a0cb25e08ee73262b9e77b07f18dfbf6492704cd4573425efc8adf8b6e02431e453890b6d2587ec213db64f02ba071c7f676a6e1c328931ee00a3"
        "792b4dddc4439284912d54b91a5774e8c3017ad2ed4179aff2062cac028e83cd53231d00b9aceb761683f6c7acdae6a9b35ce7aefafb0a39f8c4fe2f592d4ec7",
    ),
    "other": (
        "e51a11c0a731918ce70c6d41ef3a125e292f907584be7dd03552e31d4b46dd995d03cc164579a0c04b5da6e6b7b8d206d71a5a74558b4432c8edd508cbefe706"
        "556a4a983fe9578bada1c04ce46344c0459e3b5c9d5be5ed176035b40dc894fad7e19ed3540b97577ffadee3ce781a247076999031334c0f0c263a49a35d1173",
        "ca40f7a1a6d3f20927fe7d35d59462478592f661627da40488ff61cd84464c76f4ca05e5ac65e6f22464686d007e66974ff71331d2cd2158c2c25eeae1b9d750"
        "7ed3c3adae979223fae5c2d9f4f7afcb8f6ff2775307fb9448486eda802962edc0f663e56197b884db1cbb7faec0f8c12a4faa64713ef8f2da7f616e70f78fc3",
    ),
    "small": (
        "fb86004931744a452f4820fe03de4e93a34ad70d04c6eb84efdeea903c9266fe74f69a074d451eaad84cf290764c151619e581b7eeaadc90ce4d90e9805c6b75",
        "ddec047eb92cfbe928e557ece923671ed33888aa0dad13267ee5ddb4ceb16e010aa322922ebbe278d4a9d4d3573988f7d49256316815aa6c1579ee2b7c683227",
    ),
}
"""p and q of RSA keys, each 2 modulo 3, so that 3 will do as an exponent too. `small` makes 1024 bits."""


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def seed(label: str, size: int) -> bytes:
    """Bytes that look random and are always the same."""
    return hashlib.shake_256(b"stagedoor fuzz " + label.encode()).digest(size)


def number(value: int, width: int | None = None) -> str:
    """A number as a JWK has it."""
    return b64(value.to_bytes(width or (value.bit_length() + 7) // 8, "big"))


@lru_cache(8)
def rsa_key(which: str, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """An RSA key of these primes."""
    p, q = (int(text, 16) for text in _PRIMES[which])
    d = pow(exponent, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(exponent, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


@dataclass(frozen=True)
class Signer:
    """Who signs: one key under one algorithm."""

    name: str
    kid: str
    private: Any
    """A secret, or a private key of `cryptography`."""

    @cached_property
    def jwk(self) -> dict[str, Any]:
        """The JWK that a verifier is given: public, or the secret."""
        return {**public_members(self.private, self.name), "kid": self.kid}

    def sign(self, data: bytes, name: str | None = None) -> bytes:
        """The signature under this signer's algorithm, or under another one that its key could be abused for."""
        return sign(self.private, name or self.name, data)


def public_members(private: Any, name: str) -> dict[str, Any]:
    """What makes the public key, or the secret, as members of a JWK."""
    if isinstance(private, bytes):
        return {"kty": "oct", "k": b64(private)}
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    if isinstance(public, ec.EllipticCurvePublicKey):
        numbers, width = public.public_numbers(), (public.curve.key_size + 7) // 8
        return {"kty": "EC", "crv": CRV[name], "x": number(numbers.x, width), "y": number(numbers.y, width)}
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw())}


UNDER_ANY = object()
"""Signs under the neutral point of Ed25519 without any key: B, which is 1 times B, and 1 (RFC 8032 section 5.1.7)."""


def sign(private: Any, name: str, data: bytes) -> bytes:
    """A signature, always the same for the same arguments; empty for an algorithm that this key can by no means be used for."""
    bits = name[2:]
    if private is UNDER_ANY:
        return b"\x58" + b"\x66" * 31 + b"\1" + bytes(31)
    if isinstance(private, bytes):
        return hmac.digest(private, data, "sha" + bits) if bits in HASHES else b""
    if isinstance(private, rsa.RSAPrivateKey):
        if name.startswith("RS"):
            return private.sign(data, padding.PKCS1v15(), HASHES[bits])
        return _pss(private, bits, data) if name.startswith("PS") else b""
    if isinstance(private, ec.EllipticCurvePrivateKey):
        if bits not in HASHES:
            return b""
        return raw(private.sign(data, ec.ECDSA(HASHES[bits], deterministic_signing=True)), (private.curve.key_size + 7) // 8)
    return private.sign(data)


def raw(der: bytes, width: int) -> bytes:
    """An ECDSA signature in the form of RFC 7518 section 3.4."""
    at = 4 if der[1] < 128 else 5
    r_size = der[at - 1]
    r, s = der[at : at + r_size], der[at + r_size + 2 :]
    return int.from_bytes(r, "big").to_bytes(width, "big") + int.from_bytes(s, "big").to_bytes(width, "big")


@lru_cache(4096)
def _pss(private: rsa.RSAPrivateKey, bits_of_hash: str, data: bytes) -> bytes:
    """RSASSA-PSS (RFC 8017 section 8.1.1) with a salt that follows from the data: `cryptography` would draw one."""

    def digest(*parts: bytes) -> bytes:
        return hashlib.new("sha" + bits_of_hash, b"".join(parts)).digest()

    numbers, size = private.private_numbers(), int(bits_of_hash) // 8
    bits = numbers.public_numbers.n.bit_length() - 1
    length = (bits + 7) // 8
    if length < 2 * size + 2:
        return bytes((bits + 8) // 8)  # 1024 bits have no room for two hashes of 512: whoever asks for that gets no signature
    salt = digest(b"salt", data)
    tag = digest(bytes(8), digest(data), salt)
    block = bytes(length - 2 * size - 2) + b"\1" + salt
    mask = b"".join(digest(tag, count.to_bytes(4, "big")) for count in range(length // size + 1))[: len(block)]
    masked = int.from_bytes(block, "big") ^ int.from_bytes(mask, "big")
    masked &= (1 << (8 * len(block) - (8 * length - bits))) - 1
    message = int.from_bytes(masked.to_bytes(len(block), "big") + tag + b"\xbc", "big")
    by_p, by_q = pow(message, numbers.dmp1, numbers.p), pow(message, numbers.dmq1, numbers.q)
    return (by_q + numbers.iqmp * (by_p - by_q) % numbers.p * numbers.q).to_bytes((bits + 8) // 8, "big")


def _signers() -> dict[str, Signer]:
    made: dict[str, Any] = {f"HS{bits}": seed(f"HS{bits}", int(bits) // 8) for bits in HASHES}
    for name, curve in CURVES.items():
        made[name] = ec.derive_private_key(int.from_bytes(seed(name, 31), "big"), curve)
    main = rsa_key("main")
    made |= {f"{kind}{bits}": main for kind in ("RS", "PS") for bits in HASHES}
    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(seed("Ed25519", 32))
    made |= {"Ed25519": edwards, "EdDSA": edwards}
    return {name: Signer(name, f"kid-{name.lower()}", private) for name, private in made.items()}


SIGNERS = _signers()
"""One signer for each algorithm."""
STRANGERS = {
    "oct": seed("stranger", 64),
    "RSA": rsa_key("other"),
    "EC": {name: ec.derive_private_key(int.from_bytes(seed("stranger" + name, 31), "big"), curve) for name, curve in CURVES.items()},
    "OKP": ed25519.Ed25519PrivateKey.from_private_bytes(seed("stranger", 32)),
}
"""Keys of the same kinds that no verifier was given."""


def stranger(name: str) -> Any:
    """A private key that would fit this algorithm and is not the verifier's."""
    if name in CURVES:
        return STRANGERS["EC"][name]
    return STRANGERS["oct" if name.startswith("HS") else "OKP" if name.startswith("Ed") else "RSA"]
