"""Stagedoor's endpoints in Starlette, on uvicorn: refresh_stagedoor.py STORE_URL PORT. GET /told counts events by name."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench import crowd
from stagedoor import Issuer, KeySet
from stagedoor.endpoints import Account, Endpoints
from stagedoor.endpoints.starlette import mount
from stagedoor.event import Event
from stagedoor.stores.redis import RedisStore
from stagedoor.stores.sql import SQLStore


def app(url: str) -> Starlette:
    """The application, on the store of this URL."""
    told: Counter[str] = Counter()
    store: Any = RedisStore(url) if url.startswith("redis") else SQLStore(url)

    def listen(event: Event) -> None:
        told[event.name] += 1

    async def authenticate(username: str, password: str) -> Account | None:
        return Account(username) if password == "of the benchmark" else None

    async def happened(request: Request) -> JSONResponse:
        return JSONResponse(told)

    made = Starlette(routes=[Route("/told", happened)])
    issuer = Issuer(
        "https://auth.example",
        audience=crowd.AUDIENCE,
        store=store,
        keys=KeySet.from_secret(b"of the benchmark, and of nothing else at all"),
        peppers=crowd.peppers(),
        events=listen,
    )
    mount(made, Endpoints(issuer, authenticate))
    return made


if __name__ == "__main__":
    uvicorn.run(app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
