"""R10: four workers whose clocks are up to an hour off, and peppers that change under load, now at one worker, then at the next.

Honest clients go to another worker with each call, and lose replies. Each call's answer is held against what may come of it by the store's
own clock: the window, the idle and the absolute end are not a second longer or shorter for it. SQLite has no clock but the caller's: there
all workers, being processes of one machine, have the right one, and only the peppers change. Never knows how a store keeps time.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from faults.crew import Crew, Reply, Worker
from faults.log import Revoke, Theft, now
from faults.peppers import Rolling, pepper_of
from faults.places import Servers, migrate
from faults.run import Run, parts

CLOCKS = (0.0, 3600.0, -3600.0, -1234.5)
EPSILON = 0.02
"""Seconds by which two clocks of one machine may be read apart."""
MARGIN = 0.15
PATIENCE = 60.0
"""Seconds after which it is given up to wait for what was not seen yet."""
PLANS = ("theft", "idle", "live", "live", "live", "live")
"""What a session comes to: an old token is presented, it is left alone until it ends, or it is used until its absolute end."""

TOLD = {"changed": "pepper changes", "caught": "old tokens caught", "ended": "ended in time", "gone": "peppers seen gone"}


@dataclass(frozen=True)
class Pace:
    """Spans in seconds, as short as whole seconds can be."""

    clients: int
    window: int
    idle: int
    absolute: int
    announce: int
    stagger: float
    every: float
    """How often the pepper changes."""


FULL = Pace(clients=400, window=2, idle=6, absolute=14, announce=3, stagger=0.4, every=6.0)
SHORT = Pace(clients=48, window=2, idle=3, absolute=5, announce=6, stagger=0.2, every=60.0)


def offsets_of(kind: str) -> tuple[float, ...]:
    """How far each worker's clock is off."""
    return (0.0,) * len(CLOCKS) if kind == "sqlite" else CLOCKS


def play(run: Run, servers: Servers) -> None:
    """Clients until enough is done, and until a pepper has come to all."""
    place = servers.place(run.store)
    migrate(place)
    offsets = offsets_of(run.store)
    pace = FULL if run.wanted >= 5_000 else SHORT
    rolling = Rolling(servers.folder / f"peppers-{run.test}-{run.store}-{id(run)}", offsets, pace.stagger)
    workers = [
        Worker(place, offset, file, pace.window, pace.idle, pace.absolute) for offset, file in zip(offsets, rolling.files, strict=True)
    ]
    asyncio.run(Game(run, pace, rolling).play(Crew(workers)))
    run.figure("clocks off by", ", ".join(f"{offset:g}" for offset in sorted(set(offsets))), "s")


