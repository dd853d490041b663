"""R8 in short on every store; and the fault that it must find."""

from __future__ import annotations

import pytest

from faults.grown import InPostgres
from faults.log import Complaint, EventLog, Figure, read
from faults.places import Servers
from faults.run import Run
from faults.suite import TESTS, wanted


def run_of(log: EventLog, store: str) -> Run:
    return Run("R8", store, wanted("R8", store, short=True), log, 8, TESTS["R8"].what)


def complaints(log: EventLog) -> list[str]:
    return [line.text for line in read(log.path) if isinstance(line, Complaint)]


@pytest.mark.parametrize("store", TESTS["R8"].stores)
def test_growth_is_measured(store: str, servers: Servers, log: EventLog) -> None:
    """A store is filled, refreshed in turn with a small one, and finds each row by one look-up."""
    run = run_of(log, store)
    TESTS["R8"].play(run, servers)
    figures = {line.name: line.value for line in read(log.path) if isinstance(line, Figure)}
    assert complaints(log) == []
    assert run.left == 0
    assert {"ratio", "plan", "a session takes"} <= figures.keys()
    assert 300 < float(figures["a session takes"]) < 1_500


def test_a_table_without_its_index_is_found(servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a refresh reads the whole table, R8 complains about its plan."""
    monkeypatch.setattr(InPostgres, "end", InPostgres.begin)
    TESTS["R8"].play(run_of(log, "postgres"), servers)
    assert [text for text in complaints(log) if "no look-up" in text]
