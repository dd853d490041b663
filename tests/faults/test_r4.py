"""The faults that R4 must find."""

from __future__ import annotations

import pytest

from faults import crowd
from faults import r4_lost_replies as r4
from faults.log import EventLog
from faults.places import Servers
from faults.short import judged, run_of, told


@pytest.mark.parametrize(
    "fault",
    [{"wrap": "broken_stores.faults_of_services:ForgetsAttempts"}, {"issuer": "broken_stores.faults_of_services:random_successors"}],
    ids=["attempts-forgotten", "successors-random"],
)
def test_a_fault_is_found(fault: dict[str, str], servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without attempt ids, or with successors that cannot be made again, honest clients are logged out: R4 and the checker say so."""
    monkeypatch.setattr(crowd, "DROPPED", 0.3)
    r4.play_on(run_of("R4", "sqlite", log), servers, **fault)
    assert any("logged out" in complaint for complaint in told(log))
    assert any("an honest client was refused" in complaint for complaint in judged(log))
