"""WebSockets, by a real server and a real client, the same for each guard: refused at the handshake, closed with the token, renewed."""

import asyncio
import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from awake import Awake
from guards.material import AUDIENCE, NAME, ORIGINS, PARTNER, cookie, with_another_signature
from stagedoor import AccessToken, KeySet, Peppers, Revocations, SyncIssuer, Verifier
from stagedoor.guards import asgi, fastapi, starlette
from stagedoor.revocation import Page, uptime
from stagedoor.stores.memory import MemoryLog, SyncMemoryStore
from stagedoor.testing.clock import FixedClock

SHORT, LONG = "5m", 300
LIFE = 900
BOUND = 5
"""Seconds: more than the machine may stand still."""
PATIENCE = 30


class Feed:
    """The log of a store as somebody hears it elsewhere; it can be made to lag behind, or not to answer."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.state = "good"

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        if self.state == "silent":
            raise OSError("nobody answers")
        if self.state == "lagging":
            time.sleep(wait)
            return Page(after or "", [], None, 0.0)
        return self._log.read(after, min(wait, 0.1))  # not for long: its state may change meanwhile


class House:
    """An issuer; a verifier in its process, and one elsewhere that hears of it by a feed."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        keys = KeySet.from_secret(b"a secret for the tests of sockets", clock=self.clock)
        self.store = SyncMemoryStore()
        peppers = Peppers.generate(clock=self.clock)
        self.issuer = SyncIssuer(NAME, audience=AUDIENCE, store=self.store, keys=keys, peppers=peppers, access=LIFE, clock=self.clock)
        self.log = Feed(self.store.log)
        self.get = self.store.get
        self.revocations = Revocations.following(self, bound=BOUND, clock=self.clock)
        self.elsewhere = Verifier(NAME, audience=AUDIENCE, keys=keys, revocations=self.revocations, clock=self.clock)
        self.verifier = self.issuer.verifier()
        self.ends: queue.Queue[tuple[int, str]] = queue.Queue()
        """What applications were told at the end of a WebSocket."""
        self.raises = {4401, 1013, 1006}
        """What they do not catch: where it was the guard that ended it, the server need hear no more of it."""

    async def told(self) -> tuple[int, str]:
        return await asyncio.to_thread(self.ends.get, True, PATIENCE)

    async def fall_silent(self, within: float = 1) -> None:
        """From now on nobody is told anything, and what is known is past its bound in so many seconds."""
        follower = self.revocations._follower
        assert follower is not None
        self.log.state = "silent"
        while not follower._failure:  # what was being read is over
            await asyncio.sleep(0.01)
        follower.fresh_until = uptime() + within

    async def speak_again(self) -> None:
        """From now on everybody is told, and what is known is within its bound."""
        self.log.state = "good"
        self.revocations.follow()
        follower = self.revocations._follower
        assert follower is not None
        async with asyncio.timeout(PATIENCE):
            while follower._failure or not self.revocations.is_fresh:
                await asyncio.sleep(0.01)


Endpoint = Callable[[WebSocket, Callable[[], AccessToken]], Awaitable[None]]


def endpoints(house: House) -> dict[str, Endpoint]:
    async def echo(socket: WebSocket, token: Callable[[], AccessToken]) -> None:
        await socket.accept()
        try:
            while True:
                text = await socket.receive_text()
                await socket.send_text(f"{token().subject} {token().expires_at - house.clock():.0f} {text}")
        except WebSocketDisconnect as ended:
            house.ends.put((ended.code, ended.reason))
            if ended.code in house.raises:
                raise

    async def ticks(socket: WebSocket, token: Callable[[], AccessToken]) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text("tick")
                await asyncio.sleep(0.01)
        except WebSocketDisconnect as ended:
            house.ends.put((ended.code, ended.reason))
            if ended.code in house.raises:
                raise

    async def chat(socket: WebSocket, token: Callable[[], AccessToken]) -> None:
        offered = socket.scope["subprotocols"]
        await socket.accept(subprotocol=offered[0] if offered else None)
        await socket.send_json([offered, socket.headers.get("sec-websocket-protocol")])
        await socket.close(4000, "done")

    async def waiting(socket: WebSocket, token: Callable[[], AccessToken]) -> None:
        """Gives up waiting again and again, as one that waits for something else too."""
        await socket.accept()
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    text = await asyncio.wait_for(socket.receive_text(), 0.02)
                    await socket.send_text(text)
        except WebSocketDisconnect as ended:
            house.ends.put((ended.code, ended.reason))
            if ended.code in house.raises:
                raise

    return {"echo": echo, "ticks": ticks, "chat": chat, "waiting": waiting}


ROUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "/echo": ("echo", {"scopes": ("orders:read",)}),
    "/ticks": ("ticks", {}),
    "/chat": ("chat", {}),
    "/waiting": ("waiting", {}),
    "/strict": ("echo", {"strict": True}),
    "/recent": ("echo", {"max_age": SHORT}),
    "/check": ("echo", {"check": lambda token, socket: token.claims.get("tier") == "gold"}),
    "/away": ("echo", {}),
    "/away/ticks": ("ticks", {}),
}
"""An endpoint, and what the guard is told; below /away the verifier hears by the feed, and /strict asks."""


def hears_by_feed(path: str) -> bool:
    return path.startswith(("/away", "/strict"))


def starlette_app(house: House) -> Any:
    guards = [starlette.Guard(verifier, origins=ORIGINS) for verifier in (house.verifier, house.elsewhere)]
    bodies = endpoints(house)

    def route(path: str) -> WebSocketRoute:
        body, options = ROUTES[path]
        guard = guards[hears_by_feed(path)]

        @guard.websocket(*options.get("scopes", ()), **{name: value for name, value in options.items() if name != "scopes"})
        async def live(socket: WebSocket) -> None:
            await bodies[body](socket, lambda: guard.token(socket))

        return WebSocketRoute(path, live)

    return Starlette(routes=[route(path) for path in ROUTES])


def fastapi_app(house: House) -> Any:
    app = FastAPI()
    guards = [fastapi.Guard(verifier, origins=ORIGINS) for verifier in (house.verifier, house.elsewhere)]
    bodies = endpoints(house)

    def add(path: str) -> None:
        body, options = ROUTES[path]
        dependency = guards[hears_by_feed(path)].websocket(
            *options.get("scopes", ()), **{name: value for name, value in options.items() if name != "scopes"}
        )

        async def live(socket: Annotated[fastapi.GuardedSocket, dependency]) -> None:
            await bodies[body](socket, lambda: socket.token)

        app.add_api_websocket_route(path, live)

    for path in ROUTES:
        add(path)
    return app


def asgi_app(house: House) -> Any:
    bodies = endpoints(house)

    def guarded(path: str) -> Any:
        body, options = ROUTES[path]

        async def live(socket: WebSocket) -> None:
            with contextlib.suppress(WebSocketDisconnect):
                await bodies[body](socket, lambda: socket.scope["stagedoor.token"])

        inner = Starlette(routes=[WebSocketRoute(path, live)])
        verifier = house.elsewhere if hears_by_feed(path) else house.verifier
        return asgi.GuardMiddleware(inner, verifier, origins=ORIGINS, **options)

    apps = {path: guarded(path) for path in ROUTES}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await apps[scope["path"]](scope, receive, send)

    return app


APPS: dict[str, Callable[[House], Any]] = {"starlette": starlette_app, "fastapi": fastapi_app, "asgi": asgi_app}


