"""The fault that R9 must find."""

from __future__ import annotations

import pytest

from faults import r9_garbage
from faults.log import EventLog
from faults.places import Servers
from faults.short import played


def test_a_tag_that_nobody_checks_is_found(servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tags are not looked at the store is asked about garbage: R9 counts the calls, in the library and over HTTP."""
    monkeypatch.setattr(r9_garbage, "ISSUER", "broken_stores.faults_of_services:gullible")
    _, complaints = played("R9", "sqlite", servers, log)
    assert any(complaint.endswith("calls of the store for garbage") for complaint in complaints)
    assert any(complaint.endswith("calls of the store for garbage over HTTP") for complaint in complaints)
