"""PyJWT: `jwt.decode(token, key, algorithms=…)` with the key as text, as its documentation shows, or ready as an object."""

from __future__ import annotations

from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from bench.libraries.contestant import Contestant, Given


def make(variant: str, given: Given) -> Contestant:
    """`variant` "object": keys prepared once, and what must be there said."""
    public: Any = given.secret if given.is_secret else given.public
    private: Any = given.secret if given.is_secret else given.private
    if variant == "object" and given.is_secret:
        public = private = given.secret.encode()
    elif variant == "object":
        public, private = load_pem_public_key(given.public.encode()), load_pem_private_key(given.private.encode(), None)
    algorithms, header = [given.alg], given.header

    def verify(token: str) -> Any:
        return jwt.decode(token, public, algorithms=algorithms, audience=given.audience, issuer=given.issuer)

    return Contestant(lambda: verify, lambda payload: jwt.encode(payload, private, algorithm=given.alg, headers=header))
