"""python-jose: `jwt.decode(token, key, algorithms, audience=, issuer=)` with the key as text, as documented, or constructed once."""

from __future__ import annotations

from typing import Any

from jose import jwk, jwt

from bench.libraries.contestant import Contestant, Given, Unsupported


def make(variant: str, given: Given) -> Contestant:
    """`variant` "object": keys constructed once."""
    if given.alg == "EdDSA":
        raise Unsupported("has no Ed25519")
    public: Any = given.secret if given.is_secret else given.public
    private: Any = given.secret if given.is_secret else given.private
    if variant == "object":
        public, private = jwk.construct(public, given.alg), jwk.construct(private, given.alg)
    header = given.header

    def verify(token: str) -> Any:
        return jwt.decode(token, public, algorithms=given.alg, audience=given.audience, issuer=given.issuer)

    return Contestant(lambda: verify, lambda payload: jwt.encode(payload, private, algorithm=given.alg, headers=header))
