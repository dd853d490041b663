"""Authlib: `jwt.decode` with claims options and `claims.validate()`; the key as text, as its documentation shows, or imported once."""

from __future__ import annotations

from typing import Any

from authlib.jose import JsonWebKey, JsonWebToken

from bench.libraries.contestant import Contestant, Given


def make(variant: str, given: Given) -> Contestant:
    """`variant` "object": keys imported once."""
    jwt = JsonWebToken([given.alg])
    public: Any = given.secret if given.is_secret else given.public
    private: Any = given.secret if given.is_secret else given.private
    if variant == "object":
        kind = {"HS256": "oct", "RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}[given.alg]
        public, private = JsonWebKey.import_key(public, {"kty": kind}), JsonWebKey.import_key(private, {"kty": kind})
    options = {
        "iss": {"essential": True, "value": given.issuer},
        "aud": {"essential": True, "value": given.audience},
        "exp": {"essential": True},
    }
    header = {"alg": given.alg, **given.header}

    def verify(token: str) -> Any:
        claims = jwt.decode(token, public, claims_options=options)
        claims.validate()
        return claims

    return Contestant(lambda: verify, lambda payload: jwt.encode(header, payload, private).decode())
