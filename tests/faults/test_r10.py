"""R10 in short on every store; and the fault that it must find."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faults import r10_clocks
from faults.log import EventLog
from faults.places import Servers
from faults.run import Run
from faults.short import judged, played, told
from faults.suite import TESTS


def test_clocks_and_peppers_log_nobody_out(servers: Servers, tmp_path: Path) -> None:
    """With clocks up to an hour off, and a pepper that changes, every span is kept to on the store's clock and nobody honest is refused."""
    stores = TESTS["R10"].stores
    for store in stores:
        servers.place(store)  # started one after the other; the runs wait for real seconds, so they run side by side

    def play(store: str) -> tuple[Run, list[str]]:
        log = EventLog(tmp_path / f"{store}.jsonl")
        found = played("R10", store, servers, log)
        log.close()
        return found

    with ThreadPoolExecutor(len(stores)) as pool:
        for run, complaints in pool.map(play, stores):
            assert complaints == []
            assert run.left == 0


def test_a_store_that_believes_the_callers_clock_is_found(servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong clocks on a store that takes the caller's moment stretch windows and end sessions: R10 and the checker say so."""
    monkeypatch.setattr(r10_clocks, "offsets_of", lambda kind: r10_clocks.CLOCKS)
    played("R10", "sqlite", servers, log)
    assert told(log) != []
    assert any("an honest client was refused" in complaint for complaint in judged(log))