class Errors(logging.Handler):
    """What a server complains of."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@dataclass
class Served:
    """A house, and a server in a thread of its own."""

    house: House
    app: Any
    tasks: set[str] = field(default_factory=set)

    def __enter__(self) -> "Served":
        self.errors = Errors()
        self._server = uvicorn.Server(uvicorn.Config(self.app, port=0, lifespan="off", log_config=None, ws_ping_interval=None))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        logging.getLogger("uvicorn.error").addHandler(self.errors)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        logging.getLogger("uvicorn.error").removeHandler(self.errors)
        self.house.revocations.close()

    def _run(self) -> None:
        async def main() -> None:
            await self._server.serve()
            for _ in range(3):
                await asyncio.sleep(0)
            self.tasks = {str(task.get_coro()) for task in asyncio.all_tasks() if task is not asyncio.current_task()}

        asyncio.run(main())

    def connect(self, path: str, token: str | None = None, headers: Any = (), protocols: Any = None) -> Any:
        sent = [*headers, *([("Authorization", f"Bearer {token}")] if token else [])]
        patience: dict[str, Any] = {"open_timeout": PATIENCE, "close_timeout": PATIENCE, "ping_interval": None}
        return connect(f"ws://127.0.0.1:{self.port}{path}", additional_headers=sent, subprotocols=protocols, proxy=None, **patience)


@pytest.fixture(scope="module", params=APPS)
def module_server(request: pytest.FixtureRequest) -> Iterator[Served]:
    house = House()
    with Served(house, APPS[request.param](house)) as served:
        yield served


@pytest.fixture
async def served(module_server: Served) -> AsyncIterator[Served]:
    """The server; it must not have complained by the end, and its house is as it was."""
    await module_server.house.speak_again()
    while not module_server.house.ends.empty():  # left by a test that failed
        module_server.house.ends.get()
    yield module_server
    assert module_server.errors.said == []
    assert module_server.house.ends.empty()


def login(served: Served, subject: str = "ada", scope: str = "orders:read", **claims: Any) -> Any:
    return served.house.issuer.issue(subject, scope=scope, claims=claims)


async def says(socket: ClientConnection, text: str = "hello") -> str:
    await socket.send(text)
    return str(await asyncio.wait_for(socket.recv(), PATIENCE))


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """Code and reason, when the server has closed it; whatever it said before is passed over."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(PATIENCE):
            while True:
                await socket.recv()
    return socket.close_code or 0, socket.close_reason or ""


def renewal(token: Any, **more: Any) -> str:
    return json.dumps({"type": "stagedoor.renew", "access_token": token, **more})


async def refused(served: Served, path: str, **how: Any) -> tuple[int, str | None]:
    """Status and error of the answer to a handshake."""
    with pytest.raises(InvalidStatus) as caught:
        async with served.connect(path, **how):
            pass
    response = caught.value.response
    assert ("www-authenticate" in response.headers) is (response.status_code in (401, 403))
    return response.status_code, json.loads(response.body)["error"]


async def test_a_good_token_opens(served: Served):
    """With a token in the header the application speaks as without a guard, and has the token."""
    async with served.connect("/echo", login(served).access_token) as socket:
        assert await says(socket) == "ada 900 hello"
        await socket.close(4000, "mine")
    assert await served.house.told() == (4000, "mine")


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (None, (401, "token_missing")),
        ("garbage", (401, "invalid_token")),
    ],
    ids=["none", "garbage"],
)
async def test_no_good_token(served: Served, token: str | None, expected: tuple[int, str]):
    """A handshake without a good token is answered as a request is, with status, challenge and error."""
    assert await refused(served, "/echo", token=token) == expected
    if token:
        assert await refused(served, "/echo", protocols=["stagedoor", f"stagedoor.bearer.{token}"]) == expected
        assert await refused(served, "/echo", headers=[*cookie(token), ("Origin", PARTNER)]) == expected


