"""How the log of the SQL store is followed on PostgreSQL: in whatever order transactions are committed, whatever happens to the server."""

import asyncio
import random
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy import text as sql_text
from sqlalchemy.pool import NullPool

from patience import PATIENCE, patient
from stagedoor.errors import StoreError
from stagedoor.revocation import EXPECTED, MARGIN, FeedClosed, Revocations
from stagedoor.stores.sql import SQLStore, SyncSQLStore, postgres_reader, records, tables
from stores.followers import FORKED, Subscriber, names, record_of, refused_within, two_processes

if TYPE_CHECKING:
    from servers import PgBouncer, Postgres


@pytest.fixture
def url(postgres_url: str) -> str:
    store = SyncSQLStore(postgres_url)
    store.migrate()
    store.close()
    return postgres_url


@pytest.fixture
def store(url: str) -> Iterator[SyncSQLStore]:
    store = SyncSQLStore(url)
    yield store
    store.close()


class Writers:
    """Connections that each hold a transaction open for as long as a test likes."""

    def __init__(self, url: str, count: int) -> None:
        self._engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
        self.connections = [self._engine.connect() for _ in range(count)]

    def write(self, connection: Connection) -> str:
        """A record, in the connection's transaction."""
        session_id = secrets.token_bytes(16)
        records.end_sessions(connection, [session_id], time.time())
        return record_of(session_id)

    def close(self) -> None:
        for connection in self.connections:
            connection.connection.rollback()
            connection.close()
        self._engine.dispose()


@pytest.fixture
def writers(url: str) -> Iterator[Writers]:
    made = Writers(url, 6)
    yield made
    made.close()


# Order


def test_who_came_first_and_commits_last(store: SyncSQLStore, writers: Writers):
    """A transaction that has its place before others, and is committed after them, is read from the cursor of who has read these."""
    log = store.log
    early, late, undone, *_ = writers.connections
    before = log.read(None)
    first = writers.write(early)
    writers.write(undone)
    second = writers.write(late)
    late.connection.commit()
    page = log.read(before.cursor)
    assert names(page) == [second]
    assert names(log.read(page.cursor)) == []
    undone.connection.rollback()
    assert names(log.read(page.cursor)) == []
    early.connection.commit()
    page = log.read(page.cursor)
    assert names(page) == [first]
    assert names(log.read(page.cursor)) == []
    assert sorted(names(log.read(before.cursor))) == sorted([first, second])


def test_who_began_before_anybody_read(store: SyncSQLStore, writers: Writers):
    """A transaction that was under way at the first reading of all, and one begun before it that writes only afterwards, are not missed."""
    log = store.log
    under_way, idle, *_ = writers.connections
    first = writers.write(under_way)
    idle.connection.cursor().execute("SELECT pg_current_xact_id()")  # it has its number, and nothing else
    page = log.read(None)
    assert names(page) == []
    second = writers.write(idle)
    idle.connection.commit()
    page = log.read(page.cursor)
    assert names(page) == [second]
    under_way.connection.commit()
    assert names(log.read(page.cursor)) == [first]


@pytest.mark.parametrize("seed", range(5))
def test_transactions_in_any_order(store: SyncSQLStore, writers: Writers, seed: int):
    """Whatever begins, is committed or rolled back when, each look brings exactly what was committed since the last one."""
    rng, log = random.Random(seed), store.log
    open_: dict[Connection, list[str]] = {connection: [] for connection in writers.connections}
    cursor, committed = log.read(None).cursor, []
    for _ in range(300):
        connection = rng.choice(writers.connections)
        match rng.randrange(5):
            case 0 | 1:
                open_[connection].append(writers.write(connection))
            case 2:
                connection.connection.commit()
                committed += open_[connection]
                open_[connection] = []
            case 3:
                connection.connection.rollback()
                open_[connection] = []
            case _:
                page = log.read(cursor)
                assert sorted(names(page)) == sorted(committed)
                assert (page.cursor == cursor) is (committed == [])
                cursor, committed = page.cursor, []


def test_a_read_is_cheap_however_long_somebody_writes(url: str, store: SyncSQLStore, writers: Writers):
    """While one transaction stays open for long, each look still finds what is new by an index, and not by reading all since then."""
    (long, other, *_) = writers.connections
    long.connection.cursor().execute("SELECT pg_current_xact_id()")
    cursor = store.log.read(None).cursor
    records.end_sessions(other, [secrets.token_bytes(16) for _ in range(20_000)], time.time())
    other.connection.commit()
    cursor = store.log.read(cursor).cursor
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE stagedoor_revocations")
        _, _, end, open_ = cursor.rpartition(".")[2].split(":")
        told = {"log": cursor.partition(":")[0], "end": int(end), "open": f"{{{open_}}}"}
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {statement()}", told).fetchall())
    assert open_
    assert plan.count("stagedoor_revocations_mark") == 2
    assert "Seq Scan on stagedoor_revocations" not in plan


