"""Session: when it is over, and when it was last used."""

from dataclasses import replace

import pytest

from stagedoor.session import Session

ROW = Session(b"s" * 16, "user", "web", "", created_at=10.0, idle_ends_at=100.0, absolute_ends_at=100.0)


@pytest.mark.parametrize("shorter", ["idle_ends_at", "absolute_ends_at"])
def test_whichever_end_comes_first(shorter: str):
    """It is over at that very moment, whatever the other says."""
    session = replace(ROW, **{shorter: 50.0})
    assert [session.is_live(now) for now in (49.999, 50.0, 50.001)] == [True, False, False]


def test_one_that_was_revoked():
    """It is over at once, were that moment still to come."""
    assert not replace(ROW, revoked_at=60.0).is_live(50.0)


def test_last_used():
    """When it was last rotated, or opened."""
    assert (ROW.last_used_at, replace(ROW, rotated_at=20.0).last_used_at) == (10.0, 20.0)
