"""One key server for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remote.material import FIRST
from remote.server import KeyServer
from stagedoor.jwks import RemoteKeySet


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """A server that publishes FIRST."""
    with KeyServer() as made:
        made.publish(FIRST)
        yield made


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test names no time limit it looks for none, and five seconds are less than a thread may stand still."""
    for made in (RemoteKeySet.__init__, RemoteKeySet.discover.__func__):
        monkeypatch.setitem(made.__kwdefaults__, "timeout", 60)
