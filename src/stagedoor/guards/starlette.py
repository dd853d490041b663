"""Guard for Starlette: a decorator for endpoints.

Never knows a rule of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, cast

from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket, WebSocketDisconnect

from stagedoor.access_token import AccessToken, C
from stagedoor.errors import AuthError
from stagedoor.guards.channel import TOKEN, Channel, rechecking
from stagedoor.guards.guard import REFUSED, Demand, Gate, asking, asking_whether
from stagedoor.guards.headers import Headers
from stagedoor.guards.response import refusal

Check = Callable[[Any, Request], Any]
Endpoint = Callable[[Request], Any]
SocketCheck = Callable[[Any, WebSocket], Any]
SocketEndpoint = Callable[[WebSocket], Awaitable[None]]


class Guard(Gate[C]):
    """Guards endpoints: `@guard()`, `@guard("orders:read")`, `@guard(check=…)`, `@guard.optional()`; `guard.token(request)` inside.

    Refusals have our shape and need no handler; an application that registers one for AuthError replaces it.
    """

    def __call__(
        self, *scopes: str, check: Check | None = None, strict: bool = False, max_age: str | int | None = None
    ) -> Callable[[Endpoint], Callable[[Request], Awaitable[Any]]]:
        """Let only requests pass whose access token covers these scopes.

        `strict`: each time the store is asked whether the token was ended. `max_age`: how long ago the login may be, a span such as "5m"
        or seconds; else StepUpRequired (RFC 9470).

        `check(token, request)`, sync or async, is the application's own: only True lets the request pass (GuardRefused, 403); it may
        raise any AuthError instead.
        """
        demand = self.demand(scopes, strict=strict, max_age=max_age)
        return self._guarding(demand, check, self.admit_async)

    def optional(
        self, *scopes: str, check: Check | None = None, strict: bool = False, max_age: str | int | None = None
    ) -> Callable[[Endpoint], Callable[[Request], Awaitable[Any]]]:
        """Let requests without a token pass too; `guard.token_or_none(request)` tells. A bad token is refused."""
        demand = self.demand(scopes, strict=strict, max_age=max_age)
        return self._guarding(demand, check, self.admit_optional_async)

    def websocket(
        self, *scopes: str, check: SocketCheck | None = None, strict: bool = False, max_age: str | int | None = None
    ) -> Callable[[SocketEndpoint], Callable[[WebSocket], Awaitable[None]]]:
        """Guard `async def live(socket: WebSocket)`: the handshake as a request is; and once it is open it is closed with 4401 as soon as
        its token would no longer be let in. `guard.token(socket)` inside: the one of the handshake, or of the last renewal.

        `strict`: the store is asked at the handshake and at each renewal. `max_age` ends the WebSocket when the login has become that old.
        """
        demand = self.demand(scopes, strict=strict, max_age=max_age)
        ask = asking_whether(check)
        rechecking(self)
        return lambda endpoint: self._guarded_socket(endpoint, demand, ask)

    def token(self, request: HTTPConnection) -> AccessToken[C]:
        """The access token of a guarded request. LookupError where no guard admitted one."""
        token = self.token_or_none(request)
        if token is None:
            raise LookupError("no guard has admitted a token on this request")
        return token

    def token_or_none(self, request: HTTPConnection) -> AccessToken[C] | None:
        """The access token of a request behind an optional guard, or None."""
        return cast("AccessToken[C] | None", request.scope.get(TOKEN))

    def _guarding(
        self, demand: Demand, check: Check | None, admit: Callable[..., Awaitable[AccessToken[C] | None]]
    ) -> Callable[[Endpoint], Callable[[Request], Awaitable[Any]]]:
        enter, allow = self.entrance(demand), asking_whether(check)

        def guard(endpoint: Endpoint) -> Callable[[Request], Awaitable[Any]]:
            ask = asking(endpoint)

            @wraps(endpoint)
            async def guarded(request: Request) -> Any:
                scope = request.scope
                if scope["type"] == "websocket":
                    raise TypeError('a WebSocket takes @guard.websocket("orders:read")')
                try:
                    token = enter(scope["headers"])
                    if token is None:
                        token = await admit(scope["method"], Headers(scope["headers"]), demand)
                    if allow is not None and token is not None:
                        await allow(token, request)
                except AuthError as error:
                    if _has_handler(request, error):
                        scope[REFUSED] = error
                        raise
                    return refusal(error)
                scope[TOKEN] = token
                return await ask(request)

            return guarded

        return guard

    def _guarded_socket(
        self, endpoint: SocketEndpoint, demand: Demand, check: Callable[..., Awaitable[None]] | None
    ) -> Callable[[WebSocket], Awaitable[None]]:
        @wraps(endpoint)
        async def guarded(socket: WebSocket) -> None:
            if socket.scope["type"] != "websocket":
                raise TypeError('@guard.websocket() is for a WebSocket: a request takes @guard("orders:read")')

            async def allow(token: AccessToken[C]) -> None:
                if check is not None:
                    await check(token, socket)

            try:
                channel = await Channel.open(self, demand, allow, socket.scope, socket.receive, socket.send)
            except AuthError as error:
                if _has_handler(socket, error):
                    socket.scope[REFUSED] = error
                    raise
                await refusal(error)(socket.scope, socket.receive, socket.send)
                return
            try:
                await endpoint(WebSocket(channel.scope, receive=channel.receive, send=channel.send))
            except WebSocketDisconnect:
                if not channel.is_shut:
                    raise
            finally:
                await channel.leave()

        return guarded


def _has_handler(request: HTTPConnection, error: AuthError) -> bool:
    """Whether the application has registered a handler for this refusal."""
    handlers = request.scope.get("starlette.exception_handlers", ({}, {}))[0]
    return any(issubclass(kind, AuthError) and kind in handlers for kind in type(error).__mro__)
