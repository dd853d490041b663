"""Guards of every framework on a RemoteKeySet, asked by real requests."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from remote.material import FIRST, SECOND, of_unknown_kid, token, until, verifier
from remote.server import KeyServer, closes_at_once
from stagedoor import AccessToken
from stagedoor.guards import asgi, fastapi, starlette
from stagedoor.jwks import RemoteKeySet
from stagedoor.testing.clock import FixedClock


async def health(request: Request) -> JSONResponse:
    return JSONResponse("fine")


def starlette_app(found: Any) -> Any:
    guard = starlette.Guard(found)

    @guard("orders:read")
    async def orders(request: Request) -> JSONResponse:
        return JSONResponse({"subject": guard.token(request).subject})

    @guard.optional()
    async def maybe(request: Request) -> JSONResponse:
        admitted = guard.token_or_none(request)
        return JSONResponse({"subject": admitted and admitted.subject})

    return Starlette(routes=[Route("/orders", orders), Route("/optional", maybe), Route("/health", health)])


def fastapi_app(found: Any) -> Any:
    guard, app = fastapi.Guard(found), FastAPI()

    async def orders(admitted: Annotated[AccessToken, guard("orders:read")]) -> dict[str, Any]:
        return {"subject": admitted.subject}

    async def maybe(admitted: Annotated[AccessToken | None, guard.optional()]) -> dict[str, Any]:
        return {"subject": admitted and admitted.subject}

    app.add_api_route("/orders", orders)
    app.add_api_route("/optional", maybe)
    app.add_route("/health", health)
    return app


def asgi_app(found: Any) -> Any:
    async def orders(request: Request) -> JSONResponse:
        return JSONResponse({"subject": request.scope["stagedoor.token"].subject})

    inner = Starlette(routes=[Route("/orders", orders), Route("/health", health)])
    return asgi.GuardMiddleware(inner, found, public=["/health"], scopes=["orders:read"])


APPS: dict[str, Callable[[Any], Any]] = {"starlette": starlette_app, "fastapi": fastapi_app, "asgi": asgi_app}


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The application behind a real server, on a thread of its own."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(5)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize("kind", APPS)
def test_the_first_token_under_each_key_gets_no_401(server: KeyServer, kind: str) -> None:
    """Through each guard: first token, first token of a new key, one of an unknown key, and a 503 where no keys can be had."""
    clock = FixedClock()
    server.behaviour = closes_at_once
    app = APPS[kind](verifier(RemoteKeySet(server.url, clock=clock)))
    with serving(app) as origin, httpx2.Client(base_url=origin, timeout=60) as client:
        refused = client.get("/orders", headers=bearer(token()))
        assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
        assert refused.headers["retry-after"] == "10"
        server.behaviour = None
        for count, key in ((2, FIRST), (3, SECOND)):
            clock.forward(10)
            server.publish(FIRST, key) if key is SECOND else None
            for _ in range(3):
                answer = client.get("/orders", headers=bearer(token(key)))
                assert (answer.status_code, answer.json()) == (200, {"subject": "ada"})
            assert server.count() == count
        assert client.get("/orders", headers=bearer(of_unknown_kid(1))).status_code == 401
        assert client.get("/orders", headers=bearer(token(scope="else"))).status_code == 403
        assert client.get("/orders").status_code == 401
        assert server.count() == 3


@pytest.mark.parametrize("kind", ["starlette", "fastapi"])
def test_an_optional_guard_waits_too(server: KeyServer, kind: str) -> None:
    """Behind an optional guard the first token is waited for as well, and no token needs no keys."""
    with serving(APPS[kind](verifier(RemoteKeySet(server.url)))) as origin, httpx2.Client(base_url=origin, timeout=60) as client:
        assert client.get("/optional").json() == {"subject": None}
        assert server.count() == 0
        assert client.get("/optional", headers=bearer(token())).json() == {"subject": "ada"}


@pytest.mark.parametrize("kind", APPS)
async def test_other_requests_go_on_while_keys_are_fetched(server: KeyServer, kind: str) -> None:
    """While 20 requests wait for a slow key server, the one process answers others at once; then all 20 pass, on one fetch."""
    with serving(APPS[kind](verifier(RemoteKeySet(server.url, timeout=30)))) as origin:
        async with httpx2.AsyncClient(base_url=origin, timeout=60) as client:
            with server.holding():
                waiting = [asyncio.create_task(client.get("/orders", headers=bearer(token()))) for _ in range(20)]
                while not server.count():
                    await asyncio.sleep(0.01)
                for _ in range(20):
                    assert (await client.get("/health")).json() == "fine"
                assert not any(task.done() for task in waiting)
            assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 20
    assert server.count() == 1
