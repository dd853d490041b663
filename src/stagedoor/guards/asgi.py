"""GuardMiddleware: one guard before a whole ASGI application, with the public paths named.

Never knows a rule of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from stagedoor.errors import AuthError
from stagedoor.guards.guard import Gate, Verifies, ask, check_callable, require_true, scope_of
from stagedoor.guards.headers import Headers
from stagedoor.guards.response import Response, refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class GuardMiddleware:
    """Every request needs an access token that covers `scopes`, but for the `public` paths: "/health" itself, "/auth/*" what lies below.

    `app.add_middleware(GuardMiddleware, verifier=verifier, public=["/auth/*"])`. `check(token, scope)` is the application's own, sync
    or async; only True lets a request pass. The token stands in `scope["stagedoor.token"]`.
    """

    def __init__(
        self,
        app: App,
        verifier: Verifies[Any],
        *,
        public: Iterable[str] = (),
        scopes: Iterable[str] = (),
        check: Callable[[Any, Scope], Any] | None = None,
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
        self._required = scope_of(tuple(scopes))
        check_callable(check)
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] in ("http", "websocket") and not self._is_public(_route_path(scope)):
            try:
                # A WebSocket begins as a GET and can then change anything: with a cookie it is no safe method.
                method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
                token = await self._gate.admit_async(method, Headers(scope["headers"]), self._required)
                if self._check is not None:
                    require_true(await ask(self._check, token, scope))
            except AuthError as error:
                await _refuse(scope, receive, send, refusal(error))
                return
            scope["stagedoor.token"] = token
        await self._app(scope, receive, send)

    def _is_public(self, path: str) -> bool:
        if path in self._exact:
            return True
        # "/public/../orders" is below no public path, whatever a server behind us makes of it.
        parts = path.split("/")
        return path.startswith(self._below) and "" not in parts[1:-1] and "." not in parts and ".." not in parts


def _route_path(scope: Scope) -> str:
    """The path as routers see it: without the root path that an application is mounted at."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path


async def _refuse(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4401, "reason": "unauthorized"})
    else:
        await response(scope, receive, send)
