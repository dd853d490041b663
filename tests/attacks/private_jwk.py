"""Private keys from a JWK, read by hand.

Never knows Stagedoor's own reader of keys.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from .forgery import public_of, unb64


def private_of(jwk: dict[str, Any]) -> Any:
    """The private key, or the secret, in this JWK."""

    def number(name: str) -> int:
        return int.from_bytes(unb64(jwk[name]), "big")

    if jwk["kty"] == "oct":
        return unb64(jwk["k"])
    if jwk["kty"] == "OKP":
        return ed25519.Ed25519PrivateKey.from_private_bytes(unb64(jwk["d"]))
    if jwk["kty"] == "EC":
        return ec.derive_private_key(number("d"), public_of(jwk).curve)
    numbers = public_of(jwk).public_numbers()
    return rsa.RSAPrivateNumbers(*(number(name) for name in ("p", "q", "d", "dp", "dq", "qi")), numbers).private_key()
