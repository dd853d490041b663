"""jwcrypto: a JWT object for each token, with check_claims, and keys imported once, as its documentation shows."""

from __future__ import annotations

import json
from typing import Any

from jwcrypto import jwk, jwt

from bench.libraries.contestant import Contestant, Given


def make(variant: str, given: Given) -> Contestant:
    """As documented."""
    if given.is_secret:
        public = private = jwk.JWK.from_password(given.secret)
    else:
        public, private = jwk.JWK.from_pem(given.public.encode()), jwk.JWK.from_pem(given.private.encode())
    wanted = {"iss": given.issuer, "aud": given.audience, "exp": None}
    algorithms, header = [given.alg], {"alg": given.alg, **given.header}

    def verify(text: str) -> Any:
        token = jwt.JWT(jwt=text, key=public, algs=algorithms, check_claims=wanted)
        return json.loads(token.claims)

    def sign(payload: dict[str, Any]) -> str:
        token = jwt.JWT(header=header, claims=payload)
        token.make_signed_token(private)
        made: str = token.serialize()
        return made

    return Contestant(lambda: verify, sign)
