"""The faults that R5 must find."""

from __future__ import annotations

import pytest

from broken_stores import faults_of_histories
from faults.log import EventLog
from faults.planted import Planted
from faults.short import played


def test_the_same_store_without_a_fault(log: EventLog) -> None:
    """The store that the faults are planted in has none of its own."""
    run, complaints = played("R5", "memory", Planted(faults_of_histories.Migrating), log, 60)
    assert complaints == []
    assert run.left == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (faults_of_histories.OldTokensForgottenAtRestart, "was to be caught"),
        (faults_of_histories.ReuseEndsNothing, "afterwards"),
        (faults_of_histories.ReuseEndsEverything, "that nobody stole"),
    ],
)
def test_a_planted_fault_is_found(fault: type[faults_of_histories.Migrating], said: str, log: EventLog) -> None:
    """There is a complaint, about what is wrong."""
    _, complaints = played("R5", "memory", Planted(fault), log, 300)
    assert any(said in complaint for complaint in complaints), complaints[:3]
