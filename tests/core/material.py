"""Keys that are made once, and tokens put together by hand, for the tests of the core.

Never knows what a test expects.
"""

import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from stagedoor.algorithms import ALGORITHMS
from stagedoor.encoding import encode
from stagedoor.keys import Key

NOW = 1_750_000_000
SECRET = bytes(range(100, 164))
ASYMMETRIC = tuple(name for name in ALGORITHMS if not name.startswith("HS"))
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@cache
def rsa_key(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits)


@cache
def private_key(name: str) -> Any:
    """A private key of `cryptography` that fits this algorithm."""
    if name in CURVES:
        return ec.generate_private_key(CURVES[name])
    return ed25519.Ed25519PrivateKey.generate() if name in ("Ed25519", "EdDSA") else rsa_key()


@cache
def key(name: str) -> Key:
    """A key of ours for this algorithm, always the same in one run."""
    if name.startswith("HS"):
        return Key.from_secret(SECRET, name)
    return Key.from_der(private_der(private_key(name)), name)


def public_half(name: str) -> Key:
    return Key.from_jwk(key(name).jwk())


def private_der(private: Any, password: bytes | None = None) -> bytes:
    return private.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, lock(password))


def private_pem(private: Any, form: Any = serialization.PrivateFormat.PKCS8, password: bytes | None = None) -> bytes:
    return private.private_bytes(serialization.Encoding.PEM, form, lock(password))


def lock(password: bytes | None) -> Any:
    return serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()


def public_der(public: Any) -> bytes:
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_pem(public: Any, form: Any = serialization.PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return public.public_bytes(serialization.Encoding.PEM, form)


def public_ssh(public: Any) -> bytes:
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def text(value: Any) -> bytes:
    """JSON of a value; bytes stay as they are, to send what no JSON writer would."""
    return value if isinstance(value, bytes) else json.dumps(value).encode("utf-8")


def forge(header: Any, payload: Any, signer: Key | None = None, signature: bytes | None = None) -> str:
    """A compact token of just this header and payload, signed by `signer`, or with this signature."""
    signed = f"{encode(text(header))}.{encode(text(payload))}"
    if signature is None:
        signature = signer.sign(signed.encode("ascii")) if signer else b""
    return f"{signed}.{encode(signature)}"


def header(signer: Key, typ: str = "test+jwt", **more: Any) -> dict[str, Any]:
    return {"alg": signer.algorithm.name, "kid": signer.kid, "typ": typ, **more}