async def test_what_a_handshake_lacks(served: Served):
    """Scope, the application's own check, a recent login, a session that lives: as for requests."""
    good = login(served)
    assert await refused(served, "/echo", token=with_another_signature(good.access_token)) == (401, "invalid_token")
    assert await refused(served, "/echo", token=good.refresh_token) == (401, "invalid_token")
    assert await refused(served, "/echo", token=login(served, scope="orders:write").access_token) == (403, "insufficient_scope")
    assert await refused(served, "/check", token=good.access_token) == (403, "access_denied")
    served.house.issuer.revoke(good.refresh_token)
    assert await refused(served, "/echo", token=good.access_token) == (401, "invalid_token")
    old = login(served)
    served.house.clock.forward(LONG + 1)
    assert await refused(served, "/recent", token=old.access_token) == (401, "insufficient_user_authentication")


async def test_a_cookie_is_for_own_pages(served: Served):
    """The access cookie opens from an own page or one on the list, and from no other: no CORS guards a WebSocket."""
    kept = cookie(login(served).access_token)
    for page in ("https://evil.example", "null"):
        assert await refused(served, "/chat", headers=[*kept, ("Origin", page)]) == (403, "cross_site_refused")
    assert await refused(served, "/chat", headers=kept) == (403, "cross_site_refused")
    for page in (PARTNER, f"http://127.0.0.1:{served.port}"):
        async with served.connect("/chat", headers=[*kept, ("Origin", page)]) as socket:
            assert await closed(socket) == (4000, "done")


@pytest.mark.parametrize(
    ("own", "chosen"), [([], "stagedoor"), (["chat.v2", "chat.v1"], "chat.v2")], ids=["no protocol of its own", "protocols of its own"]
)
async def test_a_browser_brings_the_token_as_a_subprotocol(served: Served, own: list[str], chosen: str):
    """The token is never echoed, nor shown to the application; a protocol that was offered is chosen, as browsers ask."""
    text = login(served).access_token
    async with served.connect("/chat", protocols=[f"stagedoor.bearer.{text}", "stagedoor", *own]) as socket:
        assert socket.subprotocol == chosen
        assert text not in str(socket.response.headers)
        assert json.loads(await socket.recv()) == [own, ", ".join(own) or None]
    assert await refused(served, "/chat", protocols=[f"stagedoor.bearer.{text}", f"stagedoor.bearer.{text}"]) == (400, "invalid_request")


async def test_a_header_wins_over_a_subprotocol(served: Served):
    """A good subprotocol does not mend a bad header."""
    text = login(served).access_token
    assert await refused(served, "/chat", token="garbage", protocols=["stagedoor", f"stagedoor.bearer.{text}"]) == (401, "invalid_token")
    async with served.connect("/chat", text, protocols=["stagedoor", "stagedoor.bearer.garbage"]) as socket:
        assert socket.subprotocol == "stagedoor"


@pytest.mark.parametrize("path", ["/echo", "/ticks", "/waiting", "/away", "/away/ticks", "/strict"])
async def test_expired_while_open(served: Served, path: str):
    """When its token expires an idle WebSocket is closed with 4401, one whose application only sends too, and the application is told."""
    async with served.connect(path, login(served).access_token) as socket:
        await asyncio.sleep(0.3)
        served.house.clock.forward(LIFE - 1)
        await asyncio.sleep(0.3)
        assert socket.close_code is None
        served.house.clock.forward(1)
        assert await closed(socket) == (4401, "token expired")
    assert (await served.house.told())[0] in (4401, 1006)


@pytest.mark.parametrize("path", ["/echo", "/ticks", "/waiting", "/away", "/away/ticks", "/strict"])
async def test_revoked_while_open(served: Served, path: str):
    """When its session is ended a WebSocket is closed with 4401 within a second, here and where one hears of it by a feed; others stay."""
    other = login(served)
    async with served.connect("/echo", other.access_token) as stays:
        for last in (False, False, True):
            ended = login(served)
            async with served.connect(path, ended.access_token) as socket:
                await asyncio.sleep(0.1)
                with Awake() as awake:
                    served.house.issuer.revoke(ended.refresh_token)
                    assert await closed(socket) == (4401, "token revoked")
                assert await says(stays) == "ada 900 hello"
                assert (await served.house.told())[0] in (4401, 1006)
            if awake.seconds < 1:  # else a single thread may have stood still
                break
            assert not last, f"{awake.seconds} s"
    assert (await served.house.told())[0] == 1000


