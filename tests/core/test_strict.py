"""check_strictly: whom it asks, and what it makes of the answer; by a store with await and without, or by a feed alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from stagedoor.encoding import encode
from stagedoor.errors import RevocationsStale, TokenRevoked
from stagedoor.revocation import Record, Revocations
from stagedoor.session import Session
from stagedoor.stores.memory import MemoryStore, SyncMemoryStore

from .material import NOW
from .scripted import ScriptedFeed, Token

SID = encode(b"s" * 16)
ROW = Session(b"s" * 16, "user", "web", "", idle_ends_at=NOW + 1e6, absolute_ends_at=NOW + 1e6)


class Store:
    """One with a session, and a log that says nothing of what is ended here unless it is told to."""

    def __init__(self, made: Any) -> None:
        self.made = made
        self.plain: SyncMemoryStore = getattr(made, "_sync", made)
        self.threads: list[threading.Thread] = []
        self.plain.open(ROW, limit=9, now=NOW)
        get = self.plain.get

        def watched(session_id: bytes) -> Session | None:
            self.threads.append(threading.current_thread())
            return get(session_id)

        self.plain.get = watched  # type: ignore[method-assign]

    def end(self) -> None:
        self.plain._rows[ROW.id] = Session(ROW.id, "user", "web", "", revoked_at=NOW)


@pytest.fixture(params=[MemoryStore, SyncMemoryStore])
def store(request: pytest.FixtureRequest) -> Store:
    return Store(request.param())


@pytest.fixture(params=["following", "beside"])
def revocations(request: pytest.FixtureRequest, store: Store) -> Iterator[Revocations]:
    follows = request.param == "following"
    made = Revocations.following(store.made, bound="1h", clock=lambda: NOW) if follows else Revocations.beside(store.made)
    yield made
    made.close()


async def refused(revocations: Revocations, name: str) -> str | None:
    with pytest.raises(TokenRevoked) as caught:
        await revocations.check_strictly(Token(name), NOW)
    return caught.value.session_id


async def test_the_store_is_asked(store: Store, revocations: Revocations):
    """What it says counts, though nobody has heard of it yet."""
    await revocations.check_strictly(Token(SID), NOW)
    store.end()
    assert await refused(revocations, SID) == SID


@pytest.mark.parametrize("name", [encode(b"t" * 16), "", "no id of ours", "é"])
async def test_what_the_store_does_not_know(revocations: Revocations, name: str):
    """It has ended, or is somebody else's: it is refused by its own name."""
    assert await refused(revocations, name) == name


async def test_a_store_that_blocks_is_asked_on_a_thread(store: Store, revocations: Revocations):
    """And one that is awaited on none."""
    await revocations.check_strictly(Token(SID), NOW)
    blocks = store.made is store.plain
    assert [thread is not threading.current_thread() for thread in store.threads] == [blocks]


async def test_what_a_store_does_not_say_is_heard_from_its_log(store: Store):
    """Of a key, which no session's row tells: before the first answer, and not again while that is fresh."""
    revocations = Revocations.following(store.made, stale="ask", bound="1h", clock=lambda: NOW)
    store.plain.log.revoke_key("k", NOW)
    with pytest.raises(TokenRevoked, match="key"):
        await revocations.check_strictly(Token(SID), NOW)
    revocations.close()


async def test_a_feed_alone_is_asked_each_time():
    """Also where guards that are not strict ask nobody."""
    feed = ScriptedFeed()
    revocations = Revocations.following(feed, stale="refuse", bound="1h", clock=lambda: NOW)
    with pytest.raises(RevocationsStale):
        await revocations.hear_async()
    for _ in range(2):
        await revocations.check_strictly(Token("s"), NOW)
    feed.records.append(Record("session", "s", NOW + 960, NOW))
    assert await refused(revocations, "s") == "s"
    assert [wait for _, wait in feed.asked] == [0.0, 0.0, 0.0]
    feed.close()
    revocations.close()


async def test_nobody_to_ask():
    """A strict guard on what only expires is a mistake, and told as one."""
    with pytest.raises(TypeError, match="none to ask"):
        await Revocations().check_strictly(Token(), NOW)
