"""Clients: so many of them over HTTP, each with a connection of its own, one request after another.

Never knows what is asked: whoever speaks for a client says what comes next, and whether an answer was right.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

import uvloop

PATIENCE = 60.0
T = TypeVar("T")


class Answer(NamedTuple):
    """What a server said."""

    status: int
    head: bytes
    body: bytes


class Client(Protocol):
    """One client: what it sends, and what it makes of the answer."""

    def ask(self) -> bytes | None:
        """The next request, whole; None where it has nothing more to ask."""

    def hear(self, answer: Answer) -> None:
        """AssertionError for an answer that is not the one that is measured."""


@dataclass
class Reached:
    """What a crowd of clients got done."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds of each request."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    @property
    def p99(self) -> float:
        """Milliseconds within which 99 of 100 were answered."""
        return percentile(self.latencies, 0.99) * 1000


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part of all is not above."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def load(port: int, clients: Sequence[Client], seconds: float) -> Reached:
    """Let these clients ask for so many seconds, or until they have nothing more to ask. AssertionError for a wrong answer."""
    return run(going(port, clients, seconds))


def ask(port: int, request: bytes) -> Answer:
    """One request on a connection of its own."""
    heard: list[Answer] = []

    class Once:
        def ask(self) -> bytes | None:
            return None if heard else request

        def hear(self, answer: Answer) -> None:
            heard.append(answer)

    load(port, [Once()], PATIENCE)
    return heard[0]


def run(work: Coroutine[Any, Any, T]) -> T:
    """What this work returns, on the event loop that servers have too."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def going(port: int, clients: Sequence[Client], seconds: float) -> Reached:
    """As load, in a loop that has more to do."""
    loop, reached = asyncio.get_running_loop(), Reached()
    connections = [_Connection(client, reached.latencies, loop.create_future()) for client in clients]
    for connection in connections:
        await loop.create_connection(lambda connection=connection: connection, "127.0.0.1", port)
    began = time.perf_counter()
    for connection in connections:
        connection.until = began + seconds
        connection.go_on()
    try:
        async with asyncio.timeout(seconds + PATIENCE):
            await asyncio.gather(*(connection.over for connection in connections))
    finally:
        reached.seconds = time.perf_counter() - began
        for connection in connections:
            connection.transport.abort()
    return reached


class _Connection(asyncio.Protocol):
    def __init__(self, client: Client, latencies: list[float], over: asyncio.Future[None]) -> None:
        self.client, self.latencies, self.over = client, latencies, over
        self.until = 0.0
        self.transport: asyncio.Transport
        self.asked = 0.0
        self.got = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def go_on(self) -> None:
        now = time.perf_counter()
        request = self.client.ask() if now < self.until else None
        if request is None:
            self.over.set_result(None)
            return
        self.asked = now
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.got = self.got + data if self.got else data
        answer = whole(self.got)
        if answer is None or self.over.done():
            return
        self.latencies.append(time.perf_counter() - self.asked)
        self.got = b""
        try:
            self.client.hear(answer)
        except Exception as error:
            self.over.set_exception(error)
            return
        self.go_on()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(AssertionError(f"the server closed the connection: {error or self.got!r}"))


def whole(data: bytes) -> Answer | None:
    """The answer in these bytes, once it is whole."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return None
    lower = head.lower()
    if (at := lower.find(b"\r\ncontent-length:")) >= 0:
        if len(body) < int(lower[at + 17 :].split(b"\r\n", 1)[0]):
            return None
    elif b"transfer-encoding: chunked" in lower:
        if not body.endswith(b"0\r\n\r\n"):
            return None
        body = _joined(body)
    return Answer(int(head[9:12]), head, body)


def _joined(chunked: bytes) -> bytes:
    parts = []
    while True:
        size, _, rest = chunked.partition(b"\r\n")
        if not (length := int(size, 16)):
            return b"".join(parts)
        parts.append(rest[:length])
        chunked = rest[length + 2 :]


def post(path: str, body: bytes, kind: str = "application/json", *more: str) -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: auth.example", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(path: str, *more: str) -> bytes:
    """The bytes of a GET."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: auth.example", *more]).encode() + b"\r\n\r\n"
