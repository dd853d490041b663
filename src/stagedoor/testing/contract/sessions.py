"""SessionRules: opening, listing, ending and cleaning sessions.

Never knows the store, nor how it finds the sessions of a subject.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from stagedoor.encoding import encode
from stagedoor.errors import AuthError
from stagedoor.session import KEPT_DEAD, Session
from stagedoor.testing.contract.scene import ABSOLUTE, ATTEMPT, IDLE, TICK, WINDOW, Scene

CLEANED_BY = 50
"""So many new sessions at the most make a store delete a few rows that have been dead for long."""


async def refused(code: str, call: Awaitable[object]) -> None:
    """This call of an issuer is refused with this code."""
    with pytest.raises(AuthError) as caught:
        await call
    assert caught.value.code == code


def sid(scene: Scene, text: str) -> str:
    """The session of this token, as clients see it."""
    return encode(scene.parse(text).session_id)


class SessionRules:
    """What a subject's sessions are, and who may end which."""

    async def test_a_session_reads_back_whole(self, scene: Scene) -> None:
        """Everything written at login comes back as it was: texts of any script, nested claims, bytes with zeros in them."""
        row = Session(
            id=b"\0" * 8 + secrets.token_bytes(8),
            subject="ada ünïcode 'quoted\" \\ % _ 🎭",
            client_id="https://api.example",
            scope="orders:read orders:write",
            claims={"username": "ada", "roles": ["a", "b"], "deep": {"er": {"null": None, "yes": True, "n": 1.5}}, "big": 2**53},
            device="Mozilla/5.0 (ünïcode)",
            generation=7,
            digest=secrets.token_bytes(31) + b"\0",
            pepper_id=65_535,
            seed=b"\0" + secrets.token_bytes(31),
            created_at=scene.clock.now - TICK,
            rotated_at=scene.clock.now,
            attempt=secrets.token_bytes(32),
            idle_ends_at=scene.clock.now + IDLE,
            absolute_ends_at=scene.clock.now + ABSOLUTE,
        )
        assert await scene.store.open(row, limit=100, now=scene.clock.now) == []
        assert await scene.store.get(row.id) == row
        bare = replace(row, id=secrets.token_bytes(16), claims={}, device=None, rotated_at=None, attempt=None, scope="")
        assert await scene.store.open(bare, limit=100, now=scene.clock.now) == []
        assert await scene.store.get(bare.id) == bare
        assert await scene.store.get(row.id) == row

    async def test_generations_have_32_bits(self, scene: Scene) -> None:
        """A session that has rotated four billion times still rotates."""
        row = await scene.row(await scene.login())
        last = replace(row, id=secrets.token_bytes(16), generation=2**32 - 2, digest=secrets.token_bytes(32))
        await scene.store.open(last, limit=100, now=scene.clock.now)
        presented = replace(scene.presented(await scene.login()), session_id=last.id, generation=last.generation, digest=last.digest)
        answer = await scene.witness.rotate(presented, scene.clock.now)
        assert answer.session is not None
        assert answer.session.generation == 2**32 - 1

    async def test_an_unknown_session_is_none(self, scene: Scene) -> None:
        """`get` of an id that was never written gives None, whoever else is there."""
        await scene.login()
        assert await scene.store.get(secrets.token_bytes(16)) is None

    async def test_a_dead_session_can_be_read(self, scene: Scene) -> None:
        """`get` gives the row, live or dead."""
        revoked, expired = await scene.login(), await scene.login()
        await scene.issuer.revoke(revoked)
        scene.clock.forward(IDLE)
        assert (await scene.row(revoked)).reason == "logout"
        assert not (await scene.row(expired)).is_live(scene.clock.now)

    async def test_sessions_are_the_live_ones_the_latest_first(self, scene: Scene) -> None:
        """A subject's list holds its live sessions, by the moment of login, the latest first; refreshing moves none of them."""
        expired = await scene.login()
        scene.clock.forward(IDLE - 4)
        texts = []
        for subject in ("ada", "bob", "ada", "ada"):
            texts.append(await scene.login(subject))
            scene.clock.forward(1)
        first, bobs, second, third = texts
        await scene.refresh(first)
        assert not (await scene.row(expired)).is_live(scene.clock.now)
        assert [session.id for session in await scene.issuer.sessions("ada")] == [
            scene.parse(text).session_id for text in (third, second, first)
        ]
        await scene.issuer.revoke(second)
        assert [session.id for session in await scene.issuer.sessions("ada")] == [scene.parse(text).session_id for text in (third, first)]
        assert [session.id for session in await scene.issuer.sessions("bob")] == [scene.parse(bobs).session_id]
        assert await scene.issuer.sessions("nobody") == []

    async def test_the_session_limit_ends_the_oldest(self, scene: Scene) -> None:
        """One session more than the limit ends the oldest live one of this subject; it is told, and its tokens are Revoked."""
        issuer = scene.issuer_on(scene.witness, session_limit=3)
        texts = [await scene.login("bob")]
        for _ in range(5):
            scene.clock.forward(1)
            texts.append((await issuer.issue("ada")).refresh_token)
        bobs, first, second, *rest = texts
        assert [await scene.reason(text) for text in (first, second)] == ["session_limit"] * 2
        assert [event.session_id for event in scene.events if event.detail == "session_limit"] == [sid(scene, first), sid(scene, second)]
        assert [await scene.reason(text) for text in (bobs, *rest)] == [None] * 4
        await scene.refused("session_revoked", first)
        await scene.rotated(rest[-1])

    async def test_the_session_limit_counts_the_live_ones(self, scene: Scene) -> None:
        """Sessions that were logged out or have expired take no place."""
        issuer = scene.issuer_on(scene.witness, session_limit=2)
        expired = await scene.login()
        scene.clock.forward(IDLE)
        kept, logged_out = await scene.login(), await scene.login()
        await scene.issuer.revoke(logged_out)
        await issuer.issue("ada")
        assert [await scene.reason(text) for text in (expired, logged_out, kept)] == [None, "logout", None]

    async def test_the_session_limit_never_ends_the_new_one(self, scene: Scene) -> None:
        """The session just opened stays, at one moment with the others and also after the clock jumped back."""
        issuer = scene.issuer_on(scene.witness, session_limit=1)
        before = (await issuer.issue("ada")).refresh_token
        for back in (0, 3_600):
            scene.clock.forward(-back)
            text = (await issuer.issue("ada")).refresh_token
            assert await scene.reason(text) is None
            assert await scene.reason(before) == "session_limit"
            before = text

    async def test_revoking_needs_the_right_subject(self, scene: Scene) -> None:
        """Somebody else's session is not found, and stays; the owner's call ends it."""
        text = await scene.login("ada")
        await refused("not_found", scene.issuer.revoke_session(sid(scene, text), subject="bob"))
        assert await scene.reason(text) is None
        await scene.rotated(text)
        await scene.issuer.revoke_session(sid(scene, text), subject="ada", reason="ended by owner")
        assert await scene.reason(text) == "ended by owner"

    async def test_revoking_counts_once(self, scene: Scene) -> None:
        """The first reason and moment stay; a second call, or one for an id that is not there, ends nothing and says so."""
        text = await scene.login()
        row = await scene.row(text)
        assert await scene.witness.revoke(row.id, "first", scene.clock.now)
        scene.clock.forward(1)
        assert not await scene.witness.revoke(row.id, "second", scene.clock.now)
        assert not await scene.witness.revoke(secrets.token_bytes(16), "nobody", scene.clock.now)
        assert await scene.store.get(row.id) == replace(row, revoked_at=scene.clock.now - 1, reason="first")

    async def test_revoking_a_subject(self, scene: Scene) -> None:
        """All live sessions of the subject end in one call that returns exactly their ids; the ended and the others' stay as they are."""
        expired = await scene.login()
        scene.clock.forward(IDLE)
        logged_out, first, second, bobs = await scene.login(), await scene.login(), await scene.login(), await scene.login("bob")
        await scene.issuer.revoke(logged_out)
        scene.clock.forward(1)
        before = [await scene.row(text) for text in (logged_out, bobs)]
        ended = await scene.witness.revoke_subject("ada", "all", scene.clock.now)
        assert sorted(ended) == sorted(scene.parse(text).session_id for text in (first, second))
        assert [await scene.row(text) for text in (logged_out, bobs)] == before
        assert [await scene.reason(text) for text in (expired, first, second)] == ["all", "all", "all"]
        assert await scene.witness.revoke_subject("ada", "again", scene.clock.now) == []
        assert await scene.reason(first) == "all"

    @pytest.mark.parametrize("way", ["logout", "one", "everywhere"])
    async def test_an_expired_session_that_is_ended_stays_ended(self, scene: Scene, way: str) -> None:
        """Ending it counts for nothing, and is written all the same: a clock that goes back brings no session to life."""
        text = await scene.login()
        scene.clock.forward(IDLE)
        session_id = scene.parse(text).session_id
        if way == "logout":
            await scene.issuer.revoke(text)
        elif way == "one":
            assert not await scene.witness.revoke(session_id, "one", scene.clock.now)
        else:
            assert await scene.witness.revoke_subject("ada", "everywhere", scene.clock.now) == []
        scene.clock.forward(-1)
        await scene.refused("session_revoked", text)

    async def test_logout_everywhere(self, scene: Scene) -> None:
        """The issuer says how many sessions of the subject it ended; none of them refreshes, the others do."""
        texts = [await scene.login(), await scene.login()]
        bobs = await scene.login("bob")
        assert await scene.issuer.revoke_subject("ada") == 2
        assert await scene.issuer.revoke_subject("ada") == 0
        for text in texts:
            await scene.refused("session_revoked", text)
        await scene.rotated(bobs)

    @pytest.mark.parametrize("steps", [0, 1, 2, 3], ids=["oldest", "older", "current", "ahead"])
    async def test_logout_with_any_token(self, scene: Scene, steps: int) -> None:
        """Any genuine token of the session ends it, old, current or lost, as logout and not as reuse; its subject's others live on."""
        first, other = await scene.login(), await scene.login()
        await scene.rotated(await scene.rotated(first))
        await scene.issuer.revoke(await scene.ahead(first, steps))
        assert await scene.reason(first) == "logout"
        assert scene.told("refresh_token_reused") == 0
        assert await scene.reason(other) is None
        await scene.rotated(other)

    async def test_logout_twice(self, scene: Scene) -> None:
        """A second logout is no error, and the first one's moment stays."""
        text = await scene.login()
        await scene.issuer.revoke(text)
        row = await scene.row(text)
        scene.clock.forward(1)
        await scene.issuer.revoke(text)
        assert await scene.row(text) == row

    async def test_logout_with_a_forged_token(self, scene: Scene) -> None:
        """A token whose proof is wrong, or whose session is not known, ends nothing."""
        text = await scene.login()
        forged = scene.forged(text)
        await refused("refresh_token_unknown", scene.issuer.revoke(forged))
        unknown = scene.write(replace(scene.parse(text), session_id=secrets.token_bytes(16)), (await scene.row(text)).seed)
        await refused("refresh_token_unknown", scene.issuer.revoke(unknown))
        await scene.rotated(text)

    async def test_a_logged_out_token_replayed(self, scene: Scene) -> None:
        """Revoked, not Reused: it ends nothing else, and the row keeps its reason; also with an attempt id, and an hour later."""
        first, other = await scene.login(), await scene.login()
        second = await scene.refresh(first, ATTEMPT)
        await scene.issuer.revoke(second)
        for late in (0, WINDOW, 3_600):
            scene.clock.forward(late)
            await scene.refused("session_revoked", first)
            await scene.refused("session_revoked", first, ATTEMPT)
            await scene.refused("session_revoked", second)
        assert await scene.reason(first) == "logout"
        assert scene.told("refresh_token_reused") == 0
        await scene.rotated(other)

    async def test_long_dead_rows_are_cleaned_away(self, scene: Scene) -> None:
        """As new sessions are opened, rows go that were dead for longer than a late retry may take; the live and the lately dead stay."""
        revoked = await scene.login()
        await scene.issuer.revoke(revoked)
        expired = await scene.login()
        scene.clock.forward(ABSOLUTE + KEPT_DEAD - IDLE + 1)
        live, lately_revoked = await scene.login(), await scene.login()
        scene.clock.forward(IDLE - 1)
        live = await scene.refresh(live)
        lately_revoked = await scene.refresh(lately_revoked)
        await scene.issuer.revoke(lately_revoked)
        scene.clock.forward(KEPT_DEAD - 1)
        gone = [scene.parse(text).session_id for text in (revoked, expired)]
        for _ in range(CLEANED_BY):
            await scene.login("bob")
        assert [await scene.store.get(session_id) for session_id in gone] == [None, None]
        await scene.refused("refresh_token_unknown", revoked)
        await scene.refused("session_revoked", lately_revoked)
        await scene.rotated(live)
