"""R10 in short on every store; and the fault that it must find."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faults import r10_clocks
from faults.checker import judge
from faults.log import Complaint, EventLog, read
from faults.places import Servers
from faults.run import Run
from faults.suite import TESTS, wanted


def run_of(log: EventLog, store: str) -> Run:
    return Run("R10", store, wanted("R10", store, short=True), log, 10, TESTS["R10"].what)


def complaints(log: EventLog) -> list[str]:
    return [line.text for line in read(log.path) if isinstance(line, Complaint)]


def test_clocks_and_peppers_log_nobody_out(servers: Servers, tmp_path: Path) -> None:
    """With clocks up to an hour off, and a pepper that changes, every span is kept to on the store's clock and nobody honest is refused."""
    stores = TESTS["R10"].stores
    for store in stores:
        servers.place(store)  # started one after the other; the runs wait for real seconds, so they run side by side

    def play(store: str) -> Run:
        log = EventLog(tmp_path / f"{store}.jsonl")
        run = run_of(log, store)
        TESTS["R10"].play(run, servers)
        log.close()
        return run

    with ThreadPoolExecutor(len(stores)) as pool:
        runs = list(pool.map(play, stores))
    for run in runs:
        assert complaints(run.log) == []
        assert run.left == 0
        assert list(judge(read(run.log.path))) == []


def test_a_store_that_believes_the_callers_clock_is_found(servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong clocks on a store that takes the caller's moment stretch windows and end sessions: R10 and the checker say so."""
    monkeypatch.setattr(r10_clocks, "offsets_of", lambda kind: r10_clocks.CLOCKS)
    run = run_of(log, "sqlite")
    TESTS["R10"].play(run, servers)
    log.flush()
    assert complaints(log) != []
    assert any("an honest client was refused" in complaint for complaint in judge(read(log.path)))
