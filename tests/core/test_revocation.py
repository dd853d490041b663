"""Revocations."""

import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass

import pytest

from stagedoor.errors import TokenRevoked
from stagedoor.revocation import Record, Revocations

from .material import NOW


@dataclass
class Token:
    """What is checked of an access token."""

    session_id: str = "s"
    key_id: str = "k"
    issuer: str = "https://auth.example"
    issued_at: int = int(NOW)


def session(name: str, until: float) -> Record:
    return Record("session", name, until, NOW)


def refused(revocations: Revocations, now: float, **token: object) -> bool:
    with suppress(TokenRevoked):
        revocations.check(Token(**token), now)  # type: ignore[arg-type]
        return False
    return True


def test_a_revoked_session_is_refused_until_its_last_token_has_expired():
    """From the revocation on, to the end that was said."""
    revocations = Revocations()
    assert not refused(revocations, NOW)
    revocations.add(session("s", NOW + 960), now=NOW)
    assert refused(revocations, NOW)
    assert refused(revocations, NOW + 959.999)
    assert not refused(revocations, NOW + 960)
    assert not refused(revocations, NOW, session_id="other")
    with pytest.raises(TokenRevoked) as caught:
        revocations.check(Token("s"), NOW)
    assert (caught.value.code, caught.value.session_id) == ("token_revoked", "s")


def test_part_of_a_second_is_a_whole_one():
    """Ends are whole seconds here, and the later one."""
    revocations = Revocations()
    revocations.add(session("s", NOW + 0.1), now=NOW)
    assert refused(revocations, NOW + 0.9)


def test_remembering_twice_keeps_the_later_end():
    """A second record, by a clock that jumped back, never shortens the first; a later one lengthens it."""
    revocations = Revocations()
    revocations.add(session("s", NOW + 960), now=NOW)
    revocations.add(session("s", NOW + 60), now=NOW - 900)
    assert refused(revocations, NOW + 900)
    revocations.add(session("s", NOW + 1900), now=NOW)
    revocations.add(now=NOW + 961)
    assert refused(revocations, NOW + 1899)
    assert len(revocations) == 1


def test_a_revoked_key():
    """Everything that it signed is refused, sessions of others too, and nothing that another key signed."""
    revocations = Revocations()
    revocations.add(Record.of_key("k", 900, NOW), now=NOW)
    assert refused(revocations, NOW + 959)
    assert refused(revocations, NOW, session_id="")
    assert not refused(revocations, NOW, key_id="other")
    assert not refused(revocations, NOW + 960)
    revocations.add(Record("key", "k", NOW + 10, NOW), now=NOW)
    assert refused(revocations, NOW + 959)
    revocations.add(now=NOW + 960)
    assert len(revocations) == 0


def test_everything_of_an_issuer():
    """What was issued in the last second that is revoked, or before, is refused, and what came after it not; nor another issuer's."""
    revocations = Revocations()
    assert revocations.through("https://auth.example") == 0
    revocations.add(Record.of_issuer("https://auth.example", 7_776_000, NOW + 0.5), now=NOW)
    through = int(NOW) + 6
    assert revocations.through("https://auth.example") == through
    assert refused(revocations, NOW, issued_at=through)
    assert refused(revocations, NOW, issued_at=0)
    assert not refused(revocations, NOW, issued_at=through + 1)
    assert not refused(revocations, NOW, issuer="https://other.example")
    assert not refused(revocations, NOW, issuer="")
    revocations.add(Record("issuer", "https://auth.example", NOW + 60, NOW, through - 100), now=NOW)
    assert revocations.through("https://auth.example") == through
    revocations.add(now=NOW + 7_776_001)
    assert (len(revocations), revocations.through("https://auth.example")) == (0, 0)


def test_what_is_over_is_forgotten():
    """However many sessions end, only live records are kept, and no live one is lost."""
    revocations = Revocations()
    for n in range(20_000):
        revocations.add(session(f"s{n}", NOW + n + 60), now=NOW + n)
        assert len(revocations) <= 60
    for n in range(19_941, 20_000):
        assert refused(revocations, NOW + 19_999, session_id=f"s{n}")


def test_many_live_records_are_all_kept():
    """Only what is over goes."""
    revocations = Revocations()
    for n in range(5_000):
        revocations.add(session(f"s{n}", NOW + 960), now=NOW)
    assert len(revocations) == revocations.knowledge().records == 5_000


def test_threads():
    """Records added by eight threads at once are all there."""
    revocations = Revocations()

    def add(first: int) -> None:
        for n in range(first, first + 500):
            revocations.add(session(f"s{n}", NOW + 960), now=NOW)

    threads = [threading.Thread(target=add, args=(500 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(revocations) == 4_000


def test_who_listens_is_told_and_not_kept():
    """A listener is called whenever something is added, not where nothing is, and lives no longer for that."""

    class Listener:
        calls = 0

        def heard(self) -> None:
            Listener.calls += 1

    revocations, listener = Revocations(), Listener()
    revocations.listen(listener.heard)
    revocations.add(now=NOW)
    assert Listener.calls == 0
    revocations.add(session("s", NOW + 960), now=NOW)
    assert (Listener.calls, len(revocations)) == (1, 1)
    gone = weakref.ref(listener)
    del listener
    assert gone() is None
    revocations.add(session("t", NOW + 960), now=NOW)
    assert Listener.calls == 1


def test_until_expiry():
    """Said aloud: nobody tells this object anything, and there is nobody to ask."""
    revocations = Revocations.until_expiry()
    assert not refused(revocations, NOW)
    assert revocations.is_fresh
    assert not revocations.can_be_asked
    assert revocations.knowledge().checks == 1


def test_who_revokes_everything_again_shortens_nothing():
    """A later cut by who keeps it for less (its sessions end sooner): what the first had ended stays ended for as long."""
    revocations = Revocations()
    first = Record.of_issuer("https://auth.example", 90 * 86_400, NOW)
    for record in (first, Record.of_issuer("https://auth.example", 86_400, NOW + 60), first):
        revocations.add(record, now=NOW + 60)
    revocations.add(now=NOW + 2 * 86_400)
    assert refused(revocations, NOW + 2 * 86_400)
    assert revocations.through("https://auth.example") == int(NOW) + 66
    assert not refused(revocations, NOW + 90 * 86_400)
