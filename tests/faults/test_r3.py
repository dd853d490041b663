"""The steps at which R3 kills, what it measures, and the fault that it must find."""

from __future__ import annotations

from faults.log import EventLog, Figure, read
from faults.places import Servers
from faults.r3_kills import BATCH, play_on
from faults.short import played, run_of, told
from faults.steps import STEPS


def test_the_loss_window_is_measured(servers: Servers, log: EventLog) -> None:
    """What each setting may lose is in the log as a figure."""
    played("R3", "sqlite", servers, log)
    assert any(isinstance(line, Figure) and "loss window" in line.name for line in read(log.path))


def test_every_step_of_a_rotation_is_killed_at(servers: Servers, log: EventLog) -> None:
    """Before, inside, at and after the commit and with the answer under way, the kill comes where it is meant to."""
    run = run_of("R3", "sqlite", log, BATCH)
    run.already = BATCH - 1 - len(STEPS)  # the last kills of a full run, which takes the steps in turn: each once
    play_on(run, servers, wrap="faults.steps:Steps", measure=False)
    assert told(log) == []
    assert run.done == 1 + len(STEPS)


def test_a_store_that_answers_before_it_writes_is_found(servers: Servers, log: EventLog) -> None:
    """A store that answers a rotation before it is written loses it with a kill: R3 says so."""
    run = run_of("R3", "sqlite", log, 3)
    play_on(run, servers, wrap="broken_stores.faults_of_services:AnswersFirst", steps=False, measure=False)
    assert any("acknowledged rotations were gone" in complaint for complaint in told(log))
