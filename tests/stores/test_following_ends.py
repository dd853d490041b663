"""Who follows a store and closes is let go at once: its thread, which may wait for an hour, is woken and not waited for."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stagedoor import watch
from stagedoor.errors import StoreError
from stagedoor.revocation import Page, Revocations
from stagedoor.stores.memory import SyncMemoryStore
from stagedoor.stores.redis import SyncRedisStore
from stagedoor.stores.sql import SyncSQLStore

PATIENCE = 60.0


def watching() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "stagedoor-watch"}


def sqlite(request: pytest.FixtureRequest) -> Iterator[Any]:
    folder: Path = request.getfixturevalue("tmp_path")
    with closing(SyncSQLStore(f"sqlite:///{folder / 'auth.db'}")) as store:
        store.migrate()
        yield store


def postgres(request: pytest.FixtureRequest) -> Iterator[Any]:
    with closing(SyncSQLStore(request.getfixturevalue("postgres_url"))) as store:
        store.migrate()
        yield store


def redis(request: pytest.FixtureRequest) -> Iterator[Any]:
    with closing(SyncRedisStore(request.getfixturevalue("redis_url"))) as store:
        store.migrate()
        yield store


@pytest.fixture(
    params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.ends), pytest.param("redis", marks=pytest.mark.ends)]
)
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    makers = {"sqlite": sqlite, "postgres": postgres, "redis": redis}
    if request.param == "memory":
        yield SyncMemoryStore()
    else:
        yield from makers[request.param](request)


def test_closing_wakes_who_waits(store: Any, monkeypatch: pytest.MonkeyPatch):
    """However long a read was to wait, `close` ends the thread that waits in it, and others of the same log go on to hear."""
    monkeypatch.setattr(watch, "_PATIENCE", PATIENCE)
    before = watching()
    revocations, other = (Revocations.following(store, bound="1h") for _ in range(2))
    revocations.hear()
    (thread,) = watching() - before
    other.hear()
    time.sleep(0.2)
    revocations.close()
    assert not thread.is_alive()
    (thread,) = watching() - before
    store.log.revoke_key("kid", 0.0)
    until = time.monotonic() + PATIENCE
    while not len(other):
        assert time.monotonic() < until
        time.sleep(0.01)
    other.close()
    assert not thread.is_alive()


class Broken:
    """A feed that is read in vain."""

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        raise StoreError("nobody answers")


def test_closing_waits_for_no_pause(monkeypatch: pytest.MonkeyPatch):
    """Where reading has failed the thread waits before it tries again, and not when it is to end."""
    monkeypatch.setattr(watch, "_PATIENCE", PATIENCE)
    before = watching()
    revocations = Revocations.following(Broken(), bound="1h")
    revocations.follow()
    (thread,) = watching() - before
    time.sleep(0.2)
    revocations.close()
    assert not thread.is_alive()
