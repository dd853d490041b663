"""R7 in short on every store; and the faults that it must find."""

from __future__ import annotations

import pytest

from broken_stores import faults_of_histories
from faults.checker import judge
from faults.log import Complaint, EventLog, read
from faults.places import Servers
from faults.planted import Planted
from faults.run import Run
from faults.suite import TESTS, wanted

TEST = TESTS["R7"]


def played(store: str, servers: Servers | Planted, log: EventLog, number: int) -> tuple[Run, list[str]]:
    """A run, and everything that it or the checker complains of."""
    run = Run("R7", store, number, log, 7, TEST.what)
    TEST.play(run, servers)  # type: ignore[arg-type]  # a planted store stands in for the servers
    log.flush()
    lines = list(read(log.path))
    return run, [line.text for line in lines if isinstance(line, Complaint)] + list(judge(lines))


@pytest.mark.parametrize("store", TEST.stores)
def test_rounds(store: str, servers: Servers, log: EventLog) -> None:
    """What was ended stays ended, whatever was under way."""
    run, complaints = played(store, servers, log, wanted("R7", store, short=True))
    assert complaints == []
    assert run.left == 0


def test_the_same_store_without_a_fault(log: EventLog) -> None:
    """The store that the faults are planted in has none of its own."""
    run, complaints = played("memory", Planted(faults_of_histories.Migrating), log, 60)
    assert complaints == []
    assert run.left == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (faults_of_histories.RotateBringsBack, "succeeded"),
        (faults_of_histories.LogoutEverywhereByAnOldList, "succeeded"),
    ],
)
def test_a_planted_fault_is_found(fault: type[faults_of_histories.Migrating], said: str, log: EventLog) -> None:
    """There is a complaint, about what is wrong."""
    _, complaints = played("memory", Planted(fault), log, 300)
    assert any(said in complaint for complaint in complaints), complaints[:3]
