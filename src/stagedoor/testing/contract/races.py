"""Races: what holds when many ask at once; nobody waits for a time, they yield to each other in many orders.

Never knows which order came: only what must hold in each.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial

from stagedoor.session import RECOVERABLE
from stagedoor.testing.contract.scene import ATTEMPT, TICK, WINDOW, Scene

AT_ONCE = 16
ROUNDS = 6
ORDERS = 20


async def pause(rnd: random.Random, most: int = 12) -> None:
    """Let the others go on, a few turns of the event loop."""
    for _ in range(rnd.randint(0, most)):
        await asyncio.sleep(0)


class Races:
    """Refreshes of one session at once, alone and against whoever ends it."""

    async def test_sixteen_tasks_with_one_token(self, scene: Scene) -> None:
        """One is Rotated, the others Replayed; all hold the same successor, and fresh access tokens."""
        text = await scene.login()
        for number in range(1, ROUNDS + 1):
            scene.clock.forward(WINDOW)
            pairs = await asyncio.gather(*(scene.bare.refresh(text) for _ in range(AT_ONCE)))
            assert scene.told("refresh_rotated") == number
            assert scene.told("refresh_replayed") == number * (AT_ONCE - 1)
            assert {pair.refresh_token for pair in pairs} == {await scene.ahead(text, 1)}
            assert len({pair.access_token for pair in pairs}) == AT_ONCE
            text = pairs[0].refresh_token
        assert (await scene.row(text)).generation == ROUNDS

    async def test_sixteen_tasks_with_a_late_retry(self, scene: Scene) -> None:
        """The same attempt id, sixteen times at once after the window: all get the successor that was lost, nothing rotates."""
        text = await scene.login()
        lost = await scene.refresh(text, ATTEMPT)
        scene.clock.forward(WINDOW)
        pairs = await asyncio.gather(*(scene.bare.refresh(text, attempt=ATTEMPT) for _ in range(AT_ONCE)))
        assert {pair.refresh_token for pair in pairs} == {lost}
        assert scene.told("refresh_rotated") == 1
        assert (await scene.row(text)).rotated_at == scene.clock.now

    async def test_sixteen_tasks_with_a_lost_generation(self, scene: Scene) -> None:
        """After lost writes sixteen tabs come at once, with the last token and the one before: one is Recovered, all end with one token."""
        text = await scene.rotated(await scene.login())
        kept = await scene.ahead(text, RECOVERABLE)
        pairs = await asyncio.gather(*(scene.bare.refresh(kept) for _ in range(AT_ONCE)))
        assert {pair.refresh_token for pair in pairs} == {kept}
        assert scene.told("refresh_recovered") == 1
        assert scene.told("refresh_kept") == AT_ONCE - 1

    async def test_staggered_tabs(self, scene: Scene) -> None:
        """Tabs that share one jar, some with the successor already: nobody is logged out, all end with one token."""
        rnd = random.Random(16)  # noqa: S311 - a history, not a secret
        jar = await scene.login()

        async def tab() -> None:
            nonlocal jar
            await pause(rnd, 40)
            scene.clock.forward(TICK)
            mine = jar
            await pause(rnd)
            theirs = (await scene.bare.refresh(mine)).refresh_token
            await pause(rnd)
            if scene.parse(theirs).generation > scene.parse(jar).generation:
                jar = theirs

        for number in range(1, ROUNDS + 1):
            scene.clock.forward(900)
            await asyncio.gather(*(tab() for _ in range(AT_ONCE)))
            row = await scene.row(jar)
            assert (row.generation, row.digest) == (number, scene.parse(jar).digest)
        assert scene.told("refresh_rotated") == ROUNDS
        assert scene.told("refresh_token_reused") == 0

    async def test_refresh_against_logout(self, scene: Scene) -> None:
        """Once logout is acknowledged, no refresh that starts later succeeds, and the session stays ended."""
        for seed in range(ORDERS):
            text = await scene.login()
            await self._against(scene, seed, text, partial(scene.bare.revoke, text))
            assert await scene.reason(text) == "logout"

    async def test_refresh_against_logout_everywhere(self, scene: Scene) -> None:
        """Once logging a subject out everywhere is acknowledged, no refresh of its sessions that starts later succeeds."""
        for seed in range(ORDERS):
            text = await scene.login()
            await self._against(scene, seed, text, partial(scene.bare.revoke_subject, "ada", reason="all"))
            assert await scene.reason(text) == "all"

    async def test_refresh_against_reuse(self, scene: Scene) -> None:
        """Once an old token was answered as Reused, no refresh that starts later succeeds."""
        for seed in range(ORDERS):
            stolen = await scene.login()
            text = await scene.rotated(await scene.rotated(stolen))

            async def reuse(stolen: str = stolen) -> None:
                assert await scene.answer(stolen) == "refresh_token_reused"

            await self._against(scene, seed, text, reuse)
            assert await scene.reason(text) == "reuse"

    async def test_logins_at_once_keep_the_limit(self, scene: Scene) -> None:
        """However many log in at once, a subject never ends with more live sessions than its limit, nor with none."""
        issuer = scene.issuer_on(scene.store, session_limit=3)
        await asyncio.gather(*(issuer.issue("ada") for _ in range(AT_ONCE)))
        assert len(await scene.store.sessions("ada", scene.clock.now)) == 3

    async def test_sessions_do_not_meet(self, scene: Scene) -> None:
        """Sixteen sessions that refresh at once each get their own successor."""
        texts = [await scene.login(f"user-{number % 3}") for number in range(AT_ONCE)]
        expected = [await scene.ahead(text, 1) for text in texts]
        pairs = await asyncio.gather(*(scene.bare.refresh(text) for text in texts for _ in range(2)))
        assert [pair.refresh_token for pair in pairs] == [text for text in expected for _ in range(2)]
        assert scene.told("refresh_rotated") == AT_ONCE

    async def _against(self, scene: Scene, seed: int, text: str, end: Callable[[], Awaitable[object]]) -> None:
        rnd = random.Random(seed)  # noqa: S311 - a history, not a secret
        ended = False

        async def honest() -> None:
            nonlocal text
            while True:
                await pause(rnd, 3)
                scene.clock.forward(WINDOW)
                too_late = ended
                answer = await scene.answer(text)
                if answer == "session_revoked":
                    return
                assert not too_late, "a refresh that began after the end was acknowledged succeeded"
                assert answer == await scene.ahead(text, 1)
                text = answer

        async def ender() -> None:
            nonlocal ended
            await pause(rnd, 40)
            await end()
            ended = True

        await asyncio.gather(honest(), ender())
        await scene.refused("session_revoked", text)