async def test_the_application_is_told_why(served: Served):
    """An application that waits for a message gets a disconnect with the guard's code and reason."""
    pair = login(served)
    async with served.connect("/echo", pair.access_token) as socket:
        await says(socket)
        served.house.issuer.revoke(pair.refresh_token)
        await closed(socket)
    assert await served.house.told() == (4401, "token revoked")


async def test_nothing_passes_after_the_end(served: Served):
    """Between the end of the token and the next round no message reaches the application, and none leaves it."""
    pair = login(served)
    async with served.connect("/echo", pair.access_token) as socket:
        await says(socket)
        served.house.issuer.revoke(pair.refresh_token)
        with pytest.raises(ConnectionClosed):
            await says(socket)
        assert socket.close_code == 4401
    assert await served.house.told() == (4401, "token revoked")


@pytest.mark.parametrize("path", ["/echo", "/ticks", "/waiting", "/away", "/away/ticks", "/strict"])
async def test_renewed(served: Served, path: str):
    """A fresh token of the session, sent as a message, keeps the WebSocket open; the application neither sees it nor is disturbed."""
    pair = login(served)
    async with served.connect(path, pair.access_token) as socket:
        served.house.clock.forward(LIFE - 100)
        fresh = served.house.issuer.refresh(pair.refresh_token)
        await socket.send(renewal(fresh.access_token))
        async with asyncio.timeout(PATIENCE):
            while (answer := await socket.recv()) == "tick":
                pass
        assert json.loads(answer) == {"type": "stagedoor.renewed", "expires_in": LIFE}
        served.house.clock.forward(200)
        await asyncio.sleep(0.5)
        assert socket.close_code is None
        if path == "/echo":
            assert await says(socket) == f"ada {LIFE - 200} hello"
        served.house.clock.forward(LIFE - 200)
        assert await closed(socket) == (4401, "token expired")
    assert (await served.house.told())[0] in (4401, 1006)


def other_subject(served: Served, pair: Any) -> Any:
    return login(served, "bob").access_token


def other_session(served: Served, pair: Any) -> Any:
    return login(served).access_token


def less_scope(served: Served, pair: Any) -> Any:
    return served.house.issuer.refresh(pair.refresh_token, scope="orders:none").access_token


def expired(served: Served, pair: Any) -> Any:
    old = pair.access_token
    served.house.clock.forward(LIFE - 1)
    return old


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (other_subject, "invalid_token"),
        (other_session, "invalid_token"),
        (less_scope, "insufficient_scope"),
        (lambda served, pair: "garbage", "invalid_token"),
        (lambda served, pair: "", "invalid_token"),
        (lambda served, pair: "ä\ud800"[:1] * 9, "invalid_token"),
        (lambda served, pair: "x" * 9000, "invalid_token"),
        (lambda served, pair: pair.refresh_token, "invalid_token"),
        (lambda served, pair: with_another_signature(pair.access_token), "invalid_token"),
        (lambda served, pair: None, "invalid_request"),
        (lambda served, pair: [pair.access_token], "invalid_request"),
    ],
    ids=[
        "another subject",
        "another session",
        "less scope",
        "garbage",
        "empty",
        "not ASCII",
        "oversized",
        "refresh token",
        "signature",
        "null",
        "list",
    ],
)
async def test_a_bad_renewal_ends_it(served: Served, make: Callable[[Served, Any], Any], error: str):
    """A renewal that is not of this session, or no good token for this route, closes the WebSocket with 4401."""
    pair = login(served, scope="orders:read orders:none")
    async with served.connect("/echo", pair.access_token) as socket:
        await socket.send(renewal(make(served, pair)))
        assert await closed(socket) == (4401, f"renewal refused: {error}")
    assert await served.house.told() == (4401, f"renewal refused: {error}")


