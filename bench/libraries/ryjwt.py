"""ryjwt: a key object with audience and issuer, `decode` to a dict, as its documentation shows, or into a msgspec Struct."""

from __future__ import annotations

from typing import Any

import msgspec
import ryjwt

from bench.libraries.contestant import Contestant, Given


class Payload(msgspec.Struct):
    """What the tokens hold."""

    sub: str
    username: str
    iat: int
    exp: int
    iss: str
    aud: str
    client_id: str
    jti: str
    sid: str
    auth_time: int


def make(variant: str, given: Given) -> Contestant:
    """`variant` "struct": into a Struct, which is where it demands `exp`."""
    words: dict[str, Any] = {"algorithms": [given.alg], "audience": given.audience, "issuer": given.issuer}
    if given.is_secret:
        public: Any = ryjwt.SecretKey(given.secret, **words)
        private: Any = public
    else:
        public, private = ryjwt.PublicKey(given.public, **words), ryjwt.PrivateKey(given.private, kid=given.kid, **words)
    header = {"typ": "at+jwt", **({"kid": given.kid} if given.is_secret else {})}
    decode, encode = public.decode, private.encode
    if variant == "struct":
        return Contestant(
            lambda: lambda token: decode(token, into=Payload),
            lambda payload: encode(payload, header=header),
            payloads=lambda all_: [msgspec.convert(each, Payload) for each in all_],
        )
    return Contestant(lambda: decode, lambda payload: encode(payload, header=header))
