"""Mounting: paths and prefix, wrong methods, the store's life, and what is a mistake at construction."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.testclient import TestClient

from endpoints.house import ACCOUNTS, NAME, PASSWORDS, House, authenticate, error
from stagedoor import Issuer, KeySet, Peppers, SyncIssuer
from stagedoor.endpoints import Endpoints
from stagedoor.endpoints import fastapi as on_fastapi
from stagedoor.endpoints import starlette as on_starlette
from stagedoor.stores.memory import MemoryStore, SyncMemoryStore
from stagedoor.stores.sql import SQLStore

Build = Callable[..., House]
LOGIN = {"username": "ada", "password": PASSWORDS["ada"]}
ALLOWED = {
    "/auth/login": "POST",
    "/auth/refresh": "POST",
    "/auth/logout": "POST",
    "/auth/logout-all": "POST",
    "/auth/sessions": "GET, HEAD",
    "/auth/sessions/x": "DELETE",
    "/auth/me": "GET, HEAD",
    "/.well-known/jwks.json": "GET, HEAD",
}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "POST2"]


def endpoints(store: Any = None) -> Endpoints:
    issuer = Issuer(NAME, audience=NAME, store=store or MemoryStore(), keys=KeySet.generate(), peppers=Peppers.generate())
    return Endpoints(issuer, authenticate)


@pytest.mark.parametrize("path", ALLOWED)
def test_wrong_method(build: Build, path: str):
    """Any other method is refused in our shape, with the methods that the path takes; nothing is done."""
    house = build()
    house.tokens()
    before = house.rows()
    for method in set(METHODS) - set(ALLOWED[path].split(", ")):
        # httpx writes every method in capitals
        if method.upper() in ALLOWED[path]:
            continue
        answer = house.client.request(method, path)
        assert answer.headers["allow"] == ALLOWED[path]
        assert method == "HEAD" or error(answer, 405) == "method_not_allowed"
        assert answer.status_code == 405
    assert house.rows() == before


def test_get_changes_nothing(build: Build):
    """A link cannot log in, refresh or log out, wherever it puts the token (query, or what a GET's body is)."""
    house = build()
    token = house.tokens()["refresh_token"]
    before = house.rows()
    for path in ("refresh", "logout"):
        assert error(house.client.get(f"/auth/{path}?refresh_token={token}"), 405) == "method_not_allowed"
        assert error(house.client.post(f"/auth/{path}?refresh_token={token}")) == "invalid_request"
        form = house.client.post(f"/auth/{path}", data={"refresh_token": token})
        assert error(form, 415) == "wrong_media_type"
    assert house.rows() == before


def test_the_method_is_not_overridden(build: Build):
    """No header or parameter turns one method into another."""
    house = build()
    for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        assert error(house.client.get("/auth/login?_method=POST", headers={name: "POST"}), 405) == "method_not_allowed"


def test_paths_and_prefix(build: Build):
    """Prefix, single paths and the path of the JWKS can be chosen; the default ones are then gone."""
    house = build(prefix="/api/v1/", paths={"login": "/sign-in", "end_session": "/devices/{id}/end"}, jwks="/keys")
    found = house.client.post("/api/v1/sign-in", json=LOGIN)
    assert found.status_code == 200
    authorization = {"Authorization": f"Bearer {found.json()['access_token']}"}
    (session,) = house.client.get("/api/v1/sessions", headers=authorization).json()["sessions"]
    assert house.client.delete(f"/api/v1/devices/{session['id']}/end", headers=authorization).status_code == 204
    assert house.client.get("/keys").status_code == 200
    gone = ["/auth/login", "/api/v1/login", "/.well-known/jwks.json", "/api/v1/.well-known/jwks.json", "/api/v1/keys"]
    assert [house.client.post(path, json=LOGIN).status_code for path in gone] == [404] * len(gone)


@pytest.mark.parametrize("prefix", ["", "/"])
def test_no_prefix(build: Build, prefix: str):
    """The operations may stand at the root."""
    house = build(prefix=prefix)
    assert house.client.post("/login", json=LOGIN).status_code == 200


@pytest.mark.parametrize(
    "options",
    [
        {"paths": {"signin": "/login"}},
        {"paths": {"jwks": "/keys"}},
        {"paths": {"login": "login"}},
        {"paths": {"login": ""}},
        {"paths": {"end_session": "/sessions"}},
        {"paths": {"login": "/sessions"}},
        {"prefix": "auth"},
        {"jwks": "jwks.json"},
        {"jwks": "/auth/login"},
    ],
)
def test_a_mistake_in_the_paths(mount: str, options: dict[str, Any]):
    """An unknown operation, a path without its slash or its parameter, and one path for two are mistakes, and mount nothing."""
    app: Any = {"starlette": Starlette, "fastapi": FastAPI}[mount]()
    routes = len(app.router.routes)
    with pytest.raises(ValueError):
        {"starlette": on_starlette.mount, "fastapi": on_fastapi.mount}[mount](app, endpoints(), **options)
    assert len(app.router.routes) == routes


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"issuer": None}, TypeError),
        ({"issuer": "sync"}, TypeError),
        ({"authenticate": None}, TypeError),
        ({"authenticate": ACCOUNTS}, TypeError),
        ({"origins": "https://app.example"}, TypeError),
        ({"origins": ["app.example"]}, ValueError),
        ({"origins": ["*"]}, ValueError),
        ({"proxies": "10.0.0.1"}, TypeError),
        ({"proxies": ["proxy.example"]}, ValueError),
        ({"proxies": ["*"]}, ValueError),
        ({"proxies": ["10.0.0.1/8"]}, ValueError),
    ],
)
def test_a_mistake_at_construction(change: dict[str, Any], mistake: type[Exception]):
    """What the endpoints cannot work with is told when they are made, not at the first login."""
    made = {"issuer": endpoints().issuer, "authenticate": authenticate} | change
    if made["issuer"] == "sync":
        made["issuer"] = SyncIssuer(NAME, audience=NAME, store=SyncMemoryStore(), keys=KeySet.generate(), peppers=Peppers.generate())
    with pytest.raises(mistake):
        Endpoints(**made)


