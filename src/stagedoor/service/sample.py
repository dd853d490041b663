"""Sample: the orders API of the demo, to see guards at work.

Never knows how a token was made; keeps a few orders an account, in memory.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from stagedoor.endpoints.mount import read
from stagedoor.errors import AuthError, MethodNotAllowed
from stagedoor.guards.guard import Verifies
from stagedoor.guards.response import Response, json_response, refusal
from stagedoor.guards.starlette import Guard

_MOST = 20


class Order(msgspec.Struct, frozen=True):
    """What is ordered."""

    item: str
    quantity: int = 1


def orders(path: str, verifier: Verifies[Any]) -> Route:
    """One route: GET asks for the scope orders:read, POST for orders:write."""
    guard = Guard(verifier)
    kept: defaultdict[str, deque[Order]] = defaultdict(lambda: deque(maxlen=_MOST))

    @guard("orders:read")
    async def show(request: Request) -> Response:
        return json_response({"orders": list(kept[guard.token(request).subject])})

    @guard("orders:write")
    async def create(request: Request) -> Response:
        try:
            order = (await read(request.scope, request.receive)).read(Order)
        except AuthError as error:
            return refusal(error)
        kept[guard.token(request).subject].append(order)
        return json_response(order, status=201)

    async def both(request: Request) -> Any:
        if request.method == "POST":
            return await create(request)
        if request.method in ("GET", "HEAD"):
            return await show(request)
        return refusal(MethodNotAllowed("GET, POST"))

    return Route(path, both, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
