"""What the tests of the fault suite share: the servers, started once, and a log that is thrown away.

Never knows a test of the suite.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.log import EventLog
from faults.places import Servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """All servers that the suite asks for, each started when it is first asked for."""
    made = Servers()
    yield made
    made.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    """An empty log."""
    made = EventLog(tmp_path / "events.jsonl")
    yield made
    made.close()
