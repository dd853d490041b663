"""FastAPI with a route guarded by Stagedoor and one with an empty dependency: how long each takes to its route. /times tells it."""

from time import perf_counter_ns
from typing import Annotated, Any

from fastapi import FastAPI, Security
from material import USERNAME, items
from stagedoor_verifier import verifier
from times import Times

from stagedoor import AccessToken
from stagedoor.guards.fastapi import Guard

inner, guard, times, began = FastAPI(), Guard(verifier), Times("guarded", "without"), [0]


async def nothing() -> None:
    pass


@inner.get("/guarded")
async def guarded(token: Annotated[AccessToken, guard()]):
    times.guarded.append(perf_counter_ns() - began[0])
    return items(token.claims["username"])


@inner.get("/empty")
async def empty(token: Annotated[None, Security(nothing)]):
    times.without.append(perf_counter_ns() - began[0])
    return items(USERNAME)


@inner.get("/open")
async def unguarded():
    return items(USERNAME)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == "/times":
        await times.tell(send)
        return
    # Nothing between here and the route waits, so one moment is enough for all.
    began[0] = perf_counter_ns()
    await inner(scope, receive, send)