def statement() -> str:
    from stagedoor.stores.sql import log

    return log._ON_POSTGRES


def test_a_cursor_never_reaches_the_server_as_text(store: SyncSQLStore):
    """A cursor of the right log whose snapshot is none, or somebody else's text, reads everything, or too much; nothing fails."""
    store.revoke_subject("nobody", "all", time.time())
    record = store.log.revoke_key("kid", time.time())
    name, _, snapshot = store.log.read(None).cursor.partition(":")
    strange = [
        "1:2",
        "a:b:c",
        "1:1:1'; DROP TABLE stagedoor_revocations; --",
        "1:{}:",
        "٣:٣:",
        f"1:{2**63}:",
        f"1:{2**64}:5",
        "1:1:,,",
        "0:0:0",
    ]
    for position in [*strange, f"{snapshot}x", f"{snapshot};", f"{snapshot}\n", "1:1:" + "9" * 30]:
        assert list(store.log.read(f"{name}:{position}").records) == [record], position
    assert list(store.log.read(f"{name}\0:{snapshot}").records) == [record]


# The server


def test_after_a_restart_everything_is_read(tmp_path: Path):
    """A cursor of before a restart reads everything; who follows hears what is new although its connection was lost."""
    from servers import Postgres

    with Postgres(tmp_path / "pg") as server:
        store = SyncSQLStore(server.url)
        store.migrate()
        store.log.expect(7200)
        first = store.log.revoke_key("first", 0.0)
        cursor = store.log.read(None).cursor
        assert names(store.log.read(cursor)) == []
        with Subscriber(store) as subscriber:
            assert subscriber.has("first")
            server.kill()
            time.sleep(0.5)
            server.start()
            second = store.log.revoke_key("second", 0.0)
            assert subscriber.has("second", within=30)
        assert list(store.log.read(cursor).records) == [first, second]
        store.close()


def test_a_standby_that_takes_over(tmp_path: Path):
    """What waits for a standby is no record yet, and one when it has it; the standby, promoted, is read whole."""
    from servers import Postgres

    with Postgres(tmp_path / "pg") as primary:
        standby = primary.standby(tmp_path / "standby", synchronous=True)
        store = SyncSQLStore(primary.url)
        store.migrate()
        cursor = store.log.read(None).cursor
        primary.sql("ALTER SYSTEM SET synchronous_commit = local")  # for all but what ends something
        primary.sql("SELECT pg_reload_conf()")
        standby.stop()
        firm = SyncSQLStore(primary.url, revoke_commit="on")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(firm.log.revoke_key, "waits", 0.0)
            time.sleep(1)
            assert not waiting.done()
            assert names(store.log.read(cursor)) == []
            standby.start()
            waiting.result()
        page = store.log.read(cursor)
        assert names(page) == ["waits"]
        primary.kill()
        standby.promote()
        promoted = SyncSQLStore(standby.url)
        assert names(promoted.log.read(page.cursor)) == ["waits"]
        for each in (store, firm, promoted):
            each.close()
        standby.stop()


def test_a_log_that_was_put_back(url: str, store: SyncSQLStore):
    """Records that a backup brings back, of whatever server, are read by who had read on; the life that issuers had told is told again."""
    old = [store.log.revoke_key(f"old-{n}", 0.0) for n in range(3)]
    with psycopg.connect(url) as connection:
        with connection.cursor().copy("COPY stagedoor_revocations TO STDOUT") as copy:
            backup = b"".join(copy)
        connection.commit()
        store.log.expect(7200)
        store.log.revoke_key("lost", 0.0)
        cursor = store.log.read(None).cursor
        assert names(store.log.read(cursor)) == []
        connection.execute("TRUNCATE stagedoor_revocations")
        with connection.cursor().copy("COPY stagedoor_revocations FROM STDIN") as copy:
            copy.write(backup)
        connection.execute("UPDATE stagedoor_revocations SET mark = 5 WHERE position > 0")  # of a server that is younger
        connection.commit()
        page = store.log.read(cursor)
        assert sorted(page.records) == sorted(old)
        cursor = store.log.read(page.cursor).cursor  # since then it is told again, which makes it another one once more
        assert names(store.log.read(cursor)) == []
        connection.execute("UPDATE stagedoor_revocations SET mark = 999999999999 WHERE position = 1")  # of one that is older
        connection.commit()
        cursor = store.log.read(cursor).cursor
        began = time.monotonic()
        assert names(store.log.read(cursor, 0.3)) == ["old-0"]
        assert time.monotonic() - began > 0.25
    record = store.log.revoke_key("new", 0.0)
    assert record.until - record.written == pytest.approx(7200 + MARGIN, abs=1e-3)


