"""Channel and Patrol, by ASGI alone: servers that answer unlike uvicorn, clients that read nothing, applications that wait oddly."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from awake import Awake
from guards.material import AUDIENCE, NAME
from stagedoor import KeySet, Peppers, Revocations, SyncIssuer, Verifier
from stagedoor.errors import KeySetUnavailable
from stagedoor.follower import uptime
from stagedoor.guards import fastapi, starlette
from stagedoor.guards.asgi import GuardMiddleware
from stagedoor.guards.patrol import Patrol
from stagedoor.revocation import Page
from stagedoor.stores.memory import SyncMemoryStore
from stagedoor.testing.clock import FixedClock

LIFE = 900
Application = Callable[[Any, Any, Any], Awaitable[None]]


class House:
    """An issuer with a clock of its own."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.keys = KeySet.from_secret(b"a secret for the tests of channels", clock=self.clock)
        peppers = Peppers.generate(clock=self.clock)
        self.issuer = SyncIssuer(
            NAME, audience=AUDIENCE, store=SyncMemoryStore(), keys=self.keys, peppers=peppers, access=LIFE, clock=self.clock
        )
        self.verifier = self.issuer.verifier()

    def token(self, subject: str = "ada", scope: str = "") -> str:
        return self.issuer.issue(subject, scope=scope).access_token


class Wire:
    """A server with one WebSocket. Once it is closed it says nothing more; while it is `stuck` a send never ends."""

    def __init__(self, app: Application, token: str | None, *, protocols: tuple[str, ...] = (), extensions: Any = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.stuck = False
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._queue.put_nowait({"type": "websocket.connect"})
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        if protocols:
            headers.append((b"sec-websocket-protocol", ", ".join(protocols).encode()))
        scope = {"type": "websocket", "path": "/", "headers": headers, "subprotocols": list(protocols), "query_string": b""}
        scope["extensions"] = extensions or {}
        self.task = asyncio.create_task(app(scope, self._queue.get, self._send))  # type: ignore[arg-type]

    async def _send(self, message: dict[str, Any]) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        self.sent.append(message)

    def says(self, text: str) -> None:
        self._queue.put_nowait({"type": "websocket.receive", "text": text})

    def renews(self, token: str) -> None:
        self.says(json.dumps({"type": "stagedoor.renew", "access_token": token}))

    async def gets(self, kind: str, within: float = 30) -> dict[str, Any]:
        """The first message of this kind that was sent and not taken yet."""
        async with asyncio.timeout(within):
            while True:
                for number, message in enumerate(self.sent):
                    if message["type"] == kind:
                        return self.sent.pop(number)
                await asyncio.sleep(0.005)

    async def ends(self) -> None:
        async with asyncio.timeout(30):
            await self.task


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """Each test ends with the tasks that it began with."""
    yield
    await asyncio.sleep(0.01)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and "guards" in str(task.get_coro())] == []


