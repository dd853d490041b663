"""Cookies: how tokens are kept in a browser (rfc6265bis), always with the `__Host-` prefix.

Never knows who may use them.
"""

from __future__ import annotations

from stagedoor.errors import InvalidRequest
from stagedoor.guards.headers import Headers

ACCESS_COOKIE = "__Host-stagedoor_access"
REFRESH_COOKIE = "__Host-stagedoor_refresh"
LARGEST = 4096
"""Bytes of name and value together; browsers drop larger cookies without a word."""


def read_cookie(headers: Headers, name: str) -> str | None:
    """The value of the cookie of exactly this name. InvalidRequest where there are two: one of them may be planted."""
    found = []
    for header in headers.all(b"cookie"):
        for pair in header.split(";"):
            key, _, value = pair.strip(" \t").partition("=")
            if key == name:
                found.append(value)
    if len(found) > 1:
        raise InvalidRequest(f"Two cookies are named {name}.")
    return found[0] if found and found[0] else None


def set_cookie(name: str, value: str, *, max_age: int, same_site: str) -> str:
    """The Set-Cookie value for a token: host-only, out of reach of scripts. `max_age` in seconds."""
    return f"{name}={value}; Max-Age={max_age}; Path=/; Secure; HttpOnly; SameSite={same_site}"


def clear_cookie(name: str) -> str:
    """The Set-Cookie value that makes a browser forget the cookie."""
    return set_cookie(name, "", max_age=0, same_site="Strict")
