"""R7: sessions that are ended while they are refreshed, in all orders, by tasks and processes: after the end is acknowledged, never again.

Never knows how a race has to end: the checker judges what everybody did and when.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

from faults.contest import Act, Did, Stage, Troupe
from faults.log import Revoke, now
from faults.places import SHARED, Place, Servers
from faults.rounds import Author, Round
from faults.run import Run, parts
from stagedoor.encoding import decode

TOGETHER = 20
"""Rounds at once."""
PROCESSES = 3
_LEAD = 0.02
_ENOUGH = 20


def play(run: Run, servers: Servers) -> None:
    """Batches of rounds, in turn by tasks of this process and by other processes."""
    asyncio.run(_play(run, servers.place(run.store)))


async def _play(run: Run, place: Place) -> None:
    contest = Contest(run, place)
    await contest.open()
    try:
        while run.left and run.complaints < _ENOUGH:
            await contest.batch(min(TOGETHER, max(1, run.wanted // 2), run.left))
        await contest.ever_after()
    finally:
        await contest.close()
    for name, number in sorted(contest.seen.items()):
        run.figure(name, float(number))


class Contest:
    """The rounds of one run."""

    def __init__(self, run: Run, place: Place) -> None:
        self._run = run
        pepper = run.rng.randbytes(32)
        self._stage = Stage(place, pepper)
        # Started before there are connections here. Only stores that several processes can be on are asked by several.
        self._troupe = Troupe(place, pepper, PROCESSES) if place.kind in SHARED else None
        self._pepper = pepper
        self._over: dict[str, set[str]] = {}
        """Every session whose end was acknowledged, and its tokens."""
        self._alone = True
        self.seen: Counter[str] = Counter()

    async def open(self) -> None:
        """The store, from here."""
        await self._stage.open()
        self._store: Any = self._stage.stores[0]
        await self._store.migrate()
        self._author = Author(self._store, self._pepper, self._run.rng)

    async def close(self) -> None:
        """Let go of it."""
        if self._troupe is not None:
            self._troupe.close()
        await self._stage.close()

    async def batch(self, number: int) -> None:
        """So many rounds at once, and what became of their sessions."""
        rounds = [await self._author.round() for _ in range(number)]
        for each in rounds:
            if each.stolen is not None:
                self._run.stolen(each.stolen)
        acts = [act for each in rounds for act in each.acts]
        if self._troupe is not None and not self._alone:
            done = await self._troupe.play(acts, now() + _LEAD, self._run.rng)
        else:
            done = await self._stage.play(acts, now() + _LEAD, self._run.rng.getrandbits(32))
        self._alone = not self._alone
        done += _opened_before(done)
        self._write(done)
        over = self._ended(rounds, done)
        await self._never_again(over)
        for session in over:
            row = await self._store.get(decode(session))
            if row is None or row.revoked_at is None:
                self._run.complain(f"the end of session {session} was acknowledged, and its row says {row}")
        self._over |= over
        self._run.count(number)

    async def ever_after(self) -> None:
        """At the very end all sessions that were ended, once more."""
        await self._never_again({session: set(list(tokens)[:1]) for session, tokens in self._over.items()})

    def _write(self, done: list[Did]) -> None:
        for did in done:
            if did.token is not None:
                self._run.refreshed(did.token, did.sent, did.code, did.returned, thief=did.thief, ended=did.ended)
                self.seen["refreshes that succeeded" if did.code == "ok" else "refreshes refused"] += 1
            elif did.session is not None and did.why is not None:
                run, acknowledged = self._run, did.code == "ok"
                run.write(Revoke(run.test, run.store, did.session, did.sent, did.ended, did.why or "", acknowledged))
                self.seen["ends acknowledged" if acknowledged else "ends that came second"] += 1
        ends = {did.session: did for did in done if did.why is not None and did.code == "ok"}
        for did in done:
            end = ends.get(parts(did.token)[0]) if did.token is not None else None
            if end is not None and did.sent < end.ended and did.ended > end.sent:
                self.seen["refreshes under way during an end"] += 1

    def _ended(self, rounds: list[Round], done: list[Did]) -> dict[str, set[str]]:
        """The sessions that are over, with all their tokens: the older ones, those that were answered and those of logins."""
        tokens: dict[str, set[str]] = {}
        for text in [text for each in rounds for text in each.tokens] + [did.returned for did in done if did.returned is not None]:
            tokens.setdefault(parts(text)[0], set()).add(text)
        over = {did.session for did in done if did.session is not None and did.why is not None and did.code == "ok"}
        return {session: tokens.get(session, set()) for session in over}

    async def _never_again(self, over: dict[str, set[str]]) -> None:
        acts = [Act(0.0, "refresh", text) for tokens in over.values() for text in sorted(tokens)]
        for at in range(0, len(acts), 200):
            for did in await self._stage.play(acts[at : at + 200], now(), 0):
                self._write([did])
                if did.code != "session_revoked":
                    self._run.complain(f"a session that was ended answers {did.code}")


def _opened_before(done: list[Did]) -> list[Did]:
    """Logging out everywhere ends what it does not name as well: each session whose login was answered before."""
    logins = [did for did in done if did.why is None and did.token is None]
    everywhere = [did for did in done if did.why == "everywhere" and did.code == "ok"]
    return [
        replace(end, session=login.session)
        for login in logins
        for end in everywhere
        if login.subject == end.subject and login.ended < end.sent
    ]
