"""Bad input on a real process over real sockets: its 4xx in our shape, nothing changed, nothing told, nothing broken."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from service_process import PATIENCE, ServiceProcess, stagedoor, start

SECRET = "a-secret-nobody-should-repeat"
JSON = {"Content-Type": "application/json"}
KIB = 1024


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad_input") / "data"
    stagedoor("users", "add", "ben", "--password-stdin", data=folder, stdin=SECRET + "\n")
    return folder


@pytest.fixture(scope="module")
def service(data: Path) -> Iterator[ServiceProcess]:
    running = start("demo", data)
    yield running
    running.stop(SECRET)


def rows(data: Path) -> list[object]:
    with sqlite3.connect(data / "stagedoor.db") as connection:
        found = connection.execute("SELECT * FROM stagedoor_sessions ORDER BY id").fetchall()
    connection.close()
    return found


def send(service: ServiceProcess, method: str, path: str, headers: dict[str, bytes | str], body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of the answer to exactly these bytes: an HTTP library would refuse to send some of them."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", b"Connection: close"]
    lines += [name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()]
    if "Transfer-Encoding" not in headers and "Content-Length" not in headers:
        lines.append(b"Content-Length: %d" % len(body))
    answer = b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all was read: the answer is there all the same
            connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                answer += chunk
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), content


BODIES = {
    "missing": (b"", {}),
    "no JSON": (b"username=ben", JSON),
    "not UTF-8": (b'{"username": "\xff", "password": "x"}', JSON),
    "UTF-16": ('{"username": "ben"}'.encode("utf-16"), JSON),
    "a list": (b"[]", JSON),
    "a number as a name": (json.dumps({"username": 1, "password": SECRET}).encode(), JSON),
    "an object as a password": (b'{"username": "ben", "password": {"a": 1}}', JSON),
    "a name twice": (b'{"username": "ben", "username": "ada", "password": "x"}', JSON),
    "deeply nested": (b'{"username": ' + b"[" * 3000 + b"]" * 3000 + b"}", JSON),
    "a huge number": (b'{"username": ' + b"9" * 5000 + b"}", JSON),
    "NaN": (b'{"username": NaN, "password": "x"}', JSON),
    "a lone surrogate": (b'{"username": "\\ud800", "password": "x"}', JSON),
    "NUL in a name": (b'{"username": "be\\u0000n", "password": "x"}', JSON),
    "a form": (b"username=ben&password=x", {"Content-Type": "application/x-www-form-urlencoded"}),
    "8 KiB and one byte": (b'{"username": "' + b"x" * (8 * KIB), JSON),
    "1 MiB": (b'{"username": "' + b"x" * (KIB * KIB), JSON),
    "1 MiB of a lying length": (b"x" * (KIB * KIB), JSON | {"Content-Length": "5"}),
    "chunks without an end of size": (b"%x\r\n%s\r\n0\r\n\r\n" % (20 * KIB, b"x" * (20 * KIB)), JSON | {"Transfer-Encoding": "chunked"}),
}
TOKENS = {
    "not a token": "Bearer x",
    "not UTF-8": b"Bearer \xff\xfe",
    "8 KiB": "Bearer " + "a" * (8 * KIB),
    "1 MiB": "Bearer " + "a" * (KIB * KIB),
    "a million dots": "Bearer " + "." * (KIB * KIB),
    "two spaces": "Bearer  eyJ.eyJ.eyJ",
    "nothing": "Bearer",
    "three empty parts": "Bearer ..",
    "alg none": "Bearer eyJhbGciOiJub25lIn0.e30.",
}


@pytest.mark.parametrize("path", ["/auth/login", "/auth/refresh", "/auth/logout", "/api/orders"])
@pytest.mark.parametrize("body", BODIES)
def test_bad_bodies(service: ServiceProcess, data: Path, path: str, body: str) -> None:
    """A bad body gets a 4xx in our shape, and the store stays as it was."""
    before = rows(data)
    content, headers = BODIES[body]
    status, answer = send(service, "POST", path, headers, content)
    assert 400 <= status < 500, answer
    assert set(json.loads(answer)) == {"error", "error_description"}
    assert SECRET.encode() not in answer
    assert rows(data) == before


@pytest.mark.parametrize("token", TOKENS)
def test_bad_authorization(service: ServiceProcess, token: str) -> None:
    """A bad Authorization header gets a 4xx in our shape from a guarded route."""
    status, answer = send(service, "GET", "/api/orders", {"Authorization": TOKENS[token]})
    assert status in (400, 401, 413), answer
    assert set(json.loads(answer)) == {"error", "error_description"}


@pytest.mark.parametrize(
    "value", ["x", "x" * 8 * KIB, "x" * KIB * KIB, b"\xff\x00"[:1], "sdr_" + "A" * 116, "a; __Host-stagedoor_refresh=b"]
)
@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_bad_cookies(service: ServiceProcess, path: str, value: bytes | str) -> None:
    """A bad refresh cookie gets a 4xx in our shape; for logout a token that opens nothing is logged out already."""
    cookie = b"__Host-stagedoor_refresh=" + (value if isinstance(value, bytes) else value.encode())
    status, answer = send(service, "POST", path, {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})
    if status == 204:
        assert path == "/auth/logout"
    else:
        assert status in (400, 413), answer
        assert set(json.loads(answer)) == {"error", "error_description"}


@pytest.mark.parametrize("path", ["/nowhere", "/auth/nowhere", "/auth/sessions/x", "/static/../keys.json", "/static/%2e%2e/keys.json"])
def test_unknown_paths(service: ServiceProcess, path: str) -> None:
    """What is not there is 404 or 405 in our shape, and no file outside static is served."""
    status, answer = send(service, "GET", path, {})
    assert status in (404, 405)
    assert set(json.loads(answer)) == {"error", "error_description"}


def test_the_service_still_works(service: ServiceProcess) -> None:
    """After all that a login succeeds."""
    with service.client() as client:
        answer = client.post("/auth/login", json={"username": "ben", "password": SECRET})
    assert answer.status_code == 200, answer.text
