"""The SQL store on SQLite keeps the contract, with and without await, and with several processes on one file."""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from stagedoor import Event, Issuer, KeySet, Peppers, SyncIssuer, TokenPair
from stagedoor.encoding import encode
from stagedoor.errors import SessionUnreadable, StoreError
from stagedoor.stores import sql
from stagedoor.stores.sql import sqlite
from stagedoor.testing.contract import LogContract, StoreContract, SyncLogContract, SyncStoreContract
from stores.processes import (
    assert_one_rotated,
    first_token,
    issuer_on,
    refresh_at,
    six_processes_that_start_at_once,
    six_processes_with_one_token,
)


class TestSQLStore(StoreContract, LogContract):
    """SQLStore on a file under the contract."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[sql.SQLStore]:
        store = sql.SQLStore(f"sqlite:///{tmp_path / 'auth.db'}")
        await store.migrate()
        yield store
        await store.close()


class TestSyncSQLStore(SyncStoreContract, SyncLogContract):
    """SyncSQLStore on a file under the contract, raced by threads."""

    @pytest.fixture
    def sync_store(self, tmp_path: Path) -> Iterator[sql.SyncSQLStore]:
        store = sql.SyncSQLStore(f"sqlite:///{tmp_path / 'auth.db'}")
        store.migrate()
        yield store
        store.close()


def test_sixteen_threads_with_a_store_each(tmp_path: Path):
    """Sixteen connections to one file, one a thread, with the same token: one is Rotated, all get the same successor."""
    text, issuer = first_token(url(tmp_path))
    barrier = threading.Barrier(16)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: refresh_at(barrier, url(tmp_path), text), range(16)))
    assert_one_rotated(answers, text, issuer)


def test_six_processes_with_one_token(tmp_path: Path):
    """Six processes with four threads each on one file, round after round: one is Rotated, all get the same successor."""
    six_processes_with_one_token(url(tmp_path))


def test_processes_that_start_at_once_on_a_new_file(tmp_path: Path):
    """Six processes migrate the same new file at once and all work on it."""
    six_processes_that_start_at_once(url(tmp_path))


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'auth.db'}"


FORKED = """
import os, sys
from stagedoor import KeySet, Peppers, SyncIssuer
from stagedoor.stores.sql import SyncSQLStore
store = SyncSQLStore(f"sqlite:///{sys.argv[1]}")
store.migrate()
issuer = SyncIssuer("i", audience="a", store=store, keys=KeySet.generate(), peppers=Peppers.generate())
pair = issuer.issue("ada")
child = os.fork()
if child == 0:
    issuer.revoke(issuer.refresh(pair.refresh_token).refresh_token)
    issuer.issue("ben")
    store.close()
    os._exit(0)
