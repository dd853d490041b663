"""Crowd: honest people with one session each, whose answers get lost on the way, and what their clients do then.

A client retries at once, within the window with and without an attempt id, and far beyond it with one; half of the clients start anew for
each try from what they had written down. Never knows a store, nor what comes of it all: the run's log does.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from faults.client import UNANSWERED, Client, HttpService, Service
from faults.log import now
from faults.run import Run
from faults.subject_check import down_file, met_by_both
from stagedoor.testing.proxy import FaultProxy

DROPPED, CUT = 0.05, 0.005
"""Shares of the answers that are lost whole and in part."""
WORKERS = 64
"""Requests under way at once."""
PATIENCE = 60.0
"""Seconds without a single refresh after which the test gives up."""
OUTAGE_MET = 10.0
"""Seconds more for which it lasts at the most, where nobody has met it yet."""
WITHOUT_IDS = 0.25
"""Share of the people whose client sends no attempt ids."""


@dataclass(frozen=True)
class Pace:
    """How time is pressed together: as many windows pass as pass by day, in less time."""

    window: int
    people: int
    longest: float
    """Windows that a retry with an attempt id is late at the most."""
    outage: float
    """Seconds in which no subject can be checked."""

    @property
    def lives(self) -> int:
        """Seconds after which somebody logs out and in again: long before the session would end by itself."""
        return 60 * self.window


@dataclass(eq=False)
class Person:
    """Somebody with one session. What a client needs to go on is written down: the token, and the attempt id that belongs to it."""

    name: str
    with_ids: bool
    restarts: bool
    written: tuple[str, str | None] = ("", None)
    client: Client | None = None
    since: float = 0.0
    """When the session was opened."""
    asked_first: float | None = None
    """When this token was presented first; None: the last answer came."""
    lost_first: float | None = None
    """When the first try with this token was sent that was never answered: it may have rotated then."""
    tries: int = 0

    def answered(self) -> None:
        """The next try is a first one again."""
        self.asked_first = self.lost_first = None
        self.tries = 0


@dataclass
class Crowd:
    """All people, and the workers that do for them what is due."""

    run: Run
    pace: Pace
    folder: Path
    counts: Counter[str] = field(default_factory=Counter)
    served: int = 0
    seconds: float = 0.0
    at_risk: int = 0
    """Clients without attempt ids whose token may have been rotated without their knowing."""
    calm: bool = False
    """Whether those wait with their next refresh."""
    down: bool = False
    """Whether nothing rotates, for certain and for a while yet: the subject check is down, or the box is."""
    is_up_again: bool = False
    """Whether the outage is over."""
    _due: list[tuple[float, int, Person]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)
    _counted: int = 0
    _served_at: float = field(default_factory=now)
    _ends: bool = False

    async def lives(self, port: int) -> None:
        """Log all in, let them refresh until nothing is left to do, then see that every session still works."""
        rng = self.run.rng
        people = [Person(f"user-{n}", rng.random() >= WITHOUT_IDS, rng.random() < 0.5) for n in range(self._people())]
        wanted = self.run.left - len(people)  # the last look at each session is a refresh as well
        await self._each(people, lambda person, service: self._login(person, service), port)
        for person in people:
            self._later(person, 0.0)
        async with FaultProxy("127.0.0.1", port, drop=DROPPED, cut=CUT, rng=random.Random(rng.random())) as proxy:
            began = now()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._outage(wanted))
                for _ in range(WORKERS):
                    group.create_task(self._work(proxy.port, wanted))
            self.seconds = now() - began
            self.counts.update({"lost": proxy.counts["dropped"], "cut": proxy.counts["cut"]})
        self._ends = True
        await self._each(people, lambda person, service: self._refresh(person, service), port)
        if broken := [person for person in people if person.asked_first is not None]:
            self.run.complain(f"{len(broken)} sessions do not work at the end")
        self.run.count(self.served - self._counted)

    def _people(self) -> int:
        return max(1, min(self.pace.people, self.run.left // 2))

    async def _each(self, people: list[Person], do: Callable[[Person, Service], Awaitable[object]], port: int) -> None:
        waiting = iter(people)

        async def work() -> None:
            service = HttpService(port)
            for person in waiting:
                await do(person, service)
            await service.close()

        await asyncio.gather(*(work() for _ in range(WORKERS)))

    async def _work(self, port: int, wanted: int) -> None:
        service = HttpService(port)
        while self.served < wanted or not self.is_up_again:
            if not self._due or self._due[0][0] > now():
                await asyncio.sleep(0.01)
                continue
            person = heapq.heappop(self._due)[2]
            if self.calm and not person.with_ids:
                self._later(person, 0.2)
            elif person.asked_first is None and now() - person.since > self.pace.lives:
                await self._login(person, service)
                self._later(person, 0.0)
            else:
                self._later(person, await self._refresh(person, service))
        await service.close()

    def _later(self, person: Person, pause: float) -> None:
        heapq.heappush(self._due, (now() + pause, next(self._order), person))

    async def _login(self, person: Person, service: Service) -> None:
        """A new session; the old one is ended first."""
        if person.written[0]:
            await self._client(person, service).logout()
        person.client = Client(self.run, service, person.name, attempts=person.with_ids)
        await person.client.login()
        person.since = now()
        self._write(person, person.client)

    def _client(self, person: Person, service: Service) -> Client:
        """Who starts anew knows nothing but what was written down."""
        if person.client is None:
            person.client = Client(self.run, service, person.name, attempts=person.with_ids)
            token, attempt = person.written
            person.client.take(token)
            person.client.attempt = attempt
        person.client.service = service
        return person.client

    def _write(self, person: Person, client: Client) -> None:
        person.written = (client.token, client.attempt)
        if person.restarts:
            person.client = None

    async def _refresh(self, person: Person, service: Service) -> float:
        """One refresh with its retries, as far as they are to come soon; how long this person waits then."""
        risky = not person.with_ids
        self.at_risk += risky
        try:
            while True:
                pause = await self._try(person, service)
                if pause > self.pace.window * 0.25 or person.asked_first is None:
                    return pause
                await asyncio.sleep(pause)
        finally:
            self.at_risk -= risky

    async def _try(self, person: Person, service: Service) -> float:
        """One try; how long until the next."""
        if now() - self._served_at > PATIENCE:
            raise RuntimeError(f"nothing is served any more: {dict(self.counts)}")
        client, sent = self._client(person, service), now()
        first = person.asked_first = sent if person.asked_first is None else person.asked_first
        outcome = await client.ask()
        late = now() - first
        if outcome == "ok":
            if person.tries:
                self.counts[self._kind(person, sent - first)] += 1
            person.answered()
            self._write(person, client)
            self._serve()
            return self._until_next()
        if outcome in UNANSWERED:
            person.tries += 1
            self.counts["unavailable"] += outcome != "lost"
            if outcome == "lost" and person.lost_first is None and not self.down:
                person.lost_first = sent
            self._write(person, client)
            return self._until_retry(person, outcome, late)
        if not person.with_ids and person.lost_first is not None and now() - person.lost_first >= self.pace.window:
            # The machine stood still: a retry without an attempt id came late, which is no promise of ours. It ends the session as asked.
            self.counts["too late without an id"] += 1
            self.run.revoked(client.session, sent, "late retry without an attempt id", acknowledged=False)
        else:
            self.counts["false logouts"] += 1
            how = f"attempt ids {person.with_ids}, try {person.tries + 1}, {late:.2f} s after the first"
            self.run.complain(f"logged out: {outcome}; {how}")
        person.answered()
        person.written, person.client = ("", None), None
        await self._login(person, service)
        return 0.0

    def _kind(self, person: Person, late: float) -> str:
        if late < self.pace.window:
            return "retried within the window" if person.with_ids else "retried within the window without an id"
        return "retried beyond the window"

    def _serve(self) -> None:
        self.served += 1
        self._served_at = now()
        if self.served - self._counted == 1_000:
            self.run.count(1_000)
            self._counted = self.served

    def _until_next(self) -> float:
        """Mostly past the window, so that the token rotates."""
        rng, window = self.run.rng, self.pace.window
        return window * (rng.uniform(0.0, 0.9) if rng.random() < 0.1 else rng.uniform(1.02, 1.3))

    def _until_retry(self, person: Person, outcome: str, late: float) -> float:
        rng, window = self.run.rng, self.pace.window
        if self.down or (outcome != "lost" and person.with_ids and not self._ends):
            return window * rng.uniform(0.3, 1.0)
        if not person.with_ids:
            # Again and again until it is answered: the window is all that it has.
            return 0.0 if late > 0.3 * window else window * rng.choice([0.0, rng.uniform(0.0, 0.2)])
        if self._ends or late > 2 * self.pace.longest * window:
            return 0.0
        return window * rng.choice([0.0, rng.uniform(0.0, 0.2), rng.uniform(0.2, 0.9), rng.uniform(1.05, self.pace.longest)])

    async def _outage(self, wanted: int) -> None:
        """Nobody can be asked about subjects, in the middle of it all."""
        while self.served < wanted / 2:
            await asyncio.sleep(0.01)
        # Without an attempt id, an answer lost just before this would be asked for again after the window: nothing could help there.
        self.calm = True
        while self.at_risk:
            await asyncio.sleep(0.01)
        down_file(self.folder).touch()
        self.calm, until, window = False, now() + self.pace.outage, self.pace.window
        while now() < until or (not met_by_both(self.folder) and now() < until + OUTAGE_MET):  # one that nobody met would show nothing
            self.down = now() < until - window
            await asyncio.sleep(0.01)
        down_file(self.folder).unlink()
        self.is_up_again = True
