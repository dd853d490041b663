"""The edge of the service: what no request may be, by size and by time, on a real process and on the protocol itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from service_process import PATIENCE, ServiceProcess, start
from stagedoor.endpoints import mount
from stagedoor.errors import InvalidRequest
from stagedoor.service import protocol
from stagedoor.service.protocol import LARGEST_HEAD, LARGEST_REST, LimitedProtocol

KIB, MIB = 1024, 1024 * 1024
GROWTH = 20 * MIB
"""Memory that an endless request may cost the process."""
FLOOD = 256 * MIB
"""What is sent if nobody stops it."""
GET = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "header block": (GET, b"X-A: b\r\n" * KIB),
    "single header": (GET + b"X-A: ", b"a" * 8 * KIB),
    "header name": (GET, b"a" * 8 * KIB),
    "URL": (b"GET /", b"a" * 8 * KIB),
    "empty lines": (b"", b"\r\n" * KIB),
    "trailers": (CHUNKED + b"0\r\n", b"X-A: b\r\n" * KIB),
    "single trailer": (CHUNKED + b"0\r\nX-A: ", b"a" * 8 * KIB),
    "extension of a chunk": (CHUNKED + b"1;", b"a" * 8 * KIB),
    "body": (CHUNKED, b"2000\r\n" + b"a" * 8 * KIB + b"\r\n"),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    running = start("serve", tmp_path_factory.mktemp("edge") / "data")
    yield running
    running.stop()


def memory(service: ServiceProcess) -> int:
    """Bytes of the process that are in memory."""
    status = Path(f"/proc/{service.process.pid}/status")
    assert status.exists(), "this test reads the memory of a process from /proc: run it on Linux"
    (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmRSS:"))
    return int(line.split()[1]) * KIB


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def our_shape(answer: bytes, status: int, error: str) -> None:
    """An answer of HTTP/1.1 that ends the connection, in our JSON."""
    head, _, content = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0].startswith(f"http/1.1 {status} ")
    assert {"content-type: application/json", "cache-control: no-store", "connection: close"} <= set(lines)
    assert f"content-length: {len(content)}" in lines
    body = json.loads(content)
    assert body.keys() == {"error", "error_description"}
    assert body["error"] == error


def exchange(service: ServiceProcess, sent: bytes) -> bytes:
    """All that comes back for these bytes, until the connection ends."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        return read_all(connection)


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_request_ends(service: ServiceProcess, kind: str):
    """However a request goes on for ever, its connection ends, it costs little memory, and others are answered meanwhile."""
    before, most, sent = memory(service), 0, 0
    first, more = ENDLESS[kind]
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as connection, service.client() as other:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(first)
            while sent < FLOOD:
                connection.sendall(more)
                sent += len(more)
                if sent % (64 * len(more)) == 0:
                    most = max(most, memory(service))
                    assert other.get("/.well-known/jwks.json").status_code == 200
        assert sent < FLOOD
        read_all(connection)
    assert max(most, memory(service)) - before < GROWTH


@pytest.mark.parametrize("kind", [kind for kind, (first, _) in ENDLESS.items() if not first.startswith(POST)])
def test_a_large_head_is_told_so(service: ServiceProcess, kind: str):
    """Over 64 KiB of head are 413 in our shape, also where the client goes on sending 1 MiB before it reads."""
    first, more = ENDLESS[kind]
    our_shape(exchange(service, first + more * (MIB // len(more))), 413, "too_large")


@pytest.mark.parametrize(
    "sent",
    [
        b"this is no HTTP\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GET + b"bad header: x\r\n\r\n",
        GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        CHUNKED + b"no size\r\n",
    ],
)
def test_what_cannot_be_parsed_is_told_so(service: ServiceProcess, sent: bytes):
    """What is not HTTP/1.1 is 400 in our shape."""
    our_shape(exchange(service, sent), 400, "invalid_request")


class App:
    """An ASGI application that keeps what reached it, and answers when it is let go: `ready`, or a whole body with `reads`."""

    def __init__(self, *, reads: bool = False) -> None:
        self.reads = reads
        self.scopes: list[Any] = []
        self.heard: list[str] = []
        self.ready = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        while self.reads:
            message = await receive()
            self.heard.append(message["type"])
            if not message.get("more_body", False):
                break
        else:
            await self.ready.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"fine\n"})


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        self._reader = reader
        self._state = state
        self.write = writer.write
        self.close = writer.close

    async def answer(self) -> bytes:
        """The next answer of the App."""
        return await asyncio.wait_for(self._reader.readuntil(b"fine\n"), PATIENCE)

    async def rest(self) -> bytes:
        """All that comes until the connection ends."""
        return await asyncio.wait_for(self._reader.read(), PATIENCE)

    async def refused(self) -> None:
        """Until the protocol parses no further."""
        async with asyncio.timeout(PATIENCE):
            while not any(each._refused for each in self._state.connections):
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def edge(app: App) -> AsyncIterator[Connection]:
    """A connection to this application through the protocol."""
    config = uvicorn.Config(app, log_config=None, ws="none", lifespan="off")
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: LimitedProtocol(config, state, {}), "127.0.0.1", 0)
    connection = Connection(*await asyncio.open_connection(*server.sockets[0].getsockname()), state)
    try:
        yield connection
    finally:
        app.ready.set()
        connection.close()
        server.close()
        async with asyncio.timeout(PATIENCE):
            while state.connections or state.tasks:
                await asyncio.sleep(0.001)


def head(size: int) -> bytes:
    """The head of a request, of just this size."""
    return GET + b"X-A: " + b"a" * (size - len(GET) - 9) + b"\r\n\r\n"


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> float:
    assert (protocol.DUE_WITHIN, mount._BODY_WITHIN) == (10, 10)
    monkeypatch.setattr(protocol, "DUE_WITHIN", 0.1)
    monkeypatch.setattr(protocol, "LINGER", 0.1)
    return 0.1


