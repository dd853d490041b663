"""Walk: a long random history of a few sessions, in which the store and the pure table agree at every step.

Never knows the store: the model is a dict of rows, moved by decide() and written() alone.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from stagedoor.session import KEPT_DEAD, Outcome, Session, decide, written
from stagedoor.testing.contract.scene import ATTEMPT, IDLE, OTHER_ATTEMPT, TICK, WINDOW, Scene

STEPS = 400
SESSIONS = 6
SUBJECTS = ("ada", "bob")
REFUSALS = {
    Outcome.UNKNOWN: "refresh_token_unknown",
    Outcome.FORGED: "refresh_token_unknown",
    Outcome.REVOKED: "session_revoked",
    Outcome.EXPIRED: "refresh_token_expired",
    Outcome.REUSED: "refresh_token_reused",
}
JUMPS = [0, 0, 0, TICK, 1, WINDOW / 2, WINDOW - TICK, WINDOW, 900, 900, 86_400, IDLE / 2, -5]


class Walker:
    """A few clients, what they hold, and the rows as they must be."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.rnd = random.Random(seed)  # noqa: S311 - a history, not a secret
        self.rows: dict[bytes, Session] = {}
        self.held: list[list[str]] = []
        """The tokens that each client has had, the one it holds last."""
        self.seen: Counter[Outcome] = Counter()

    async def step(self) -> None:
        """One thing happens."""
        if self.rnd.random() < 0.3:
            self.pass_time()
            self.held = [client for client in self.held if not self.may_be_cleaned(client)]
        if len(self.held) < SESSIONS:
            await self.login()
            return
        client = self.rnd.choice(self.held)
        match self.rnd.choices(
            ["refresh", "lost reply", "replay", "older", "ahead", "forged", "logout", "logout everywhere", "gone"],
            [40, 20, 15, 2, 6, 2, 1, 0.5, 2],
        )[0]:
            case "refresh":
                await self.refresh(client, client[-1])
            case "lost reply":
                await self.refresh(None, client[-1])
            case "replay":
                await self.refresh(None, client[-2] if len(client) > 1 else client[-1])
            case "older":
                await self.refresh(None, self.rnd.choice(client))
            case "ahead":
                await self.refresh(client, await self.scene.ahead(client[-1], self.rnd.randint(1, 4)))
            case "forged":
                genuine = self.rnd.choice([client[-1], self.rnd.choice(client), await self.scene.ahead(client[-1], 1)])
                await self.refresh(None, self.scene.forged(genuine))
            case "logout":
                await self.logout(self.rnd.choice(client))
            case "logout everywhere":
                await self.logout_everywhere(self.rnd.choice(SUBJECTS))
            case "gone":
                self.held.remove(client)

    def pass_time(self) -> None:
        """The clock moves on, jumps back a little, or stands exactly at the end of a session or just before it."""
        if self.held and self.rnd.random() < 0.05:
            row = self.rows[self.scene.parse(self.rnd.choice(self.held)[-1]).session_id]
            end = self.rnd.choice([row.idle_ends_at, row.absolute_ends_at]) - self.rnd.choice([0, TICK])
            self.scene.clock.now = max(self.scene.clock.now, end)
        else:
            self.scene.clock.forward(self.rnd.choice(JUMPS))
        if self.rnd.random() < 0.02:
            self.scene.change_pepper()

    def may_be_cleaned(self, client: list[str]) -> bool:
        """Whether the session has been dead for so long that the store may have deleted its row."""
        row = self.rows[self.scene.parse(client[-1]).session_id]
        return not row.is_live(self.scene.clock.now) and self.scene.clock.now - self._ended_at(row) > KEPT_DEAD - WINDOW

    async def login(self) -> None:
        """Somebody logs in; what is written then has tests of its own."""
        text = await self.scene.login(self.rnd.choice(SUBJECTS))
        row = await self.scene.row(text)
        self.rows[row.id] = row
        self.held.append([text])

    async def refresh(self, client: list[str] | None, text: str) -> None:
        """A token is presented; the client takes what comes, or never hears of it."""
        scene, now = self.scene, self.scene.clock.now
        attempt = self.rnd.choice([None, ATTEMPT, ATTEMPT, OTHER_ATTEMPT])
        token, presented = scene.parse(text), scene.presented(text, attempt)
        row = self.rows[token.session_id]
        proof_holds = scene.peppers.proves(token, row.seed, now)
        outcome = decide(presented, row, now, proof_holds=proof_holds)
        self.seen[outcome] += 1
        if outcome is Outcome.FORGED:  # a store cannot tell: it writes, and the issuer ends the session
            unseen = decide(presented, row, now, proof_holds=None)
            row = replace(written(unseen, presented, row, now), revoked_at=now, reason="forged")
        else:
            row = written(outcome, presented, row, now)
        self.rows[row.id] = row
        if outcome in REFUSALS:
            expected = REFUSALS[outcome]
        elif outcome in (Outcome.KEPT, Outcome.RECOVERED):
            expected = text
        else:
            expected = await self._successor(text, row)
        answer = await scene.answer(text, attempt)
        assert answer == expected, f"{outcome} expected"
        if client is not None and outcome not in REFUSALS and client[-1] != answer:
            client.append(answer)

    async def logout(self, text: str) -> None:
        """A session is ended by one of its tokens."""
        row = self.rows[self.scene.parse(text).session_id]
        if row.is_live(self.scene.clock.now):
            self.rows[row.id] = replace(row, revoked_at=self.scene.clock.now, reason="logout")
            await self.scene.bare.revoke(text)

    async def logout_everywhere(self, subject: str) -> None:
        """All sessions of a subject are ended."""
        now = self.scene.clock.now
        live = [row for row in self.rows.values() if row.subject == subject and row.is_live(now)]
        assert await self.scene.bare.revoke_subject(subject, reason="all") == len(live)
        for row in live:
            self.rows[row.id] = replace(row, revoked_at=now, reason="all")

    async def check(self) -> None:
        """Every session that a client still holds is in the store as it must be."""
        for client in self.held:
            row = self.rows[self.scene.parse(client[-1]).session_id]
            assert await self.scene.store.get(row.id) == row
        now = self.scene.clock.now
        for subject in SUBJECTS:
            live = {row.id for row in self.rows.values() if row.subject == subject and row.is_live(now)}
            assert {row.id for row in await self.scene.store.sessions(subject, now)} == live

    def _ended_at(self, row: Session) -> float:
        ended_at = min(row.idle_ends_at, row.absolute_ends_at)
        return ended_at if row.revoked_at is None else min(ended_at, row.revoked_at)

    async def _successor(self, text: str, row: Session) -> str:
        return self.scene.write(replace(self.scene.parse(await self.scene.ahead(text, 1)), pepper_id=row.pepper_id), row.seed)


class RandomWalk:
    """The table, over histories that nobody thought of."""

    @pytest.mark.parametrize("seed", range(3))
    async def test_store_and_table_agree_at_every_step(self, scene: Scene, seed: int) -> None:
        """In a few hundred random steps every answer and every row is what the pure table says."""
        walker = Walker(scene, seed)
        for _ in range(STEPS):
            await walker.step()
            await walker.check()
        met = {Outcome.ROTATED, Outcome.KEPT, Outcome.REPLAYED, Outcome.REUSED, Outcome.RECOVERED, Outcome.REVOKED}
        assert walker.seen.keys() >= met, "the walk was too short to meet all rows"
