"""Held wrong, it says so at once: what is built of the wrong parts is refused where it is built, not at the first request."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from stagedoor import AccessToken, Issuer, Key, KeySet, Peppers, Revocations, Scope, SyncIssuer, Verifier
from stagedoor.endpoints import Account, Endpoints
from stagedoor.endpoints.fastapi import mount as mount_fastapi
from stagedoor.endpoints.starlette import mount as mount_starlette
from stagedoor.guards.asgi import GuardMiddleware
from stagedoor.guards.fastapi import Guard as FastAPIGuard
from stagedoor.guards.starlette import Guard as StarletteGuard
from stagedoor.stores.memory import MemoryStore, SyncMemoryStore
from stagedoor.stores.sql import SQLStore, SyncSQLStore

KEYS, PEPPERS = KeySet.generate(), Peppers.generate()
SHARED = SyncSQLStore("sqlite:///auth.db")
NEVER = Verifier("https://auth.example", audience="https://api.example", keys=KEYS, revocations=Revocations.until_expiry())


def issuer(kind: Any = Issuer, name: Any = "https://auth.example", **options: Any) -> Any:
    parts = {"audience": "https://api.example", "store": MemoryStore(), "keys": KEYS, "peppers": PEPPERS}
    return kind(name, **(parts | options))


def endpoints() -> Endpoints:
    return Endpoints(issuer(), lambda username, password: None)


def twice(mount: Callable[..., None], app: Any, **options: Any) -> None:
    mount(app, endpoints())
    mount(app, endpoints(), **options)


class Model(BaseModel):
    sub: str


CASES: dict[str, tuple[type[Exception], Callable[[], object]]] = {
    "issuer: no store": (TypeError, lambda: issuer(store=None)),
    "issuer: a URL for a store": (TypeError, lambda: issuer(store="sqlite:///auth.db")),
    "issuer: a store's class": (TypeError, lambda: issuer(store=MemoryStore)),
    "issuer: a sync store": (TypeError, lambda: issuer(store=SyncMemoryStore())),
    "sync issuer: an async store": (TypeError, lambda: issuer(SyncIssuer)),
    "issuer: two audiences": (TypeError, lambda: issuer(audience=["a", "b"])),
    "issuer: a number for a name": (TypeError, lambda: issuer(name=5)),
    "issuer: no keys": (ValueError, lambda: issuer(keys=KeySet())),
    "issuer: public keys": (TypeError, lambda: issuer(keys=KeySet.from_jwks(KEYS.jwks()))),
    "issuer: a key for keys": (TypeError, lambda: issuer(keys=Key.generate("ES256"))),
    "issuer: a unitless lifetime": (ValueError, lambda: issuer(access="900")),
    "keys: bytes": (TypeError, lambda: KeySet(b"a secret")),  # type: ignore[arg-type]
    "keys: the URL of a JWKS": (TypeError, lambda: KeySet.from_jwks("https://auth.example/jwks.json")),  # type: ignore[arg-type]
    "keys: a text as a secret": (TypeError, lambda: KeySet.from_secret("x" * 32)),  # type: ignore[arg-type]
    "verifier: no revocations": (TypeError, lambda: Verifier("i", audience="a", keys=KEYS)),  # type: ignore[call-arg]
    "verifier: a pydantic model": (TypeError, lambda: issuer().verifier(Model)),
    "verifier: a token pair": (TypeError, lambda: issuer().verifier().verify(None)),
    "account: a text as scope": (TypeError, lambda: Account("u", "orders:read")),  # type: ignore[arg-type]
    "account: a number as subject": (TypeError, lambda: Account(5, Scope())),  # type: ignore[arg-type]
    "endpoints: a sync issuer": (TypeError, lambda: Endpoints(issuer(SyncIssuer, store=SyncMemoryStore()), print)),
    "endpoints: no list of feed keys": (TypeError, lambda: Endpoints(issuer(), print, feed_keys=None)),  # type: ignore[arg-type]
    "revocations: a URL": (TypeError, lambda: Revocations.following("https://auth.example/auth/revocations")),
    "revocations: a bound of another kind": (TypeError, lambda: Revocations.following(SHARED, bound=timedelta(seconds=1))),  # type: ignore[arg-type]
    "guard: strict where nobody can be asked": (TypeError, lambda: FastAPIGuard(NEVER)(strict=True)),
    "guard: a class": (TypeError, lambda: FastAPIGuard(Verifier)),  # type: ignore[arg-type]
    "guard: a check that is none": (TypeError, lambda: FastAPIGuard(issuer().verifier())(check="x")),  # type: ignore[arg-type]
    "guard: a check that is none, Starlette": (TypeError, lambda: StarletteGuard(issuer().verifier())(check="x")(print)),  # type: ignore[arg-type]
    "middleware: a check that is none": (TypeError, lambda: GuardMiddleware(print, issuer().verifier(), check="x")),  # type: ignore[arg-type]
    "mount: swapped": (TypeError, lambda: mount_fastapi(endpoints(), FastAPI())),  # type: ignore[arg-type]
    "mount: a router": (TypeError, lambda: mount_fastapi(APIRouter(), endpoints())),  # type: ignore[arg-type]
    "mount: twice": (ValueError, lambda: twice(mount_fastapi, FastAPI())),
    "mount: twice, another prefix, one JWKS": (ValueError, lambda: twice(mount_starlette, Starlette(), prefix="/b")),
}


@pytest.mark.parametrize("case", CASES)
def test_held_wrong(case: str) -> None:
    """The mistake is a TypeError or ValueError where it is made."""
    error, make = CASES[case]
    with pytest.raises(error):
        make()


def test_two_mounts_with_paths_of_their_own() -> None:
    """Two issuers live in one application once each has its own paths."""
    app = FastAPI()
    twice(mount_fastapi, app, prefix="/b", jwks="/b/jwks.json")
    assert {"/auth/login", "/b/login", "/.well-known/jwks.json", "/b/jwks.json"} <= {getattr(route, "path", "") for route in app.routes}


def test_the_guard_is_no_dependency_by_itself() -> None:
    """Depends(guard), where guard() is meant, is refused when the route is made, with the right way in the message."""
    app, guard = FastAPI(), FastAPIGuard(issuer().verifier())
    with pytest.raises(TypeError, match="without Depends"):

        @app.get("/")
        async def route(token: AccessToken = Depends(guard)) -> None: ...  # noqa: B008 - as it is written by mistake


def sockets_and_requests() -> list[Any]:
    """Applications whose guards are those of the other kind: at /request and /socket."""
    verifier, made = issuer().verifier(), FastAPI()
    guard, plain = FastAPIGuard(verifier), StarletteGuard(verifier)
    made.add_api_route("/request", show, dependencies=[guard.websocket()])  # type: ignore[list-item]
    made.add_api_websocket_route("/socket", show, dependencies=[guard()])  # type: ignore[list-item]
    routes = [Route("/request", plain.websocket()(show)), WebSocketRoute("/socket", plain()(show))]
    return [made, Starlette(routes=routes)]


async def show() -> None:
    raise AssertionError("it was let in")


@pytest.mark.parametrize("app", sockets_and_requests(), ids=["fastapi", "starlette"])
def test_a_guard_of_requests_is_none_of_websockets(app: Any) -> None:
    """A WebSocket behind guard(), and a request behind guard.websocket(), is let in by neither, and the error says what to write."""
    client = TestClient(app)
    with pytest.raises(TypeError, match=r"takes .*guard\.websocket"), client.websocket_connect("/socket"):
        raise AssertionError("it was let in")
    with pytest.raises(TypeError, match="is for a WebSocket"):
        client.get("/request")


async def test_a_session_can_be_ended_by_what_sessions_returns() -> None:
    """What `sessions` lists can be handed to `revoke_session` as it is."""
    made = issuer()
    await made.issue("u")
    (session,) = await made.sessions("u")
    await made.revoke_session(session.id)
    assert await made.sessions("u") == []


def test_the_command_without_its_packages_says_what_to_install() -> None:
    """`stagedoor` without the service extra ends with one line and a hint, not a traceback."""
    code = "import sys; sys.modules['typer'] = None; from stagedoor.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "hint: pip install 'stagedoor[service]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_wrong_on_our_side_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A 503 leaves a warning that says why; what a client did wrong is told at level DEBUG."""
    from stagedoor.errors import StoreError, TokenExpired
    from stagedoor.guards.response import refusal

    with caplog.at_level("DEBUG", "stagedoor.refusals"):
        refusal(StoreError("no such table: run store.migrate()"))
        refusal(TokenExpired())
    told = [record for record in caplog.records if record.name == "stagedoor.refusals"]  # threads of other tests may tell something too
    assert [(record.levelname, "migrate()" in record.getMessage()) for record in told] == [("WARNING", True), ("DEBUG", False)]


@pytest.mark.parametrize("store", [SQLStore, SyncSQLStore])
def test_a_url_that_is_none(store: type) -> None:
    """A variable that is not set, an unknown database, an unknown option and a password with a slash are told at construction."""
    with pytest.raises(TypeError, match="url is a text"):
        store(None)
    with pytest.raises(ValueError, match="a URL such as"):
        store("mysql://localhost/auth")
    with pytest.raises(ValueError, match='invalid URI query parameter: "pool"'):
        store("postgresql://localhost/auth?pool=5")
    with pytest.raises(ValueError, match="encoded") as caught:
        store("postgresql://ada:se/cret@localhost:x/auth")
    assert "cret" not in str(caught.value)
    with pytest.raises(ValueError, match="connections"):
        store("postgresql://localhost/auth", connections="5")
