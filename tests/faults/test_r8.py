"""What R8 measures, and the fault that it must find."""

from __future__ import annotations

import pytest

from faults.grown import InPostgres
from faults.log import EventLog, Figure, read
from faults.places import Servers
from faults.short import played


def test_the_figures(servers: Servers, log: EventLog) -> None:
    """The ratio, the plan and the bytes of a session are in the log."""
    played("R8", "sqlite", servers, log)
    figures = {line.name: line.value for line in read(log.path) if isinstance(line, Figure)}
    assert {"ratio", "plan", "a session takes"} <= figures.keys()
    assert 300 < float(figures["a session takes"]) < 1_500


def test_a_table_without_its_index_is_found(servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a refresh reads the whole table, R8 complains about its plan."""
    monkeypatch.setattr(InPostgres, "end", InPostgres.begin)
    _, complaints = played("R8", "postgres", servers, log)
    assert [text for text in complaints if "no look-up" in text]
