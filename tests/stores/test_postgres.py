"""The SQL store on PostgreSQL keeps the contract; the moment is the server's; nothing about the server is ever a refusal."""

import asyncio
import itertools
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import text as sql_text

from stagedoor import Issuer, KeySet, Peppers, SyncIssuer
from stagedoor.encoding import encode
from stagedoor.errors import AuthError, InvalidRequest, SessionUnreadable, StoreError
from stagedoor.service.accounts import Accounts
from stagedoor.service.passwords import Passwords
from stagedoor.session import KEPT_DEAD, Outcome, Presented, Session
from stagedoor.stores.sql import SQLStore, SyncSQLStore, connections, sessions, statements
from stagedoor.stores.sql.counters import SQLCounters
from stagedoor.testing.contract import LogContract, StoreContract, SyncLogContract, SyncStoreContract
from stores.processes import six_processes_that_start_at_once, six_processes_with_one_token

if TYPE_CHECKING:
    from servers import PgBouncer, Postgres

HOUR = 3_600.0


@pytest.fixture(scope="module")
def module_url(postgres: "Postgres") -> Iterator[str]:
    """One migrated database for all tests of this file that only need its tables."""
    url = postgres.database("of_test_postgres")
    store = SyncSQLStore(url)
    store.migrate()
    store.close()
    yield url
    postgres.drop("of_test_postgres")


@pytest.fixture
def url(module_url: str) -> str:
    """That database, emptied."""
    with psycopg.connect(module_url, autocommit=True) as connection:
        connection.execute("TRUNCATE stagedoor_sessions, stagedoor_counters")
        connection.execute("DELETE FROM stagedoor_revocations WHERE kind <> 'log'")
        connection.execute("UPDATE stagedoor_revocations SET through = 0")
    return module_url


class TestSQLStore(StoreContract, LogContract):
    """SQLStore on PostgreSQL under the contract."""

    @pytest.fixture
    async def store(self, url: str) -> AsyncIterator[SQLStore]:
        store = SQLStore(url, server_clock=False)
        yield store
        await store.close()


class TestSyncSQLStore(SyncStoreContract, SyncLogContract):
    """SyncSQLStore on PostgreSQL under the contract, raced by threads."""

    @pytest.fixture
    def sync_store(self, url: str) -> Iterator[SyncSQLStore]:
        store = SyncSQLStore(url, server_clock=False)
        yield store
        store.close()


class TestBehindPgBouncer(StoreContract, LogContract):
    """SQLStore under the contract where each transaction may have another session of the server."""

    @pytest.fixture
    async def store(self, url: str, pgbouncer: "PgBouncer") -> AsyncIterator[SQLStore]:
        store = SQLStore(pgbouncer.url_of("of_test_postgres"), server_clock=False, statement_cache=False)
        yield store
        await store.close()


@pytest.fixture
async def store(url: str) -> AsyncIterator[SQLStore]:
    """As it is used: by the server's clock."""
    store = SQLStore(url)
    yield store
    await store.close()


@pytest.fixture
def sync_store(url: str) -> Iterator[SyncSQLStore]:
    store = SyncSQLStore(url)
    yield store
    store.close()


def session(subject: str = "ada", **members) -> Session:
    now = time.time()
    plain = {
        "id": secrets.token_bytes(16),
        "subject": subject,
        "client_id": "a",
        "scope": "",
        "digest": b"0" * 32,
        "seed": b"s" * 32,
        "created_at": now,
        "idle_ends_at": now + 30 * 86_400,
        "absolute_ends_at": now + 90 * 86_400,
    }
    return Session(**(plain | members))


def presented(row: Session, generation: int = 0, window: float = 60.0, attempt: bytes | None = None) -> Presented:
    digests = [str(number % 10).encode() * 32 for number in (generation, generation + 1)]
    return Presented(row.id, generation, digests[0], 1, digests[1], 1, attempt, window, 86_400)


# The moment