@pytest.mark.parametrize("kind", ["starlette", "fastapi"])
def test_lifespans_compose(kind: str, tmp_path: Path):
    """The store is migrated before the application's own start, and closed after its own end; its state arrives."""
    store = SQLStore(f"sqlite:///{tmp_path / 'auth.db'}")
    told: list[str] = []

    @asynccontextmanager
    async def own(app: Any) -> AsyncIterator[dict[str, str]]:
        assert await store.get(b"?" * 16) is None  # the table is there
        told.append("started")
        yield {"own": "state"}
        assert await store.get(b"?" * 16) is None
        told.append("stopped")

    app: Any = {"starlette": Starlette, "fastapi": FastAPI}[kind](lifespan=own)
    {"starlette": on_starlette.mount, "fastapi": on_fastapi.mount}[kind](app, endpoints(store))
    with TestClient(app, base_url=NAME) as client:
        assert told == ["started"]
        assert client.app_state == {"own": "state"}
        assert client.post("/auth/login", json=LOGIN).status_code == 200
    assert told == ["started", "stopped"]
    assert store.database._thread is None


def test_a_start_that_fails_closes_the_store(tmp_path: Path):
    """Where the application's own start fails, the store is let go of all the same."""
    store = SQLStore(f"sqlite:///{tmp_path / 'auth.db'}")

    @asynccontextmanager
    async def own(app: Any) -> AsyncIterator[None]:
        raise ZeroDivisionError
        yield

    app = Starlette(lifespan=own)
    on_starlette.mount(app, endpoints(store))
    with pytest.raises(ZeroDivisionError), TestClient(app):
        pass
    assert store.database._thread is None


def test_two_mounts_never_meet(mount: str):
    """Two sets of endpoints in one application keep their accounts' sessions apart."""
    app: Any = {"starlette": Starlette, "fastapi": FastAPI}[mount]()
    for prefix in ("/a", "/b"):
        {"starlette": on_starlette.mount, "fastapi": on_fastapi.mount}[mount](app, endpoints(), prefix=prefix, jwks=f"{prefix}/jwks.json")
    with TestClient(app, base_url=NAME) as client:
        found = client.post("/a/login", json=LOGIN).json()
        headers = {"Authorization": f"Bearer {found['access_token']}"}
        assert client.get("/a/me", headers=headers).status_code == 200
        assert error(client.get("/b/me", headers=headers), 401) == "invalid_token"
        assert error(client.post("/b/refresh", json={"refresh_token": found["refresh_token"]})) == "invalid_grant"
