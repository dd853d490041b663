"""Guard for FastAPI: a dependency that hands the route its access token, and shows in OpenAPI.

Never knows a rule of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from fastapi import FastAPI, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from stagedoor.access_token import AccessToken, C
from stagedoor.errors import AuthError
from stagedoor.guards.guard import REFUSED, Gate, ask, check_callable, require_true, scope_of
from stagedoor.guards.headers import Headers
from stagedoor.guards.response import Response, refusal
from stagedoor.scope import Scope

Check = Callable[[Any, Request], Any]


class Guard(Gate[C]):
    """Guards routes: `token: Annotated[AccessToken, guard("orders:read")]`, or `token: AccessToken[My] = guard("orders:read")`.

    The second form is checked by type checkers; the metadata of the first is not. Refusals have our shape and need no handler; an
    application that registers one for AuthError replaces it.
    """

    def __call__(self, *scopes: str, check: Check | None = None) -> AccessToken[C]:
        """The token of a request whose access token covers these scopes.

        `check(token, request)`, sync or async, is the application's own: only True lets the request pass (GuardRefused, 403); it may
        raise any AuthError instead.
        """
        return cast("AccessToken[C]", self._dependency(scope_of(scopes), check, self.admit_async))

    def optional(self, *scopes: str, check: Check | None = None) -> AccessToken[C] | None:
        """The token, or None for a request without one: `Annotated[AccessToken | None, guard.optional()]`. A bad token is refused."""
        return cast("AccessToken[C] | None", self._dependency(scope_of(scopes), check, self.admit_optional_async))

    @property
    def __signature__(self) -> Any:
        """What FastAPI asks of a dependency: asked of the guard itself, it was put into Depends by mistake."""
        raise TypeError('guard() is the dependency: write Annotated[AccessToken, guard("orders:read")], without Depends')

    @staticmethod
    def _dependency(required: Scope, check: Check | None, admit: Callable[..., Awaitable[Any]]) -> Any:
        check_callable(check)
        return Security(_Admission(required, check, admit), scopes=sorted(required))


class _Admission(SecurityBase):
    """The dependency itself; FastAPI reads `model` and `scheme_name` for OpenAPI."""

    def __init__(self, required: Scope, check: Check | None, admit: Callable[..., Awaitable[Any]]) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="An access token.")
        self.scheme_name = "AccessToken"
        self._required = required
        self._check = check
        self._admit = admit

    async def __call__(self, request: Request) -> Any:
        try:
            token = await self._admit(request.method, Headers(request.headers.raw), self._required)
            if self._check is not None and token is not None:
                require_true(await ask(self._check, token, request))
        except AuthError as error:
            _answer_refusal(request, error)
            raise
        return token


def answer_refusals(app: FastAPI) -> None:
    """Answer every AuthError that the application's own routes let out (from Issuer, say) in our shape. Guards need no such call."""
    app.add_exception_handler(AuthError, _answer)  # type: ignore[arg-type]  # any ASGI callable will do as an answer


def _answer_refusal(request: Request, error: AuthError) -> None:
    """See to it that a guard's refusal is answered in our shape, unless the application has a handler for it."""
    handlers = request.scope.get("starlette.exception_handlers")
    if handlers is not None:
        request.scope[REFUSED] = error
        handlers[0].setdefault(AuthError, _answer_own)


async def _answer_own(request: Request, error: Exception) -> Response:
    if request.scope.get(REFUSED) is not error:
        raise error  # not a guard's: what becomes of it must not hang on whether a guard has refused something before
    return refusal(cast(AuthError, error))


async def _answer(request: Request, error: Exception) -> Response:
    return refusal(cast(AuthError, error))