@pytest.mark.parametrize("off", [-HOUR, HOUR])
async def test_a_caller_an_hour_off_changes_nothing(store: SQLStore, off: float):
    """Opened, rotated, kept, replayed, listed and ended by a caller whose clock is an hour off, all moments are the server's."""

    def is_now(moment: float | None) -> bool:
        return moment is not None and abs(moment - time.time()) < 30

    wrong = time.time() + off
    given = session(created_at=wrong, idle_ends_at=wrong + 100, absolute_ends_at=wrong + HOUR / 2)
    await store.open(given, limit=10, now=wrong)
    opened = await store.get(given.id)
    assert opened is not None
    assert is_now(opened.created_at)
    assert opened.idle_ends_at - opened.created_at == pytest.approx(100, abs=1e-3)
    assert opened.absolute_ends_at - opened.created_at == pytest.approx(HOUR / 2, abs=1e-3)
    assert [row.id for row in await store.sessions("ada", wrong)] == [given.id]

    for number, expected in enumerate([Outcome.ROTATED, Outcome.REPLAYED, Outcome.KEPT]):
        answer = await store.rotate(presented(given, generation=number // 2), wrong)
        assert answer.outcome is expected
        assert is_now(answer.now)
        assert answer.session is not None
        assert is_now(answer.session.rotated_at)
        assert answer.session.idle_ends_at == answer.session.absolute_ends_at
    assert await store.revoke(given.id, "logout", wrong)
    ended = await store.get(given.id)
    assert ended is not None
    assert is_now(ended.revoked_at)

    other = session()
    await store.open(other, limit=10, now=time.time())
    assert await store.settle(Outcome.RECOVERED, presented(other, generation=2), wrong)
    assert await store.settle(Outcome.REUSED, presented(other, generation=0), wrong)
    settled = await store.get(other.id)
    assert settled is not None
    assert (settled.generation, settled.reason) == (2, "reuse")
    assert is_now(settled.rotated_at)
    assert is_now(settled.revoked_at)


async def test_a_retry_is_judged_by_the_servers_clock(store: SQLStore):
    """Two workers whose clocks are two hours apart see the same window: the lost reply is Replayed, and late with its attempt id too."""
    row = session()
    await store.open(row, limit=10, now=time.time())
    attempt = b"a" * 32
    assert (await store.rotate(presented(row, attempt=attempt), time.time() - HOUR)).outcome is Outcome.ROTATED
    assert (await store.rotate(presented(row), time.time() + HOUR)).outcome is Outcome.REPLAYED
    await asyncio.sleep(0.01)
    late = await store.rotate(presented(row, attempt=attempt, window=0.001), time.time() - HOUR)
    assert late.outcome is Outcome.REPLAYED
    assert late.session is not None
    assert late.now == late.session.rotated_at
    await asyncio.sleep(0.01)
    assert (await store.rotate(presented(row, window=0.001), time.time())).outcome is Outcome.BEHIND


async def test_rows_are_cleaned_by_the_servers_clock(store: SQLStore):
    """A caller from the future neither purges nor cleans what is alive."""
    row = session()
    future = time.time() + 365 * 86_400
    await store.open(row, limit=10, now=time.time())
    assert await store.purge(now=future) == 0
    await store.open(session("bob", created_at=future, idle_ends_at=future + 9, absolute_ends_at=future + 9), limit=1, now=future)
    assert await store.get(row.id) is not None


# The happy path


@contextmanager
def wire(connection, file: Path) -> Iterator[list[str]]:
    """The messages of the protocol, as libpq writes them down: F for ours, B for the server's."""
    said: list[str] = []
    with file.open("wb") as trace:
        connection.pgconn.trace(trace.fileno())
        yield said
        connection.pgconn.untrace()
    for line in file.read_text().splitlines():
        words = next((line.split("\t")[at:] for at, word in enumerate(line.split("\t")) if word in ("F", "B")), None)
        if words is not None:
            said.append(f"{words[0]} {words[2]}")


ROUND_TRIP = ["F Bind", "F Describe", "F Execute", "F Sync"]


async def test_a_rotation_is_one_round_trip(store: SQLStore, tmp_path: Path):
    """On the happy path a prepared statement is executed, and nothing else goes over the wire: no BEGIN, no COMMIT, no check."""
    rows = [session(), session()]
    for row in rows:
        await store.open(row, limit=10, now=time.time())
    assert (await store.rotate(presented(rows[0]), 0.0)).outcome is Outcome.ROTATED
    await store.get(rows[0].id)
    (pool,) = store.database._pools.values()  # type: ignore[attr-defined]
    (connection,) = pool._idle
    with wire(connection, tmp_path / "wire") as said:
        assert (await store.rotate(presented(rows[1]), 0.0)).outcome is Outcome.ROTATED
    assert [word for word in said if word.startswith("F")] == ROUND_TRIP
    assert said.count("B ReadyForQuery") == 1
    with wire(connection, tmp_path / "wire") as said:
        assert await store.get(rows[1].id) is not None
    assert [word for word in said if word.startswith("F")] == ROUND_TRIP


def test_a_sync_rotation_is_one_round_trip(sync_store: SyncSQLStore, tmp_path: Path):
    """The same without await."""
    rows = [session(), session()]
    for row in rows:
        sync_store.open(row, limit=10, now=time.time())
    sync_store.rotate(presented(rows[0]), 0.0)
    with sync_store.database._engine.connect() as held:  # type: ignore[attr-defined]
        connection = held.connection.driver_connection
    with wire(connection, tmp_path / "wire") as said:
        assert sync_store.rotate(presented(rows[1]), 0.0).outcome is Outcome.ROTATED
    assert [word for word in said if word.startswith("F")] == ROUND_TRIP


MANY = """
INSERT INTO stagedoor_sessions
SELECT decode(md5(n::text), 'hex'), 'bob', '', '', '{}', NULL, 0, '', 0, '', 0, NULL, NULL, 0, 0 FROM generate_series(1, %s) n"""
"""Sessions that have ended long ago."""


@pytest.mark.parametrize("statement", ["ROTATE", "LOOK", "REPLAY", "REUSE", "RECOVER", "GET"])
def test_each_statement_looks_the_row_up_by_its_key(url: str, statement: str):
    """Whatever is asked of a session, the plan is one look-up in the index of the primary key; the only other one is the list's."""
    told = statements.parameters_of(presented(session(), attempt=b"a" * 32), None)
    with psycopg.connect(url) as connection:
        connection.execute(MANY, [5_000])
        connection.execute("ANALYZE stagedoor_sessions")
        lines = connection.execute(f"EXPLAIN {getattr(statements, statement).pyformat}", told).fetchall()
        plan = "\n".join(line for (line,) in lines)
        assert "Index Scan using stagedoor_sessions_pkey" in plan
        assert "Seq Scan" not in plan
        indexes = connection.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'stagedoor_sessions'").fetchall()
        connection.rollback()
    assert {name for (name,) in indexes} == {"stagedoor_sessions_pkey", "stagedoor_sessions_subject"}


def test_a_row_that_becomes_right_while_it_is_looked_at():
    """Where the second statement finds what the first looked for, it starts again; after three times the store cannot say."""
    row = session()
    columns = [getattr(row, name) if name != "claims" else "{}" for name in statements.NAMES]
    steps = sessions.rotate(presented(row), time.time(), None)
    asked = [next(steps)[0]]

    def answer_for_ever() -> None:
        for answer in itertools.cycle([None, [time.time(), *columns]]):
            asked.append(steps.send(answer)[0])

    with pytest.raises(StoreError, match="kept changing"):
        answer_for_ever()
    assert asked == [statements.ROTATE, statements.LOOK] * 3


# Many at once


def test_six_processes(postgres_url: str):
    """Six processes with four threads each on one database, round after round: one is Rotated, all get the same successor."""
    six_processes_with_one_token(postgres_url)


def test_six_processes_that_start_at_once(postgres_url: str):
    """Six processes migrate the same new database at once and all work on it."""
    six_processes_that_start_at_once(postgres_url)


def test_the_limit_is_exact_and_nobody_locks_another_out(url: str, postgres: "Postgres"):
    """Logins and logouts everywhere of one subject at once, on connections of their own: never more than the limit, and no deadlock."""
    store = SyncSQLStore(url, connections=12)

    def log_in(number: int) -> None:
        store.open(session(), limit=3, now=time.time())

    def log_out(number: int) -> None:
        store.revoke_subject("ada", "all", time.time())

    with ThreadPoolExecutor(12) as pool:
        jobs = [pool.submit(log_out if number % 7 == 0 else log_in, number) for number in range(200)]
        while not all(job.done() for job in jobs):
            assert len(store.sessions("ada", time.time())) <= 3
        for job in jobs:
            job.result()
        list(pool.map(log_in, range(12)))
    assert len(store.sessions("ada", time.time())) == 3
    store.close()
    assert postgres.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = 'of_test_postgres'") == [(0,)]


@pytest.mark.parametrize("error", [psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure])
def test_a_job_that_gave_way_is_run_again(sync_store: SyncSQLStore, error: type[Exception]):
    """A deadlock is not the caller's trouble: the job runs again, three times in all."""
    tries: list[int] = []

    def gives_way(connection: object, times: int) -> int:
        tries.append(1)
        if len(tries) <= times:
            raise error
        return len(tries)

    assert sync_store.database.run(lambda connection: gives_way(connection, 2)) == 3
    tries.clear()
    with pytest.raises(StoreError):
        sync_store.database.run(lambda connection: gives_way(connection, 3))
    assert len(tries) == 3


async def test_counts_are_right_for_all_who_count(store: SQLStore):
    """Counters that many add to at once, in any order of the keys, lose nothing and never go below 0; they end by the server's clock."""
    counters = SQLCounters(store.database)
    keys = [bytes([number]) * 32 for number in range(4)]
    await asyncio.gather(*(counters.add(keys[:: 1 - 2 * (number % 2)], 1, lifetime=60, now=HOUR * number) for number in range(40)))
    assert [await counters.get(key, now=0.0) for key in keys] == [40] * 4
    assert await counters.add([keys[0], keys[1]], -50, lifetime=60, now=0.0) == [0, 0]
    assert await counters.add([b"x" * 32], 3, lifetime=0.0, now=0.0) == [3]
    assert await counters.get(b"x" * 32, now=0.0) == 0


async def test_two_accounts_of_one_name(postgres_url: str):
    """Of two who add the same name at once, one is told that it is taken."""
    store, passwords = SQLStore(postgres_url), Passwords(threads=2)
    accounts = Accounts(store.database, passwords)
    await asyncio.gather(accounts.migrate(), accounts.migrate())
    done = await asyncio.gather(*(accounts.add("Ada", "correct horse battery") for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, InvalidRequest) for each in done) == 3
    assert len(await accounts.list()) == 1
    passwords.close()
    await store.close()


# What can break


def test_a_server_that_was_killed_comes_back(tmp_path: Path):
    """While PostgreSQL is down every call is a StoreError, at once; when it is back the store works, and what was answered is there."""
    from servers import Postgres

    with Postgres(tmp_path / "pg") as server:
        sync_store = SyncSQLStore(server.url)
        sync_store.migrate()

        async def play() -> None:
            store = SQLStore(server.url)
            row = session()
            await store.open(row, limit=9, now=time.time())
            assert (await store.rotate(presented(row), 0.0)).outcome is Outcome.ROTATED
            assert sync_store.get(row.id) is not None
            server.kill()
            began = time.monotonic()
            calls = [
                lambda: store.rotate(presented(row), 0.0),
                lambda: store.get(row.id),
                lambda: store.revoke(row.id, "logout", 0.0),
                lambda: store.sessions("ada", 0.0),
                lambda: asyncio.to_thread(sync_store.rotate, presented(row), 0.0),
                lambda: asyncio.to_thread(sync_store.revoke_subject, "ada", "all", 0.0),
            ]
            for call in calls * 2:
                with pytest.raises(StoreError):
                    await call()
            assert time.monotonic() - began < 60  # none of twelve has waited for as long as a call may
            server.start()
            assert (await store.rotate(presented(row), 0.0)).outcome is Outcome.REPLAYED
            assert sync_store.rotate(presented(row), 0.0).outcome is Outcome.REPLAYED
            assert await store.revoke(row.id, "logout", 0.0)
            await store.close()

        asyncio.run(play())
        sync_store.close()


async def test_connections_that_the_server_ended_are_not_used(store: SQLStore, sync_store: SyncSQLStore, postgres: "Postgres"):
    """An idle connection that was terminated costs nobody an answer: it is seen before it is used."""
    row = session()
    for _ in range(2):
        await asyncio.gather(*(store.get(row.id) for _ in range(5)))
        sync_store.get(row.id)
        await store.sessions("ada", 0.0)
        postgres.sql("SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE application_name = 'stagedoor'")
        assert await store.get(row.id) is None
        assert sync_store.get(row.id) is None
        assert await store.sessions("ada", 0.0) == []


@pytest.mark.parametrize("kind", ["async", "sync", "job"])
async def test_a_server_that_stands_still(url: str, postgres: "Postgres", monkeypatch: pytest.MonkeyPatch, kind: str):
    """A server that neither answers nor goes away is waited for only so long; afterwards the store goes on."""
    store, sync_store, patience = SQLStore(url), SyncSQLStore(url), 30.0
    ask = {
        "async": lambda: store.get(b"?" * 16),
        "sync": lambda: asyncio.to_thread(sync_store.get, b"?" * 16),
        "job": lambda: asyncio.to_thread(sync_store.database.run, lambda c: c.scalar(sql_text("SELECT 1")), patience=patience),
    }[kind]
    await ask()
    patience = 0.3
    monkeypatch.setattr(connections.AsyncConnection, "patience", patience)
    monkeypatch.setattr(connections.SyncConnection, "patience", patience)
    found = postgres.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'stagedoor' AND datname = 'of_test_postgres'")
    for (pid,) in found:
        with suppress(ProcessLookupError):  # one of a test before, which ends just now
            os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreError, match="no answer in"):
            await asyncio.wait_for(ask(), 60)
    finally:
        for (pid,) in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    patience = 30.0
    await ask()
    await store.close()
    sync_store.close()


async def test_a_row_that_somebody_holds(url: str, monkeypatch: pytest.MonkeyPatch):
    """A rotation that waits for a lock is a StoreError in seconds, and nothing is written."""
    assert "lock_timeout=5s" in connections._OPTIONS
    monkeypatch.setattr(connections, "_OPTIONS", connections._OPTIONS.replace("lock_timeout=5s", "lock_timeout=300ms"))
    store = SQLStore(url)
    row = session()
    await store.open(row, limit=9, now=time.time())
    with psycopg.connect(url) as holder:
        holder.execute("SELECT 1 FROM stagedoor_sessions WHERE id = %s FOR UPDATE", [row.id])
        with pytest.raises(StoreError, match="LockNotAvailable"):
            await store.rotate(presented(row), 0.0)
    assert (await store.rotate(presented(row), 0.0)).outcome is Outcome.ROTATED
    await store.close()


async def test_more_ask_than_there_are_connections(url: str, monkeypatch: pytest.MonkeyPatch):
    """Who waits too long for a connection hears of it; nobody who waits is forgotten, and a caller that goes away leaves its place."""
    store = SQLStore(url, connections=1)
    row = session()
    await store.open(row, limit=9, now=time.time())
    await asyncio.gather(*(store.get(row.id) for _ in range(50)))
    monkeypatch.setattr(connections, "PATIENCE", 0.1)
    with psycopg.connect(url) as holder:
        holder.execute("SELECT 1 FROM stagedoor_sessions WHERE id = %s FOR UPDATE", [row.id])
        waiting = asyncio.create_task(store.rotate(presented(row), 0.0))
        await asyncio.sleep(0)  # it has the one connection
        with pytest.raises(StoreError, match="no connection"):
            await store.get(row.id)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    monkeypatch.undo()
    assert await store.get(row.id) is not None
    await store.close()


async def test_a_standby_is_not_asked(postgres_url: str, postgres: "Postgres"):
    """A server that takes no writes is a StoreError, for looking too: what it says may be old. When it takes them, the store goes on."""
    name = postgres_url.rpartition("/")[2]
    postgres.sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    store = SQLStore(postgres_url)
    with pytest.raises(StoreError):
        await store.get(b"?" * 16)
    postgres.sql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    await store.migrate()
    assert await store.get(b"?" * 16) is None
    await store.close()


async def test_a_primary_that_became_a_standby(postgres_url: str, postgres: "Postgres"):
    """A connection on which nothing can be written any more is thrown away with the first refusal."""
    store = SQLStore(postgres_url)
    await store.migrate()
    row = session()
    await store.open(row, limit=9, now=time.time())
    await store.get(row.id)
    (pool,) = store.database._pools.values()  # type: ignore[attr-defined]
    await pool._idle[0].execute("SET default_transaction_read_only = on")
    with pytest.raises(StoreError, match="ReadOnly"):
        await store.rotate(presented(row), 0.0)
    assert (await store.rotate(presented(row), 0.0)).outcome is Outcome.ROTATED
    await store.close()


async def test_tables_that_are_not_there(postgres_url: str):
    """Before `migrate` the error says what to do."""
    store = SQLStore(postgres_url)
    with pytest.raises(StoreError, match="migrate"):
        await store.get(b"?" * 16)
    with pytest.raises(StoreError, match="migrate"):
        await store.sessions("ada", 0.0)
    await store.close()


BROKEN = {
    "claims": "'[1]'",
    "seed": "'\\x00'",
    "digest": "''",
    "generation": "-5",
    "pepper_id": "70000",
    "idle_ends_at": "'NaN'",
    "absolute_ends_at": "'Infinity'",
    "attempt": "'\\x01'",
}


MENDED = {"pepper_id", "idle_ends_at", "attempt"}
"""What a rotation writes anew, whatever was there."""


@pytest.mark.parametrize("column", BROKEN)
async def test_a_row_that_is_none_of_ours(store: SQLStore, sync_store: SyncSQLStore, postgres: "Postgres", column: str):
    """A half-written or foreign row cannot be read, and the error names it; it hides no other, and can be ended."""
    broken, whole = session(), session()
    for row in (broken, whole):
        await store.open(row, limit=9, now=time.time())
    postgres.sql(f"UPDATE stagedoor_sessions SET {column} = {BROKEN[column]} WHERE id = %s", broken.id, database="of_test_postgres")
    with pytest.raises(SessionUnreadable) as caught:
        await store.get(broken.id)
    assert caught.value.session_id == encode(broken.id)
    with pytest.raises(SessionUnreadable):
        sync_store.get(broken.id)
    assert [row.id for row in await store.sessions("ada", 0.0)] == [whole.id]
    if column not in MENDED:
        with pytest.raises(SessionUnreadable):
            await store.rotate(presented(broken), 0.0)
        with pytest.raises(SessionUnreadable):
            sync_store.rotate(presented(broken), 0.0)
    await store.revoke_subject("ada", "all", 0.0)
    assert (await store.rotate(presented(whole), 0.0)).outcome is Outcome.REVOKED


FORKED = """
import os, sys
from stagedoor import KeySet, Peppers, SyncIssuer
from stagedoor.stores.sql import SyncSQLStore
store = SyncSQLStore(sys.argv[1])
store.migrate()
issuer = SyncIssuer("i", audience="a", store=store, keys=KeySet.generate(), peppers=Peppers.generate())
pair = issuer.issue("ada")
child = os.fork()
if child == 0:
    for _ in range(20):
        issuer.sessions("ada")
    issuer.revoke(issuer.refresh(pair.refresh_token).refresh_token)
    store.close()
    os._exit(0)
for _ in range(20):
    issuer.issue("parent")
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(status, len(issuer.sessions("parent")), issuer.sessions("ada"))
store.close()
"""


def test_a_fork_shares_no_connection(postgres_url: str):
    """Parent and child of a fork each speak on connections of their own, and the child's end does not end the parent's."""
    command = [sys.executable, "-W", "error", "-c", FORKED, postgres_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "0 20 []", done.stderr
    assert done.stderr == ""


def test_one_store_in_several_event_loops(url: str):
    """A store outlives an event loop: each has connections of its own, and those of one that has ended are closed."""
    store = SQLStore(url)
    row = session()

    async def ask() -> object:
        return await store.get(row.id)

    assert [asyncio.run(ask()) for _ in range(3)] == [None] * 3
    assert len(store.database._pools) == 1  # type: ignore[attr-defined]
    asyncio.run(store.close())


# Construction


@pytest.mark.parametrize("level", ["on", "remote_apply"])
def test_what_ends_a_session_is_committed_more_firmly(url: str, postgres: "Postgres", level: str):
    """revoke_commit counts for what ends sessions, and for nothing else; less than "on" is refused."""
    store = SyncSQLStore(url, revoke_commit=level)
    said: list[str] = []

    def level_after(work):
        def both(connection):
            work(connection)
            return connection.scalar(sql_text("SHOW synchronous_commit"))

        return store.database.run(both)

    postgres.sql("ALTER DATABASE of_test_postgres SET synchronous_commit = off")
    try:
        now = time.time()
        first, second = session(), session()
        said += [level_after(lambda c: sessions.open_session(c, first, 1, now, None))]
        said += [level_after(lambda c: sessions.settle(c, Outcome.RECOVERED, presented(first, generation=1), None))]
        assert said == ["off", "off"]
        said = [level_after(lambda c: sessions.open_session(c, second, 1, now, None))]  # ends the first
        said += [level_after(lambda c: sessions.settle(c, Outcome.REUSED, presented(second), None))]
        said += [level_after(lambda c: sessions.revoke(c, second.id, "logout", None, None))]
        said += [level_after(lambda c: sessions.revoke_subject(c, "ada", "all", None))]
        assert said == [level] * 4
        assert level_after(lambda c: None) == "off"
    finally:
        postgres.sql("ALTER DATABASE of_test_postgres RESET synchronous_commit")
        store.close()


def test_ending_again_waits_for_the_standbys_again(sync_store: SyncSQLStore):
    """A call that finds nothing left to end is committed like one that ends something: what it says is done, the standbys have too."""

    def writes(work) -> bool:
        def both(connection):
            work(connection)
            return connection.scalar(sql_text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL"))

        return sync_store.database.run(both)

    assert writes(lambda c: sessions.revoke(c, b"?" * 16, "logout", None, None))
    assert writes(lambda c: sessions.revoke_subject(c, "nobody", "all", None))
    assert not writes(lambda c: sessions.live_sessions(c, "nobody", None))


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("postgresql+asyncpg://localhost/a", {}),
        ("postgresql://localhost:port:port/a?nonsense=1", {}),
        ("postgresql://localhost/a", {"revoke_commit": "off"}),
        ("postgresql://localhost/a", {"connections": 0}),
    ],
)
def test_what_cannot_be_is_refused_at_once(given: str, options: dict):
    """Another driver, no URL at all, a weaker commit or no connections are a ValueError at construction."""
    with pytest.raises(ValueError, match=r"URL|revoke_commit|connections"):
        SyncSQLStore(given, **options)


@pytest.mark.parametrize("prefix", ["postgresql://", "postgres://", "postgresql+psycopg://"])
def test_each_way_to_write_the_url(url: str, prefix: str):
    """The three usual forms of the URL reach the same database."""
    store = SyncSQLStore(url.replace("postgresql://", prefix))
    assert store.get(b"?" * 16) is None
    store.close()


WITHOUT_DRIVER = """
import sys
sys.modules["psycopg"] = None
from stagedoor.stores.sql import SyncSQLStore
SyncSQLStore("sqlite://")
try:
    SyncSQLStore("postgresql://localhost/a")
except ImportError as missing:
    print(missing)
"""


def test_without_the_driver():
    """SQLite needs no driver of PostgreSQL; PostgreSQL without it says what to install."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_DRIVER], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == 'PostgreSQL needs its driver: pip install "stagedoor[postgres]"'


async def test_an_issuer_on_it(store: SQLStore, postgres: "Postgres"):
    """The road from login to theft, by the server's clock and with everything at its default."""
    issuer = Issuer("i", audience="a", store=store, keys=KeySet.generate(), peppers=Peppers.generate())
    pair = await issuer.issue("ada", claims={"deep": {"er": [1, None, "ü"]}})
    second = await issuer.refresh(pair.refresh_token)
    assert (await issuer.refresh(pair.refresh_token)).refresh_token == second.refresh_token
    postgres.sql("UPDATE stagedoor_sessions SET rotated_at = rotated_at - 61", database="of_test_postgres")
    third = await issuer.refresh(second.refresh_token)
    with pytest.raises(AuthError) as caught:
        await issuer.refresh(pair.refresh_token)
    assert caught.value.code == "refresh_token_reused"
    with pytest.raises(AuthError) as caught:
        await issuer.refresh(third.refresh_token)
    assert caught.value.code == "session_revoked"


def test_a_sync_issuer_on_it(sync_store: SyncSQLStore):
    """The same words without await."""
    issuer = SyncIssuer("i", audience="a", store=sync_store, keys=KeySet.generate(), peppers=Peppers.generate())
    pair = issuer.issue("ada")
    assert issuer.refresh(issuer.refresh(pair.refresh_token).refresh_token).subject == "ada"
    assert issuer.revoke_subject("ada") == 1


async def test_a_purge_takes_what_is_long_dead(store: SQLStore, postgres: "Postgres"):
    """A purge deletes in several transactions all that has been dead for longer than a late retry may take, and says how much it was."""
    now = time.time()
    live, lately = session(), session(idle_ends_at=now - KEPT_DEAD + 60)
    dead = [replace(lately, idle_ends_at=now - KEPT_DEAD - 1), replace(live, revoked_at=now - KEPT_DEAD - 1)]
    for row in (live, lately, *(replace(row, id=secrets.token_bytes(16)) for row in dead)):
        await store.open(row, limit=100, now=now)
    postgres.sql(MANY, 2_500, database="of_test_postgres")
    gone = await store.purge(now=now)
    assert 2_500 <= gone <= 2_502  # opening may have taken the others before
    assert await store.purge(now=now) == 0
    assert postgres.sql("SELECT count(*) FROM stagedoor_sessions", database="of_test_postgres") == [(2,)]
