"""Guard for FastAPI: a dependency that hands the route its access token, and shows in OpenAPI.

Never knows a rule of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, cast

from fastapi import Depends, FastAPI, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket, WebSocketDisconnect

from stagedoor.access_token import AccessToken, C
from stagedoor.errors import AuthError
from stagedoor.guards.channel import TOKEN, Channel, rechecking
from stagedoor.guards.guard import REFUSED, Demand, Gate, asking_whether
from stagedoor.guards.headers import Headers
from stagedoor.guards.response import Response, refusal

Check = Callable[[Any, Request], Any]
SocketCheck = Callable[[Any, WebSocket], Any]
Ask = Callable[..., Awaitable[None]]
"""Such a check as it is asked: it raises."""


class GuardedSocket(WebSocket, Generic[C]):
    """A WebSocket that a guard has let in: Starlette's own, with its token."""

    @property
    def token(self) -> AccessToken[C]:
        """The access token of the handshake, or of the last renewal."""
        return cast("AccessToken[C]", self.scope[TOKEN])


class Guard(Gate[C]):
    """Guards routes: `token: Annotated[AccessToken, guard("orders:read")]`, or `token: AccessToken[My] = guard("orders:read")`.

    The second form is checked by type checkers; the metadata of the first is not. Refusals have our shape and need no handler; an
    application that registers one for AuthError replaces it.
    """

    def __call__(self, *scopes: str, check: Check | None = None, strict: bool = False, max_age: str | int | None = None) -> AccessToken[C]:
        """The token of a request whose access token covers these scopes.

        `strict`: each time the store is asked whether the token was ended. `max_age`: how long ago the login may be, a span such as "5m"
        or seconds; else StepUpRequired (RFC 9470).

        `check(token, request)`, sync or async, is the application's own: only True lets the request pass (GuardRefused, 403); it may
        raise any AuthError instead.
        """
        demand = self.demand(scopes, strict=strict, max_age=max_age)
        return cast("AccessToken[C]", self._dependency(demand, check, self.admit_async))

    def optional(
        self, *scopes: str, check: Check | None = None, strict: bool = False, max_age: str | int | None = None
    ) -> AccessToken[C] | None:
        """The token, or None for a request without one: `Annotated[AccessToken | None, guard.optional()]`. A bad token is refused."""
        demand = self.demand(scopes, strict=strict, max_age=max_age)
        return cast("AccessToken[C] | None", self._dependency(demand, check, self.admit_optional_async))

    def websocket(
        self, *scopes: str, check: SocketCheck | None = None, strict: bool = False, max_age: str | int | None = None
    ) -> GuardedSocket[C]:
        """The WebSocket of an endpoint: `socket: Annotated[GuardedSocket, guard.websocket("orders:read")]`, `socket.token` inside.

        The handshake is guarded as a request is, and once it is open it is closed with 4401 as soon as its token would no longer be let
        in; a message renews it. `strict`: the store is asked at the handshake and at each renewal. `max_age` ends the WebSocket when the
        login has become that old. `check(token, socket)` as of a request.
        """
        demand = self.demand(scopes, strict=strict, max_age=max_age)
        ask = asking_whether(check)
        rechecking(self)
        return cast("GuardedSocket[C]", Depends(_Handshake(self, demand, ask)))

    @property
    def __signature__(self) -> Any:
        """What FastAPI asks of a dependency: asked of the guard itself, it was put into Depends by mistake."""
        raise TypeError('guard() is the dependency: write Annotated[AccessToken, guard("orders:read")], without Depends')

    def _dependency(self, demand: Demand, check: Check | None, admit: Callable[..., Awaitable[Any]]) -> Any:
        return Security(_Admission(self.entrance(demand), demand, asking_whether(check), admit), scopes=sorted(demand.scope))


class _Admission(SecurityBase):
    """The dependency itself; FastAPI reads `model` and `scheme_name` for OpenAPI."""

    def __init__(self, enter: Callable[[Any], Any], demand: Demand, check: Ask | None, admit: Callable[..., Awaitable[Any]]) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="An access token.")
        self.scheme_name = "AccessToken"
        self._enter = enter
        self._demand = demand
        self._check = check
        self._admit = admit

    async def __call__(self, connection: HTTPConnection) -> Any:
        if not isinstance(connection, Request):
            raise TypeError('a WebSocket takes guard.websocket("orders:read")')
        scope = connection.scope
        try:
            token = self._enter(scope["headers"])
            if token is None:
                token = await self._admit(scope["method"], Headers(scope["headers"]), self._demand)
            if self._check is not None and token is not None:
                await self._check(token, connection)
        except AuthError as error:
            _answer_refusal(connection, error)
            raise
        return token


class _Handshake:
    """The dependency of an endpoint that speaks by WebSocket. It stays until the endpoint is done."""

    def __init__(self, gate: Gate[Any], demand: Demand, check: Ask | None) -> None:
        self._gate = gate
        self._demand = demand
        self._check = check

    async def __call__(self, connection: HTTPConnection) -> AsyncIterator[GuardedSocket[Any]]:
        if not isinstance(connection, WebSocket):
            raise TypeError('guard.websocket() is for a WebSocket: a request takes guard("orders:read")')
        websocket = connection

        async def allow(token: AccessToken[Any]) -> None:
            if self._check is not None:
                await self._check(token, websocket)

        try:
            channel = await Channel.open(self._gate, self._demand, allow, websocket.scope, websocket.receive, websocket.send)
        except AuthError as error:
            _answer_refusal(websocket, error)
            raise
        try:
            yield GuardedSocket(channel.scope, receive=channel.receive, send=channel.send)
        except WebSocketDisconnect:
            if not channel.is_shut:
                raise
        finally:
            await channel.leave()


def answer_refusals(app: FastAPI) -> None:
    """Answer every AuthError that the application's own routes let out (from Issuer, say) in our shape. Guards need no such call."""
    app.add_exception_handler(AuthError, _answer)  # type: ignore[arg-type]  # any ASGI callable will do as an answer


def _answer_refusal(request: HTTPConnection, error: AuthError) -> None:
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
