"""Each test of the suite in short, on each of its stores: nothing to complain of, for the test itself and for the checker.

R10 to R13 are in files of their own: they wait for real seconds.
"""

from __future__ import annotations

import pytest

from faults.log import EventLog
from faults.places import Servers
from faults.short import played
from faults.suite import TESTS

CASES = [(name, store) for name, test in TESTS.items() if name not in ("R10", "R11", "R12", "R13") for store in test.stores]


@pytest.mark.parametrize(("name", "store"), CASES, ids=lambda value: value)
def test_in_short(name: str, store: str, servers: Servers, log: EventLog) -> None:
    """All that is wanted of it is done, and nobody complains."""
    run, complaints = played(name, store, servers, log)
    assert complaints == []
    assert run.left == 0
