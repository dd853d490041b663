"""Mount: what every ASGI framework's mount shares: reading a request within limits, the paths, the store's life.

Never knows a framework.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from stagedoor.endpoints.endpoints import Endpoints
from stagedoor.endpoints.operation import Operation
from stagedoor.endpoints.request import LARGEST_BODY, Request, declared_length
from stagedoor.errors import AuthError, InvalidRequest, MethodNotAllowed, TooLarge
from stagedoor.guards.headers import Headers
from stagedoor.guards.response import Response, refusal
from stagedoor.issuer import Issuer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]

_BODY_WITHIN = 10.0
"""Seconds in which a body must arrive."""


def paths_of(endpoints: Endpoints, prefix: str, paths: Mapping[str, str] | None, jwks: str) -> dict[str, list[Operation]]:
    """Each whole path and its operations, one a method. TypeError for no Endpoints; ValueError for a path without its slash or twice, an
    unknown name.
    """
    if not isinstance(endpoints, Endpoints):
        raise TypeError("mount(app, endpoints) takes the application, then Endpoints")
    chosen = dict(paths or {})
    unknown = chosen.keys() - {operation.name for operation in endpoints.operations}
    if unknown:
        raise ValueError(f"no such operation: {', '.join(sorted(unknown))}")
    for part in (prefix or "/", jwks, *chosen.values()):
        if not part.startswith("/"):
            raise ValueError(f"{part!r} must start with a slash")
    found: dict[str, list[Operation]] = {}
    for operation in endpoints.operations:
        path = chosen.get(operation.name, operation.path)
        for name in operation.parameters:
            if f"{{{name}}}" not in path:
                raise ValueError(f"the path of {operation.name} needs its {{{name}}}")
        _add(found, prefix.rstrip("/") + path, operation)
    _add(found, jwks, endpoints.jwks)
    return found


def _add(found: dict[str, list[Operation]], path: str, operation: Operation) -> None:
    beside = found.setdefault(path, [])
    if any(other.path != operation.path or other.method == operation.method for other in beside):
        raise ValueError(f"two operations cannot share the path {path!r}: the second would never be reached")
    beside.append(operation)


def check_app(app: Any, framework: type[Any], paths: Iterable[str]) -> None:
    """TypeError for anything but the framework's application, ValueError for a path that the application has already."""
    if not isinstance(app, framework):
        raise TypeError(f"mount(app, endpoints) takes the {framework.__name__} application itself")
    taken = {getattr(route, "path", None) for route in app.router.routes}
    for path in paths:
        if path in taken:
            raise ValueError(f"the application has {path!r} already, and this one would never be reached: choose prefix=, paths= or jwks=")


class Answering:
    """The operations of one path as an ASGI application. It takes every method, so that a wrong one is refused in our shape."""

    def __init__(self, endpoints: Endpoints, operations: Iterable[Operation]) -> None:
        self._endpoints = endpoints
        self._operations = {method: operation for operation in operations for method in operation.methods}

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """The answer to an ASGI request; MethodNotAllowed for any other method than those of the path."""
        operation = self._operations.get(scope["method"])
        if operation is None:
            return refusal(MethodNotAllowed(", ".join(self._operations)))
        try:
            request = await read(scope, receive)
        except AuthError as error:
            return refusal(error)
        return await self._endpoints.answer(operation, request)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await (await self.answer(scope, receive))(scope, receive, send)


async def read(scope: Scope, receive: Receive) -> Request:
    """The ASGI request as plain values, read within the limits. TooLarge, InvalidRequest."""
    headers = Headers(scope["headers"])
    client = scope.get("client")
    return Request(
        method=scope["method"],
        headers=headers,
        body=await _body(headers, receive),
        peer=client[0] if client else None,
        path=scope.get("path_params", {}),
        query=scope.get("query_string", b""),
    )


def lifespan(inner: Lifespan, issuer: Issuer) -> Lifespan:
    """The application's own lifespan with the issuer's around it: its store migrated at the start and closed at the end, and so on."""
    store: Any = issuer.store
    rings = (issuer.keys, issuer.peppers)

    @asynccontextmanager
    async def around(app: Any) -> AsyncIterator[Any]:
        await store.migrate()
        for ring in rings:
            ring.watch()
        issuer.revocations.follow()
        try:
            async with inner(app) as state:
                yield state
        finally:
            for each in (issuer.revocations, *rings):  # before the store that they look into: what looks there opens it anew
                await asyncio.to_thread(each.close)
            if hasattr(store, "close"):
                await store.close()

    return around


async def _body(headers: Headers, receive: Receive) -> bytes:
    declared_length(headers)
    try:
        async with asyncio.timeout(_BODY_WITHIN):
            return await _collected(receive)
    except TimeoutError:
        raise InvalidRequest("The body did not arrive.") from None


async def _collected(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The body did not arrive.")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY:  # a length may be missing, or a lie
            raise TooLarge(f"The body may have {LARGEST_BODY} bytes.")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