def test_a_cursor_stays_short_however_many_write(url: str, store: SyncSQLStore):
    """Where very many transactions are under way at one time some records come twice, rather than a cursor longer than a URL."""
    writers = Writers(url, 150)
    for connection in writers.connections:
        connection.connection.cursor().execute("SELECT pg_current_xact_id()")
    page = store.log.read(None)
    done = []
    for connection in writers.connections[1:140:4]:
        done.append(writers.write(connection))
        connection.connection.commit()
    page = store.log.read(page.cursor)
    assert sorted(names(page)) == sorted(done)
    assert len(page.cursor) < 100
    assert set(names(store.log.read(page.cursor))) <= set(done)
    late = writers.write(writers.connections[0])
    writers.connections[0].connection.commit()
    page = store.log.read(page.cursor)
    assert late in names(page)
    writers.close()
    page = store.log.read(page.cursor)
    assert names(store.log.read(page.cursor)) == []


def test_records_of_the_servers_own_moment(store: SyncSQLStore):
    """When something was written, until when it counts and what time it is are the server's word, whatever a caller's clock says."""
    page = store.log.read(None)
    record = store.log.revoke_issuer("https://auth.example", 100.0, 5.0)
    assert page.now == pytest.approx(time.time(), abs=30)
    assert record.written == pytest.approx(time.time(), abs=30)
    assert record.until == record.written + 100
    assert record.through == int(record.written) + 6
    record = store.log.revoke_key("kid", 5.0)
    assert record.until == pytest.approx(record.written + EXPECTED + MARGIN, abs=1e-3)
    assert list(store.log.read(page.cursor).records)[1:] == [record]


def test_a_longer_life_waits_for_what_is_being_ended(store: SyncSQLStore, writers: Writers):
    """While something is being ended nobody is told that tokens may live longer: else one of them could outlive the record."""
    (ending, *_) = writers.connections
    at = records.begin(ending, None)
    records.end_sessions(ending, [b"s" * 16], at)
    told = threading.Event()

    def tell() -> None:
        store.log.expect(7200)
        told.set()

    thread = threading.Thread(target=tell)
    thread.start()
    assert not told.wait(0.5)
    ending.connection.commit()
    assert told.wait(30)
    thread.join()
    (short,) = store.log.read(None).records
    assert short.until - short.written == pytest.approx(EXPECTED + MARGIN, abs=1e-3)
    long = store.log.revoke_key("kid", 0.0)
    assert long.until - long.written == pytest.approx(7200 + MARGIN, abs=1e-3)


@pytest.mark.parametrize("level", ["on", "remote_apply"])
def test_what_is_revoked_is_committed_more_firmly(url: str, postgres: "Postgres", level: str):
    """revoke_commit counts for keys, for everything of an issuer, and for the life that is told."""
    store = SyncSQLStore(url, revoke_commit=level)
    postgres.sql(f'ALTER DATABASE "{url.rpartition("/")[2]}" SET synchronous_commit = off')

    def level_after(work) -> str:
        def both(connection):
            work(connection)
            return connection.scalar(sql_text("SHOW synchronous_commit"))

        return store.database.run(both)

    assert level_after(lambda c: None) == "off"
    assert level_after(lambda c: records.revoke_key(c, "kid", None)) == level
    assert level_after(lambda c: records.revoke_issuer(c, "i", 60.0, None)) == level
    assert level_after(lambda c: records.expect(c, 60.0)) == level
    store.close()


# Waiting


def listeners(postgres: "Postgres", url: str) -> list[int]:
    """The connections that listen in this database."""
    found = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = 'stagedoor' AND query NOT LIKE '%%COMMIT%%'"
    return [pid for (pid,) in postgres.sql(found, url.rpartition("/")[2])]


