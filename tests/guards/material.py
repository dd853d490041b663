"""An issuer, its tokens, good and bad, and three applications that guard the same routes: what the tests of guards share.

Never knows what a test expects.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from stagedoor import AccessToken, KeySet, Peppers, SyncIssuer
from stagedoor.errors import InsufficientScope
from stagedoor.guards import asgi, fastapi, starlette
from stagedoor.guards.cookies import ACCESS_COOKIE
from stagedoor.stores.memory import SyncMemoryStore
from stagedoor.testing.clock import FixedClock

NAME = "https://auth.example"
AUDIENCE = "https://api.example"
PARTNER = "https://partner.example"
"""An origin on the list of each guard."""
CLOCK = FixedClock()
KEYS = KeySet.from_secret(b"a secret for the tests of guards", clock=CLOCK)
OTHER_KEYS = KeySet.from_secret(b"another secret, of somebody else", clock=CLOCK)

Headers = list[tuple[str, str | bytes]]


def issuer(*, keys: KeySet = KEYS, audience: str = AUDIENCE, clock: FixedClock = CLOCK) -> SyncIssuer:
    return SyncIssuer(NAME, audience=audience, store=SyncMemoryStore(), keys=keys, peppers=Peppers.generate(clock=clock), clock=clock)


ISSUER = issuer()


def token(scope: str = "orders:read", *, by: SyncIssuer = ISSUER, **claims: Any) -> str:
    return by.issue("ada", scope=scope, claims=claims).access_token


def revoked() -> str:
    pair = ISSUER.issue("ada", scope="orders:read")
    ISSUER.revoke(pair.refresh_token)
    return pair.access_token


def with_another_signature(text: str) -> str:
    return text[:-10] + ("A" if text[-10] != "A" else "B") + text[-9:]


def bearer(text: str) -> Headers:
    return [("Authorization", f"Bearer {text}")]


def cookie(text: str) -> Headers:
    return [("Cookie", f"{ACCESS_COOKIE}={text}")]


def yes(found: AccessToken, request: Any) -> bool:
    with pytest.raises(RuntimeError):  # on a thread of its own: it may block
        asyncio.get_running_loop()
    return found.subject == "ada"


async def yes_async(found: AccessToken, request: Any) -> bool:
    await asyncio.sleep(0)
    return found.subject == "ada"


class YesObject:
    """A check that is an object, its call async."""

    async def __call__(self, found: AccessToken, request: Any) -> bool:
        return True


def needs_more(found: AccessToken, request: Any) -> bool:
    raise InsufficientScope("orders:own")


async def no_async(found: AccessToken, request: Any) -> bool:
    return False


CHECKS: dict[str, Callable[..., Any]] = {
    "yes": yes,
    "yes-async": yes_async,
    "yes-object": YesObject(),
    "no": lambda found, request: False,
    "no-async": no_async,
    "none": lambda found, request: None,
    "truthy": lambda found, request: "yes",
    "one": lambda found, request: 1,
    "raising": needs_more,
}
"""An application's own checks, each at /check/ and its name."""
SCOPES = {"/any": (), "/read": ("orders:read",), "/two": ("orders:read", "orders:write"), "/two-in-one": ("orders:read orders:write",)}
METHODS = ["GET", "HEAD", "POST", "DELETE"]
ORIGINS = [PARTNER]


def starlette_app() -> Starlette:
    guard = starlette.Guard(ISSUER.verifier(), origins=ORIGINS)
    by_header = starlette.Guard(ISSUER.verifier(), cookie=False)

    async def show(request: Request) -> JSONResponse:
        return JSONResponse({"subject": guard.token(request).subject})

    def maybe(request: Request) -> JSONResponse:
        found = guard.token_or_none(request)
        return JSONResponse({"subject": found and found.subject})

    routes = [Route(path, guard(*scopes)(show), methods=METHODS) for path, scopes in SCOPES.items()]
    routes += [Route(f"/check/{name}", guard(check=check)(show), methods=METHODS) for name, check in CHECKS.items()]
    routes.append(Route("/optional", guard.optional()(maybe), methods=METHODS))
    routes.append(Route("/optional/no", guard.optional(check=CHECKS["no"])(maybe), methods=METHODS))
    routes.append(Route("/header-only", by_header()(show), methods=METHODS))
    return Starlette(routes=routes)


def fastapi_app() -> FastAPI:
    app = FastAPI()
    guard = fastapi.Guard(ISSUER.verifier(), origins=ORIGINS)
    by_header = fastapi.Guard(ISSUER.verifier(), cookie=False)

    def add(path: str, dependency: Any) -> None:
        async def show(found: Annotated[AccessToken | None, dependency]) -> dict[str, Any]:
            return {"subject": found and found.subject}

        app.add_api_route(path, show, methods=METHODS)

    for path, scopes in SCOPES.items():
        add(path, guard(*scopes))
    for name, check in CHECKS.items():
        add(f"/check/{name}", guard(check=check))
    add("/optional", guard.optional())
    add("/optional/no", guard.optional(check=CHECKS["no"]))
    add("/header-only", by_header())
    return app


async def show_asgi(scope: Any, receive: Any, send: Any) -> None:
    await JSONResponse({"subject": scope["stagedoor.token"].subject})(scope, receive, send)


def asgi_app() -> Any:
    """One GuardMiddleware a path, since each guards a whole application."""
    verifier = ISSUER.verifier()
    apps = {
        path: asgi.GuardMiddleware(show_asgi, verifier, scopes=[one for many in scopes for one in many.split()], origins=ORIGINS)
        for path, scopes in SCOPES.items()
    }
    apps |= {f"/check/{name}": asgi.GuardMiddleware(show_asgi, verifier, check=check) for name, check in CHECKS.items()}
    apps["/header-only"] = asgi.GuardMiddleware(show_asgi, verifier, cookie=False)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await apps[scope["path"]](scope, receive, send)

    return app


APPS: dict[str, Callable[[], Any]] = {"starlette": starlette_app, "fastapi": fastapi_app, "asgi": asgi_app}


def client(app: Any) -> TestClient:
    return TestClient(app, base_url="https://api.example", follow_redirects=False)
