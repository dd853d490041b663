"""R6 in short on every store; what a power cut is; and the fault that R6 must find."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faults.checker import judge
from faults.log import Complaint, EventLog, read
from faults.places import Servers
from faults.power import Disk
from faults.r6_failover import play_forms
from faults.run import Run
from faults.suite import TESTS, wanted


def run_of(log: EventLog, store: str, failovers: int) -> Run:
    return Run("R6", store, failovers, log, 6, TESTS["R6"].what)


def complaints(log: EventLog) -> list[str]:
    log.flush()
    return [line.text for line in read(log.path) if isinstance(line, Complaint)]


@pytest.mark.parametrize("store", TESTS["R6"].stores)
def test_a_failover_logs_nobody_out(store: str, servers: Servers, log: EventLog) -> None:
    """While 64 clients refresh, the store is lost and another takes its place: all go on, and what was promised is there."""
    run = run_of(log, store, wanted("R6", store, short=True))
    TESTS["R6"].play(run, servers)
    assert complaints(log) == []
    assert run.left == 0
    assert list(judge(read(log.path))) == []


@pytest.mark.parametrize("form", ["full", "normal"])
def test_power_cuts_of_sqlite(form: str, servers: Servers, log: EventLog) -> None:
    """With synchronous=FULL nothing acknowledged is lost; with NORMAL lost rotations are Recovered."""
    run = run_of(log, "sqlite", 5)
    play_forms(run, servers, (form,))
    assert complaints(log) == []
    assert list(judge(read(log.path))) == []


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_a_setting_that_promises_too_much_is_found(store: str, servers: Servers, log: EventLog) -> None:
    """Commits that are not synced or not replicated, declared to be so: R6 says that they are not, and so does the checker."""
    run = run_of(log, store, 6)
    play_forms(run, servers, ("broken",))
    told = complaints(log)
    assert any("rotations that were acknowledged are gone" in complaint for complaint in told)
    assert any("came back" in complaint for complaint in told)
    assert any("after its logout was acknowledged" in complaint for complaint in judge(read(log.path)))


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    made.insert()
    yield made
    made.remove()


@pytest.mark.parametrize(("mode", "firm"), [("FULL", True), ("NORMAL", False)])
def test_what_a_power_cut_leaves(disk: Disk, tmp_path: Path, mode: str, firm: bool) -> None:
    """What SQLite has synced is there after a cut, in one piece; what it has only written is sometimes not."""
    database = tmp_path / "before.db"
    found = []
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE numbers (number)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute(f"PRAGMA synchronous={mode}")
        for number in range(1, 21):
            connection.execute("INSERT INTO numbers VALUES (?)", (number,))
            copy = tmp_path / f"after-{number}.db"
            disk.cut(random.Random(number), database, copy)
            with closing(sqlite3.connect(copy)) as after:
                assert after.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                found.append(after.execute("SELECT count(*) FROM numbers").fetchone()[0] == number)
    assert all(found) is firm