def nobody_listens(postgres: "Postgres", url: str) -> None:
    """Soon: a server may take a while to see that a connection is closed."""
    until = time.monotonic() + PATIENCE
    while listeners(postgres, url):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_who_listens_is_woken_at_once(url: str, store: SyncSQLStore, monkeypatch: pytest.MonkeyPatch):
    """Who waits has a record that another process wrote long before its time is over, and reads nothing meanwhile."""
    monkeypatch.setattr(postgres_reader, "_LONGEST", 60.0)
    other = SyncSQLStore(url)
    cursor = store.log.read(None).cursor
    for number in range(5):
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(store.log.read, cursor, 60.0) for _ in range(3)]  # the connection is one for all
            time.sleep(0.2)
            began = time.monotonic()
            other.log.revoke_key(f"kid-{number}", 0.0)
            pages = [each.result() for each in waiting]
            assert time.monotonic() - began < 30
        assert [names(page) for page in pages] == [[f"kid-{number}"]] * 3
        cursor = pages[0].cursor
    other.close()


def test_what_was_written_between_two_reads_is_not_waited_for(store: SyncSQLStore, monkeypatch: pytest.MonkeyPatch):
    """Whoever comes back later does not wait for something newer still, whoever read meanwhile."""
    monkeypatch.setattr(postgres_reader, "_LONGEST", 60.0)
    log = store.log
    cursor = log.read(log.read(None).cursor, 0.01).cursor
    log.revoke_key("kid", 0.0)
    began = time.monotonic()
    assert names(log.read(cursor, 60.0)) == ["kid"]
    assert names(log.read(cursor, 60.0)) == ["kid"]
    assert time.monotonic() - began < 30


def test_a_listener_that_was_killed(url: str, store: SyncSQLStore, postgres: "Postgres"):
    """Whoever waits on a connection that the server ends goes on with another one, and misses nothing."""
    other = SyncSQLStore(url)
    cursor = store.log.read(None).cursor
    with ThreadPoolExecutor(1) as pool:
        for number in range(3):
            waiting = pool.submit(store.log.read, cursor, 60.0)
            time.sleep(0.2)
            until = time.monotonic() + 30
            while not any(postgres.sql("SELECT pg_terminate_backend(%s)", pid) for pid in listeners(postgres, url)):
                assert time.monotonic() < until
                time.sleep(0.05)
            time.sleep(0.2)
            other.log.revoke_key(f"kid-{number}", 0.0)
            page = waiting.result(30)
            assert names(page) == [f"kid-{number}"]
            cursor = page.cursor
    other.close()


def test_behind_pgbouncer_nobody_listens(url: str, pgbouncer: "PgBouncer", postgres: "Postgres"):
    """Where a session of the server is anybody's it is asked again and again instead, and what is new is there soon."""
    store = SyncSQLStore(pgbouncer.url_of(url.rpartition("/")[2]), statement_cache=False)
    direct = SyncSQLStore(url)
    cursor = store.log.read(None).cursor
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.log.read, cursor, 60.0)
        time.sleep(0.5)
        direct.log.revoke_key("kid", 0.0)
        assert names(waiting.result(30)) == ["kid"]
    last = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND query LIKE 'LISTEN%%'"
    assert postgres.sql(last, url.rpartition("/")[2]) == [(0,)]
    direct.close()
    store.close()


def test_reading_needs_none_of_the_stores_connections(url: str):
    """However long all others are held, what was revoked is heard of."""
    store, other = SyncSQLStore(url, connections=1), SyncSQLStore(url)
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(store.database.run, lambda connection: done.wait(20))
        record = other.log.revoke_key("kid", 0.0)
        assert list(store.log.read(None).records) == [record]
        done.set()
        holding.result()
    store.close()
    other.close()


def test_a_server_that_stands_still(url: str, monkeypatch: pytest.MonkeyPatch):
    """A read that is never answered is a StoreError in the time that anything may take."""
    store = SyncSQLStore(url)
    cursor = store.log.read(None).cursor
    connection = store.database._reader._connection  # type: ignore[attr-defined]
    monkeypatch.setattr(type(connection), "patience", 0.3)
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE stagedoor_revocations")
        with pytest.raises(StoreError, match="no answer in"):
            store.log.read(cursor)
    monkeypatch.undo()
    assert names(store.log.read(cursor)) == []
    store.close()


async def test_tables_that_are_not_there(postgres_url: str):
    """Before `migrate` the error says what to do."""
    store = SQLStore(postgres_url)
    for wait in (0.0, 0.1):
        with pytest.raises(StoreError, match="migrate"):
            await asyncio.to_thread(store.log.read, None, wait)
    await store.migrate()
    assert names(await asyncio.to_thread(store.log.read, None, 0.1)) == []
    await store.close()


