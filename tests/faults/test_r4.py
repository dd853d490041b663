"""R4 in short on every store; and the faults that it must find."""

from __future__ import annotations

import pytest

from faults import crowd
from faults import r4_lost_replies as r4
from faults.checker import judge
from faults.log import Complaint, EventLog, read
from faults.places import Servers
from faults.run import Run
from faults.suite import TESTS, wanted


def run_of(log: EventLog, store: str) -> Run:
    return Run("R4", store, wanted("R4", store, short=True), log, 4, TESTS["R4"].what)


def complaints(log: EventLog) -> list[str]:
    return [line.text for line in read(log.path) if isinstance(line, Complaint)]


@pytest.mark.parametrize("store", TESTS["R4"].stores)
def test_lost_replies_log_nobody_out(store: str, servers: Servers, log: EventLog) -> None:
    """Answers are lost, the subject check is down for a while, clients start anew, and every session goes on."""
    run = run_of(log, store)
    TESTS["R4"].play(run, servers)
    log.flush()
    assert complaints(log) == []
    assert run.left == 0
    assert list(judge(read(log.path))) == []


@pytest.mark.parametrize(
    "fault",
    [{"wrap": "faults.broken:ForgetsAttempts"}, {"issuer": "faults.broken:random_successors"}],
    ids=["attempts-forgotten", "successors-random"],
)
def test_a_fault_is_found(fault: dict[str, str], servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without attempt ids, or with successors that cannot be made again, honest clients are logged out: R4 and the checker say so."""
    monkeypatch.setattr(crowd, "DROPPED", 0.3)
    run = run_of(log, "sqlite")
    r4.play_on(run, servers, **fault)
    log.flush()
    assert any("logged out" in complaint for complaint in complaints(log))
    assert any("an honest client was refused" in complaint for complaint in judge(read(log.path)))
