"""Guard for Starlette: a decorator for endpoints.

Never knows a rule of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, cast

from starlette.requests import Request

from stagedoor.access_token import AccessToken, C
from stagedoor.errors import AuthError
from stagedoor.guards.guard import REFUSED, Gate, ask, check_callable, require_true, scope_of
from stagedoor.guards.headers import Headers
from stagedoor.guards.response import refusal

Check = Callable[[Any, Request], Any]
Endpoint = Callable[[Request], Any]
_TOKEN = "stagedoor.token"


class Guard(Gate[C]):
    """Guards endpoints: `@guard()`, `@guard("orders:read")`, `@guard(check=…)`, `@guard.optional()`; `guard.token(request)` inside.

    Refusals have our shape and need no handler; an application that registers one for AuthError replaces it.
    """

    def __call__(self, *scopes: str, check: Check | None = None) -> Callable[[Endpoint], Callable[[Request], Awaitable[Any]]]:
        """Let only requests pass whose access token covers these scopes.

        `check(token, request)`, sync or async, is the application's own: only True lets the request pass (GuardRefused, 403); it may
        raise any AuthError instead.
        """
        required = scope_of(scopes)
        return lambda endpoint: self._guarded(endpoint, lambda r: self.admit_async(r.method, Headers(r.headers.raw), required), check)

    def optional(self, *scopes: str, check: Check | None = None) -> Callable[[Endpoint], Callable[[Request], Awaitable[Any]]]:
        """Let requests without a token pass too; `guard.token_or_none(request)` tells. A bad token is refused."""
        required = scope_of(scopes)
        return lambda endpoint: self._guarded(
            endpoint, lambda r: self.admit_optional_async(r.method, Headers(r.headers.raw), required), check
        )

    def token(self, request: Request) -> AccessToken[C]:
        """The access token of a guarded request. LookupError where no guard admitted one."""
        token = self.token_or_none(request)
        if token is None:
            raise LookupError("no guard has admitted a token on this request")
        return token

    def token_or_none(self, request: Request) -> AccessToken[C] | None:
        """The access token of a request behind an optional guard, or None."""
        return cast("AccessToken[C] | None", request.scope.get(_TOKEN))

    def _guarded(
        self, endpoint: Endpoint, admit: Callable[[Request], Awaitable[AccessToken[C] | None]], check: Check | None
    ) -> Callable[[Request], Awaitable[Any]]:
        check_callable(check)

        @wraps(endpoint)
        async def guarded(request: Request) -> Any:
            try:
                token = await admit(request)
                if check is not None and token is not None:
                    require_true(await ask(check, token, request))
            except AuthError as error:
                if _has_handler(request, error):
                    request.scope[REFUSED] = error
                    raise
                return refusal(error)
            request.scope[_TOKEN] = token
            return await ask(endpoint, request)

        return guarded


def _has_handler(request: Request, error: AuthError) -> bool:
    """Whether the application has registered a handler for this refusal."""
    handlers = request.scope.get("starlette.exception_handlers", ({}, {}))[0]
    return any(issubclass(kind, AuthError) and kind in handlers for kind in type(error).__mro__)
