"""R3: kill -9 of the service and of its server, under load, at random moments and at each step of a rotation.

Every session must go on by retry, none may have two live secrets, nothing acknowledged may be gone. What each durability setting loses
is measured beside that. Never knows how a process is started: `faults.fort` does.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count

from faults import fort
from faults.client import UNANSWERED, Client, HttpService, Lost, Refused
from faults.fort import Fort
from faults.log import now
from faults.places import Servers
from faults.run import Run
from faults.steps import STEPS

CLIENTS = 48
BATCH = 25
WINDOW = 1.0
"""The retry window of the service, in seconds."""
FORMS = {
    "sqlite": ("full",),
    "postgres": ("on",),
    "redis": ("always", "everysec"),
    "cluster": ("always", "everysec"),
}
"""Durability settings under which the bar holds. Where one may lose something all the same (everysec), it is Recovered, and counted."""
MEASURED = {
    "sqlite": ("full",),
    "postgres": ("on", "off"),
    "redis": ("always", "everysec", "no", "none"),
    "cluster": ("always", "everysec"),
}
"""Settings whose loss is measured; "none" is a Redis without an append-only file."""


def play(run: Run, servers: Servers) -> None:
    """Measure, if nothing was done yet; then kill what is left to kill."""
    play_on(run, servers, wrap="faults.steps:Steps")


def play_on(run: Run, servers: Servers, *, wrap: str, steps: bool = True, measure: bool = True) -> None:
    """`wrap` names the store of the service; without `steps` it is one that knows none, and all moments are random."""
    short = run.wanted < BATCH
    # In short one setting, fewer clients, nothing measured but what the bar is about.
    forms, measured = (FORMS[run.store][:1],) * 2 if short else (FORMS[run.store], MEASURED[run.store])
    with fort.forts(run.store, servers, wrap) as forts:
        for form in measured if measure and not run.already else ():
            asyncio.run(_measure(run, forts(form), seconds=0.2 if short else 1.5, rounds=1 if short else 8))
        while run.left:
            form = forms[(run.already + run.done) // BATCH % len(forms)]
            siege = _Siege(run, forts(form), steps, clients=CLIENTS // 3 if short else CLIENTS)
            asyncio.run(siege.kills(min(BATCH, run.left)))


class _Siege:
    """Clients that go on refreshing, and a fort that is killed again and again."""

    def __init__(self, run: Run, target: Fort, steps: bool, clients: int) -> None:
        self.run = run
        self.wanted = clients
        self.fort = target
        self.steps = ("random", *STEPS) if steps else ("random",)
        self.clients: list[Client] = []
        self.over = False
        self.longest = 0.0

    async def kills(self, number: int) -> None:
        """So many kills, then everybody's session is looked at, then they count."""
        before = self.fort.told()
        async with self._load():
            for each in range(number):
                await self._kill(self.run.already + self.run.done + each)
        await asyncio.gather(*(self._goes_on(client) for client in self.clients))
        await asyncio.gather(*(self._one_live_secret(client) for client in self.clients[::4]))
        await asyncio.gather(*(client.service.close() for client in self.clients if isinstance(client.service, HttpService)))
        told = self.fort.told() - before
        if told["refresh_recovered"] and not self.fort.may_lose:
            self.run.complain(f"{told['refresh_recovered']} acknowledged rotations were gone after a kill, {self.fort.form}")
        names = ("refresh_rotated", "refresh_replayed", "refresh_recovered")
        self.run.figure(f"{self.fort.form}: rotated / replayed / recovered", " / ".join(str(told[name]) for name in names))
        self.run.figure(f"{self.fort.form}: longest wait for an answer", round(self.longest, 2), "s")
        self.run.count(number)

    async def _kill(self, number: int) -> None:
        """One kill; it waits until some have been answered again."""
        rng = self.run.rng
        victim = self.fort.victims[number % len(self.fort.victims)]
        # In turn, each step with each victim; a short run draws.
        step = rng.choice(self.steps) if self.run.wanted < BATCH else self.steps[number // len(self.fort.victims) % len(self.steps)]
        since = now()
        if step == "random":
            await asyncio.sleep(rng.uniform(0.0, 0.3))
            await asyncio.to_thread(self.fort.kill, victim)
        elif not await self.fort.kill_at(step, victim, nth=rng.randint(1, 8)):
            self.run.complain(f"the kill of the {victim} did not come: {step}")
        if victim == "server" and self.fort.may_lose:
            self.run.lost(f"kill -9 of Redis, {self.fort.form}", revocations=True)
        await asyncio.to_thread(self.fort.rise, victim)
        risen = now()
        while sum(client.answered_at > risen for client in self.clients) < self.wanted // 6:
            if now() > risen + 20.0:
                self.run.complain(f"nobody is answered, 20 s after the {victim} was started again ({step})")
                return
            await asyncio.sleep(0.01)
        self.longest = max(self.longest, now() - since)

    @asynccontextmanager
    async def _load(self) -> AsyncIterator[None]:
        self.clients = [Client(self.run, HttpService(self.fort.port), f"user-{number}") for number in range(self.wanted)]
        await asyncio.gather(*(client.login() for client in self.clients))
        rngs = [random.Random(self.run.rng.random()) for _ in self.clients]
        tasks = [asyncio.create_task(self._use(client, rng)) for client, rng in zip(self.clients, rngs, strict=True)]
        try:
            yield
        finally:
            self.over = True
            await asyncio.gather(*tasks)

    async def _use(self, client: Client, rng: random.Random) -> None:
        while not self.over:
            await asyncio.sleep(rng.uniform(0.0, WINDOW * 1.4))
            if rng.random() < 0.03:
                await self._log_out(client)
            else:
                await self._goes_on(client)

    async def _goes_on(self, client: Client) -> None:
        outcome = await client.refresh()
        if outcome != "ok":
            self.run.complain(f"a session did not go on by retry: {outcome}, generation {client.generation}")
            await client.login()

    async def _log_out(self, client: Client) -> None:
        """Acknowledged: ended for good. The checker has the facts; here it is asked once more."""
        if not await client.logout():
            self.run.complain("a logout was not answered")
        outcome = await client.refresh()
        if outcome == "ok" and not self.fort.may_lose:
            self.run.complain("a session went on after its logout")
        await client.login()

    async def _one_live_secret(self, client: Client) -> None:
        """Beyond the window, the token before the present one opens nothing."""
        if not client.before:
            return
        await asyncio.sleep(WINDOW + 0.1)
        self.run.stolen(client.session)
        sent = now()
        try:
            answer = await client.service.refresh(client.before, None)
        except Refused as error:
            self.run.refreshed(client.before, sent, error.code, thief=True)
            if error.code in UNANSWERED:
                self.run.complain(f"the store was not back: {error.code}")
        else:
            self.run.refreshed(client.before, sent, "ok", answer, thief=True)
            self.run.complain("two live secrets: the token before the present one was answered")


async def _measure(run: Run, target: Fort, seconds: float, rounds: int) -> None:
    """Logins, a kill -9, and then: which of those that were acknowledged are there?

    By turns as fast as they go, and few: what is written together is flushed early, what comes alone may wait longest.
    """
    counts: Counter[str] = Counter()
    window, names = 0.0, count()
    for number in range(rounds):
        tasks_at_once, pause = ((16, 0.0), (2, 0.05))[number % 2]
        opened: list[tuple[str, float]] = []
        over = asyncio.Event()
        tasks = [asyncio.create_task(_log_in(HttpService(target.port), names, opened, over, pause)) for _ in range(tasks_at_once)]
        await asyncio.sleep(run.rng.uniform(seconds / 2, seconds))
        killed = now()
        await asyncio.to_thread(target.kill, target.victims[-1])
        over.set()
        await asyncio.gather(*tasks)
        await asyncio.to_thread(target.rise, target.victims[-1])
        known = list(opened)
        found = await asyncio.gather(*(_there(target, [token for token, _ in known[place::16]]) for place in range(16)))
        gone = {token for part in found for token in part}
        counts.update(opened=len(known), gone=len(gone))
        # Never negative: what was answered while the kill was on its way was there at the kill.
        window = max([window, *(max(0.0, killed - at) for token, at in known if token in gone)])
    name = f"kill -9 of {target.victims[-1]}, {target.form}"
    run.figure(f"{name}: acknowledged / gone", f"{counts['opened']} / {counts['gone']}")
    run.figure(f"{name}: loss window", round(window * 1000, 1), "ms")
    if counts["gone"] and target.form in FORMS[run.store] and not target.may_lose:
        run.complain(f"{counts['gone']} acknowledged sessions were gone after a {name}")


async def _log_in(service: HttpService, names: Iterator[int], opened: list[tuple[str, float]], over: asyncio.Event, pause: float) -> None:
    while not over.is_set():
        try:
            token = await service.login(f"measured-{next(names)}")  # a subject has a limit of sessions
        except (Lost, Refused):
            await asyncio.sleep(0.01)
        else:
            opened.append((token, now()))
            await asyncio.sleep(pause)
    await service.close()


async def _there(target: Fort, tokens: list[str]) -> list[str]:
    """Those of these tokens whose session is gone."""
    service = HttpService(target.port)
    gone = []
    for token in tokens:
        until = now() + 20.0
        while True:
            try:
                await service.refresh(token, None)
            except (Lost, Refused) as error:
                if now() < until and (isinstance(error, Lost) or error.code in UNANSWERED):
                    await asyncio.sleep(0.02)
                    continue
                gone.append(token)
            break
    await service.close()
    return gone
