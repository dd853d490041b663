"""Starlette with a route guarded by Stagedoor and an open one: how long each takes to its route. /times tells it."""

from time import perf_counter_ns
from typing import Any

from material import USERNAME, items
from stagedoor_verifier import verifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from times import Times

from stagedoor.guards.starlette import Guard

guard, times, began = Guard(verifier), Times("guarded", "without"), [0]


@guard()
async def guarded(request: Request) -> JSONResponse:
    times.guarded.append(perf_counter_ns() - began[0])
    return JSONResponse(items(guard.token(request).claims["username"]))


async def unguarded(request: Request) -> JSONResponse:
    times.without.append(perf_counter_ns() - began[0])
    return JSONResponse(items(USERNAME))


inner = Starlette(routes=[Route("/guarded", guarded), Route("/open", unguarded)])


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == "/times":
        await times.tell(send)
        return
    # Nothing between here and the route waits, so one moment is enough for all.
    began[0] = perf_counter_ns()
    await inner(scope, receive, send)