class Listener:
    """An application that accepts, and keeps what it receives."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            self.got.append(message["text"])
        self.got.append((message["code"], message.get("reason")))


@pytest.mark.parametrize("token", [None, "garbage", "x" * 9000])
async def test_a_refusal_where_the_server_can_say_why(house: House, token: str | None):
    """A server with the extension for it answers a refused handshake in HTTP, with our challenge."""
    app = GuardMiddleware(Listener(), house.verifier)
    wire = Wire(app, token, extensions={"websocket.http.response": {}})
    start, body = await wire.gets("websocket.http.response.start"), await wire.gets("websocket.http.response.body")
    assert start["status"] == 401
    assert b"www-authenticate" in dict(start["headers"])
    assert json.loads(body["body"])["error"] == ("invalid_token" if token else "token_missing")
    await wire.ends()


@pytest.mark.parametrize("where", ["header", "subprotocol"])
@pytest.mark.parametrize("text", ["garbage", "x" * 9000, ""])
async def test_a_refusal_where_the_server_cannot(house: House, text: str, where: str):
    """A server without it is told to close before it accepts, which it answers with 403."""
    protocols = ("stagedoor", f"stagedoor.bearer.{text}") if where == "subprotocol" else ()
    wire = Wire(GuardMiddleware(Listener(), house.verifier), None if protocols else text, protocols=protocols)
    assert (await wire.gets("websocket.close"))["code"] == 4401
    await wire.ends()
    assert wire.sent == []


async def test_a_server_that_says_nothing_after_a_close(house: House):
    """An application that waits for a message is told of the end, though its server never tells it of one."""
    app = Listener()
    wire = Wire(GuardMiddleware(app, house.verifier), house.token())
    await wire.gets("websocket.accept")
    house.clock.forward(LIFE)
    assert await wire.gets("websocket.close") == {"type": "websocket.close", "code": 4401, "reason": "token expired"}
    await wire.ends()
    assert app.got == [(4401, "token expired")]


async def test_a_client_that_reads_nothing(house: House):
    """An application that waits in a send is let go when the token ends, and nobody else waits for that client."""

    async def sender(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        with contextlib.suppress(ConnectionAbortedError):
            while True:
                await send({"type": "websocket.send", "text": "x"})
                await asyncio.sleep(0.01)

    stuck = Wire(GuardMiddleware(sender, house.verifier), house.token())
    other = Wire(GuardMiddleware(Listener(), house.verifier), house.token())
    await stuck.gets("websocket.send")
    stuck.stuck = True
    house.clock.forward(LIFE)
    with Awake() as awake:
        assert (await other.gets("websocket.close"))["code"] == 4401
    assert awake.seconds < 1
    await other.ends()
    await stuck.ends()


async def test_an_application_is_cancelled_as_without_a_guard(house: House):
    """What cancels an application, its own timeouts too, is nothing that the guard swallows, at the end of a token neither."""
    outcomes = []

    async def impatient(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(3):
            try:
                async with asyncio.timeout(0.01):
                    await receive()
            except TimeoutError:
                outcomes.append("timeout")
        try:
            await receive()
        except asyncio.CancelledError:
            outcomes.append("cancelled")
            raise

    wire = Wire(GuardMiddleware(impatient, house.verifier), house.token())
    while len(outcomes) < 3:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    wire.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wire.task
    assert outcomes == ["timeout", "timeout", "timeout", "cancelled"]


async def test_a_cancellation_at_the_very_end(house: House):
    """Cancelled in the turn in which its token is refused, an application ends as cancelled."""
    app = Listener()
    wire = Wire(GuardMiddleware(app, house.verifier), house.token())
    await wire.gets("websocket.accept")
    house.clock.forward(LIFE)
    for channel in list(Patrol.of_this_loop()._posts):
        channel.inspect()
    wire.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wire.task
    assert app.got == []


async def test_expired_before_it_was_accepted(house: House):
    """A WebSocket that its application accepts too late is refused, and the application told as of any other end."""
    told = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        house.clock.forward(LIFE)
        await send({"type": "websocket.accept"})
        told.append(await receive())
        await send({"type": "websocket.close", "code": 1000})
        with pytest.raises(ConnectionAbortedError):
            await send({"type": "websocket.send", "text": "x"})

    wire = Wire(GuardMiddleware(slow, house.verifier), house.token())
    await wire.ends()
    assert [message["type"] for message in wire.sent] == ["websocket.close"]
    assert told == [{"type": "websocket.disconnect", "code": 4401, "reason": "token expired"}]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("stagedoor", "{}", "chat"), "stagedoor"),
        (("{}", "chat"), None),
    ],
)
async def test_a_token_is_never_echoed(house: House, offered: tuple[str, ...], chosen: str | None):
    """An application that insists on the token as its subprotocol does not get it."""
    protocol = f"stagedoor.bearer.{house.token()}"

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        assert scope["subprotocols"] == ["chat"]
        assert dict(scope["headers"]) == {b"sec-websocket-protocol": b"chat"}
        await send({"type": "websocket.accept", "subprotocol": protocol})

    wire = Wire(GuardMiddleware(stubborn, house.verifier), None, protocols=tuple(name.format(protocol) for name in offered))
    await wire.ends()
    assert wire.sent == [{"type": "websocket.accept", "subprotocol": chosen}]


async def test_messages_keep_their_order(house: House):
    """An application that does not receive for a while loses nothing, and a renewal meanwhile is answered."""
    gave_up, go_on = asyncio.Event(), asyncio.Event()
    got = []

    async def busy(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(0.3)  # by now somebody reads ahead
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(receive(), 0.01)  # who gives up loses nothing either
        gave_up.set()
        await go_on.wait()
        while len(got) < 3:
            got.append((await receive())["text"])

    pair = house.issuer.issue("ada")
    wire = Wire(GuardMiddleware(busy, house.verifier), pair.access_token)
    await wire.gets("websocket.accept")
    wire.renews(pair.access_token)
    assert json.loads((await wire.gets("websocket.send"))["text"]) == {"type": "stagedoor.renewed", "expires_in": LIFE}
    await gave_up.wait()
    for text in ("one", "two", "three"):
        wire.says(text)
    await asyncio.sleep(0.3)
    go_on.set()
    await wire.ends()
    assert got == ["one", "two", "three"]


async def test_two_guards_before_one_socket(house: House):
    """A renewal renews for each guard that stands before the endpoint, and each must let the new token in."""
    guard = starlette.Guard(house.verifier)
    seen = []

    @guard.websocket("orders:read")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                seen.append((await socket.receive_text(), guard.token(socket).expires_at - house.clock()))
        except WebSocketDisconnect as ended:
            seen.append((ended.code, ended.reason))

    app = GuardMiddleware(Starlette(routes=[WebSocketRoute("/", live)]), house.verifier)
    pair = house.issuer.issue("ada", scope="orders:read orders:write")
    wire = Wire(app, pair.access_token)
    await wire.gets("websocket.accept")
    house.clock.forward(LIFE - 1)
    pair = house.issuer.refresh(pair.refresh_token)
    wire.renews(pair.access_token)
    assert json.loads((await wire.gets("websocket.send"))["text"])["type"] == "stagedoor.renewed"
    house.clock.forward(100)
    await asyncio.sleep(0.3)
    wire.says("still here")
    while not seen:
        await asyncio.sleep(0.01)
    wire.renews(house.issuer.refresh(pair.refresh_token, scope="orders:write").access_token)
    assert (await wire.gets("websocket.close"))["reason"] == "renewal refused: insufficient_scope"
    await wire.ends()
    assert seen == [("still here", LIFE - 100), (4401, "renewal refused: insufficient_scope")]


async def test_two_guards_end_together(house: House):
    """Where two guards see the same end the client is told once, and the application once."""
    app = Listener()
    wire = Wire(GuardMiddleware(GuardMiddleware(app, house.verifier), house.verifier), house.token())
    await wire.gets("websocket.accept")
    house.clock.forward(LIFE)
    await wire.ends()
    assert app.got == [(4401, "token expired")]
    assert [message["type"] for message in wire.sent] == ["websocket.close"]


async def test_a_token_as_a_subprotocol_passes_both_of_two_guards(house: House):
    """The first takes it out of what the application sees, and the second looks at it all the same: also for a scope of its own."""
    text = house.token(scope="orders:read")
    for scope, answer in (("orders:read", "websocket.accept"), ("orders:write", "websocket.close")):
        app = Listener()
        behind = GuardMiddleware(app, house.verifier, scopes=[scope])
        wire = Wire(GuardMiddleware(behind, house.verifier), None, protocols=("stagedoor", f"stagedoor.bearer.{text}"))
        assert (await wire.gets(answer)).get("code") == (None if answer == "websocket.accept" else 4401)
        wire.task.cancel()
        await asyncio.wait([wire.task])


async def test_one_task_for_all(house: House):
    """A hundred idle WebSockets have one task between them, and none is left when the last is gone."""
    text = house.token()
    before = len(asyncio.all_tasks())
    wires = [Wire(GuardMiddleware(Listener(), house.verifier), text) for _ in range(100)]
    for wire in wires:
        await wire.gets("websocket.accept")
    await asyncio.sleep(0.1)
    assert len(asyncio.all_tasks()) == before + len(wires) + 1
    house.clock.forward(LIFE)
    for wire in wires:
        assert (await wire.gets("websocket.close"))["code"] == 4401
        await wire.ends()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before


async def test_a_clock_that_fails(house: House, caplog: pytest.LogCaptureFixture):
    """What cannot be checked is closed with 1013, with a word in the log, and the others are looked at all the same."""
    wires = [Wire(GuardMiddleware(Listener(), house.verifier), house.token()) for _ in range(2)]
    for wire in wires:
        await wire.gets("websocket.accept")
    house.clock.now = None  # type: ignore[assignment]
    for wire in wires:
        assert (await wire.gets("websocket.close"))["code"] == 1013
        await wire.ends()
    assert "could not be checked" in caplog.text


class Slow:
    """A feed that answers when it is let."""

    def __init__(self) -> None:
        self.silent = False

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        if self.silent:
            raise OSError
        return Page("log:1", [], None, 0.0)


@pytest.mark.parametrize("stale", ["ask", "refuse"])
async def test_nothing_passes_while_nobody_knows(house: House, stale: Any):
    """Once what is known is older than its bound no message goes out or in; the WebSocket is closed with 1013, whatever it does."""
    feed = Slow()
    revocations = Revocations.following(feed, bound="1h", stale=stale, clock=house.clock)
    verifier = Verifier(NAME, audience=AUDIENCE, keys=house.keys, revocations=revocations, clock=house.clock)
    follower = revocations._follower
    assert follower is not None
    follower._heartbeat = 0.2
    revocations.follow()
    while not revocations.is_fresh:
        await asyncio.sleep(0.01)
    past_the_bound = []

    async def sender(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        with contextlib.suppress(ConnectionAbortedError):
            while True:
                await send({"type": "websocket.send", "text": "x"})
                past_the_bound.append(not revocations.is_fresh)
                await asyncio.sleep(0.001)

    wire = Wire(GuardMiddleware(sender, verifier), house.token())
    await wire.gets("websocket.send")
    feed.silent = True
    while not follower._failure:  # what was being read is over
        await asyncio.sleep(0.01)
    follower.fresh_until = uptime() + 1
    assert await wire.gets("websocket.close") == {"type": "websocket.close", "code": 1013, "reason": "try again later"}
    await wire.ends()
    revocations.close()
    assert sum(past_the_bound) <= 1  # sent just before


class Unsteady:
    """A verifier whose keys cannot be had for a moment."""

    def __init__(self, verifier: Any) -> None:
        self.verify, self.check_again, self.revocations = verifier.verify, verifier.check_again, verifier.revocations
        self._verifier = verifier
        self.away = False

    async def verify_async(self, text: str) -> Any:
        if self.away:
            raise KeySetUnavailable("the issuer is away", retry_after=7)
        return self._verifier.verify(text)


async def test_a_renewal_that_nobody_can_judge(house: House):
    """Where the new token cannot be verified just now the WebSocket lives on with the one that it has, and the client is told."""
    app = Listener()
    verifier = Unsteady(house.verifier)
    text = house.token()
    wire = Wire(GuardMiddleware(app, verifier), text)
    await wire.gets("websocket.accept")
    verifier.away = True
    wire.renews(text)
    answer = json.loads((await wire.gets("websocket.send"))["text"])
    assert answer == {"type": "stagedoor.not_renewed", "error": "temporarily_unavailable", "retry_after": 7}
    wire.says("still here")
    while not app.got:
        await asyncio.sleep(0.01)
    assert app.got == ["still here"]
    house.clock.forward(LIFE)
    await wire.ends()


def test_a_verifier_that_cannot_check_again(house: House):
    """A WebSocket takes a verifier that can look at a token again: a mistake at construction."""

    class Plain:
        def verify(self, text: str) -> Any:
            return house.verifier.verify(text)

    for guard in (starlette.Guard(Plain()), fastapi.Guard(Plain())):
        with pytest.raises(TypeError, match="Verifier"):
            guard.websocket()  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        starlette.Guard(house.verifier).websocket(check=True)  # type: ignore[arg-type]
