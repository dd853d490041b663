"""The SQL store on SQLite keeps the contract, with and without await, and with several processes on one file."""

import contextlib
import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stagedoor import KeySet, Peppers, SyncIssuer
from stagedoor.stores import sql
from stagedoor.testing.clock import FixedClock
from stagedoor.testing.contract import StoreContract, SyncStoreContract


class TestSQLStore(StoreContract):
    """SQLStore on a file under the contract."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[sql.SQLStore]:
        store = sql.SQLStore(f"sqlite:///{tmp_path / 'auth.db'}")
        await store.migrate()
        yield store
        await store.close()


class TestSyncSQLStore(SyncStoreContract):
    """SyncSQLStore on a file under the contract, raced by threads."""

    @pytest.fixture
    def sync_store(self, tmp_path: Path) -> Iterator[sql.SyncSQLStore]:
        store = sql.SyncSQLStore(f"sqlite:///{tmp_path / 'auth.db'}")
        store.migrate()
        yield store
        store.close()


PROCESSES = 6
THREADS = 4
ROUNDS = 3


def test_sixteen_threads_with_a_store_each(tmp_path: Path):
    """Sixteen connections to one file, one a thread, with the same token: one is Rotated, all get the same successor."""
    text, issuer = first_token(tmp_path)
    barrier = threading.Barrier(16)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: refresh_at(barrier, tmp_path, text), range(16)))
    assert_one_rotated(answers, text, issuer)


def test_six_processes_with_one_token(tmp_path: Path):
    """Six processes with four threads each on one file, round after round: one is Rotated, all get the same successor."""
    text, issuer = first_token(tmp_path)
    spawn = multiprocessing.get_context("spawn")
    barrier, answers = spawn.Barrier(PROCESSES * THREADS + 1), spawn.Queue()  # with us: a round begins when we have judged the last
    processes = [spawn.Process(target=play, args=(barrier, answers, tmp_path, text)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for _ in range(ROUNDS):
        barrier.wait(60)
        found = [answers.get(timeout=60) for _ in range(PROCESSES * THREADS)]
        text = assert_one_rotated(found, text, issuer)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def test_processes_that_start_at_once_on_a_new_file(tmp_path: Path):
    """Six processes migrate the same new file at once and all work on it."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(PROCESSES)
    processes = [spawn.Process(target=migrate_and_open, args=(barrier, tmp_path)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(issuer_on(tmp_path, []).sessions("ada")) == PROCESSES


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'auth.db'}"


def issuer_on(folder: Path, told: list[str], now: float = 1_750_000_000.0) -> SyncIssuer:
    return SyncIssuer(
        "https://auth.example",
        audience="https://api.example",
        store=sql.SyncSQLStore(url(folder)),
        keys=KeySet.from_secret(b"the same in each of these processes"),
        peppers=Peppers(b"the same in each of these processes"),
        events=lambda event: told.append(event.name),
        clock=FixedClock(now),
    )


def first_token(folder: Path) -> tuple[str, SyncIssuer]:
    issuer = issuer_on(folder, [])
    issuer.store.migrate()
    return issuer.issue("ada").refresh_token, issuer


def refresh_at(barrier, folder: Path, text: str, now: float = 1_750_000_000.0) -> tuple[list[str], str]:
    told: list[str] = []
    issuer = issuer_on(folder, told, now)
    issuer.store.get(b"?" * 16)  # the file is open: what races is the rotation
    barrier.wait(60)
    answer = issuer.refresh(text).refresh_token
    issuer.store.close()
    return told, answer


def play(barrier, answers, folder: Path, text: str) -> None:
    for number in range(ROUNDS):
        with ThreadPoolExecutor(THREADS) as pool:
            now = 1_750_000_000.0 + 60 * number
            found = list(pool.map(lambda _: refresh_at(barrier, folder, text, now), range(THREADS)))  # noqa: B023 - awaited here
        for each in found:
            answers.put(each)
        text = found[0][1]


def migrate_and_open(barrier, folder: Path) -> None:
    issuer = issuer_on(folder, [])
    barrier.wait(60)
    issuer.store.migrate()
    issuer.issue("ada")
    issuer.store.close()


def assert_one_rotated(answers: list[tuple[list[str], str]], text: str, issuer: SyncIssuer) -> str:
    """One Rotated, the others Replayed; all with the one successor of the text, which is returned."""
    assert sorted(name for told, _ in answers for name in told) == ["refresh_replayed"] * (len(answers) - 1) + ["refresh_rotated"]
    (successor,) = {answer for _, answer in answers}
    before, after = (issuer.peppers.parse(each, 0.0) for each in (text, successor))
    assert (after.session_id, after.generation) == (before.session_id, before.generation + 1)
    assert after.secret == issuer.peppers.successor(before, 0.0)
    session = issuer.store.get(after.session_id)
    assert session is not None
    assert (session.generation, session.digest) == (after.generation, after.digest)
    return successor


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


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:///a.db", "postgresql://localhost/a", "auth.db", ""])
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


def test_a_late_rotation_is_not_older_than_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A rotation that waited long for its turn is written with the moment when it had it: the retry is Replayed, not Reused."""
    now = 1_750_000_000.0
    text, issuer = first_token(tmp_path)
    moments = iter([0.0, 55.0, 100.0, 100.0])
    with monkeypatch.context() as patched:
        patched.setattr("stagedoor.stores.sql.time.monotonic", lambda: next(moments))
        successor = issuer.refresh(text).refresh_token
    (session,) = issuer.sessions("ada")
    assert session.rotated_at == now + 55
    issuer.store.close()
    told: list[str] = []
    assert issuer_on(tmp_path, told, now + 70).refresh(text).refresh_token == successor
    assert told == ["refresh_replayed"]
