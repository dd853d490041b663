"""What a power cut is in R6, and the fault that it must find."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faults.log import EventLog
from faults.places import Servers
from faults.power import Disk
from faults.r6_failover import play_forms
from faults.short import judged, run_of, told


@pytest.mark.parametrize("form", ["full", "normal"])
def test_power_cuts_of_sqlite(form: str, servers: Servers, log: EventLog) -> None:
    """With synchronous=FULL nothing acknowledged is lost; with NORMAL lost rotations are Recovered."""
    play_forms(run_of("R6", "sqlite", log, 5), servers, (form,))
    assert told(log) + judged(log) == []


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_a_setting_that_promises_too_much_is_found(store: str, servers: Servers, log: EventLog) -> None:
    """Commits that are not synced or not replicated, declared to be so: R6 says that they are not, and so does the checker."""
    play_forms(run_of("R6", store, log, 6), servers, ("broken",))
    assert any("rotations that were acknowledged are gone" in complaint for complaint in told(log))
    assert any("came back" in complaint for complaint in told(log))
    assert any("after its logout was acknowledged" in complaint for complaint in judged(log))


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
