"""Bearer: the access token in an Authorization header (RFC 6750 section 2.1).

Never knows what is in a token.
"""

from __future__ import annotations

import re

from stagedoor.errors import MalformedToken
from stagedoor.guards.headers import Headers

_SCHEME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]*")
"""RFC 9110 section 11.1: any other mark ends the name of the scheme."""
_TOKEN = re.compile(r" ([A-Za-z0-9._~+/-]+=*)")


def bearer(headers: Headers) -> str | None:
    """The token, or None where no bearer token was sent. MalformedToken for a form that RFC 6750 does not have."""
    value = headers.one(b"authorization")
    if value is None:
        return None
    scheme = _SCHEME.match(value)
    if scheme is None or scheme[0].lower() != "bearer":
        return None
    token = _TOKEN.fullmatch(value, len(scheme[0]))
    if token is None:
        raise MalformedToken("not of the form: Bearer, one space, one token")
    return token[1]
