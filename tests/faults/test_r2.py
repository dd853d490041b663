"""What R2 plays, and the fault that it must find."""

from __future__ import annotations

from pathlib import Path

import pytest

from broken_stores.faults_of_services import BrokenPlace, SelectThenUpdate
from faults.log import EventLog
from faults.places import Servers
from faults.short import played


def test_the_four_sorts(servers: Servers, log: EventLog) -> None:
    """A short run has rounds of two, five and fifty callers at a barrier, and of tabs."""
    run, _ = played("R2", "sqlite", servers, log)
    assert len(run.tally) == 4


def test_select_then_update_is_found(log: EventLog, tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that reads and then writes lets several rotate: R2 says so."""
    place = BrokenPlace(f"sqlite:///{tmp_path / 'broken.db'}", SelectThenUpdate)
    monkeypatch.setattr(servers, "place", lambda kind: place)
    _, complaints = played("R2", "sqlite", servers, log)
    assert any("calls rotated" in complaint for complaint in complaints)