async def test_a_renewal_that_is_over(served: Served):
    """A token that has expired, or whose session was ended, renews nothing."""
    pair = login(served)
    fresh = served.house.issuer.refresh(pair.refresh_token)
    served.house.clock.forward(100)
    newer = served.house.issuer.refresh(fresh.refresh_token)
    async with served.connect("/echo", newer.access_token) as socket:
        served.house.clock.forward(LIFE - 100)
        await socket.send(renewal(pair.access_token))
        assert await closed(socket) == (4401, "renewal refused: invalid_token")
    await served.house.told()
    served.house.issuer.revoke(newer.refresh_token)
    later = login(served)
    async with served.connect("/echo", later.access_token) as socket:
        served.house.issuer.revoke(later.refresh_token)
        await socket.send(renewal(later.access_token))
        assert (await closed(socket))[0] == 4401
    await served.house.told()


async def test_what_a_renewal_must_bring_beside_its_token(served: Served):
    """The application's own check is asked of the new token too; more members than two are no renewal that we know."""
    pair = login(served, tier="gold")
    async with served.connect("/check", pair.access_token) as socket:
        await socket.send(renewal(pair.access_token))
        assert json.loads(await socket.recv())["type"] == "stagedoor.renewed"
        await socket.send(renewal(pair.access_token, more=1))
        assert await closed(socket) == (4401, "renewal refused: invalid_request")
    await served.house.told()


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "stagedoor.renewal", "access_token": "x"}',
        '["stagedoor.renew"]',
        '"stagedoor.renew"',
        "stagedoor.renew",
        '{"type": "stagedoor.renew", "access_token": "x"',
        '{"type": "stagedoor.renew", "type": "stagedoor.renew"}',
        '{"kind": "stagedoor.renew"}',
        '{"type": ["stagedoor.renew"]}',
        " " * 20000 + '{"type": "stagedoor.renew", "access_token": "x"}',
        "{" * 5000 + "stagedoor.renew",
    ],
)
async def test_what_is_no_renewal_is_the_applications(served: Served, text: str):
    """Whatever is not exactly a renewal, or longer than any could be, passes untouched."""
    async with served.connect("/waiting", login(served).access_token) as socket:
        assert await says(socket, text) == text
    await served.house.told()


async def test_strict(served: Served):
    """With strict=True the store is asked at the handshake and at each renewal, whatever the feed has missed."""
    ended, other = login(served), login(served)
    async with served.connect("/strict", ended.access_token) as socket:
        await asyncio.sleep(0.3)
        served.house.log.state = "lagging"
        await asyncio.sleep(0.3)
        served.house.issuer.revoke(ended.refresh_token)
        async with served.connect("/away", ended.access_token) as not_strict:
            assert await says(not_strict) == "ada 900 hello"
        await served.house.told()
        assert await refused(served, "/strict", token=ended.access_token) == (401, "invalid_token")
        await socket.send(renewal(ended.access_token))
        assert await closed(socket) == (4401, "renewal refused: invalid_token")
    await served.house.told()
    async with served.connect("/strict", other.access_token) as socket:
        assert await says(socket) == "ada 900 hello"
    await served.house.told()


async def test_max_age_ends_it(served: Served):
    """A WebSocket that asks for a recent login ends when the login is no longer recent; a fresh token of the session is none."""
    pair = login(served)
    async with served.connect("/recent", pair.access_token) as socket:
        served.house.clock.forward(LONG)
        fresh = served.house.issuer.refresh(pair.refresh_token)
        await socket.send(renewal(fresh.access_token))
        assert json.loads(await socket.recv()) == {"type": "stagedoor.renewed", "expires_in": 0}
        served.house.clock.forward(1)
        assert await closed(socket) == (4401, "login too old")
    assert await served.house.told() == (4401, "login too old")


