"""How the log of the SQL store is followed on SQLite: by looking again, into whatever file is there."""

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from patience import PATIENCE, patient
from stagedoor.errors import StoreError
from stagedoor.revocation import EXPECTED, MARGIN, FeedClosed, Revocations
from stagedoor.stores.sql import SQLStore, SyncSQLStore, tables
from stores.followers import FORKED, Subscriber, names, refused_within, two_processes

NOW = 1_750_000_000.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "auth.db"


@pytest.fixture
def store(file: Path) -> Iterator[SyncSQLStore]:
    store = opened(file)
    yield store
    store.close()


def opened(file: Path) -> SyncSQLStore:
    store = SyncSQLStore(f"sqlite:///{file}")
    store.migrate()
    return store


def backup(file: Path, to: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as here, contextlib.closing(sqlite3.connect(to)) as there:
        here.backup(there)


def revoked(store: SyncSQLStore, *kids: str, now: float = NOW) -> None:
    for kid in kids:
        store.log.revoke_key(kid, now)


# A file that was put back


def put_under_it(file: Path, copy: Path) -> None:
    """The backup is written into the file that everybody has open."""
    backup(copy, file)


def put_in_its_place(file: Path, copy: Path) -> None:
    """The file is another one, and whoever has the old one open would not notice."""
    for each in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))):
        each.unlink(missing_ok=True)
    shutil.copy(copy, file)


@pytest.mark.parametrize("put_back", [put_under_it, put_in_its_place])
@pytest.mark.parametrize("grown", [0, 1, 2, 3, 7])
def test_an_older_file_that_has_gone_on_since(file: Path, store: SyncSQLStore, tmp_path: Path, put_back, grown: int):
    """A file that was put back, and has grown as far as the cursor or past it, is read whole; what it had lost is not made up."""
    revoked(store, "old-1", "old-2")
    backup(file, tmp_path / "copy.db")
    revoked(store, "lost-1", "lost-2")
    reader = SyncSQLStore(f"sqlite:///{file}")
    page = reader.log.read(None)
    assert names(page) == ["old-1", "old-2", "lost-1", "lost-2"]
    assert names(reader.log.read(page.cursor)) == []
    store.close()
    put_back(file, tmp_path / "copy.db")
    again = opened(file)
    new = [f"new-{n}" for n in range(grown)]
    revoked(again, *new)
    page = reader.log.read(page.cursor)
    assert names(page) == ["old-1", "old-2", *new]
    assert names(reader.log.read(page.cursor)) == []
    again.close()
    reader.close()


def test_a_backup_of_after_the_cursor(file: Path, store: SyncSQLStore, tmp_path: Path):
    """A file that was put back and has the record at the cursor is read on from there."""
    revoked(store, "one")
    cursor = store.log.read(None).cursor
    revoked(store, "two")
    backup(file, tmp_path / "copy.db")
    revoked(store, "lost")
    put_under_it(file, tmp_path / "copy.db")
    revoked(store, "three")
    assert names(store.log.read(cursor)) == ["two", "three"]


def test_the_record_at_the_cursor_is_over(store: SyncSQLStore):
    """Where the record at the cursor has gone since, everything is read, and from there on what is new."""
    store.log.revoke_issuer("https://i.example", 10 * EXPECTED, NOW)
    revoked(store, "over")
    cursor = store.log.read(None).cursor
    revoked(store, "new", now=NOW + 2 * EXPECTED)
    page = store.log.read(cursor)
    assert names(page) == ["https://i.example", "new"]
    assert names(store.log.read(page.cursor)) == []
    with contextlib.closing(sqlite3.connect(store.database._url.removeprefix("sqlite:///"))) as connection:  # type: ignore[attr-defined]
        connection.execute("DELETE FROM stagedoor_revocations WHERE kind = 'key'")
        connection.commit()
    page = store.log.read(page.cursor)
    assert names(page) == ["https://i.example"]
    assert names(store.log.read(page.cursor)) == []
    revoked(store, "next", now=NOW + 2 * EXPECTED)
    assert names(store.log.read(page.cursor)) == ["next"]


