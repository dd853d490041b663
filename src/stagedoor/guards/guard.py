"""Gate: the guard without a framework: finds the token, verifies it, checks scope and where a cookie's request comes from.

Never knows an issuer, a store or a framework's request.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, Protocol

from stagedoor.access_token import AccessToken, C
from stagedoor.errors import GuardRefused, InsufficientScope, MissingToken
from stagedoor.guards.bearer import bearer
from stagedoor.guards.cookies import ACCESS_COOKIE, read_cookie
from stagedoor.guards.cross_site import SAFE_METHODS, check_cross_site, origins_of
from stagedoor.guards.headers import Headers
from stagedoor.scope import Scope

REFUSED = "stagedoor.refused"
"""Where an ASGI scope keeps the refusal of a guard, for the handler that answers it."""


class Verifies(Protocol[C]):
    """What a guard needs of a verifier. One that can wait for keys has `verify_async` beside it, which async guards then call."""

    def verify(self, token: str) -> AccessToken[C]:
        """The token, or TokenError."""


class Gate(Generic[C]):
    """Admits requests of one API. A bearer header wins over the access cookie, and is exempt from the check of origins.

    `origins`: pages of other origins whose requests may use the cookie; own pages always may. `cookie=False`: header only.
    """

    def __init__(self, verifier: Verifies[C], *, origins: Iterable[str] = (), cookie: bool = True) -> None:
        if isinstance(verifier, type) or not callable(getattr(verifier, "verify", None)):
            raise TypeError("a guard takes a Verifier, or issuer.verifier()")
        self._verifier = verifier
        self._verify_async = getattr(verifier, "verify_async", None)
        self._origins = origins_of(origins)
        self._cookie = cookie

    def admit(self, method: str, headers: Headers, required: Scope) -> AccessToken[C]:
        """The token of a request that may pass. MissingToken, TokenError, InsufficientScope, CrossSiteRefused, InvalidRequest."""
        token = self.admit_optional(method, headers, required)
        if token is None:
            raise MissingToken
        return token

    def admit_optional(self, method: str, headers: Headers, required: Scope) -> AccessToken[C] | None:
        """As admit, but None where the request carries no token at all. A bad token is refused, never taken for none."""
        text, from_cookie = self._text(headers)
        if text is None:
            return None
        return self._let_in(self._verifier.verify(text), from_cookie, method, headers, required)

    async def admit_async(self, method: str, headers: Headers, required: Scope) -> AccessToken[C]:
        """As admit; but for keys that are fetched it waits without holding up the event loop. KeySetUnavailable where none come."""
        token = await self.admit_optional_async(method, headers, required)
        if token is None:
            raise MissingToken
        return token

    async def admit_optional_async(self, method: str, headers: Headers, required: Scope) -> AccessToken[C] | None:
        """As admit_optional, waiting as admit_async does."""
        text, from_cookie = self._text(headers)
        if text is None:
            return None
        token = self._verifier.verify(text) if self._verify_async is None else await self._verify_async(text)
        return self._let_in(token, from_cookie, method, headers, required)

    def _text(self, headers: Headers) -> tuple[str | None, bool]:
        """The token's text, and whether a cookie brought it."""
        text = bearer(headers)
        if text is not None or not self._cookie:
            return text, False
        return read_cookie(headers, ACCESS_COOKIE), True

    def _let_in(self, token: AccessToken[C], from_cookie: bool, method: str, headers: Headers, required: Scope) -> AccessToken[C]:
        if from_cookie and method not in SAFE_METHODS:
            check_cross_site(headers, self._origins)
        if not token.scope.covers(required):
            raise InsufficientScope(str(required))
        return token


def scope_of(scopes: tuple[str, ...]) -> Scope:
    """What a route asks for: guard("orders:read"), guard("a", "b") or guard("a b"). TypeError, ValueError at construction."""
    if not all(isinstance(text, str) for text in scopes):
        raise TypeError('a guard takes scopes as texts: guard("orders:read")')
    return Scope(token for text in scopes for token in Scope.parse(text))


def check_callable(check: object) -> None:
    """TypeError for an application's own check that cannot be called."""
    if check is not None and not callable(check):
        raise TypeError("check is a function: (token, request) -> True or False")


def require_true(verdict: object) -> None:
    """GuardRefused unless an application's own check said True. None is a no: a check that forgets to answer lets nobody in."""
    if verdict is not True:
        raise GuardRefused


async def ask(function: Callable[..., Any], *arguments: Any, threads: Callable[..., Awaitable[Any]] = asyncio.to_thread) -> Any:
    """What a function of the application answers: awaited where it is async, on a thread where it is not, so that it may block."""
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    answer = await threads(function, *arguments)
    return await answer if inspect.isawaitable(answer) else answer