@pytest.mark.parametrize("path", ["/away", "/away/ticks"])
async def test_a_silent_feed_ends_it(served: Served, path: str):
    """Where nobody says any longer what was revoked WebSockets are closed with 1013 after the bound, and opened no more; not before."""
    text = login(served).access_token
    async with served.connect(path, text) as socket, served.connect("/echo", text) as hears_itself:
        await asyncio.sleep(0.3)
        await served.house.fall_silent()
        began = time.monotonic()
        assert await closed(socket) == (1013, "try again later")
        assert 0.6 < time.monotonic() - began < PATIENCE
        assert await refused(served, path, token=text) == (503, "temporarily_unavailable")
        await served.house.speak_again()
        assert await says(hears_itself) == "ada 900 hello"
    assert {(await served.house.told())[0] for _ in range(2)} <= {1013, 1006, 1000}
    async with served.connect("/away", text) as again:
        assert await says(again) == "ada 900 hello"
    await served.house.told()


async def test_a_short_silence_ends_nothing(served: Served):
    """A feed that is back within the bound has closed no WebSocket, and a renewal meanwhile is answered."""
    pair = login(served)
    async with served.connect("/away", pair.access_token) as socket:
        await says(socket)
        await served.house.fall_silent(within=PATIENCE)
        await socket.send(renewal(pair.access_token))
        assert json.loads(await socket.recv())["type"] == "stagedoor.renewed"
        await served.house.speak_again()
        await asyncio.sleep(1)
        assert await says(socket) == "ada 900 hello"
    await served.house.told()


async def test_one_of_many(served: Served):
    """Of two hundred WebSockets those of one session are closed, and the others live on."""
    pairs = [login(served, f"user-{number}") for number in range(200)]
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(served.connect("/echo", pair.access_token)) for pair in pairs]
        served.house.issuer.revoke(pairs[77].refresh_token)
        assert await closed(sockets[77]) == (4401, "token revoked")
        assert [number for number, socket in enumerate(sockets) if socket.close_code is not None] == [77]
        assert await says(sockets[78]) == "user-78 900 hello"
    for _ in sockets:
        await served.house.told()


@pytest.mark.parametrize("kind", APPS)
async def test_a_server_that_shuts_down(kind: str):
    """A server that ends with open WebSockets leaves no task behind, and complains of nothing."""
    house = House()
    house.raises = set()
    async with contextlib.AsyncExitStack() as stack:
        with Served(house, APPS[kind](house)) as served:
            sockets = [
                await stack.enter_async_context(served.connect(path, login(served).access_token))
                for path in ("/echo", "/ticks", "/waiting", "/away", "/away/ticks")
            ]
            await asyncio.sleep(0.3)
        assert [(await closed(socket))[0] for socket in sockets] == [1012] * len(sockets)
    assert served.tasks == set()
    assert served.errors.said == []


async def test_a_dependency_whose_socket_is_not_used():
    """With dependencies=[guard.websocket()] an endpoint that takes a plain WebSocket is guarded, and closed, all the same."""
    house = House()
    app = FastAPI()
    guard = fastapi.Guard(house.verifier)

    @app.websocket("/plain", dependencies=[guard.websocket("orders:read")])
    async def plain(socket: WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await socket.send_text(await socket.receive_text())

    with Served(house, app) as served:
        assert await refused(served, "/plain") == (401, "token_missing")
        pair = login(served)
        async with served.connect("/plain", pair.access_token) as socket:
            assert await says(socket) == "hello"
            house.issuer.revoke(pair.refresh_token)
            assert await closed(socket) == (4401, "token revoked")
    assert served.errors.said == []