@dataclass
class Game:
    """What the clients share."""

    run: Run
    pace: Pace
    rolling: Rolling
    over: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0
    tally: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOLD, 0))

    async def play(self, crew: Crew) -> None:
        """Until the count is done."""
        self.crew = crew
        names = count()
        await crew.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._change())
                for number in range(self.pace.clients):
                    group.create_task(self._client(random.Random(self.run.rng.random()), number, names))
            if rest := self.calls % 100:
                self.run.count(rest)
        finally:
            await crew.close()
        for name, number in self.tally.items():
            if not number and name in self._seen:
                self.run.complain(f"nothing was {name}: the run proves nothing about it")
            self.run.figure(TOLD[name], number)

    async def _client(self, rng: random.Random, number: int, names: count[int]) -> None:
        await asyncio.sleep(rng.uniform(0, self.pace.window / 4))
        for plan in (PLANS[(number + turn) % len(PLANS)] for turn in count()):
            if self.over.is_set():
                return
            await Life(self, rng, plan).live(f"user-{next(names)}")
            await asyncio.sleep(MARGIN)

    async def _change(self) -> None:
        """Change the pepper again and again; it is over when enough is done and the last change has come to all."""
        pace, spread = self.pace, self.pace.stagger * len(self.crew)
        # Whoever changes last still opens sessions under the old pepper, and whoever changed first must know it until they end: longer by
        # as much as it may take until one is opened.
        keep = pace.absolute + int(spread) + 12
        first = await self.crew.ask(0, "issue", "under the first pepper")
        began, gone = now(), now() + pace.announce + keep + spread + MARGIN
        while True:
            pepper = self.rolling.change(announce=pace.announce, keep=keep)
            self.tally["changed"] += 1
            come, again = now() + pace.announce + spread + 2 * MARGIN, now() + pace.every
            while now() < come or (now() < again and not self._enough(began)):
                await asyncio.sleep(0.05)
            await self._come(pepper)
            if now() > gone and not self.tally["gone"]:
                await self._gone(first.token or "")
            if self._enough(began):
                self.over.set()
                return

    def _enough(self, began: float) -> bool:
        """The count is done, and each thing was seen; where one never comes, that is complained about in the end."""
        return self.run.left == 0 and (all(self.tally[name] for name in self._seen) or now() > began + PATIENCE)

    @property
    def _seen(self) -> list[str]:
        """What a run must have seen; that a pepper is gone takes too long for the short one."""
        return [name for name in TOLD if name != "gone" or self.pace is FULL]

    async def _come(self, pepper: int) -> None:
        """Every worker makes its tokens under the new pepper now."""
        for worker in range(len(self.crew)):
            reply = await self.crew.ask(worker, "issue", "under a new pepper")
            if reply.token is None or pepper_of(reply.token) != pepper:
                self.run.complain(f"worker {worker} does not use pepper {pepper}, which is current there")

    async def _gone(self, text: str) -> None:
        """A token under a pepper that is gone at all workers is unknown to each."""
        for worker in range(len(self.crew)):
            reply = await self.crew.ask(worker, "refresh", text)
            if reply.code != "refresh_token_unknown":
                self.run.complain(f"worker {worker} answered a token under a pepper that is gone with {reply.code}")
        self.tally["gone"] += 1

    def done(self) -> None:
        """One more call was judged."""
        self.calls += 1
        if self.calls % 100 == 0:
            self.run.count(100)


