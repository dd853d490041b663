"""One key server for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remote.material import FIRST
from remote.server import KeyServer


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """A server that publishes FIRST."""
    with KeyServer() as made:
        made.publish(FIRST)
        yield made
