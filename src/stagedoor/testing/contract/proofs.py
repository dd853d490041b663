"""ProofRows: rows 8, 9 and 10 of the table: what only the proof decides, and what a store does of it by itself (nothing).

Never knows the store; lost writes are played by tokens of generations that it never saw.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from stagedoor.session import RECOVERABLE, Outcome
from stagedoor.testing.contract.scene import ATTEMPT, IDLE, TICK, WINDOW, Scene


class ProofRows:
    """Reused, Recovered, Unknown and forged tokens; and `settle`, which states its row of the table again."""

    @pytest.mark.parametrize("lost", range(1, RECOVERABLE + 1))
    async def test_row_9_recovered(self, scene: Scene, lost: int) -> None:
        """A genuine token of a generation that the store lost is answered with itself; the row goes on from there."""
        text = await scene.rotated(await scene.login())
        kept = await scene.ahead(text, lost)
        scene.clock.forward(WINDOW)
        assert await scene.refresh(kept, ATTEMPT) == kept
        scene.answered(Outcome.AHEAD)
        assert (scene.events[-1].name, scene.events[-1].alarm) == ("refresh_recovered", True)
        row = await scene.row(text)
        assert (row.generation, row.digest, row.rotated_at) == (1 + lost, scene.parse(kept).digest, scene.clock.now)

    async def test_row_9_goes_on(self, scene: Scene) -> None:
        """After Recovered the session is young: Kept, and Replayed for the tab one behind; after the window it rotates."""
        first = await scene.login()
        behind, current = await scene.ahead(first, 1), await scene.ahead(first, 2)
        await scene.refresh(current)
        scene.clock.forward(WINDOW - TICK)
        assert await scene.refresh(current) == current
        scene.answered(Outcome.KEPT)
        assert await scene.refresh(behind) == current
        scene.answered(Outcome.REPLAYED)
        scene.clock.forward(TICK)
        assert await scene.refresh(current) == await scene.ahead(first, 3)
        scene.answered(Outcome.ROTATED)

    async def test_row_9_keeps_the_pepper_of_the_token(self, scene: Scene) -> None:
        """The row takes over the pepper that the recovered token was made under, so that a replay of the one before is that token."""
        first = await scene.login()
        behind = await scene.ahead(first, 1)
        scene.change_pepper()
        current = await scene.ahead(behind, 1)
        await scene.refresh(current)
        assert (await scene.row(first)).pepper_id == scene.parse(current).pepper_id == 2
        scene.change_pepper()
        assert await scene.refresh(behind) == current

    async def test_row_9_then_the_older_token(self, scene: Scene) -> None:
        """A token older than the recovered one by two generations is Reused, as if nothing had been lost."""
        first = await scene.login()
        await scene.refresh(await scene.ahead(first, 2))
        await scene.refused("refresh_token_reused", first, alarm=True)
        assert await scene.reason(first) == "reuse"

    async def test_row_10_too_far_ahead(self, scene: Scene) -> None:
        """More generations ahead than a store can have lost is Unknown with an alarm, and writes nothing."""
        text = await scene.login()
        row = await scene.row(text)
        await scene.refused("refresh_token_unknown", await scene.ahead(text, RECOVERABLE + 1), alarm=True)
        scene.answered(Outcome.UNKNOWN)
        assert await scene.row(text) == row

    async def test_row_10_the_right_generation_with_another_secret(self, scene: Scene) -> None:
        """A token of the current generation whose secret is not the current one is Unknown with an alarm, and writes nothing."""
        text = await scene.rotated(await scene.login())
        row = await scene.row(text)
        wrong = scene.write(replace(scene.parse(text), secret=secrets.token_bytes(32)), row.seed)
        await scene.refused("refresh_token_unknown", wrong, alarm=True)
        scene.answered(Outcome.UNKNOWN)
        assert await scene.row(text) == row
        await scene.rotated(text)

    async def test_row_8_the_generation_before_with_another_secret(self, scene: Scene) -> None:
        """A token one behind that the current one does not follow is not Replayed, young or not: with a right proof it is Reused."""
        first = await scene.login()
        await scene.refresh(first, ATTEMPT)
        wrong = scene.write(replace(scene.parse(first), secret=secrets.token_bytes(32)), (await scene.row(first)).seed)
        await scene.refused("refresh_token_reused", wrong, ATTEMPT, alarm=True)

    async def test_a_forged_current_token_that_would_rotate(self, scene: Scene) -> None:
        """Row 4 with a wrong proof: nothing is handed out, the session ends, with an alarm."""
        text = await scene.login()
        await self._forged(scene, scene.forged(text), Outcome.ROTATED)

    async def test_a_forged_current_token_that_would_be_kept(self, scene: Scene) -> None:
        """Row 5 with a wrong proof: nothing is handed out, the session ends, with an alarm."""
        text = await scene.rotated(await scene.login())
        await self._forged(scene, scene.forged(text), Outcome.KEPT)

    async def test_a_forged_token_that_would_be_replayed(self, scene: Scene) -> None:
        """Row 6 with a wrong proof: nothing is handed out, the session ends, with an alarm."""
        first = await scene.login()
        await scene.rotated(first)
        await self._forged(scene, scene.forged(first), Outcome.REPLAYED)

    async def test_a_forged_token_with_the_right_attempt(self, scene: Scene) -> None:
        """Row 7 with a wrong proof: nothing is handed out, the session ends, with an alarm."""
        first = await scene.login()
        await scene.refresh(first, ATTEMPT)
        scene.clock.forward(WINDOW)
        await self._forged(scene, scene.forged(first), Outcome.REPLAYED, ATTEMPT)

    async def _forged(self, scene: Scene, text: str, outcome: Outcome, attempt: str | None = None) -> None:
        other = await scene.row(await scene.login())
        await scene.refused("refresh_token_unknown", text, attempt, alarm=True)
        scene.answered(outcome)
        assert scene.told("refresh_forged") == 1
        row = await scene.row(text)
        assert (row.revoked_at, row.reason) == (scene.clock.now, "forged")
        assert await scene.store.get(other.id) == other

    @pytest.mark.parametrize("steps", [-1, 1], ids=["row_8", "row_9"])
    async def test_a_forged_token_of_another_generation(self, scene: Scene, steps: int) -> None:
        """Rows 8 and 9 with a wrong proof: Unknown with an alarm; nobody can end or move a session without having seen its row."""
        first = await scene.login()
        text = await scene.rotated(await scene.rotated(first))
        row = await scene.row(text)
        forged = scene.forged(first if steps < 0 else await scene.ahead(text, steps))
        await scene.refused("refresh_token_unknown", forged, alarm=True)
        scene.answered(Outcome.BEHIND if steps < 0 else Outcome.AHEAD)
        assert await scene.row(text) == row
        await scene.rotated(text)

    async def test_a_store_writes_nothing_for_behind_and_ahead(self, scene: Scene) -> None:
        """A store that cannot check proofs answers Behind or Ahead with the seed, and leaves the row alone."""
        first = await scene.login()
        text = await scene.rotated(await scene.rotated(first))
        row = await scene.row(text)
        for presented, outcome in ((first, Outcome.BEHIND), (await scene.ahead(text, 1), Outcome.AHEAD)):
            answer = await scene.store.rotate(scene.presented(presented), scene.clock.now)
            assert (answer.outcome, answer.session) == (outcome, row)
        assert await scene.row(text) == row

    async def test_settle_finds_the_session_revoked(self, scene: Scene) -> None:
        """Between Behind and its settling the user logged out: that stays a logout. Nothing comes back by Ahead either."""
        first = await scene.login()
        text = await scene.rotated(await scene.rotated(first))
        behind, ahead = scene.presented(first), scene.presented(await scene.ahead(text, 1))
        await scene.issuer.revoke(text)
        assert not await scene.witness.settle(Outcome.REUSED, behind, scene.clock.now)
        assert not await scene.witness.settle(Outcome.RECOVERED, ahead, scene.clock.now)
        assert await scene.reason(text) == "logout"

    async def test_settle_finds_the_session_expired_or_gone(self, scene: Scene) -> None:
        """An expired session is neither Reused nor Recovered, and one that is not there is not made."""
        first = await scene.login()
        text = await scene.rotated(await scene.rotated(first))
        behind, ahead = scene.presented(first), scene.presented(await scene.ahead(text, 1))
        scene.clock.forward(IDLE)
        for presented, outcome in ((behind, Outcome.REUSED), (ahead, Outcome.RECOVERED)):
            assert not await scene.witness.settle(outcome, presented, scene.clock.now)
            gone = replace(presented, session_id=secrets.token_bytes(16))
            assert not await scene.witness.settle(outcome, gone, scene.clock.now)

    async def test_settle_finds_the_session_young_again(self, scene: Scene) -> None:
        """Between Behind and its settling the honest holder's late retry came with its attempt id: nothing is Reused."""
        first = await scene.login()
        second = await scene.refresh(first, ATTEMPT)
        scene.clock.forward(WINDOW)
        behind = scene.presented(first)
        assert (await scene.witness.rotate(behind, scene.clock.now)).outcome is Outcome.BEHIND
        assert await scene.refresh(first, ATTEMPT) == second
        assert not await scene.witness.settle(Outcome.REUSED, behind, scene.clock.now)
        assert await scene.reason(first) is None

    async def test_settle_finds_the_lost_generation_reached(self, scene: Scene) -> None:
        """Between Ahead and its settling the row moved to that generation, or past it: it is not moved again, and never back."""
        first = await scene.login()
        presented = scene.presented(await scene.ahead(first, 1))
        assert (await scene.witness.rotate(presented, scene.clock.now)).outcome is Outcome.AHEAD
        second = await scene.refresh(first)
        scene.clock.forward(TICK)
        assert not await scene.witness.settle(Outcome.RECOVERED, presented, scene.clock.now)
        await scene.rotated(second)
        assert not await scene.witness.settle(Outcome.RECOVERED, presented, scene.clock.now)
        assert (await scene.row(first)).generation == 2

    async def test_settle_writes_once(self, scene: Scene) -> None:
        """Of two calls that found the same row Behind or Ahead one settles; the other looks again."""
        for steps, outcome in ((-2, Outcome.REUSED), (2, Outcome.RECOVERED)):
            first = await scene.login()
            text = await scene.rotated(await scene.rotated(first))
            presented = scene.presented(first if steps < 0 else await scene.ahead(text, steps))
            assert await scene.witness.settle(outcome, presented, scene.clock.now)
            assert not await scene.witness.settle(outcome, presented, scene.clock.now)
