"""GuardMiddleware: one guard before a whole application, with public paths."""

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from guards.material import ISSUER, PARTNER, bearer, client, cookie, token
from stagedoor.guards.asgi import GuardMiddleware

GOOD = token()
PUBLIC = ["/health", "/auth/*", "/assets/img/*"]


async def show(request: Request) -> JSONResponse:
    found = request.scope.get("stagedoor.token")
    return JSONResponse({"path": request.url.path, "subject": found and found.subject})


async def socket(ws: WebSocket) -> None:
    await ws.accept()
    await ws.send_text("in")
    await ws.close()


def app(*, public: list[str] | None = None, **options: Any) -> Starlette:
    made = Starlette(routes=[WebSocketRoute("/ws", socket), WebSocketRoute("/auth/ws", socket), Route("/{path:path}", show)])
    made.add_middleware(GuardMiddleware, verifier=ISSUER.verifier(), public=PUBLIC if public is None else public, **options)
    return made


def raw_get(guarded: Any, path: str, root_path: str = "") -> int:
    """The status for a path just as a server hands it over, decoded, with no client that tidies it up before."""
    status: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": root_path,
        "query_string": b"",
        "headers": [],
        "scheme": "https",
        "server": ("api.example", 443),
    }
    coroutine = guarded(scope, receive, send)
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        return status[0]


@pytest.mark.parametrize("path", ["/health", "/auth/login", "/auth/", "/auth/a/b/c", "/auth/a..b", "/auth/.x", "/assets/img/x.png"])
def test_public_paths_pass(path: str):
    """A public path itself, and what lies below one that ends with a star, need no token."""
    assert raw_get(app(), path) == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/orders",
        "/health/",
        "/health/x",
        "/healthy",
        "/HEALTH",
        "/health\x00",
        "/health;x",
        "//health",
        "/./health",
        "/x/../health",
        "health",
        "/auth",
        "/auth2",
        "/authx/login",
        "/AUTH/login",
        "/Auth/login",
        "//auth/login",
        "/./auth/login",
        "/x/../auth/login",
        "/auth//orders",
        "/auth//",
        "/auth/./orders",
        "/auth/../orders",
        "/auth/x/../../orders",
        "/auth/..",
        "/auth/.",
        "/auth/x/..",
        "/auth/../",
        "/auth\\..\\orders",
        "/assets/other",
        "/assets/img",
        "/assets/img/../other",
        "http://api.example/auth/login",
        "*",
        "",
    ],
)
def test_all_other_paths_do_not(path: str):
    """No other path is public, however it is dressed up."""
    assert raw_get(app(), path) == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [("/auth/%6Cogin", 200), ("/%61uth/login", 200), ("/auth/%2e%2e/orders", 401), ("/auth/..%2forders", 401), ("/%2Fauth/login", 401)],
)
def test_encoded_paths(sent: str, status: int):
    """A path counts as it is once decoded, as the application will see it."""
    assert client(app()).get(sent).status_code == status


def test_a_public_path_carries_no_token():
    """On a public path nothing is read: a bad token does no harm, a good one is not handed on."""
    for header in (bearer("garbage"), bearer(GOOD)):
        assert client(app()).get("/health", headers=header).json() == {"path": "/health", "subject": None}


def test_a_guarded_path_carries_the_token():
    """Behind the guard the token stands in the scope."""
    assert client(app()).get("/orders", headers=bearer(GOOD)).json() == {"path": "/orders", "subject": "ada"}


def test_nothing_is_public_by_itself():
    """Without a list each path is guarded."""
    made = app(public=[])
    assert [raw_get(made, path) for path in ("/", "/health", "/docs", "/openapi.json", "/favicon.ico")] == [401] * 5


def test_no_route_is_told_from_a_stranger():
    """Who has no token cannot find out which paths there are."""
    made = Starlette(routes=[Route("/orders", show)])
    made.add_middleware(GuardMiddleware, verifier=ISSUER.verifier())
    assert client(made).get("/orders").content == client(made).get("/nowhere").content


@pytest.mark.parametrize(
    ("path", "root_path", "status"),
    [
        ("/app/health", "/app", 200),
        ("/health", "/app", 200),
        ("/app/orders", "/app", 401),
        ("/auth/orders", "/auth", 401),
        ("/auth/auth/login", "/auth", 200),
        ("/auth", "/auth", 401),
        ("/application/health", "/app", 401),
    ],
)
def test_a_root_path_is_no_part_of_it(path: str, root_path: str, status: int):
    """Paths are those that the application's routes match: what it is mounted at makes nothing public."""
    assert raw_get(app(), path, root_path) == status


