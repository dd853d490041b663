"""The faults that R1 must find."""

from __future__ import annotations

import pytest

from broken_stores import faults_of_histories
from faults import r1_model
from faults.log import EventLog
from faults.planted import Planted
from faults.short import played


def test_the_same_store_without_a_fault(log: EventLog) -> None:
    """The store that the faults are planted in has none of its own."""
    run, complaints = played("R1", "memory", Planted(faults_of_histories.Migrating), log, 60)
    assert complaints == []
    assert run.left == 0


@pytest.mark.parametrize("fault", [faults_of_histories.LateRetryUnderTheNewPepper, faults_of_histories.LateRetryLosesTheEnd])
def test_a_planted_fault_is_found(fault: type[faults_of_histories.Migrating], log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a complaint: an answer is not what the table foretells."""
    monkeypatch.setattr(r1_model, "ENOUGH", 1)
    _, complaints = played("R1", "memory", Planted(fault), log, 300)
    assert any("foretold" in complaint for complaint in complaints), complaints[:3]
