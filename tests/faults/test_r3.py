"""R3 in short on every store; and the fault that it must find."""

from __future__ import annotations

import pytest

from faults.checker import judge
from faults.log import Complaint, EventLog, Figure, read
from faults.places import Servers
from faults.r3_kills import BATCH, play_on
from faults.run import Run
from faults.steps import STEPS
from faults.suite import TESTS, wanted


def complaints(log: EventLog) -> list[str]:
    log.flush()
    return [line.text for line in read(log.path) if isinstance(line, Complaint)]


@pytest.mark.parametrize("store", TESTS["R3"].stores)
def test_a_kill_loses_nothing_that_was_acknowledged(store: str, servers: Servers, log: EventLog) -> None:
    """The service and its server are killed under load: every session goes on by retry, none has two live secrets."""
    run = Run("R3", store, wanted("R3", store, short=True), log, 3, TESTS["R3"].what)
    TESTS["R3"].play(run, servers)
    assert complaints(log) == []
    assert run.left == 0
    assert list(judge(read(log.path))) == []
    assert any(isinstance(line, Figure) and "loss window" in line.name for line in read(log.path))


def test_every_step_of_a_rotation_is_killed_at(servers: Servers, log: EventLog) -> None:
    """Before, inside, at and after the commit and with the answer under way, the kill comes where it is meant to."""
    run = Run("R3", "sqlite", BATCH, log, 4, TESTS["R3"].what)
    run.already = BATCH - 1 - len(STEPS)  # the last kills of a full run, which takes the steps in turn: each once
    play_on(run, servers, wrap="faults.steps:Steps", measure=False)
    assert complaints(log) == []
    assert run.done == 1 + len(STEPS)


def test_a_store_that_answers_before_it_writes_is_found(servers: Servers, log: EventLog) -> None:
    """A store that answers a rotation before it is written loses it with a kill: R3 says so."""
    run = Run("R3", "sqlite", 3, log, 3, TESTS["R3"].what)
    play_on(run, servers, wrap="faults.broken:AnswersFirst", steps=False, measure=False)
    assert any("acknowledged rotations were gone" in complaint for complaint in complaints(log))