def test_a_root_path_that_is_named_like_a_public_path():
    """An application at root path /auth does not become public as a whole by `public=["/auth/*"]`."""
    made = FastAPI()
    made.add_middleware(GuardMiddleware, verifier=ISSUER.verifier(), public=["/auth/*"])
    made.add_api_route("/orders", lambda: "orders")
    served = TestClient(made, root_path="/auth")
    assert served.get("/auth/orders").status_code == 401
    assert served.get("/auth/orders", headers=bearer(GOOD)).json() == "orders"


def test_a_mounted_application_with_a_guard_of_its_own():
    """Inside a mount the public paths are those of the mounted application."""
    outer = Starlette(routes=[Mount("/inner", app=app())])
    assert client(outer).get("/inner/health").status_code == 200
    assert client(outer).get("/inner/orders").status_code == 401


@pytest.mark.parametrize("public", [["health"], ["*"], ["/a*"], ["/*/x"], ["/a/*/b"], [""], ["/a/**"]])
def test_what_is_no_public_path(public: list[str]):
    """A pattern that would not do what it looks like is a mistake at construction."""
    with pytest.raises(ValueError):
        GuardMiddleware(app(), ISSUER.verifier(), public=public)


@pytest.mark.parametrize("options", [{"public": "/health"}, {"scopes": "orders:read"}, {"verifier": object()}])
def test_what_is_no_argument(options: dict[str, Any]):
    """One text in place of a list, and what cannot verify, are mistakes at construction."""
    with pytest.raises(TypeError):
        GuardMiddleware(app(), **({"verifier": ISSUER.verifier()} | options))


def test_public_may_be_any_iterable():
    """A generator of paths is taken whole."""
    made = app(public=(path for path in PUBLIC))
    assert [raw_get(made, path) for path in ("/health", "/auth/login", "/orders")] == [200, 200, 401]


def test_a_check_sees_the_scope():
    """The application's own check gets the token and the ASGI scope."""
    made = app(check=lambda found, scope: found.subject == "ada" and scope["path"] == "/orders")
    assert client(made).get("/orders", headers=bearer(GOOD)).status_code == 200
    assert client(made).get("/others", headers=bearer(GOOD)).json()["error"] == "access_denied"


def answer(path: str, headers: list[tuple[str, Any]], **options: Any) -> int | None:
    """The status that a WebSocket's handshake is answered with; None: it was let in."""
    try:
        with client(app(**options)).websocket_connect(path, headers={"Host": "api.example", **dict(headers)}) as ws:
            assert ws.receive_text() == "in"
    except WebSocketDenialResponse as refused:
        return refused.status_code
    return None


EVIL = [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ws", [], 401),
        ("/ws", bearer("garbage"), 401),
        ("/ws", bearer(GOOD), None),
        ("/ws", bearer(GOOD) + EVIL, None),
        ("/auth/ws", [], None),
        ("/ws", cookie(GOOD), 403),
        ("/ws", cookie(GOOD) + EVIL, 403),
        ("/ws", [*cookie(GOOD), ("Origin", "https://sibling.example"), ("Sec-Fetch-Site", "same-site")], 403),
        ("/ws", [*cookie(GOOD), ("Origin", "null")], 403),
        ("/ws", [*cookie(GOOD), ("Origin", "https://api.example")], None),
        ("/ws", [*cookie(GOOD), ("Origin", PARTNER)], None),
    ],
)
def test_websocket(path: str, headers: list[tuple[str, Any]], status: int | None):
    """A WebSocket is refused as a request is, before it is accepted; with a cookie it must come from an own page, as no CORS guards it."""
    assert answer(path, headers, origins=[PARTNER]) == status


def test_websocket_needs_the_scope():
    """What the guard asks of a request it asks of a WebSocket."""
    assert answer("/ws", bearer(GOOD), scopes=["orders:write"]) == 403
    assert answer("/ws", bearer(GOOD), check=lambda found, scope: None) == 403


def test_the_lifespan_passes():
    """Starting and stopping the application is nobody's request."""
    with TestClient(app()) as started:
        assert started.get("/health").status_code == 200
