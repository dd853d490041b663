"""GuardMiddleware: one guard before a whole ASGI application, with the public paths named.

Never knows a rule of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from stagedoor.access_token import AccessToken
from stagedoor.errors import AuthError
from stagedoor.guards.channel import Channel
from stagedoor.guards.guard import Gate, Verifies, asking_whether
from stagedoor.guards.headers import Headers
from stagedoor.guards.response import refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class GuardMiddleware:
    """Every request needs an access token that covers `scopes`, but for the `public` paths: "/health" itself, "/auth/*" what lies below.

    `app.add_middleware(GuardMiddleware, verifier=verifier, public=["/auth/*"])`. `check(token, scope)` is the application's own, sync
    or async; only True lets a request pass. `strict` and `max_age` as of the other guards. The token stands in
    `scope["stagedoor.token"]`. A WebSocket is closed (4401) when its token would no longer be let in, and renewed by a message.
    """

    def __init__(
        self,
        app: App,
        verifier: Verifies[Any],
        *,
        public: Iterable[str] = (),
        scopes: Iterable[str] = (),
        check: Callable[[Any, Scope], Any] | None = None,
        strict: bool = False,
        max_age: str | int | None = None,
        origins: Iterable[str] = (),
        cookie: bool = True,
    ) -> None:
        if isinstance(public, str) or isinstance(scopes, str):
            raise TypeError("public and scopes are lists of texts")
        paths = list(public)
        if not all(path.startswith("/") and "*" not in path.removesuffix("/*") for path in paths):
            raise ValueError("a public path starts with / and may end with /*")
        self._app = app
        self._gate: Gate[Any] = Gate(verifier, origins=origins, cookie=cookie)
        self._exact = frozenset(path for path in paths if not path.endswith("/*"))
        self._below = tuple(path.removesuffix("*") for path in paths if path.endswith("/*"))
        self._has_public = bool(paths)
        self._demand = self._gate.demand(tuple(scopes), strict=strict, max_age=max_age)
        self._enter = self._gate.entrance(self._demand)
        self._check = asking_whether(check)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._guard_websocket(scope, receive, send)
            return
        if self._has_public and self._is_public(_route_path(scope)):
            await self._app(scope, receive, send)
            return
        try:
            token = self._enter(scope["headers"])
            if token is None:
                token = await self._gate.admit_async(scope["method"], Headers(scope["headers"]), self._demand)
            if self._check is not None:
                await self._check(token, scope)
        except AuthError as error:
            await refusal(error)(scope, receive, send)
            return
        scope["stagedoor.token"] = token
        await self._app(scope, receive, send)

    async def _guard_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket" or self._is_public(_route_path(scope)):  # the lifespan, say
            await self._app(scope, receive, send)
            return

        async def allow(token: AccessToken[Any]) -> None:
            if self._check is not None:
                await self._check(token, scope)

        try:
            channel = await Channel.open(self._gate, self._demand, allow, scope, receive, send)
        except AuthError as error:
            await refusal(error)(scope, receive, send)
            return
        try:
            await self._app(channel.scope, channel.receive, channel.send)
        finally:
            await channel.leave()

    def _is_public(self, path: str) -> bool:
        if path in self._exact:
            return True
        if not path.startswith(self._below):
            return False
        # "/public/../orders" is below no public path, whatever a server behind us makes of it.
        parts = path.split("/")
        return "" not in parts[1:-1] and "." not in parts and ".." not in parts


def _route_path(scope: Scope) -> str:
    """The path as routers see it: without the root path that an application is mounted at."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root and (path == root or path.startswith(f"{root}/")) else path
