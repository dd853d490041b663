"""Litestar, guarded by Stagedoor's middleware."""

from typing import Any

from litestar import Litestar, Request, get
from litestar.middleware import DefineMiddleware
from material import USERNAME, items
from stagedoor_verifier import verifier

from stagedoor.guards.asgi import GuardMiddleware


@get("/guarded")
async def guarded(request: Request[Any, Any, Any]) -> list[dict[str, str]]:
    return items(request.scope["stagedoor.token"].claims["username"])  # type: ignore[typeddict-item]


@get("/open")
async def unguarded() -> list[dict[str, str]]:
    return items(USERNAME)


app = Litestar([guarded, unguarded], middleware=[DefineMiddleware(GuardMiddleware, verifier=verifier, public=["/open"])])
