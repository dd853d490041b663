"""Each test of the suite in short, on each of its stores: nothing to complain of, for the test itself and for the checker.

R10 is in a file of its own: it waits for real seconds, on all stores side by side.
"""

from __future__ import annotations

import pytest

from faults.log import EventLog
from faults.places import Servers
from faults.short import played
from faults.suite import TESTS

CASES = [(name, store) for name, test in TESTS.items() if name != "R10" for store in test.stores]


@pytest.mark.parametrize(("name", "store"), CASES, ids=lambda value: value)
def test_in_short(name: str, store: str, servers: Servers, log: EventLog) -> None:
    """All that is wanted of it is done, and nobody complains."""
    run, complaints = played(name, store, servers, log)
    assert complaints == []
    assert run.left == 0
