"""R2 in short on every store; and the fault that it must find."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.broken import BrokenPlace, SelectThenUpdate
from faults.checker import judge
from faults.log import Complaint, EventLog, read
from faults.places import Servers
from faults.run import Run
from faults.suite import TESTS, wanted


def run_of(log: EventLog, store: str) -> Run:
    return Run("R2", store, wanted("R2", store, short=True), log, 2, TESTS["R2"].what)


def complaints(log: EventLog) -> list[str]:
    return [line.text for line in read(log.path) if isinstance(line, Complaint)]


@pytest.mark.parametrize("store", TESTS["R2"].stores)
def test_races_end_with_one_token(store: str, servers: Servers, log: EventLog) -> None:
    """At a barrier and in staggered tabs, over four processes, one call a round rotates and all end with its token."""
    run = run_of(log, store)
    TESTS["R2"].play(run, servers)
    log.flush()
    assert complaints(log) == []
    assert run.left == 0
    assert len(run.tally) == 4
    assert list(judge(read(log.path))) == []


def test_select_then_update_is_found(log: EventLog, tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that reads and then writes lets several rotate: R2 says so."""
    place = BrokenPlace(f"sqlite:///{tmp_path / 'broken.db'}", SelectThenUpdate)
    monkeypatch.setattr(servers, "place", lambda kind: place)
    run = run_of(log, "sqlite")
    TESTS["R2"].play(run, servers)
    log.flush()
    assert any("calls rotated" in complaint for complaint in complaints(log))
