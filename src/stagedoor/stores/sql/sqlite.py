"""SQLite: one file behind one writer thread; what waits together is committed together.

Never knows a table: it runs work that is handed to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import SQLAlchemyError

from stagedoor.errors import StoreError
from stagedoor.revocation import FeedClosed
from stagedoor.stores.sql.database import PATIENCE, Clock, R, Statement, Steps, fetch
from stagedoor.stores.sql.sqlite_reader import SQLiteReader, is_in_memory, pause

_Job = tuple[Callable[[Connection], Any], "Future[Any] | _Asked"]

_WAITING = 2048
"""Jobs that may wait; more are refused at once, so that nobody waits for long without hearing of it."""
_TOGETHER = 64
"""Jobs that share one commit at the most: one fsync serves them all."""
_NOTICEABLE = 1.0
"""Seconds that a job may have waited and still be of the moment that it was asked at."""


class SQLite:
    """Runs jobs, each a function of a SQLAlchemy connection, in order, on a thread of its own, in immediate transactions.

    WAL and synchronous=FULL: what was answered is on the disk. A job that fails is rolled back alone; jobs may run twice, so they write
    to nothing but the connection.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._survives_forks = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        self._thread: threading.Thread | None = None
        self._reader = None if is_in_memory(url) else SQLiteReader(url)
        self.heard = 0
        """As Database.heard: nobody says anything here."""

    def submit(self, work: Callable[[Connection], R], *, patience: float = PATIENCE) -> Future[R]:
        """Run this work; the future brings its result, its AuthError, or StoreError where the database is to blame or too much waits."""
        future: Future[R] = Future()
        self._put([(work, future)])
        return future

    def _put(self, jobs: list[_Job]) -> None:
        with self._lock:
            room = max(0, _WAITING - self._jobs.qsize())
            jobs, refused = jobs[:room], jobs[room:]
            if refused:
                _fail(refused, StoreError("too much waits to be written"))
                _tell(refused)
            self._let_go_before_forks()
            if self._thread is None or not self._thread.is_alive():
                self._jobs = queue.SimpleQueue()
                if self._reader is not None:
                    self._reader.is_closed = False
                self._thread = threading.Thread(target=self._work, args=(self._jobs,), name="stagedoor-sqlite", daemon=True)
                self._thread.start()
            for job in jobs:
                self._jobs.put(job)

    def run(self, work: Callable[[Connection], R], *, patience: float = PATIENCE) -> R:
        """As Database.run."""
        return self.submit(work).result()

    def follow(self, steps: Callable[[], Steps[R]]) -> R:
        """As Database.follow: all steps are one job."""
        return self.submit(lambda connection: _take(connection, steps())).result()

    async def follow_async(self, steps: Callable[[], Steps[R]]) -> R:
        """As Database.follow_async."""
        asked = _Asked()
        gathered = self._gathered.get(asked.loop)
        if gathered is None:
            gathered = self._gathered[asked.loop] = []
            asked.loop.call_soon(self._hand_over, asked.loop)
        gathered.append((lambda connection: _take(connection, steps()), asked))
        answer: R = await asked.future
        return answer

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """What a loop asked for in one turn goes to the writer together: it is woken once, and finds all that it can commit at once."""
        jobs = self._gathered.pop(loop)
        try:
            self._put(jobs)
        except Exception as error:  # noqa: BLE001 - no thread can be started, say: those who wait must hear of it
            _fail(jobs, StoreError(_reason(error)))
            _tell(jobs)

    def look(self, statement: Statement, parameters: Mapping[str, Any], *, opens: bool = True) -> list[Sequence[Any]]:
        """As Database.look: on this thread; nothing that is written is waited for."""
        if self._reader is None:
            if self._thread is None and not opens:
                raise FeedClosed("the store is closed")
            return self.run(lambda connection: fetch(connection, statement, parameters))
        with self._lock:
            self._let_go_before_forks()
        try:
            return self._reader.look(statement, parameters, opens=opens)
        except (sqlite3.Error, OSError) as error:
            raise _translated(error) from None

    def pause(self, heard: int, seconds: float) -> None:
        """As Database.pause."""
        pause(seconds)

    def wake(self) -> None:
        """As Database.wake: no pause is long."""

    def clock(self, now: float) -> Clock:
        """The caller's clock. Where a job waited for its turn, or for another process's lock, the moment is later than asked.

        Else a rotation would look older than it is, and an honest retry like a theft.
        """
        asked = time.monotonic()

        def read() -> float:
            waited = time.monotonic() - asked
            return now + waited if waited > _NOTICEABLE else now

        return read

    def close(self) -> None:
        """Finish the jobs that wait, close the connection, end the thread. A later submit opens all anew."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._jobs.put(None)
        if thread is not None:
            thread.join()
        if self._reader is not None:
            self._reader.close()

    def _let_go_before_forks(self) -> None:
        """SQLite must not be carried across a fork: its locks stay behind, and what the child is told is written would be lost."""
        if self._survives_forks or not hasattr(os, "register_at_fork"):
            return
        self._survives_forks = True
        this = weakref.ref(self)  # hooks cannot be taken back: they must not keep a database alive
        release = partial(_with, this, SQLite._go_on)
        os.register_at_fork(before=partial(_with, this, SQLite._close_and_hold), after_in_parent=release, after_in_child=release)

    def _close_and_hold(self) -> None:
        self._lock.acquire()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._jobs.put(None)
            thread.join()
        if self._reader is not None:
            self._reader.hold()

    def _go_on(self) -> None:
        if self._reader is not None:
            self._reader.release()
        self._lock.release()

    def _work(self, jobs: queue.SimpleQueue[_Job | None]) -> None:
        connection: Connection | None = None
        while (batch := _batch(jobs)) is not None:
            waiting = [(work, future) for work, future in batch if future.set_running_or_notify_cancel()]
            try:
                if connection is None:
                    connection = _connect(self._url)
                _run(connection, waiting)
            except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it and the thread must go on
                _fail(waiting, StoreError(_reason(error)))
                if connection is not None:
                    _disconnect(connection)
                connection = None  # the next batch tries a fresh one
            _tell(waiting)
        if connection is not None:
            _disconnect(connection)


class _Asked:
    """What an event loop waits for. The loop is woken once for all of its own that were committed together, not for each."""

    __slots__ = ("_done", "error", "future", "loop", "result")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None
        self._done = False

    def set_running_or_notify_cancel(self) -> bool:
        """As Future's: False where nobody waits any more."""
        return not self.future.cancelled()

    def done(self) -> bool:
        """As Future's."""
        return self._done

    def set_result(self, result: Any) -> None:
        """As Future's; told with the others."""
        self.result, self._done = result, True

    def set_exception(self, error: BaseException) -> None:
        """As Future's; told with the others."""
        self.error, self._done = error, True

    def tell(self) -> None:
        """To whoever waits, in the loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


def _tell(jobs: Iterable[_Job]) -> None:
    """Wake the loops that wait for these."""
    loops: dict[asyncio.AbstractEventLoop, list[_Asked]] = {}
    for _, asked in jobs:
        if isinstance(asked, _Asked):
            loops.setdefault(asked.loop, []).append(asked)
    for loop, waiting in loops.items():
        with contextlib.suppress(RuntimeError):  # it was closed: nobody waits
            loop.call_soon_threadsafe(_tell_all, waiting)


def _tell_all(waiting: list[_Asked]) -> None:
    for asked in waiting:
        asked.tell()


def _take(connection: Connection, steps: Steps[R]) -> R:
    """Take the steps inside a job's transaction, on the driver itself."""
    driver = cast("sqlite3.Connection", connection.connection.driver_connection)
    try:
        statement, parameters = next(steps)
        while True:
            rows = driver.execute(statement.named, parameters).fetchall()
            statement, parameters = steps.send(rows[0] if rows else None)
    except StopIteration as end:
        answer: R = end.value
        return answer


