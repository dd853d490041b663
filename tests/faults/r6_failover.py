"""R6: the store is lost while 64 clients refresh, and another takes its place: a promoted standby or replica, a disk after a power cut.

Settings that promise it lose nothing that was acknowledged. With the others lost rotations are Recovered, nobody whose session is still
there is logged out, and what becomes of revocations is counted. Never knows how a store fails over: `faults.sides` does.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable
from itertools import count
from typing import TypeVar

from faults.client import Client, IssuerService, Lost, Refused
from faults.places import Servers
from faults.run import Run
from faults.service import issuer_on
from faults.sides import SIDES, Side
from stagedoor import Issuer, Revocations
from stagedoor.encoding import decode
from stagedoor.event import Event
from stagedoor.session import RECOVERABLE
from stagedoor.testing.clock import FixedClock

T = TypeVar("T")
CLIENTS = 64
LEAVING = 16
"""Clients that log out while the store fails over."""
COMING = 8
"""Clients that log in meanwhile."""
WINDOW = 60.0
FORMS = {
    "sqlite": ("full", "normal"),
    "postgres": ("on", "async", "remote_apply", "revoke"),
    "redis": ("async", "wait"),
    "cluster": ("async", "wait"),
}
_numbers = count()


def play(run: Run, servers: Servers) -> None:
    """Fail over as often as is left, by turns with each setting."""
    play_forms(run, servers, FORMS[run.store])


def play_forms(run: Run, servers: Servers, forms: tuple[str, ...]) -> None:
    """Each setting in one go: its servers are started once."""
    turns = [forms[number % len(forms)] for number in range(run.already, run.already + run.left)]
    for form in forms:
        if form in turns:
            asyncio.run(_play(run, servers, form, turns.count(form)))


async def _play(run: Run, servers: Servers, form: str, failovers: int) -> None:
    side = SIDES[run.store](servers.folder / f"side-{next(_numbers)}", form)
    scene = _Scene(run, form, side)
    try:
        for _ in range(failovers):
            await scene.failover()
            run.count()
        scene.figures()
    finally:
        await side.close()


class Gate(IssuerService):
    """An issuer that can be away. What it answers from before a power cut is not heard any more."""

    def __init__(self) -> None:
        self.open = False
        self.epoch = 0
        self.answers = 0
        self.due: asyncio.Event | None = None
        self.due_at = 0

    async def login(self, name: str) -> str:
        """As Service.login."""
        return await self._through(super().login(name))

    async def refresh(self, token: str, attempt: str | None) -> str:
        """As Service.refresh."""
        return await self._through(super().refresh(token, attempt))

    async def logout(self, token: str) -> None:
        """As Service.logout."""
        await self._through(super().logout(token))

    async def _through(self, call: Awaitable[T]) -> T:
        if not self.open:
            asyncio.ensure_future(call).cancel()
            raise Refused("store_unavailable")
        epoch = self.epoch
        try:
            async with asyncio.timeout(30.0):
                answer = await call
        except TimeoutError:
            raise Lost("no answer in 30 s") from None
        if epoch != self.epoch:
            raise Lost("the power went")
        self.answers += 1
        if self.due is not None and self.answers >= self.due_at:
            self.due.set()
        return answer


class _Scene:
    """The clients of one setting, through all its failovers."""

    def __init__(self, run: Run, form: str, side: Side) -> None:
        self.run = run
        self.form = form
        self.side = side
        self.clock = FixedClock()
        self.gate = Gate()
        self.clients: list[Client] = []
        self.ended: list[Client] = []
        self.came: list[Client] = []
        self.told: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.furthest = 0
        self.names = count()

    async def failover(self) -> None:
        """One: everything level, three rounds of refreshing, somewhere in them the loss."""
        run, rng = self.run, self.run.rng
        await self.side.begin()
        self.gate.issuer = self._issuer()
        self.gate.open = True
        while len(self.clients) < CLIENTS:
            self.clients.append(await self._come())
        self.clock.forward(WINDOW + 1)
        await self.side.level()
        self.ended, self.came = [], []
        self.told.clear()
        self.gate.due, self.gate.due_at = asyncio.Event(), self.gate.answers + rng.randrange(1, RECOVERABLE * CLIENTS - CLIENTS // 2)
        leaving = self.clients[:LEAVING]
        del self.clients[:LEAVING]
        load = asyncio.gather(self._rounds(), *(self._leave(client, rng.random()) for client in leaving), *self._arrivals(rng))
        await self.gate.due.wait()
        await self._lose(rng)
        await self.side.take_over()
        self.gate.issuer = self._issuer()
        await self._look()
        if not self.side.firm:  # told now: until here an answer of the old one may have been under way
            run.lost(f"failover, {self.form}", revocations=not self.side.firm_revocations)
        self.gate.open = True
        await asyncio.gather(load, self.side.mend())
        await self._afterwards()
        if self.side.firm and self.told["refresh_recovered"]:
            run.complain(f"{self.form}: {self.told['refresh_recovered']} acknowledged rotations were lost")
        self.counts["recovered"] += self.told["refresh_recovered"]

    def _issuer(self) -> Issuer:
        """On the store of this moment. Nobody waits for news of revocations: access tokens are R12's."""
        more = {"clock": self.clock, "events": self._hear, "refresh_idle": "30d", "refresh_absolute": "90d"}
        return issuer_on(self.side.store, revocations=Revocations(), **more)

    async def _lose(self, rng: random.Random) -> None:
        await self.side.lose(rng)
        self.gate.epoch += self.run.store == "sqlite"  # nothing is heard from a machine without power; a server's answer may be under way
        self.gate.open = False

    async def _rounds(self) -> None:
        for _ in range(RECOVERABLE):
            await asyncio.gather(*(self._refresh(client) for client in self.clients))
            self.clock.forward(WINDOW + 1)

    async def _refresh(self, client: Client) -> None:
        await asyncio.sleep(self.run.rng.uniform(0.0, 0.02))
        outcome = await client.refresh(within=60.0)
        if outcome != "ok":
            self.run.complain(f"{self.form}: an honest client got {outcome} for generation {client.generation}")

    async def _leave(self, client: Client, moment: float) -> None:
        """Log out at some moment of the rounds; those that are acknowledged before the loss are looked at after it."""
        await self._until(moment)
        if await client.logout(within=60.0):
            self.ended.append(client)

    def _arrivals(self, rng: random.Random) -> list[Awaitable[None]]:
        return [self._arrive(rng.random()) for _ in range(COMING)]

    async def _arrive(self, moment: float) -> None:
        await self._until(moment)
        self.came.append(await self._come())

    async def _until(self, share: float) -> None:
        """Until about this share of the answers of the rounds has been given."""
        goal = self.gate.answers + int(share * RECOVERABLE * CLIENTS * 0.7)
        for _ in range(1000):
            if self.gate.answers >= goal:
                return
            await asyncio.sleep(0.005)

    async def _come(self) -> Client:
        client = Client(self.run, self.gate, f"user-{next(self.names)}")
        await client.login(within=60.0)
        return client

    async def _look(self) -> None:
        """What the new store has of what the old one acknowledged; nobody has asked it for anything yet."""
        for client in self.clients:
            row = await self.side.store.get(decode(client.session))
            if row is None:
                self._lost("sessions")
            elif row.generation < client.generation:
                self.furthest = max(self.furthest, client.generation - row.generation)
                self._lost("rotations")
        for client in list(self.came):
            if await self.side.store.get(decode(client.session)) is None:
                self._lost("logins")
                self.came.remove(client)  # its row did not survive: it has to log in again
        for client in self.ended:
            row = await self.side.store.get(decode(client.session))
            if row is not None and row.revoked_at is None:
                self.counts["revocations back"] += 1
                if self.side.firm_revocations:
                    self.run.complain(f"{self.form}: a session came back whose logout was acknowledged")
        self.counts.update(revocations=len(self.ended))

    def _lost(self, what: str) -> None:
        self.counts[what] += 1
        if self.side.firm:
            self.run.complain(f"{self.form}: {what} that were acknowledged are gone")
        elif what == "sessions":
            self.run.complain(f"{self.form}: a session that was on both sides is gone")

    async def _afterwards(self) -> None:
        """Everybody goes on; who logged out does not, unless the log says that revocations may be gone."""
        await asyncio.gather(*(self._refresh(client) for client in [*self.clients, *self.came]))
        for client in self.ended:
            outcome = await client.refresh(within=60.0)
            if outcome == "ok" and self.side.firm_revocations:
                self.run.complain(f"{self.form}: a session was refreshed whose logout was acknowledged")
        self.clients += self.came

    def _hear(self, event: Event) -> None:
        self.told[event.name] += 1

    def figures(self) -> None:
        """What became of what was acknowledged."""
        told = self.counts
        self.run.figure(
            f"{self.form}: rotations lost / recovered / furthest", f"{told['rotations']} / {told['recovered']} / {self.furthest}"
        )
        self.run.figure(f"{self.form}: revocations acknowledged / back", f"{told['revocations']} / {told['revocations back']}")
        self.run.figure(f"{self.form}: logins gone", told["logins"])