issuer.issue("parent")
store.close()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_loses_nothing(tmp_path: Path):
    """What parent and child were told is written after a fork is in the file when both have closed it."""
    file = tmp_path / "forked.db"
    done = subprocess.run([sys.executable, "-c", FORKED, str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "0", done.stderr
    with contextlib.closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT subject, generation, reason FROM stagedoor_sessions ORDER BY subject").fetchall()
    assert rows == [("ada", 1, "logout"), ("ben", 0, None), ("parent", 0, None)]


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:///a.db", "mysql://localhost/a", "auth.db", ""])
def test_other_databases_are_refused(url: str):
    """A URL of another driver or database, or none at all, is refused at once."""
    with pytest.raises(ValueError, match="sqlite:///"):
        sql.SyncSQLStore(url)


def test_a_job_that_ends_the_thread_hurts_nobody(tmp_path: Path):
    """Whatever a job raises goes to whoever waits for it; the next one is answered."""
    store = sql.SyncSQLStore(f"sqlite:///{tmp_path}/a.db")

    def leave(connection: object) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        store.database.submit(leave).result(10)
    assert store.database.submit(lambda connection: 1).result(10) == 1
    store.close()


async def test_what_an_event_loop_asks_at_once(tmp_path: Path):
    """Of many calls that an event loop makes at once each gets its own answer, but those that are given up, and those over the bound."""
    store = sql.SQLStore(url(tmp_path))
    issuer = Issuer("https://auth.example", audience="x", store=store, keys=KeySet.generate(), peppers=Peppers.generate())
    await store.migrate()
    pairs = [await issuer.issue(f"user-{n}") for n in range(40)]
    tasks = [asyncio.create_task(issuer.refresh(pair.refresh_token)) for pair in pairs]
    await asyncio.sleep(0)
    tasks[7].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found.pop(7), asyncio.CancelledError)
    assert [each.subject for each in found if isinstance(each, TokenPair)] == [f"user-{n}" for n in range(40) if n != 7]
    answers = await asyncio.gather(*(store.get(bytes(16)) for _ in range(2_100)), return_exceptions=True)
    assert 52 <= sum(isinstance(each, StoreError) for each in answers) < 100  # what the store does by itself waits there too
    await store.close()
    issuer.revocations.close()


def test_a_late_rotation_is_not_older_than_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A rotation that waited long for its turn is written with the moment when it had it: the retry is Replayed, not Reused."""
    now = 1_750_000_000.0
    text, issuer = first_token(url(tmp_path))
    moments = iter([0.0, 55.0, 100.0, 100.0])
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "_NOTICEABLE", 1.0)
        patched.setattr(sqlite, "time", SimpleNamespace(monotonic=lambda: next(moments), sleep=time.sleep))
        successor = issuer.refresh(text).refresh_token
    (session,) = issuer.sessions("ada")
    assert session.rotated_at == now + 55
    issuer.store.close()
    told: list[str] = []
    assert issuer_on(url(tmp_path), told, now + 70).refresh(text).refresh_token == successor
    assert told == ["refresh_replayed"]


def test_a_file_of_the_first_version_is_brought_up(tmp_path: Path):
    """A file with the indexes of the first schema loses the two that nothing needs any more, and none of its rows."""
    text, issuer = first_token(url(tmp_path))
    with contextlib.closing(sqlite3.connect(tmp_path / "auth.db")) as connection:
        connection.execute("CREATE INDEX stagedoor_sessions_absolute_end ON stagedoor_sessions (absolute_ends_at)")
        connection.execute("CREATE INDEX stagedoor_sessions_revoked ON stagedoor_sessions (revoked_at) WHERE revoked_at IS NOT NULL")
        connection.execute("UPDATE stagedoor_schema SET version_num = 's0001'")
        connection.execute("DROP TABLE stagedoor_documents")
        connection.execute("DROP TABLE stagedoor_revocations")
        connection.commit()
        issuer.store.migrate()
        indexes = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")}
    assert indexes == {"stagedoor_sessions_subject", "stagedoor_counters_end", "stagedoor_revocations_until"}
    assert issuer.refresh(text).refresh_token != text
    issuer.store.close()


BROKEN = {
    "claims": "'[1]'",
    "scope": "x'00'",
    "seed": "'text'",
    "digest": "x'00'",
    "generation": "'many'",
    "created_at": "'yesterday'",
    "device": "x'ff'",
    "absolute_ends_at": "9e999",
}


@pytest.mark.parametrize("column", BROKEN)
def test_a_row_that_is_none_of_ours(tmp_path: Path, column: str):
    """A half-written or foreign row is refused, with an alarm that names it; it hides no other session of the subject."""
    events: list[Event] = []
    issuer = SyncIssuer(
        "https://auth.example",
        audience="https://api.example",
        store=sql.SyncSQLStore(url(tmp_path)),
        keys=KeySet.generate(),
        peppers=Peppers.generate(),
        events=events.append,
    )
    issuer.store.migrate()
    text, whole = issuer.issue("ada").refresh_token, issuer.issue("ada")
    broken = issuer.peppers.parse(text, time.time()).session_id
    with contextlib.closing(sqlite3.connect(tmp_path / "auth.db")) as connection:
        connection.execute(f"UPDATE stagedoor_sessions SET {column} = {BROKEN[column]} WHERE id = ?", [broken])
        connection.commit()
    for call in (issuer.refresh, issuer.revoke):
        with pytest.raises(SessionUnreadable):
            call(text)
        told = events.pop()
        assert (told.name, told.alarm, told.session_id) == ("session_unreadable", True, encode(broken))
    assert [encode(session.id) for session in issuer.sessions("ada")] == [whole.session_id]
    issuer.store.close()