def test_a_position_is_never_used_again(file: Path, store: SyncSQLStore):
    """Where the last record has gone the next one has a position of its own all the same."""
    revoked(store, "one", "two")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("DELETE FROM stagedoor_revocations WHERE position = 2")
        connection.commit()
        revoked(store, "three")
        assert connection.execute("SELECT position FROM stagedoor_revocations ORDER BY 1").fetchall() == [(0,), (1,), (3,)]


def test_a_file_without_the_row_that_names_the_log(file: Path, store: SyncSQLStore):
    """Such a log is read whole each time; the next issuer that tells how long its tokens live gives it a name."""
    revoked(store, "one")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("DELETE FROM stagedoor_revocations WHERE position = 0")
        connection.commit()
    cursor = store.log.read(None).cursor
    assert names(store.log.read(cursor)) == ["one"]
    store.log.expect(7200)
    cursor = store.log.read(cursor).cursor
    assert names(store.log.read(cursor)) == []
    record = store.log.revoke_key("two", NOW)
    assert record.until == NOW + 7200 + MARGIN


def test_what_was_told_is_told_again(file: Path, store: SyncSQLStore, tmp_path: Path):
    """A file that was put back, and was never told how long tokens live, learns it from who reads it and knows."""
    backup(file, tmp_path / "copy.db")
    store.log.expect(7200)
    cursor = store.log.read(None).cursor
    put_under_it(file, tmp_path / "copy.db")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE stagedoor_revocations SET name = 'abcdef' WHERE position = 0")
        connection.commit()
    store.log.read(cursor)
    assert store.log.revoke_key("kid", NOW).until == NOW + 7200 + MARGIN


# Waiting and closing


def test_reading_waits_for_no_writer(file: Path, store: SyncSQLStore):
    """While somebody else holds the file for writing, reading goes on."""
    revoked(store, "one")
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert names(store.log.read(None, 0.1)) == ["one"]  # a writer would be waited for ten seconds, and then be an error


def test_many_commits_wake_nobody(store: SyncSQLStore):
    """Whoever waits while others write what is no record is not answered before its time, and does not read all the while."""
    cursor = store.log.read(None).cursor
    looks = []
    reader = store.database._reader  # type: ignore[attr-defined]
    look = reader.look
    reader.look = lambda *arguments, **options: (looks.append(1), look(*arguments, **options))[1]
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(store.log.read, cursor, 1.0)
        while time.monotonic() < began + 0.8:
            store.documents.write("a", b"", expected=0)
        assert names(waiting.result()) == []
    assert time.monotonic() - began > 0.9
    assert len(looks) < 30


def test_a_file_that_is_not_there(file: Path):
    """Before `migrate` the error says what to do, and no file is made; afterwards it is read."""
    store = SyncSQLStore(f"sqlite:///{file}")
    for wait in (0.0, 0.1):
        with pytest.raises(StoreError, match="migrate"):
            store.log.read(None, wait)
    assert not file.exists()
    store.migrate()
    assert names(store.log.read(None, 0.1)) == []
    store.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE stagedoor_revocations")
    with pytest.raises(StoreError, match="migrate"):
        store.log.read(None)
    store.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_store_that_is_in_memory(url: str):
    """What is nowhere but in one connection is read on that one."""
    store = SyncSQLStore(url)
    store.migrate()
    cursor = store.log.read(None, 0.1).cursor
    revoked(store, "kid")
    assert names(store.log.read(cursor, 0.1)) == ["kid"]
    store.close()
    with pytest.raises(FeedClosed):
        store.log.read(cursor, 0.1)


