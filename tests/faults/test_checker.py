"""The checker complains of each log in which something is that must not be, and of no other."""

from __future__ import annotations

from typing import Any

import pytest

from faults.checker import judge
from faults.log import Line, Loss, Refresh, Revoke, Theft


def refresh(presented: int, returned: int | None, at: float, **more: Any) -> Refresh:
    """Half a second long; what is answered is the one token of its generation unless it is said otherwise."""
    given = {"session": "s", "ended": at + 0.5, "outcome": "session_revoked" if returned is None else "ok"}
    given["digest"] = None if returned is None else f"token {returned}"
    return Refresh("R2", **({"store": "sqlite", "presented": presented, "sent": at, "returned": returned} | given | more))


def revoke(at: float, **more: Any) -> Revoke:
    return Revoke("R2", **({"store": "sqlite", "session": "s", "sent": at, "ended": at + 0.5, "why": "logout"} | more))


def theft(at: float, session: str = "s") -> Theft:
    return Theft("R2", "sqlite", session, at)


def loss(at: float, *, revocations: bool = False, store: str = "sqlite") -> Loss:
    return Loss("R2", store, at, "failover", revocations)


LINE = [refresh(0, 1, 1), refresh(1, 2, 2), refresh(2, 3, 3)]

RIGHT: dict[str, list[Line]] = {
    "nothing": [],
    "one line": list(LINE),
    "a replay is the same token": [*LINE, refresh(2, 3, 4)],
    "kept": [*LINE, refresh(3, 3, 4)],
    "the lines of a log are in any order": list(reversed(LINE)),
    "answers overlap: an older one may come in later": [refresh(0, 1, 1, ended=5.0), refresh(1, 2, 2, ended=3.0)],
    "the older answer was asked for before the newer came": [refresh(0, 1, 2.2, ended=9.0), refresh(1, 2, 2, ended=2.5)],
    "two sessions have different tokens of one generation": [refresh(0, 1, 1), refresh(0, 1, 1, session="t", digest="another")],
    "the same in two stores": [refresh(0, 1, 1), refresh(0, 1, 1, store="redis", digest="another")],
    "an older generation after lost writes": [*LINE, loss(4), refresh(2, 2, 5)],
    "writes lost while it was answered": [*LINE, loss(5.2), refresh(2, 2, 5)],
    "refused after a logout": [*LINE, revoke(4), refresh(3, None, 5)],
    "accepted before a logout": [*LINE, revoke(4)],
    "accepted while the logout is under way": [*LINE, revoke(4), refresh(3, 4, 4.2, ended=8.0)],
    "accepted after a logout that nobody acknowledged": [*LINE, revoke(4, acknowledged=False), refresh(3, 4, 5)],
    "refused after a logout that nobody acknowledged": [*LINE, revoke(4, acknowledged=False), refresh(3, None, 5)],
    "refused while the logout is under way": [*LINE, revoke(4, ended=9.0), refresh(3, None, 5)],
    "accepted after a logout that the store may have lost": [*LINE, revoke(4), loss(5, revocations=True), refresh(3, 4, 6)],
    "lost between the asking and the answer": [*LINE, revoke(4), refresh(3, 4, 6), loss(6.2, revocations=True)],
    "a logout of another session": [*LINE, revoke(0, session="t"), refresh(3, 4, 5)],
    "its owner refused after a theft": [*LINE, theft(4), refresh(3, None, 5, outcome="refresh_token_reused")],
    "a thief refused": [*LINE, refresh(0, None, 4, outcome="refresh_token_reused", thief=True)],
    "the service was not there": [refresh(0, None, 1, outcome="store_unavailable"), refresh(0, None, 2, outcome="lost")],
}

WRONG: dict[str, tuple[list[Line], str]] = {
    "two tokens of one generation": ([*LINE, refresh(2, 3, 4, digest="another")], "2 different tokens of generation 3"),
    "two tokens of one generation, answered to a thief": (
        [*LINE, theft(3.9), refresh(2, 3, 4, digest="another", thief=True)],
        "2 different tokens of generation 3",
    ),
    "an older generation again": ([*LINE, refresh(1, 2, 4)], "two secrets are live"),
    "lost writes, but before the newer answer": ([loss(0.5), *LINE, refresh(1, 2, 4)], "two secrets are live"),
    "lost writes, but of another store": ([*LINE, loss(4, store="redis"), refresh(1, 2, 5)], "two secrets are live"),
    "lost writes, but only later": ([*LINE, refresh(1, 2, 4), loss(6)], "two secrets are live"),
    "accepted after a logout": ([*LINE, revoke(4), refresh(3, 4, 5)], "succeeded 0.500 s after its logout"),
    "accepted at the very moment of the answer": ([*LINE, revoke(4), refresh(3, 4, 4.5)], "succeeded 0.000 s after its logout"),
    "a thief accepted after a logout": ([*LINE, theft(3.9), revoke(4), refresh(3, 4, 5, thief=True)], "after its logout"),
    "accepted after the second logout": ([*LINE, revoke(4, acknowledged=False), revoke(6), refresh(3, 4, 7)], "after its logout"),
    "lost writes, but no revocations": ([*LINE, revoke(4), loss(5), refresh(3, 4, 6)], "after its logout"),
    "revocations lost, but before this one": ([*LINE, loss(3.9, revocations=True), revoke(4), refresh(3, 4, 6)], "after its logout"),
    "revocations lost, but only later": ([*LINE, revoke(4), refresh(3, 4, 6), loss(8, revocations=True)], "after its logout"),
    "an honest client refused": ([*LINE, refresh(3, None, 5, outcome="refresh_token_reused")], "an honest client was refused"),
    "refused before the logout": ([*LINE, refresh(3, None, 5), revoke(6)], "an honest client was refused: session_revoked, generation 3"),
    "refused before the theft": ([*LINE, refresh(3, None, 5), theft(6)], "an honest client was refused"),
    "refused though another session was stolen": ([*LINE, theft(4, "t"), refresh(3, None, 5)], "an honest client was refused"),
    "refused though another session was logged out": ([*LINE, revoke(4, session="t"), refresh(3, None, 5)], "an honest client was refused"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_log_in_which_all_is_well(name: str) -> None:
    """There is no complaint."""
    assert list(judge(RIGHT[name])) == []


@pytest.mark.parametrize("name", WRONG)
def test_a_log_in_which_something_is_wrong(name: str) -> None:
    """There is one complaint, and it says what is wrong and where."""
    lines, said = WRONG[name]
    (complaint,) = judge(lines)
    assert said in complaint
    assert complaint.startswith("R2 sqlite session s: ")


def test_the_order_of_the_lines_does_not_matter() -> None:
    """Processes write when they come to it: only the moments count."""
    for lines, said in WRONG.values():
        (complaint,) = judge(reversed(lines))
        assert said in complaint
    for lines in RIGHT.values():
        assert list(judge(reversed(lines))) == []
