"""Starlette, guarded by Stagedoor."""

from material import USERNAME, items
from stagedoor_verifier import verifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from stagedoor.guards.starlette import Guard

guard = Guard(verifier)


@guard()
async def guarded(request: Request) -> JSONResponse:
    return JSONResponse(items(guard.token(request).claims["username"]))


async def unguarded(request: Request) -> JSONResponse:
    return JSONResponse(items(USERNAME))


app = Starlette(routes=[Route("/guarded", guarded), Route("/open", unguarded)])