def _with(this: weakref.ref[SQLite], do: Callable[[SQLite], None]) -> None:
    database = this()
    if database is not None:
        do(database)


def _batch(jobs: queue.SimpleQueue[_Job | None]) -> list[_Job] | None:
    """What waits, at least one job; None when there is nothing more to come."""
    first = jobs.get()
    if first is None:
        return None
    batch = [first]
    while len(batch) < _TOGETHER:
        try:
            job = jobs.get_nowait()
        except queue.Empty:
            break
        if job is None:
            jobs.put(None)  # the end comes after this batch
            break
        batch.append(job)
    return batch


def _run(connection: Connection, jobs: list[_Job]) -> None:
    """All jobs in one transaction; where one of them fails, each in its own."""
    # A lock that does not come is nobody's own trouble: it is raised, and ends the batch after one wait, not one for each job.
    connection.connection.cursor().execute("BEGIN IMMEDIATE")
    try:
        results = [work(connection) for work, _ in jobs]
        _end(connection, connection.commit, connection.connection.commit)
    except BaseException as error:  # noqa: BLE001 - whatever a job raises belongs to whoever waits for it
        _end(connection, connection.rollback, connection.connection.rollback)
        if len(jobs) == 1:
            _fail(jobs, _translated(error))
            return
        for job in jobs:
            _run(connection, [job])
        return
    for (_, future), result in zip(jobs, results, strict=True):
        future.set_result(result)


def _end(connection: Connection, layered: Callable[[], None], raw: Callable[[], None]) -> None:
    """End the transaction for SQLAlchemy, which knows of it only if a job used its statements, and for the driver."""
    if connection.in_transaction():
        layered()
    raw()


def _connect(url: str) -> Connection:
    engine = create_engine(
        url, hide_parameters=True, connect_args={"isolation_level": None, "timeout": PATIENCE, "check_same_thread": False}
    )
    connection = engine.connect()
    try:
        cursor = connection.connection.cursor()
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
    except BaseException:
        _disconnect(connection)
        raise
    return connection


def _disconnect(connection: Connection) -> None:
    with contextlib.suppress(sqlite3.Error, SQLAlchemyError):  # a broken one may refuse even this
        connection.close()
    connection.engine.dispose()


def _write_ahead(cursor: Any) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            # Several processes that make a new file at once: this one statement does not wait for the lock by itself.
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def _fail(jobs: list[_Job], error: BaseException) -> None:
    for _, future in jobs:
        if not future.done():
            future.set_exception(error)


def _translated(error: BaseException) -> BaseException:
    return StoreError(_reason(error)) if isinstance(error, sqlite3.Error | SQLAlchemyError | OSError) else error


def _reason(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    hint = ": run store.migrate(), or `stagedoor migrate`, first" if "no such table" in str(cause) else ""
    return f"{type(cause).__name__}: {cause}{hint}"
