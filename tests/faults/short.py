"""A run in short: what the tests of the suite have in common.

Never knows a test of the suite.
"""

from __future__ import annotations

from faults.checker import judge
from faults.log import Complaint, EventLog, read
from faults.places import Servers
from faults.planted import Planted
from faults.run import Run
from faults.suite import TESTS, wanted


def run_of(name: str, store: str, log: EventLog, number: int | None = None) -> Run:
    """A run of this test, as long as in make test unless a number is given."""
    return Run(name, store, wanted(name, store, short=True) if number is None else number, log, 1, TESTS[name].what)


def played(name: str, store: str, servers: Servers | Planted, log: EventLog, number: int | None = None) -> tuple[Run, list[str]]:
    """Such a run, and everything that it or the checker complains of."""
    run = run_of(name, store, log, number)
    TESTS[name].play(run, servers)  # type: ignore[arg-type]  # a planted store stands in for the servers
    return run, told(log) + judged(log)


def told(log: EventLog) -> list[str]:
    """What the test complained of."""
    log.flush()
    return [line.text for line in read(log.path) if isinstance(line, Complaint)]


def judged(log: EventLog) -> list[str]:
    """What the checker complains of."""
    log.flush()
    return list(judge(read(log.path)))
