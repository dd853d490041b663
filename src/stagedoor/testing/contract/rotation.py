"""RotationRows: the table of the refresh road, rows 0 to 7 and 8 where nothing is forged, one test a row and one a boundary.

Never knows the store; what the scene's witness compares with the pure table is not said again here.
"""

from __future__ import annotations

import secrets

import pytest

from stagedoor.refresh_token import Peppers, RefreshToken
from stagedoor.session import Outcome
from stagedoor.testing.contract.scene import ABSOLUTE, ATTEMPT, IDLE, OTHER_ATTEMPT, TICK, WINDOW, Scene

HOUR = 3_600.0
TEN_GENERATIONS = 10


class RotationRows:
    """What each row of the table answers and writes, in the store and in what the issuer hands out."""

    async def test_row_0_a_malformed_token_never_reaches_the_store(self, scene: Scene) -> None:
        """What is not of our form, or has a wrong tag, is Unknown without a call of the store."""
        text = await scene.login()
        body, last = text[:-1], text[-1]
        strangers = Peppers(b"another pepper, of another issuer")
        foreign = strangers.write(pepper_id=1, session_id=b"s" * 16, generation=0, secret=b"x" * 32, seed=b"y" * 32, now=0.0)
        scene.witness.calls.clear()
        for wrong in ["", "sdr_", body, text + "A", text.replace("sdr_", "abc_"), body + ("A" if last != "A" else "B"), foreign]:
            await scene.refused("refresh_token_unknown", wrong)
        assert scene.witness.calls == []

    async def test_row_1_no_row(self, scene: Scene) -> None:
        """A genuine token of a session that the store does not know is Unknown."""
        token = RefreshToken(1, secrets.token_bytes(16), 0, secrets.token_bytes(32), b"")
        await scene.refused("refresh_token_unknown", scene.write(token, secrets.token_bytes(32)))
        scene.answered(Outcome.UNKNOWN)

    async def test_row_2_revoked(self, scene: Scene) -> None:
        """Any token of a revoked session, old, current or ahead, is Revoked, also past the session's end; nothing is written."""
        first = await scene.login()
        second = await scene.rotated(first)
        ahead = await scene.ahead(second, 1)
        await scene.issuer.revoke(second)
        row = await scene.row(first)
        assert (row.revoked_at, row.reason) == (scene.clock.now, "logout")
        for _ in range(2):
            for text in (first, second, ahead):
                await scene.refused("session_revoked", text)
                scene.answered(Outcome.REVOKED)
            scene.clock.forward(ABSOLUTE)
        assert await scene.row(first) == row

    async def test_row_3_the_idle_end_is_reached(self, scene: Scene) -> None:
        """At the very moment of the idle end the session is Expired."""
        text = await scene.login()
        scene.clock.forward(IDLE)
        await scene.refused("refresh_token_expired", text)
        scene.answered(Outcome.EXPIRED)

    async def test_row_3_just_before_the_idle_end(self, scene: Scene) -> None:
        """One step before the idle end the session lives, and the end moves on."""
        text = await scene.login()
        scene.clock.forward(IDLE - TICK)
        await scene.refresh(text)
        scene.answered(Outcome.ROTATED)
        assert (await scene.row(text)).idle_ends_at == scene.clock.now + IDLE

    async def test_row_3_the_absolute_end(self, scene: Scene) -> None:
        """No refreshing moves the absolute end: the idle end stops there, and at that very moment the session is Expired."""
        text = await scene.login()
        start, end = scene.clock.now, (await scene.row(text)).absolute_ends_at
        assert end == start + ABSOLUTE
        for moment in (start + IDLE - 1, start + 2 * IDLE - 2, end - 3):
            scene.clock.now = moment
            text = await scene.refresh(text)
            scene.answered(Outcome.ROTATED)
        row = await scene.row(text)
        assert (row.idle_ends_at, row.absolute_ends_at) == (end, end)
        scene.clock.now = end - TICK
        await scene.refresh(text)
        scene.answered(Outcome.KEPT)
        scene.clock.now = end
        await scene.refused("refresh_token_expired", text)
        scene.answered(Outcome.EXPIRED)

    async def test_row_3_an_old_token_of_an_expired_session(self, scene: Scene) -> None:
        """After the end every token is Expired, not Reused and not Recovered: nothing is written."""
        first = await scene.login()
        second = await scene.rotated(await scene.rotated(first))
        ahead = await scene.ahead(second, 1)
        scene.clock.forward(IDLE)
        for text in (first, second, ahead):
            await scene.refused("refresh_token_expired", text)
            scene.answered(Outcome.EXPIRED)
        assert await scene.reason(first) is None

    async def test_row_4_the_first_refresh(self, scene: Scene) -> None:
        """A session that never rotated is not young: its first refresh rotates, a moment after login."""
        text = await scene.login()
        scene.clock.forward(TICK)
        expected = await scene.ahead(text, 1)
        successor = await scene.refresh(text)
        scene.answered(Outcome.ROTATED)
        assert successor == expected
        row = await scene.row(text)
        assert (row.generation, row.rotated_at, row.attempt) == (1, scene.clock.now, None)
        assert row.digest == scene.parse(successor).digest
        assert row.idle_ends_at == scene.clock.now + IDLE

    async def test_row_4_the_window_is_reached(self, scene: Scene) -> None:
        """Exactly one window after the last rotation the session rotates again."""
        text = await scene.refresh(await scene.login())
        scene.clock.forward(WINDOW)
        successor = await scene.refresh(text)
        scene.answered(Outcome.ROTATED)
        assert scene.parse(successor).generation == 2

    async def test_row_4_forgets_the_attempt_before(self, scene: Scene) -> None:
        """A rotation without an attempt id leaves none behind."""
        text = await scene.rotated(await scene.login(), ATTEMPT)
        assert (await scene.row(text)).attempt is not None
        await scene.rotated(text)
        assert (await scene.row(text)).attempt is None

    async def test_row_5_kept(self, scene: Scene) -> None:
        """The current token of a young session is answered with itself and a fresh access token, up to the last moment of the window."""
        text = await scene.refresh(await scene.login())
        row = await scene.row(text)
        access_tokens = set()
        for step in (0, WINDOW - TICK):
            scene.clock.forward(step)
            pair = await scene.issuer.refresh(text)
            scene.answered(Outcome.KEPT)
            assert pair.refresh_token == text
            access_tokens.add(pair.access_token)
        assert len(access_tokens) == 2
        assert await scene.row(text) == row

    async def test_row_5_kept_does_not_stretch_the_window(self, scene: Scene) -> None:
        """However often a token is Kept, one window after the rotation it rotates."""
        text = await scene.refresh(await scene.login())
        for _ in range(3):
            scene.clock.forward(WINDOW / 4)
            assert await scene.refresh(text) == text
        scene.clock.forward(WINDOW / 4)
        assert await scene.refresh(text) != text
        scene.answered(Outcome.ROTATED)

    async def test_row_5_the_clock_jumped_back(self, scene: Scene) -> None:
        """A clock that jumped back behind the rotation logs nobody out: the token is Kept, the one before it Replayed."""
        first = await scene.login()
        second = await scene.rotated(first)
        scene.clock.forward(-HOUR)
        assert await scene.refresh(second) == second
        scene.answered(Outcome.KEPT)
        assert await scene.refresh(first) == second
        scene.answered(Outcome.REPLAYED)

    async def test_row_6_replayed(self, scene: Scene) -> None:
        """Within the window the token before the current one gets the same successor again and a fresh access token; nothing is written."""
        first = await scene.login()
        pair = await scene.issuer.refresh(first)
        row = await scene.row(first)
        access_tokens = {pair.access_token}
        for step in (0, WINDOW - TICK):
            scene.clock.forward(step)
            again = await scene.issuer.refresh(first)
            scene.answered(Outcome.REPLAYED)
            assert again.refresh_token == pair.refresh_token
            access_tokens.add(again.access_token)
        assert len(access_tokens) == 3
        assert await scene.row(first) == row

    async def test_row_6_replayed_does_not_stretch_the_window(self, scene: Scene) -> None:
        """However often a token is Replayed, one window after the rotation it is Reused."""
        first = await scene.login()
        second = await scene.refresh(first)
        for _ in range(3):
            scene.clock.forward(WINDOW / 4)
            assert await scene.refresh(first) == second
        scene.clock.forward(WINDOW / 4)
        await scene.refused("refresh_token_reused", first, alarm=True)

    async def test_row_6_after_the_successor_was_used(self, scene: Scene) -> None:
        """Staggered tabs: one uses the successor already, another still sends the old token; both go on with one token."""
        first = await scene.login()
        second = await scene.refresh(first)
        assert await scene.refresh(second) == second
        assert await scene.refresh(first) == second
        scene.answered(Outcome.REPLAYED)
        assert await scene.refresh(second) == second
        assert await scene.reason(first) is None

    async def test_row_6_after_a_change_of_pepper(self, scene: Scene) -> None:
        """The row keeps the pepper of its generation: a replay after a change of pepper is the same token, byte for byte."""
        first = await scene.login()
        scene.change_pepper()
        second = await scene.refresh(first)
        assert scene.parse(second).pepper_id == (await scene.row(first)).pepper_id == 2
        scene.change_pepper()
        assert await scene.refresh(first) == second
        assert await scene.refresh(second) == second
        assert (await scene.row(first)).pepper_id == 2
        third = await scene.rotated(second)
        assert scene.parse(third).pepper_id == (await scene.row(first)).pepper_id == 3

    @pytest.mark.parametrize("late", [WINDOW, IDLE - TICK], ids=["window", "idle"])
    async def test_row_7_the_same_attempt_after_the_window(self, scene: Scene, late: float) -> None:
        """With the attempt id of the first call a lost reply is Replayed at any later moment, and the session is young again."""
        first = await scene.login()
        second = await scene.refresh(first, ATTEMPT)
        idle_ends_at = (await scene.row(first)).idle_ends_at
        scene.clock.forward(late)
        assert await scene.refresh(first, ATTEMPT) == second
        scene.answered(Outcome.REPLAYED)
        row = await scene.row(first)
        assert (row.generation, row.rotated_at, row.idle_ends_at) == (1, scene.clock.now, idle_ends_at)

    async def test_row_7_makes_the_session_young(self, scene: Scene) -> None:
        """After a late replay all tabs have one window again: the old token is Replayed without an attempt id, the new one Kept."""
        first = await scene.login()
        second = await scene.refresh(first, ATTEMPT)
        scene.clock.forward(HOUR)
        await scene.refresh(first, ATTEMPT)
        scene.clock.forward(WINDOW - TICK)
        assert await scene.refresh(first) == second
        assert await scene.refresh(second) == second
        scene.answered(Outcome.KEPT)
        scene.clock.forward(TICK)
        assert await scene.refresh(second) != second
        scene.answered(Outcome.ROTATED)

    async def test_row_7_again_and_again(self, scene: Scene) -> None:
        """A client whose every reply is lost gets the same successor each time it tries, hours apart."""
        first = await scene.login()
        second = await scene.refresh(first, ATTEMPT)
        for _ in range(3):
            scene.clock.forward(HOUR)
            assert await scene.refresh(first, ATTEMPT) == second

    async def test_row_7_after_a_kept_without_attempt(self, scene: Scene) -> None:
        """Kept and Replayed within the window leave the attempt id alone: a late retry still counts."""
        first = await scene.login()
        second = await scene.refresh(first, ATTEMPT)
        await scene.refresh(first, OTHER_ATTEMPT)
        await scene.refresh(second)
        await scene.refresh(second, OTHER_ATTEMPT)
        scene.clock.forward(WINDOW)
        assert await scene.refresh(first, ATTEMPT) == second

    @pytest.mark.parametrize(
        ("stored", "sent"),
        [(None, None), (ATTEMPT, None), (None, ATTEMPT), (ATTEMPT, OTHER_ATTEMPT)],
        ids=["neither", "first", "second", "different"],
    )
    async def test_row_7_needs_one_attempt_in_both(self, scene: Scene, stored: str | None, sent: str | None) -> None:
        """After the window an attempt id counts only if both calls carried the same one; otherwise the token is Reused."""
        first = await scene.login()
        await scene.refresh(first, stored)
        scene.clock.forward(WINDOW)
        await scene.refused("refresh_token_reused", first, sent, alarm=True)
        assert await scene.reason(first) == "reuse"

    async def test_row_7_ends_with_the_next_rotation(self, scene: Scene) -> None:
        """Once the successor was itself exchanged, no attempt id brings the token before it back."""
        first = await scene.login()
        second = await scene.refresh(first, ATTEMPT)
        await scene.rotated(second, ATTEMPT)
        await scene.refused("refresh_token_reused", first, ATTEMPT, alarm=True)

    @pytest.mark.parametrize("attempt", ["short", "x" * 256, "with a blank in it", "ümlaut-ümlaut-ümlaut"])
    async def test_row_7_a_bad_attempt_never_reaches_the_store(self, scene: Scene, attempt: str) -> None:
        """An attempt id is 16 to 255 visible ASCII characters; any other is refused before the store is asked."""
        text = await scene.login()
        scene.witness.calls.clear()
        with pytest.raises(Exception, match="attempt id") as caught:
            await scene.issuer.refresh(text, attempt=attempt)
        assert getattr(caught.value, "code", None) == "invalid_request"
        assert scene.witness.calls == []

    @pytest.mark.parametrize("behind", [2, TEN_GENERATIONS])
    async def test_row_8_reused(self, scene: Scene, behind: int) -> None:
        """A genuinely older token ends its session, for the honest holder too, with the reason in the row."""
        stolen = text = await scene.login()
        for _ in range(behind):
            text = await scene.rotated(text)
        await scene.refused("refresh_token_reused", stolen, alarm=True)
        scene.answered(Outcome.BEHIND)
        row = await scene.row(text)
        assert (row.revoked_at, row.reason, row.generation) == (scene.clock.now, "reuse", behind)
        await scene.refused("session_revoked", text)
        await scene.refused("session_revoked", stolen)

    async def test_row_8_two_behind_within_the_window(self, scene: Scene) -> None:
        """Young or not: two generations behind is Reused."""
        first = await scene.login()
        await scene.rotated(await scene.rotated(first))
        await scene.refused("refresh_token_reused", first, alarm=True)

    async def test_row_8_ends_its_own_session_only(self, scene: Scene) -> None:
        """Reuse in one session of a subject leaves the subject's others, and everybody else's, as they were."""
        stolen, other, third = await scene.login(), await scene.login(), await scene.login("bob")
        await scene.rotated(await scene.rotated(stolen))
        rows = [await scene.row(other), await scene.row(third)]
        await scene.refused("refresh_token_reused", stolen, alarm=True)
        assert [await scene.row(other), await scene.row(third)] == rows
        await scene.rotated(other)
        await scene.rotated(third)
