"""The link and the network namespace, by which the suite cuts feeds off."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from faults.link import Link
from faults.namespace import Namespace, allowed


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says what it is told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(100):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def link(echo: int) -> Iterator[Link]:
    made = Link(echo)
    yield made
    made.close()


def connected(link: Link) -> socket.socket:
    return socket.create_connection((link.host, link.port), 30)


def said(connection: socket.socket, text: bytes = b"hello") -> bytes:
    connection.sendall(text)
    return connection.recv(100)


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_it_passes_on(link: Link) -> None:
    """What is said, and what is answered."""
    with connected(link) as connection:
        assert said(connection) == b"hello"
        assert said(connection, b"again") == b"again"


def test_down_and_up(link: Link) -> None:
    """Down: connections end and none is taken; up: again on the same port."""
    with connected(link) as connection:
        assert said(connection) == b"hello"
        link.down()
        assert ended(connection)
    with pytest.raises(ConnectionRefusedError):
        connected(link)
    link.up()
    with connected(link) as connection:
        assert said(connection) == b"hello"


def test_hold(link: Link) -> None:
    """Nothing passes, nothing ends; afterwards all of it arrives."""
    with connected(link) as connection:
        assert said(connection) == b"hello"
        link.hold()
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            said(connection, b"held")
        link.up()
        connection.settimeout(30)
        assert connection.recv(100) == b"held"


def test_slow(link: Link) -> None:
    """Each answer comes so much later."""
    link.slow(0.2)
    with connected(link) as connection:
        began = time.monotonic()
        assert said(connection) == b"hello"
        assert time.monotonic() - began >= 0.2


def test_nonsense(link: Link) -> None:
    """Something else answers, on connections that were there before too; then all is well again."""
    with connected(link) as connection:
        assert said(connection) == b"hello"
        link.babble(lambda: b"nonsense")
        assert ended(connection)
    with connected(link) as connection:
        assert said(connection) == b"nonsense"
    link.up()
    with connected(link) as connection:
        assert said(connection) == b"hello"


def test_a_wire_is_pulled(echo: int) -> None:
    """Who lives in a namespace reaches us by one wire; pulled, nothing passes and nobody says so. Where none may be made, none is."""
    if not allowed():
        return
    from faults.guarding import enter

    with Namespace() as namespace:
        link = Link(echo, namespace.host)
        found: list[object] = []
        wire = threading.Semaphore(0)
        asked = threading.Semaphore(0)

        def inside() -> None:
            enter(namespace.name)
            with connected(link) as connection:
                found.append(said(connection))
                asked.release()
                wire.acquire()
                connection.settimeout(0.3)
                try:
                    found.append(said(connection, b"lost"))
                except TimeoutError:
                    found.append(None)
                asked.release()
                wire.acquire()
                connection.settimeout(30)
                found.append(connection.recv(100))

        thread = threading.Thread(target=inside)
        thread.start()
        assert asked.acquire(timeout=30)
        namespace.pull()
        wire.release()
        assert asked.acquire(timeout=30)
        namespace.plug()
        wire.release()
        thread.join(60)
        link.close()
    assert found == [b"hello", None, b"lost"]
