"""R9 in short on every store; and the fault that it must find."""

from __future__ import annotations

import pytest

from faults import r9_garbage
from faults.log import Complaint, EventLog, read
from faults.places import Servers
from faults.run import Run
from faults.suite import TESTS, wanted


def run_of(log: EventLog, store: str) -> Run:
    return Run("R9", store, wanted("R9", store, short=True), log, 9, TESTS["R9"].what)


def complaints(log: EventLog) -> list[str]:
    return [line.text for line in read(log.path) if isinstance(line, Complaint)]


@pytest.mark.parametrize("store", TESTS["R9"].stores)
def test_garbage_reaches_no_store(store: str, servers: Servers, log: EventLog) -> None:
    """Garbage of every kind is refused in the library and over HTTP, and no store is asked about it."""
    run = run_of(log, store)
    TESTS["R9"].play(run, servers)
    log.flush()
    assert complaints(log) == []
    assert run.left == 0


def test_a_tag_that_nobody_checks_is_found(servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tags are not looked at the store is asked about garbage: R9 counts the calls, in the library and over HTTP."""
    monkeypatch.setattr(r9_garbage, "ISSUER", "faults.broken:gullible")
    run = run_of(log, "sqlite")
    TESTS["R9"].play(run, servers)
    log.flush()
    told = complaints(log)
    assert any(complaint.endswith("calls of the store for garbage") for complaint in told)
    assert any(complaint.endswith("calls of the store for garbage over HTTP") for complaint in told)