def test_a_file_by_its_uri(file: Path):
    """A file that is named as SQLite's own URI is followed as well."""
    store = SyncSQLStore(f"sqlite:///file:{file}?uri=true")
    store.migrate()
    revoked(store, "kid")
    assert names(store.log.read(None, 0.1)) == ["kid"]
    store.close()


def test_a_store_that_is_closed_while_it_is_followed(file: Path, store: SyncSQLStore):
    """It stays closed: whoever waits is told so; asked without a wait, or by whatever else opens it, it is followed again."""
    revocations = patient(Revocations.following(store), bound=PATIENCE)
    revocations.hear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.log.read, store.log.read(None).cursor, 20.0)
        time.sleep(0.2)
        store.close()
        with pytest.raises(FeedClosed):
            waiting.result(15)
    time.sleep(0.3)
    assert store.database._reader._connection is None  # type: ignore[attr-defined]
    with pytest.raises(FeedClosed):
        store.log.read(None, 0.1)
    assert store.get(b"?" * 16) is None
    assert names(store.log.read(None, 0.1)) == []
    store.close()
    revocations.hear()
    assert revocations.is_fresh
    revocations.close()


def test_closing_again_and_again(store: SyncSQLStore):
    """At whatever moment a store is closed, whoever follows it opens nothing."""
    for number in range(30):
        revocations = patient(Revocations.following(store, bound=0.05))
        revocations.hear()
        time.sleep(number / 2000)
        store.close()
        assert store.database._reader._connection is None  # type: ignore[attr-defined]
        revocations.close()
        assert store.database._reader._connection is None  # type: ignore[attr-defined]


LEFT_OPEN = """
import gc, sys
from stagedoor.stores.sql import SyncSQLStore
SyncSQLStore(f"sqlite:///{sys.argv[1]}").log.read(None)
gc.collect()
"""


def test_a_store_that_nobody_closes(file: Path, store: SyncSQLStore):
    """A store that only read, and was forgotten, closes its file without a word."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", LEFT_OPEN, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fork_while_it_is_followed(file: Path, store: SyncSQLStore):
    """Parent and child of a fork each open the file for themselves, and each hears of what both end."""
    command = [sys.executable, "-c", FORKED, f"sqlite:///{file}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "True 0", done.stderr


# Several


async def test_one_revokes_and_the_other_refuses(file: Path, store: SyncSQLStore):
    """Of two issuers on two stores of one file, what one ends the other's verifier refuses within a second."""
    await refused_within(1.0, SQLStore(f"sqlite:///{file}"), SQLStore(f"sqlite:///{file}"))


def test_two_processes(file: Path, store: SyncSQLStore):
    """What one process ends another one that follows hears of, each time, within a second."""
    assert two_processes(f"sqlite:///{file}") < 1.0


def test_whoever_follows_outlives_the_file(file: Path, store: SyncSQLStore, tmp_path: Path):
    """While the file is away nothing is known to be fresh; when it is back it is followed again."""
    backup(file, tmp_path / "copy.db")
    with Subscriber(store) as subscriber:
        revoked(store, "one", now=time.time())
        assert subscriber.has("one")
        store.database.close()
        reader = SyncSQLStore(f"sqlite:///{file}")
        with Subscriber(reader) as other:
            assert other.has("one")
            for each in tmp_path.glob("auth.db*"):
                each.unlink()
            with pytest.raises(StoreError, match="no such file"):
                reader.log.read(None)
            shutil.copy(tmp_path / "copy.db", file)
            revoked(store, "two", now=time.time())
            assert other.has("two")
        reader.close()


async def test_the_tables_are_those_of_the_migrations(file: Path, store: SyncSQLStore):
    """What the migrations make is what the statements take for granted."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        elsewhere = {"stagedoor_schema", "stagedoor_revocations_mark"}  # Alembic's own, and an index that only PostgreSQL needs
        context = MigrationContext.configure(connection, opts={"include_object": lambda thing, name, *_: name not in elsewhere})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()
    assert names(await asyncio.to_thread(store.log.read, None)) == []
