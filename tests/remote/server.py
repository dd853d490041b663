"""KeyServer: an HTTP server on loopback that publishes keys, and misbehaves as it is told. Every request is counted.

Never knows what a test expects.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

LARGEST = 256 * 1024
LONG = 60.0
"""Seconds for which a server misbehaves, if nobody hangs up: longer than any time limit here, and than a machine stands still."""
Sink = Callable[[bytes], None]


class KeyServer:
    """Answers each path of `documents` (an object as JSON, bytes as they are), one thread a connection; else 404."""

    def __init__(self, documents: Mapping[str, Any] | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.documents: dict[str, Any] = dict(documents or {})
        self.requests: list[tuple[str, dict[str, str]]] = []
        """Path and headers of each request."""
        self.behaviour: Callable[[Sink, float], None] | None = None
        """Instead of answering: (send, the moment until which it may go on)."""
        self.status = 200
        self.headers: dict[str, str] = {"Content-Type": "application/jwk-set+json"}
        self.delay = 0.0
        """Seconds before it answers."""
        self.honours_etags = True
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._closing = threading.Event()
        self._may_answer = threading.Event()
        self._may_answer.set()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        """Where its JWKS is."""
        return f"{self.origin}/jwks.json"

    def count(self, path: str | None = None) -> int:
        """How often it was asked."""
        return sum(path in (None, asked) for asked, _ in self.requests)

    def publish(self, *keys: Any, path: str = "/jwks.json") -> None:
        """Answer with the public halves of these keys; a dict goes in as it is."""
        self.documents[path] = {"keys": [key if isinstance(key, dict) else key.jwk() for key in keys]}

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """In this block requests are taken, and none is answered before its end: who has an answer there has not waited for one of ours."""
        self._may_answer.clear()
        try:
            yield
        finally:
            self._may_answer.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._may_answer.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(LONG)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(4096)
            if not chunk:
                return
            data += chunk
        line, *rest = data.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
        path = line.split(" ")[1]
        self.requests.append((path, headers))
        self._closing.wait(self.delay)
        self._may_answer.wait()
        if self.behaviour is not None:
            with contextlib.suppress(OSError):
                self.behaviour(connection.sendall, time.monotonic() + LONG)
            return
        connection.sendall(self._response(path, headers))

    def _response(self, path: str, asked: Mapping[str, str]) -> bytes:
        found = self.documents.get(path.partition("?")[0])
        if found is None:
            return head(404, {}) + b"nothing here"
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        said = dict(self.headers)
        if self.honours_etags and said.get("ETag") is not None and asked.get("if-none-match") == said["ETag"]:
            return head(304, said)
        return head(self.status, {"Content-Length": str(len(body)), **said}) + body


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", "Connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


JSON = {"Content-Type": "application/json"}


def says_nothing(send: Sink, until: float) -> None:
    """Takes the request and is silent."""
    while time.monotonic() < until:
        time.sleep(0.05)


def drips_headers(send: Sink, until: float) -> None:
    """One byte of a header now and then: no wait for one byte is ever long."""
    send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Slow: ")
    while time.monotonic() < until:
        send(b"a")
        time.sleep(0.1)


def drips_body(send: Sink, until: float) -> None:
    """One byte of the body now and then."""
    send(head(200, JSON) + b'{"keys":[')
    while time.monotonic() < until:
        send(b" ")
        time.sleep(0.1)


def is_huge(send: Sink, until: float) -> None:
    """More than we take, honestly announced."""
    body = b'{"keys":[], "x": "' + b"a" * LARGEST + b'"}'
    send(head(200, {**JSON, "Content-Length": str(len(body))}) + body)


def is_endless(send: Sink, until: float) -> None:
    """A body that never ends, as fast as it can."""
    send(head(200, JSON) + b'{"keys":[], "x": "')
    while time.monotonic() < until:
        send(b"a" * 65536)


def is_a_bomb(send: Sink, until: float) -> None:
    """Few bytes that would unpack to many."""
    packed = _bomb()
    send(head(200, {**JSON, "Content-Encoding": "gzip", "Content-Length": str(len(packed))}) + packed)


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(b'{"keys":[], "x": "' + b"a" * 50_000_000 + b'"}', 1)


def is_packed(send: Sink, until: float) -> None:
    """A small and good document, compressed though nobody asked for it."""
    packed = gzip.compress(b'{"keys":[]}')
    send(head(200, {**JSON, "Content-Encoding": "gzip", "Content-Length": str(len(packed))}) + packed)


def says_it_is_packed(send: Sink, until: float) -> None:
    """A good document, said to be compressed."""
    send(head(200, {**JSON, "Content-Encoding": "br"}) + b'{"keys":[]}')


def has_endless_headers(send: Sink, until: float) -> None:
    """Headers that never end, as fast as it can, with a secret in them."""
    send(b"HTTP/1.1 200 OK\r\n")
    while time.monotonic() < until:
        send(b"X-Hush: hush-hush\r\n" * 1000)


def closes_early(send: Sink, until: float) -> None:
    """Announces more than it sends, and goes."""
    send(head(200, {**JSON, "Content-Length": "1000"}) + b'{"keys":[]')


def closes_at_once(send: Sink, until: float) -> None:
    """Takes the request and goes."""


def is_no_http(send: Sink, until: float) -> None:
    """Something else altogether, with a secret in it that no log may have."""
    send(b"hush-hush SSH-2.0-OpenSSH_9\r\n" + struct.pack(">I", 7) * 20 + b"\r\n\r\n")


def informs_for_ever(send: Sink, until: float) -> None:
    """Interim answers, and never the last one."""
    while time.monotonic() < until:
        send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        time.sleep(0.02)