def test_who_only_verifies_needs_to_read_two_tables(url: str, store: SyncSQLStore, postgres: "Postgres"):
    """A role that may read the log and the sessions, and nothing else, follows and asks."""
    name = url.rpartition("/")[2]
    postgres.sql("DROP ROLE IF EXISTS verifying")
    postgres.sql("CREATE ROLE verifying LOGIN")
    postgres.sql("GRANT SELECT ON stagedoor_revocations, stagedoor_sessions TO verifying", database=name)
    reader = SyncSQLStore(url.replace("stagedoor@", "verifying@"))
    with Subscriber(reader) as subscriber:
        assert not subscriber.has("kid", within=0.3)
        store.log.revoke_key("kid", 0.0)
        assert subscriber.has("kid")
    assert reader.get(b"?" * 16) is None
    with pytest.raises(StoreError, match="InsufficientPrivilege"):
        reader.log.revoke_key("other", 0.0)
    reader.close()
    postgres.sql("DROP OWNED BY verifying", database=name)
    postgres.sql("DROP ROLE verifying")


# Several


async def test_one_revokes_and_the_other_refuses(url: str):
    """Of two issuers on two stores of one database, what one ends the other's verifier refuses within a second."""
    await refused_within(1.0, SQLStore(url), SQLStore(url))


async def test_one_revokes_and_the_other_refuses_behind_pgbouncer(url: str, pgbouncer: "PgBouncer"):
    """The same through PgBouncer, on both sides."""
    bounced = pgbouncer.url_of(url.rpartition("/")[2])
    await refused_within(1.0, SQLStore(bounced, statement_cache=False), SQLStore(bounced, statement_cache=False))


def test_two_processes(url: str):
    """What one process ends another one that follows hears of, each time, within a second."""
    assert two_processes(url) < 1.0


def test_a_store_that_is_closed_while_it_is_followed(url: str, postgres: "Postgres"):
    """It stays closed: whoever waits is told so, and no connection comes back; asked without a wait it opens anew."""
    store = SyncSQLStore(url)
    revocations = patient(Revocations.following(store), bound=PATIENCE)
    revocations.follow()
    revocations.hear()
    store.close()
    closed = time.monotonic()
    with pytest.raises(FeedClosed):
        store.log.read(None, 0.1)
    nobody_listens(postgres, url)
    time.sleep(0.6)
    assert listeners(postgres, url) == []
    since = time.monotonic() - closed
    assert revocations.knowledge().age >= since  # type: ignore[operator]  # nothing was heard in all that time
    revocations.hear()
    assert revocations.is_fresh
    revocations.close()
    store.close()


def test_closing_again_and_again(url: str, postgres: "Postgres"):
    """At whatever moment a store is closed, whoever follows it opens nothing."""
    store = SyncSQLStore(url)
    for number in range(30):
        revocations = patient(Revocations.following(store, bound=0.05))
        revocations.hear()
        time.sleep(number / 2000)
        store.close()
        revocations.close()
    nobody_listens(postgres, url)


def test_a_fork_while_it_is_followed(url: str):
    """Parent and child of a fork follow on connections of their own, and each hears of what both end."""
    command = [sys.executable, "-W", "error", "-c", FORKED, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "True 0", done.stderr
    assert done.stderr == ""


def test_the_tables_are_those_of_the_migrations(url: str):
    """What the migrations make is what the statements take for granted."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": lambda thing, name, *_: name != "stagedoor_schema"})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_a_few_go_with_each_write_and_nobody_waits(store: SyncSQLStore, writers: Writers):
    """What is over goes a few at a time; one that somebody is at is left alone."""
    (holder, writer, *_) = writers.connections
    records.end_sessions(writer, [bytes([n]) * 16 for n in range(40)], 0.0)
    writer.connection.commit()
    counts = []
    holder.connection.cursor().execute(
        "SELECT 1 FROM stagedoor_revocations WHERE until < 10000 ORDER BY until, position LIMIT 3 FOR UPDATE"
    )
    for _ in range(5):
        store.log.revoke_key("kid", 0.0)
        counts.append(len(names(store.log.read(None))))
    assert counts == [25, 10, 6, 7, 8]  # 16, 16 and the five others; then three stay
    holder.connection.rollback()
    store.log.revoke_key("kid", 0.0)
    assert len(names(store.log.read(None))) == 6
