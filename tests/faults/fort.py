"""Fort: a service and the server behind it, that are killed and started again.

Never knows why, nor what must come of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from faults.client import HttpService, Lost, Refused
from faults.log import now
from faults.places import Place, Servers
from faults.service import Nursery, Settings, free_port, is_running

_numbers = count()


class Server(Protocol):
    """What is killed behind the service."""

    place: Place
    may_lose: bool
    """Whether its setting allows that a kill -9 loses what was acknowledged."""

    def pids(self) -> list[int]:
        """What a kill has to end; children die with them."""

    def kill(self) -> None:
        """SIGKILL; it is gone when this returns, also if it was gone before."""

    def start(self) -> None:
        """Start it again, at the same place with the same data; it answers when this returns."""

    def close(self) -> None:
        """Stop it, and leave nothing behind."""


class Fort:
    """The service in its own process, and its server, if its store has one."""

    def __init__(self, form: str, nursery: Nursery, place: Place, events: Path, server: Server | None, wrap: str) -> None:
        self.form = form
        self.port = free_port()
        self.may_lose = server is not None and server.may_lose
        self.victims = ("service",) if server is None else ("service", "server")
        self._nursery = nursery
        self._server = server
        self._events = events
        self._trace = place.kind == "sqlite"
        self._settings = Settings(place, self.port, wrap=wrap, events=str(events))
        self._pid = nursery.start(self._settings)

    def told(self) -> Counter[str]:
        """How often each event was told so far, by name."""
        return Counter(line.split(" ")[0] for line in self._events.read_text().splitlines()) if self._events.exists() else Counter()

    def kill(self, victim: str) -> None:
        """SIGKILL, now."""
        if victim == "service" or self._server is None:
            self._nursery.kill(self._pid)
        else:
            self._server.kill()

    async def kill_at(self, step: str, victim: str, *, nth: int) -> bool:
        """Let the service kill the victim at this step of the nth rotation from now on; whether it came."""
        targets = [] if victim == "service" or self._server is None else self._server.pids()
        query = f"step={step}&nth={nth}&victims={','.join(map(str, targets)) or 'self'}&trace={'1' if self._trace else ''}"
        control = HttpService(self.port, prefix="")
        try:
            await control.post(f"/steps?{query}", {})
        except (Lost, Refused) as error:
            raise RuntimeError(f"the service could not be armed: {error}") from None
        finally:
            await control.close()
        until = now() + 60.0
        while any(map(is_running, targets or [self._pid])):
            if now() > until:
                return False
            await asyncio.sleep(0.002)
        if self._server is not None and targets:
            await asyncio.to_thread(self._server.kill)  # waits for all of it
        else:
            await asyncio.to_thread(self._nursery.wait, self._pid)
        return True

    def rise(self, victim: str) -> None:
        """Start again what was killed."""
        if victim == "service" or self._server is None:
            self._pid = self._nursery.start(self._settings)
        else:
            self._server.start()

    def close(self) -> None:
        """Kill the service, stop the server."""
        self._nursery.kill(self._pid)
        if self._server is not None:
            self._server.close()


@contextmanager
def forts(kind: str, servers: Servers, wrap: str) -> Iterator[Callable[[str], Fort]]:
    """Gives the fort of a durability setting, made when it is first asked for; all are closed in the end."""
    made: dict[str, Fort] = {}
    with ExitStack() as stack:
        nursery = stack.enter_context(Nursery())

        def fort(form: str) -> Fort:
            if form not in made:
                server = _server(kind, form, servers.folder / f"fort-{next(_numbers)}")
                place = servers.place(kind) if server is None else server.place
                events = servers.folder / f"fort-events-{next(_numbers)}"
                made[form] = Fort(form, nursery, place, events, server, wrap)
                stack.callback(made[form].close)
            return made[form]

        yield fort


def _server(kind: str, form: str, folder: Path) -> Server | None:
    made: Any = None
    if kind in ("postgres", "redis", "cluster"):
        from faults import victims

        made = {"postgres": victims.Postgres, "redis": victims.Redis, "cluster": victims.Cluster}[kind](folder, form)
    return made
