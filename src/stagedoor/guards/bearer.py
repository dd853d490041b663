"""Bearer: the access token in an Authorization header (RFC 6750 section 2.1).

Never knows what is in a token.
"""

from __future__ import annotations

import re

from stagedoor.errors import MalformedToken
from stagedoor.guards.headers import Headers

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def bearer(headers: Headers) -> str | None:
    """The token, or None where no bearer token was sent. MalformedToken for a form that RFC 6750 does not have."""
    value = headers.one(b"authorization")
    if value is None or value[:6].lower() != "bearer":
        return None
    scheme, space, token = value.partition(" ")
    if len(scheme) != 6:
        return None  # another scheme, whose name begins alike
    if not space or not _TOKEN.fullmatch(token):
        raise MalformedToken("not of the form: Bearer, one space, one token")
    return token
