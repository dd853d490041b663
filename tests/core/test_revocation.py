"""Revocations."""

import threading

import pytest

from stagedoor.errors import TokenRevoked
from stagedoor.revocation import Revocations

from .material import NOW


def test_a_revoked_session_is_refused_until_its_last_token_has_expired():
    """From the revocation on, to the end that was said."""
    revocations = Revocations()
    revocations.check("s", NOW)
    revocations.add("s", until=NOW + 960, now=NOW)
    for later in (0, 959.999):
        with pytest.raises(TokenRevoked) as caught:
            revocations.check("s", NOW + later)
        assert (caught.value.code, caught.value.session_id) == ("token_revoked", "s")
    revocations.check("s", NOW + 960)
    revocations.check("other", NOW)


def test_remembering_twice_keeps_the_later_end():
    """A second record, by a clock that jumped back, never shortens the first."""
    revocations = Revocations()
    revocations.add("s", until=NOW + 960, now=NOW)
    revocations.add("s", until=NOW + 60, now=NOW - 900)
    with pytest.raises(TokenRevoked):
        revocations.check("s", NOW + 900)


def test_what_is_over_is_forgotten():
    """However many sessions end, only live records are kept, and no live one is lost."""
    revocations = Revocations()
    for n in range(20_000):
        revocations.add(f"s{n}", until=NOW + n + 60, now=NOW + n)
    assert len(revocations) <= 1024
    for n in (19_999, 19_941):
        with pytest.raises(TokenRevoked):
            revocations.check(f"s{n}", NOW + 19_999)


def test_when_it_is_swept():
    """At 1,024 records, and at twice as many as the last sweep left: a record that ends at this moment goes."""
    revocations = Revocations()
    for turn in range(3):
        moment = NOW + 10 * turn
        for n in range(1_023 - len(revocations)):
            revocations.add(f"{turn}.{n}", until=moment + 10, now=moment)
        assert len(revocations) == 1_023
        revocations.add(f"kept {turn}", until=NOW + 960, now=moment + 10)
        assert len(revocations) == turn + 1
    for n in range(1_021):
        revocations.add(f"live {n}", until=NOW + 960, now=NOW + 40)
    for n in range(1_023):
        revocations.add(f"short {n}", until=NOW + 50, now=NOW + 40)
    assert len(revocations) == 2_047  # three before, 1,021, and 1,023 short ones
    revocations.add("last", until=NOW + 960, now=NOW + 50)
    assert len(revocations) == 1_025


def test_many_live_records_are_all_kept():
    """The sweep takes only what is over."""
    revocations = Revocations()
    for n in range(5_000):
        revocations.add(f"s{n}", until=NOW + 960, now=NOW)
    assert len(revocations) == 5_000


def test_threads():
    """Records added by eight threads at once are all there."""
    revocations = Revocations()

    def add(first: int) -> None:
        for n in range(first, first + 500):
            revocations.add(f"s{n}", until=NOW + 960, now=NOW)

    threads = [threading.Thread(target=add, args=(500 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(revocations) == 4_000


def test_until_expiry():
    """Said aloud: nobody tells this object anything."""
    Revocations.until_expiry().check("s", NOW)