@dataclass
class Life:
    """One session, in honest hands, and the spans between which its moments lie."""

    game: Game
    rng: random.Random
    plan: str
    text: str = ""
    before: str | None = None
    rotated: tuple[float, float] | None = None
    idle: tuple[float, float] = (0.0, 0.0)
    absolute: tuple[float, float] = (0.0, 0.0)
    over: bool = False

    @property
    def end(self) -> tuple[float, float]:
        """Not before the first moment, not after the second."""
        return min(self.idle[0], self.absolute[0]), min(self.idle[1], self.absolute[1])

    async def live(self, name: str) -> None:
        """From the login to the end, or until it is over."""
        pace, rng = self.game.pace, self.rng
        reply = await self.game.crew.ask(rng.randrange(len(self.game.crew)), "issue", name)
        if reply.token is None:
            return self.game.run.complain(f"a login was refused: {reply.code}")
        self.text = reply.token
        self.idle = (reply.sent + pace.idle, reply.ended + pace.idle)
        self.absolute = (reply.sent + pace.absolute - 1, reply.ended + pace.absolute)  # it is set in whole seconds
        while not self.game.over.is_set():
            await self._present(self.text)
            await self._again()
            if self.over or self.rotated is None:
                return None
            if self.plan == "theft":
                return await self._theft(self.rotated[1] + pace.window + MARGIN)
            if self.plan == "idle":
                return await self._idle()
            await self._until(self.rotated[1] + pace.window + MARGIN + rng.uniform(0, pace.window / 10))
        return None

    async def _again(self) -> None:
        """Calls within the window: the reply was lost and the old token comes again, or another tab has the new one already."""
        for _ in range(self.rng.choice([0, 1, 1, 2])):
            await asyncio.sleep(self.rng.uniform(0, self.game.pace.window / 5))
            if self.over or self.rotated is None or self.before is None or now() > self.rotated[0] + self.game.pace.window / 2:
                return
            await self._present(self.text if self.rng.random() < 0.3 else self.before)

    async def _theft(self, at: float) -> None:
        """An older token after the window: caught, by whichever worker, and from then on no worker has anything for the session."""
        if not await self._until(at) or self.before is None or self.end[0] < now() + MARGIN:
            return
        self.game.run.stolen(parts(self.text)[0])
        if await self._present(self.before, thief=True) != "refresh_token_reused":
            return  # it came so late that the session had ended by itself; or it is complained of
        self.game.tally["caught"] += 1
        for worker in range(len(self.game.crew)):
            reply = await self.game.crew.ask(worker, "refresh", self.text)
            self.game.run.refreshed(self.text, reply.sent, reply.code, reply.token, ended=reply.ended)
            if reply.code != "session_revoked":
                self.game.run.complain(f"worker {worker} answered {reply.code} after a theft was caught")
            self.game.done()

    async def _idle(self) -> None:
        """Left alone: shortly before its end it still lives (and the end moves on), after its end it does not."""
        if self.rng.random() < 0.5 and await self._until(self.end[0] - 3 * MARGIN):
            await self._present(self.text)
        if await self._until(self.end[1] + 2 * EPSILON):
            await self._present(self.text)

    async def _until(self, moment: float) -> bool:
        """Wait for it; whether it came before all is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, moment - now())):
                await self.game.over.wait()
        return not self.game.over.is_set()

    def _ended(self) -> None:
        """The end that the session came to by itself is a fact for the checker, as a logout would be."""
        self.over, run = True, self.game.run
        run.write(Revoke(run.test, run.store, parts(self.text)[0], self.end[0] - EPSILON, self.end[1] + EPSILON, "own end"))
        self.game.tally["ended"] += 1

    async def _present(self, text: str, *, thief: bool = False) -> str:
        """Present a token to some worker, and hold the answer against what may come of it; the verdict."""
        run, worker = self.game.run, self.rng.randrange(len(self.game.crew))
        reply = await self.game.crew.ask(worker, "refresh", text)
        if reply.code == "refresh_token_reused" and not thief and self._is_late(text, reply):
            # It was meant to come within the window. Without an attempt id nobody can tell it from a thief's: it ends the session as asked.
            run.write(Theft(run.test, run.store, parts(text)[0], reply.sent))
            self.over = True
        run.refreshed(text, reply.sent, reply.code, reply.token, thief=thief, ended=reply.ended)
        verdict = reply.event if reply.token else reply.code
        may = self._may(text, reply)
        if verdict not in may:
            since = "never rotated" if self.rotated is None else f"rotated {reply.sent - self.rotated[0]:.3f} s before"
            left = f"it ends in {self.end[0] - reply.sent:.3f} s"
            self.over = True  # from here on nobody knows what may come of it
            run.complain(f"worker {worker} answered {verdict} instead of {' or '.join(sorted(may))}: {since}, {left}")
        else:
            self._take(text, verdict, reply)
        if verdict == "refresh_token_expired" and not self.over:
            self._ended()
        self.game.done()
        return verdict

    def _is_late(self, text: str, reply: Reply) -> bool:
        """Whether this token was replaced, and may have come when the window was over."""
        return text != self.text and self.rotated is not None and reply.ended + EPSILON >= self.rotated[0] + self.game.pace.window

    def _may(self, text: str, reply: Reply) -> set[str]:
        sent, ended, window, found = reply.sent - EPSILON, reply.ended + EPSILON, self.game.pace.window, set()
        old = self.rotated is None or ended >= self.rotated[0] + window
        young = self.rotated is not None and sent < self.rotated[1] + window
        if ended >= self.end[0]:
            found.add("refresh_token_expired")
        if sent < self.end[1]:
            current = text == self.text
            found |= {"refresh_rotated" if current else "refresh_token_reused"} if old else set()
            found |= {"refresh_kept" if current else "refresh_replayed"} if young else set()
        return found

    def _take(self, text: str, verdict: str, reply: Reply) -> None:
        """What the answer means for the client, and whether it says the truth about the time that is left."""
        pace, run = self.game.pace, self.game.run
        if reply.token is None:
            return
        if verdict == "refresh_rotated":
            self.rotated = (reply.sent, reply.ended)
            self.idle = (reply.sent + pace.idle, reply.ended + pace.idle)
            self.before, self.text = text, reply.token
        elif reply.token != self.text:
            run.complain(f"{verdict} answered with another token than before")
        left = (self.end[0] - reply.ended - EPSILON - 1, self.end[1] - reply.sent + EPSILON)
        if not left[0] <= reply.refresh_expires_in <= left[1]:
            run.complain(f"{reply.refresh_expires_in} s were said to be left of {left[0]:.3f} to {left[1]:.3f}")
        if not left[0] - 1 <= reply.expires_in <= left[1] + 1:
            run.complain(f"the access token lives {reply.expires_in} s, the session {left[0]:.3f} to {left[1]:.3f}")
