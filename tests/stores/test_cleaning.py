"""What is long dead goes: a few rows with each new session, all of them with a purge; nothing else ever does."""

import asyncio
import inspect
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stagedoor.session import KEPT_DEAD, Session
from stagedoor.stores.memory import MemoryStore, SyncMemoryStore
from stagedoor.stores.sql import SQLStore, SyncSQLStore, sessions

NOW = 1_750_000_000.0
DEAD = {
    "idle": {"idle_ends_at": NOW - KEPT_DEAD - 1},
    "absolute": {"absolute_ends_at": NOW - KEPT_DEAD - 1},
    "revoked": {"revoked_at": NOW - KEPT_DEAD - 1, "reason": "logout"},
}
LATELY_DEAD = [
    {"idle_ends_at": NOW - KEPT_DEAD + 1},
    {"absolute_ends_at": NOW - 1},
    {"revoked_at": NOW - KEPT_DEAD + 1, "reason": "logout"},
]


def session(subject: str = "ada", id_: bytes | None = None, **members) -> Session:
    plain = {
        "id": id_ or secrets.token_bytes(16),
        "subject": subject,
        "client_id": "a",
        "scope": "",
        "digest": b"0" * 32,
        "seed": b"s" * 32,
        "created_at": NOW - 100,
        "idle_ends_at": NOW + 100,
        "absolute_ends_at": NOW + 200,
    }
    return Session(**(plain | members))


@pytest.fixture(params=["memory", "sync memory", "sqlite", "sync sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[object]:
    made = {
        "memory": MemoryStore,
        "sync memory": SyncMemoryStore,
        "sqlite": lambda: SQLStore(f"sqlite:///{tmp_path}/a.db"),
        "sync sqlite": lambda: SyncSQLStore(f"sqlite:///{tmp_path}/a.db"),
    }[request.param]()
    await answer(made.migrate())
    yield made
    if hasattr(made, "close"):
        await answer(made.close())


async def answer(value):
    return await value if inspect.isawaitable(value) else value


async def test_a_purge(store, monkeypatch: pytest.MonkeyPatch):
    """A purge deletes what has been dead for longer than a late retry may take, however many rows there are, and says how many went."""
    monkeypatch.setattr(sessions, "PURGED_AT_ONCE", 7)
    living = [session(**members) for members in [{}, *LATELY_DEAD]]
    dead = [session(**members) for members in DEAD.values() for _ in range(10)]
    for row in [*living, *dead]:
        await answer(store.open(row, limit=100, now=NOW - 10 * KEPT_DEAD))  # nothing is long dead then
    assert await answer(store.purge(now=NOW)) == 30
    assert await answer(store.purge(now=NOW)) == 0
    assert [await answer(store.get(row.id)) for row in living] == living
    assert {await answer(store.get(row.id)) for row in dead} == {None}


@pytest.mark.parametrize("how", DEAD)
async def test_a_new_session_cleans_a_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str):
    """With each new session 64 rows from a random place on are looked at, round the end of the table; dead ones go, however they died."""
    store = SQLStore(f"sqlite:///{tmp_path}/a.db")
    await store.migrate()
    for number in range(200):
        await store.open(session(id_=bytes([number]) * 16, **DEAD[how]), limit=1_000, now=NOW - 10 * KEPT_DEAD)
    start = bytes([180]) * 16
    monkeypatch.setattr(sessions.secrets, "token_bytes", lambda size: start[:size])
    await store.open(session("bob", id_=b"\xff" * 16), limit=1, now=NOW)
    left = [number for number in range(200) if await store.get(bytes([number]) * 16) is not None]
    assert left == list(range(44, 180))
    await store.close()


async def test_more_go_than_come(tmp_path: Path):
    """While many are dead, opening sessions makes the table smaller."""
    store = SQLStore(f"sqlite:///{tmp_path}/a.db")
    await store.migrate()
    await asyncio.gather(*(store.open(session(**DEAD["idle"]), limit=1_000, now=NOW - 10 * KEPT_DEAD) for _ in range(500)))
    await asyncio.gather(*(store.open(session("bob"), limit=1_000, now=NOW) for _ in range(60)))
    assert await store.purge(now=NOW) < 50
    await store.close()
