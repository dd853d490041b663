"""joserfc: keys imported once, `jwt.decode`, and a JWTClaimsRegistry, as its documentation shows; there is no faster way."""

from __future__ import annotations

from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from bench.libraries.contestant import Contestant, Given


def make(variant: str, given: Given) -> Contestant:
    """As documented."""
    public: Any
    private: Any
    if given.is_secret:
        public = private = OctKey.import_key(given.secret)
    else:
        kind: Any = {"RS256": RSAKey, "ES256": ECKey, "EdDSA": OKPKey}[given.alg]
        public, private = kind.import_key(given.public), kind.import_key(given.private)
    claims = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": given.issuer}, aud={"essential": True, "value": given.audience}, exp={"essential": True}
    )
    algorithms, header = [given.alg], {"alg": given.alg, **given.header}

    def verify(text: str) -> Any:
        token = jwt.decode(text, public, algorithms=algorithms)
        claims.validate(token.claims)
        return token.claims

    return Contestant(lambda: verify, lambda payload: jwt.encode(header, payload, private, algorithms=algorithms))
