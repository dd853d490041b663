"""Transports: how tokens go out and come back: in the body, or in cookies (section 8 of the design).

Never knows who logs in.
"""

from __future__ import annotations

from collections.abc import Iterable

from stagedoor.endpoints.shapes import TokenResponse
from stagedoor.errors import InvalidRequest
from stagedoor.guards.cookies import ACCESS_COOKIE, LARGEST, REFRESH_COOKIE, clear_cookie, read_cookie, set_cookie
from stagedoor.guards.cross_site import check_cross_site, is_loopback, origins_of
from stagedoor.guards.headers import Headers
from stagedoor.guards.response import Response, json_response
from stagedoor.token_pair import TokenPair

COOKIE = REFRESH_COOKIE
_ONLY = ".only"
"""Stands behind the refresh token in the cookie of a `cookie_only` login, so that each refresh answers as the login did."""


class Transports:
    """Writes and reads tokens the way a login asked for. `origins`: pages of other origins that may use the cookies."""

    def __init__(self, issuer: str, origins: Iterable[str]) -> None:
        own = [issuer] if issuer.startswith(("https://", "http://")) else []
        self.origins = origins_of(own) | origins_of(origins)
        self._no_cookies = issuer.startswith("http://") and not is_loopback(issuer)

    def check_login(self, transport: str, headers: Headers) -> None:
        """May cookies be set? InvalidRequest where browsers would not keep them, CrossSiteRefused for another site's page."""
        if transport == "body":
            return
        if self._no_cookies:
            raise InvalidRequest("Cookies need https: this service's issuer URL is http and not on this machine. Use transport=body.")
        check_cross_site(headers, self.origins)

    def answer(self, pair: TokenPair, transport: str) -> Response:
        """The tokens, each where it belongs. InvalidRequest for an access token that no browser would keep in a cookie."""
        cookies = []
        if transport == "cookie_only":
            if len(ACCESS_COOKIE) + len(pair.access_token) > LARGEST:
                raise InvalidRequest(f"The access token is over {LARGEST} bytes, too large for a cookie. Use transport=cookie.")
            cookies.append(set_cookie(ACCESS_COOKIE, pair.access_token, max_age=pair.expires_in, same_site="Lax"))
        if transport != "body":
            value = pair.refresh_token + (_ONLY if transport == "cookie_only" else "")
            cookies.append(set_cookie(REFRESH_COOKIE, value, max_age=pair.refresh_expires_in, same_site="Strict"))
        told = TokenResponse(
            token_type=pair.token_type,
            expires_in=pair.expires_in,
            scope=str(pair.scope),
            access_token=None if transport == "cookie_only" else pair.access_token,
            refresh_token=pair.refresh_token if transport == "body" else None,
        )
        return json_response(told, *(("set-cookie", cookie) for cookie in cookies))

    def refresh_token(self, headers: Headers) -> tuple[str, str] | None:
        """The refresh token in the cookie, and its transport; None where there is none. CrossSiteRefused, InvalidRequest."""
        value = read_cookie(headers, REFRESH_COOKIE)
        if value is None:
            return None
        check_cross_site(headers, self.origins)
        if value.endswith(_ONLY):
            return value.removesuffix(_ONLY), "cookie_only"
        return value, "cookie"

    @staticmethod
    def cleared() -> tuple[tuple[str, str], ...]:
        """The headers that make a browser forget both cookies."""
        return (
            ("cache-control", "no-store"),
            ("set-cookie", clear_cookie(REFRESH_COOKIE)),
            ("set-cookie", clear_cookie(ACCESS_COOKIE)),
        )