async def test_a_head_of_the_limit_reaches_the_app():
    """A head of 64 KiB is served, one of a byte more is not: each for itself on one connection."""
    app = App()
    app.ready.set()
    async with edge(app) as connection:
        for _ in range(3):
            connection.write(head(LARGEST_HEAD))
            assert (await connection.answer()).startswith(b"HTTP/1.1 200 ")
        connection.write(head(LARGEST_HEAD + 1))
        our_shape(await connection.rest(), 413, "too_large")
    assert len(app.scopes) == 3


@pytest.mark.parametrize("bad", [b"a" * 9 * KIB + b"\r\n\r\n", head(LARGEST_HEAD * 2)], ids=["malformed", "too large"])
async def test_a_refusal_waits_for_no_turn_of_another(bad: bytes):
    """Where an earlier request is still being answered, its answer goes out, and nothing else that could be taken for it."""
    app = App()
    async with edge(app) as connection:
        connection.write(GET + b"\r\n" + bad)
        await connection.refused()
        app.ready.set()
        answer = await connection.rest()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert len(app.scopes) == 1


@pytest.mark.parametrize(
    ("bad", "status", "error"),
    [(b"no size\r\n", 400, "invalid_request"), (b"1;" + b"a" * LARGEST_REST, 413, "too_large")],
    ids=["malformed", "too large"],
)
async def test_a_body_goes_wrong(bad: bytes, status: int, error: str):
    """A body that breaks while the app reads it: the client is answered in our shape, the app hears that nobody is there."""
    app = App(reads=True)
    async with edge(app) as connection:
        connection.write(CHUNKED + b"1\r\na\r\n")
        while not app.heard:
            await asyncio.sleep(0.001)
        connection.write(bad)
        our_shape(await connection.rest(), status, error)
    assert app.heard[-1] == "http.disconnect"


async def test_trailers_are_no_headers():
    """What follows a body in chunks becomes a header neither of this request nor of the next."""
    app = App(reads=True)
    async with edge(app) as connection:
        for _ in range(2):
            connection.write(CHUNKED + b"1\r\na\r\n")
            await asyncio.sleep(0.01)
            connection.write(b"0\r\nAuthorization: Bearer a\r\nX-Forwarded-For: b\r\n\r\n")
            await connection.answer()
    assert [[name for name, _ in scope["headers"]] for scope in app.scopes] == [[b"host", b"content-type", b"transfer-encoding"]] * 2


@pytest.mark.parametrize(
    ("kept", "sent", "more"),
    [(False, b"", b""), (False, b"", b"\r\n"), (False, GET, b"X: y\r\n"), (True, b"", b"\r\n"), (True, GET, b"X: y\r\n")],
    ids=["new, nothing", "new, empty lines", "new, a slow head", "kept alive, empty lines", "kept alive, a slow head"],
)
async def test_a_slow_head(soon: float, kept: bool, sent: bytes, more: bytes, monkeypatch: pytest.MonkeyPatch):
    """A head that is not complete in time ends the connection, however often a little of it comes."""
    app = App()
    app.ready.set()
    monkeypatch.setattr(protocol, "DUE_WITHIN", 10.0 if kept else soon)  # the first request is in time, on a busy machine too
    started = time.monotonic()
    async with edge(app) as connection:
        if kept:
            connection.write(GET + b"\r\n")
            await connection.answer()
            monkeypatch.setattr(protocol, "DUE_WITHIN", soon)
            started = time.monotonic()
        connection.write(sent)
        rest = asyncio.create_task(connection.rest())
        while not rest.done():
            connection.write(more)
            await asyncio.sleep(0.01)
        assert await rest == b""
        assert time.monotonic() - started >= soon * 0.9


async def test_who_is_in_time_is_not_cut_off(soon: float, monkeypatch: pytest.MonkeyPatch):
    """A request may take its time to be answered, and a kept-alive connection may be quiet."""
    app = App()
    soon *= 10  # a busy machine may be slow to send a head
    monkeypatch.setattr(protocol, "DUE_WITHIN", soon)
    async with edge(app) as connection:
        connection.write(GET + b"\r\n")
        await asyncio.sleep(soon * 2)
        app.ready.set()
        await connection.answer()
        await asyncio.sleep(soon * 2)
        connection.write(GET + b"\r\n")
        await connection.answer()


async def test_the_rest_of_a_body_that_was_answered(soon: float, monkeypatch: pytest.MonkeyPatch):
    """Once a request is answered, what is left of its body must come in time, however often a little of it comes."""
    app = App()
    monkeypatch.setattr(protocol, "DUE_WITHIN", 10.0)  # for its head, on a busy machine too
    async with edge(app) as connection:
        connection.write(CHUNKED)
        while not app.scopes:
            await asyncio.sleep(0.001)
        monkeypatch.setattr(protocol, "DUE_WITHIN", soon)
        app.ready.set()
        await connection.answer()
        rest = asyncio.create_task(connection.rest())
        while not rest.done():
            connection.write(b"1\r\na\r\n")
            await asyncio.sleep(0.01)
        assert await rest == b""


async def test_a_body_that_does_not_arrive(monkeypatch: pytest.MonkeyPatch):
    """An operation waits for a body only so long, also where a little of it comes now and then."""
    monkeypatch.setattr(mount, "_BODY_WITHIN", 0.05)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"a", "more_body": True}

    with pytest.raises(InvalidRequest, match="The body did not arrive"):
        await mount.read({"method": "POST", "headers": []}, receive)
