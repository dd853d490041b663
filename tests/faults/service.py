"""The service under test: the endpoints on uvicorn, a process of its own on a fixed port, forked from a nursery that has all imported.

    with Nursery() as nursery:                       # python -m faults.service, once
        port = free_port()
        pid = nursery.start(Settings(place, port))   # answers within a few hundredths of a second
        nursery.kill(pid)                            # SIGKILL, and waited for
        pid = nursery.start(Settings(place, port))   # the same port again

Never knows what is judged. Where it may be told to kill itself, `faults.steps` says at which step.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from faults.places import Place
from stagedoor import Issuer, KeySet, Peppers, Scope
from stagedoor.endpoints import Account, Endpoints
from stagedoor.endpoints.starlette import mount
from stagedoor.event import Event, Listener

PREFIX = "/auth"
SECRET = b"the fault suite's own secret, never any other's"
FEED_KEY = "the-fault-suite:its-own-feed-key,and-no-other"
PATIENCE = 20.0


class Settings(msgspec.Struct, frozen=True):
    """What a service process is told. `wrap` names a callable "module:name" that is given the store and returns the one to use."""

    place: Place
    port: int
    retry_window: str = "1s"
    refresh_idle: str = "1h"
    refresh_absolute: str = "1d"
    store: dict[str, Any] = msgspec.field(default_factory=dict)
    """More arguments for the store."""
    wrap: str | None = None
    events: str | None = None
    """File to which the name of each event is appended, a line each; it outlives a kill."""
    issuer: str | None = None
    """"module:name" of a callable that is given these settings and returns more arguments for the issuer."""
    feeds: bool = False
    """Whether it tells others what is revoked, who have FEED_KEY."""
    folder: str = ""
    """Where such a callable finds what it is told."""


def issuer_on(store: Any, settings: Any = None, **more: Any) -> Issuer:
    """An issuer as the service has it: the same keys and peppers in every process."""
    spans = {} if settings is None else {name: getattr(settings, name) for name in ("retry_window", "refresh_idle", "refresh_absolute")}
    return Issuer(
        "http://127.0.0.1",
        audience="faults",
        store=store,
        **({"keys": KeySet.from_secret(SECRET), "peppers": Peppers(SECRET)} | spans | more),
    )


def app(settings: Settings) -> Starlette:
    """The ASGI application: login (any name, any password), refresh, logout; and GET /steps?… that arms a kill (`faults.steps`)."""
    store = settings.place.store(**settings.store)
    if settings.wrap is not None:
        store = named(settings.wrap)(store)
    made = Starlette()

    async def steps(request: Request) -> Response:
        return PlainTextResponse(str(store.arm(**request.query_params)))

    made.add_route("/steps", steps, methods=["POST"])
    more = {} if settings.issuer is None else named(settings.issuer)(settings)
    if settings.events is not None:
        more["events"] = _written_to(settings.events)
    feed_keys = (FEED_KEY,) if settings.feeds else ()
    issuer = issuer_on(store, settings, **more)
    mount(made, Endpoints(issuer, lambda name, _: Account(name, Scope()), feed_keys=feed_keys), prefix=PREFIX)
    return made


def named(name: str) -> Any:
    """What a text such as "module:name" names."""
    module, _, name = name.partition(":")
    return getattr(importlib.import_module(module), name)


def _written_to(path: str) -> Listener:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def told(event: Event) -> None:
        os.write(file, f"{event.name} {event.session_id}\n".encode())

    return told


def serve(settings: Settings) -> None:
    """Serve until killed."""
    logging.getLogger("stagedoor").setLevel(logging.CRITICAL)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", settings.port))
    config = uvicorn.Config(app(settings), log_level="error", lifespan="on", access_log=False, ws="none")
    uvicorn.Server(config).run(sockets=[listening])


class _Order(msgspec.Struct):
    """What a nursery is asked for: start one, or wait for the end of one."""

    start: Settings | None = None
    wait: int = 0


class Nursery:
    """Starts service processes by forking: importing everything would take longer than all the rest."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[1]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STAGEDOOR_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.service"],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=kept | {"PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))},
        )
        self._living: set[int] = set()

    def start(self, settings: Settings, *, answers: bool = True) -> int:
        """The process id of a new service, once it answers (or at once)."""
        pid = self._order(_Order(start=settings))
        self._living.add(pid)
        if answers:
            self.answers(pid, settings.port)
        return pid

    def answers(self, pid: int, port: int) -> None:
        """Wait until something listens there. RuntimeError where it ended instead."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
            except OSError:
                if time.monotonic() > until or not is_running(pid):
                    raise RuntimeError(f"the service at port {port} did not start") from None
                time.sleep(0.005)
            else:
                return

    def kill(self, pid: int) -> None:
        """SIGKILL; it is gone when this returns. One that has killed itself is only waited for."""
        os.kill(pid, signal.SIGKILL)
        self.wait(pid)

    def wait(self, pid: int) -> None:
        """Until it is gone."""
        self._order(_Order(wait=pid))
        self._living.discard(pid)

    def _order(self, order: _Order) -> int:
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        pipe_in.write(msgspec.json.encode(order) + b"\n")
        pipe_in.flush()
        return int(pipe_out.readline() or 0)

    def close(self) -> None:
        """Kill what still runs, end the nursery."""
        for pid in list(self._living):
            self.kill(pid)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def is_running(pid: int) -> bool:
    """Whether a process of this id runs; one that has ended and is not waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def free_port() -> int:
    """A port that nobody uses now, below those that the system gives to outgoing connections."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = 10_000 + int.from_bytes(os.urandom(3)) % (lowest - 10_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _nursery(serve_one: Callable[[Settings], None]) -> None:
    for module in ("redis", "sql.postgres"):
        importlib.import_module(f"stagedoor.stores.{module}")

    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=_Order)
        if order.start is None:
            os.waitpid(order.wait, 0)
            os.write(1, b"%d\n" % order.wait)
            continue
        pid = os.fork()
        if pid == 0:
            sys.stdin.close()
            os.dup2(2, 1)
            try:
                serve_one(order.start)
            finally:
                os._exit(1)
        os.write(1, b"%d\n" % pid)


if __name__ == "__main__":
    _nursery(serve)
