"""CrossSite: may this request use a cookie, or have one set (OWASP CSRF sheet, Fetch Metadata)?

Never knows a cookie's value. No form tokens: browsers say where a request comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from stagedoor.errors import CrossSiteRefused
from stagedoor.guards.headers import Headers

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LOOPBACK_ORIGIN = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?")
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


def origins_of(urls: Iterable[str]) -> frozenset[str]:
    """The origins of these URLs, for the list that a guard or the endpoints take. ValueError for one without scheme and host."""
    if isinstance(urls, str):
        raise TypeError("origins is a list of texts such as 'https://app.example'")
    found = set()
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{url!r} is no origin: write it as 'https://app.example'")
        # As browsers write it: without the default port (RFC 6454 section 6.2).
        found.add(f"{parts.scheme}://{parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])}")
    return frozenset(found)


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine itself."""
    return (urlsplit(url).hostname or "").lower() in _LOOPBACK


def check_cross_site(headers: Headers, origins: frozenset[str]) -> None:
    """CrossSiteRefused unless the request comes from the same origin, from no page at all, or from a page on the list.

    With neither Sec-Fetch-Site nor Origin it passes only as JSON, which no other site's form can send.
    """
    origin = headers.one(b"origin")
    site = headers.one(b"sec-fetch-site")
    if origin == "null":
        raise CrossSiteRefused("Origin: null is never accepted with cookies.")
    if site in ("same-origin", "none"):
        return
    if origin is not None:
        if origin.lower() in origins or _is_own(origin, headers):
            return
        raise CrossSiteRefused("Cookies are not accepted from a page of this Origin: it is not on the list of origins=.")
    if site is not None:
        raise CrossSiteRefused("Cookies are not accepted from a page of another origin: Sec-Fetch-Site says so.")
    content_type = (headers.one(b"content-type") or "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise CrossSiteRefused("With a cookie and neither Sec-Fetch-Site nor Origin, a request must be application/json.")


def _is_own(origin: str, headers: Headers) -> bool:
    """Whether the page is of the very host that it calls, over https (or on this machine)."""
    scheme, _, host = origin.lower().partition("://")
    if not host or host != (headers.one(b"host") or "").lower():
        return False
    return scheme == "https" or _LOOPBACK_ORIGIN.fullmatch(origin.lower()) is not None
