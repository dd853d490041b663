"""R11 in short, on one store; and the fault that it must find."""

from __future__ import annotations

import pytest

from faults import r11_rotation
from faults.log import EventLog
from faults.places import Servers
from faults.short import played


def test_keys_rotate_and_nobody_notices(servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rotations under load: no honest token is refused, and no token of a key that is gone accepted."""
    monkeypatch.setattr(r11_rotation, "ANNOUNCE", 12)  # a signer that hears of it some seconds late still knows the key in time
    run, complaints = played("R11", "postgres", servers, log)
    assert complaints == []
    assert run.left == 0


def test_a_key_that_signs_before_it_is_known_is_found(servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a key is announced for less long than others keep the JWKS, R11 meets honest tokens that are refused."""
    monkeypatch.setattr(r11_rotation, "ANNOUNCE", 1)
    for rotations in (3, 6, 9):  # on a busy machine a new key may come late by itself; each run goes on where the last one stopped
        _, complaints = played("R11", "sqlite", servers, log, rotations)
        if any("refused an honest token" in text for text in complaints):
            return
    pytest.fail("nobody saw that a key signed before it was known")
