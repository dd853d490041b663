"""LogRules: what a store writes of what it ends, and how that is read.

Never knows the store, nor how its log is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import pytest

from stagedoor.encoding import encode
from stagedoor.revocation import AHEAD, EXPECTED, MARGIN, Log, Record
from stagedoor.testing.contract.scene import ISSUER, WINDOW, Scene

LIFE = 900.0
"""Seconds that access tokens live here."""
WOKEN_IN = 15.0
"""Seconds in which whoever waits for something new has it: far more than any log needs."""
_AT_ONCE = 40


def sessions_in(records: Iterable[Record]) -> set[str]:
    """The sessions that these records end."""
    return {record.name for record in records if record.kind == "session"}


class LogRules:
    """What is ended is in the log, once it is said that it is ended; nothing else is; and nobody who reads on misses any of it."""

    @pytest.fixture
    def log(self, scene: Scene) -> Log:
        """The log of the store, which expects access tokens of a quarter of an hour."""
        log: Log = scene.store.log  # type: ignore[attr-defined]  # what this contract is about
        log.expect(LIFE)
        return log

    async def sid(self, scene: Scene, text: str) -> str:
        """The session of this refresh token, as clients see it."""
        return encode(scene.parse(text).session_id)

    async def test_every_way_to_end_a_session(self, scene: Scene, log: Log) -> None:
        """Logout, an administrator, all of a subject, reuse, a forgery and the limit: each session is in the log at once, and no other."""
        lives, logged_out, ended, reused, forged = [await scene.login() for _ in range(5)]
        of_subject = [await scene.login("eve") for _ in range(3)]
        assert list(log.read(None).records) == []
        expected: set[str] = set()

        async def ends(*texts: str) -> None:
            expected.update([await self.sid(scene, text) for text in texts])
            assert sessions_in(log.read(None).records) == expected

        await scene.bare.revoke(logged_out)
        await ends(logged_out)
        await scene.bare.revoke_session(await self.sid(scene, ended), subject="ada")
        await ends(ended)
        assert await scene.bare.revoke_subject("eve") == 3
        await ends(*of_subject)
        await scene.rotated(await scene.rotated(reused))
        assert await scene.answer(reused) == "refresh_token_reused"
        await ends(reused)
        assert await scene.answer(scene.forged(forged)) == "refresh_token_unknown"
        await ends(forged)
        oldest = await scene.login("mallory")
        scene.clock.forward(1)
        await scene.issuer_on(scene.store, session_limit=1).issue("mallory")
        await ends(oldest)
        await scene.rotated(lives)
        await ends()

    async def test_what_was_not_ended_is_not_in_it(self, scene: Scene, log: Log) -> None:
        """Ending another's session, or one that nobody knows, writes nothing."""
        text = await scene.login()
        session_id = scene.parse(text).session_id
        assert not await scene.store.revoke(session_id, "no", scene.clock.now, subject="eve")
        assert not await scene.store.revoke(bytes(16), "no", scene.clock.now)
        assert await scene.store.revoke_subject("nobody", "no", scene.clock.now) == []
        assert list(log.read(None).records) == []

    async def test_a_record_lives_as_long_as_what_it_ends(self, scene: Scene, log: Log) -> None:
        """A minute longer than the longest access token that any issuer has told of; a shorter one changes nothing."""
        log.expect(60)
        await scene.bare.revoke(await scene.login())
        (record,) = log.read(None).records
        assert (record.kind, record.written) == ("session", scene.clock.now)
        assert record.until - record.written == LIFE + MARGIN
        log.expect(2 * LIFE)
        await scene.bare.revoke(await scene.login())
        assert max(record.until for record in log.read(None).records) == scene.clock.now + 2 * LIFE + MARGIN

    async def test_before_any_issuer_has_told(self, scene: Scene) -> None:
        """A log that nobody has told of a lifetime takes an hour for one."""
        log: Log = scene.store.log  # type: ignore[attr-defined]
        assert log.revoke_key("kid-1", scene.clock.now) == Record.of_key("kid-1", EXPECTED, scene.clock.now)

    async def test_reading_on(self, scene: Scene, log: Log) -> None:
        """From a cursor on, what is new is read and, once read, not again; the cursor of an empty log is one as well."""
        empty = log.read(None)
        first, second = await scene.login(), await scene.login()
        await scene.bare.revoke(first)
        one = log.read(empty.cursor)
        assert sessions_in(one.records) == {await self.sid(scene, first)}
        assert list(log.read(one.cursor).records) == []
        await scene.bare.revoke(second)
        assert sessions_in(log.read(one.cursor).records) == {await self.sid(scene, second)}
        assert len(sessions_in(log.read(empty.cursor).records)) == 2

    async def test_a_cursor_that_belongs_elsewhere(self, scene: Scene, log: Log) -> None:
        """A cursor of another log, one past the end and one that is none at all read everything."""
        await scene.bare.revoke(await scene.login())
        own = log.read(None).cursor
        name, _, position = own.partition(":")
        strange = ["", "x", ":", f"{name}:", f"{name}:x", f"{name}:-1", f"other:{position}", f"{name}:{9**18}", f"{name}:" + "9" * 4000]
        for cursor in [*strange, own.swapcase() + "'", f"{own}\0", f"{own}ü"]:
            assert len(list(log.read(cursor).records)) == 1, cursor

    async def test_a_key_and_everything_of_an_issuer(self, scene: Scene, log: Log) -> None:
        """They are records like the others: the key's for as long as what it signed, the issuer's for as long as it was told."""
        before = log.read(None)
        key = log.revoke_key("kid-1", scene.clock.now)
        issuer = log.revoke_issuer(ISSUER, 7_776_060.0, scene.clock.now)
        assert key == Record.of_key("kid-1", LIFE, scene.clock.now)
        assert issuer == Record("issuer", ISSUER, scene.clock.now + 7_776_060, scene.clock.now, int(scene.clock.now) + 1 + AHEAD)
        for page in (log.read(before.cursor), log.read(None)):
            assert sorted(page.records) == sorted([key, issuer])

    async def test_it_does_not_grow_for_ever(self, scene: Scene, log: Log) -> None:
        """What is over goes, a little with each new record; all that is not over stays, whatever has come after it."""
        lasting = log.revoke_issuer(ISSUER, 7_776_060.0, scene.clock.now)
        for _ in range(20):
            await scene.bare.revoke(await scene.login())
        scene.clock.forward(LIFE + MARGIN + 1)
        last = set()
        for _ in range(60):
            text = await scene.login()
            last.add(await self.sid(scene, text))
            await scene.bare.revoke(text)
        left = list(log.read(None).records)
        assert sessions_in(left) == last
        assert lasting in left

    async def test_who_waits_is_woken(self, scene: Scene, log: Log) -> None:
        """Whoever waits for something new has it as soon as it is there; who waits in vain is answered after that long."""
        text = await scene.login()
        cursor = log.read(None).cursor
        began = time.monotonic()
        assert list((await asyncio.to_thread(log.read, cursor, 0.2)).records) == []
        assert time.monotonic() - began < WOKEN_IN
        waiting = asyncio.create_task(asyncio.to_thread(log.read, cursor, 0.3))
        await asyncio.sleep(0.05)
        await scene.bare.revoke(text)
        page, began = await waiting, time.monotonic()
        while not (found := sessions_in(page.records)) and time.monotonic() < began + WOKEN_IN:
            page = await asyncio.to_thread(log.read, page.cursor, 0.3)
        assert found == {await self.sid(scene, text)}

    async def test_nothing_is_missed_while_many_write(self, scene: Scene, log: Log) -> None:
        """However many sessions end at one time, whoever reads on from cursor to cursor meanwhile reads each of them."""
        texts = [await scene.login(f"user-{n}") for n in range(_AT_ONCE)]
        scene.clock.forward(WINDOW)
        heard: set[str] = set()
        over = asyncio.Event()

        async def read_on() -> None:
            cursor = None
            while True:
                is_last = over.is_set()
                page = await asyncio.to_thread(log.read, cursor)
                heard.update(sessions_in(page.records))
                cursor = page.cursor
                if is_last:
                    return

        reading = asyncio.create_task(read_on())
        await asyncio.gather(*(scene.bare.revoke(text) for text in texts))
        over.set()
        await reading
        assert heard == {await self.sid(scene, text) for text in texts}
