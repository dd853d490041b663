"""Revocations."""

import multiprocessing
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass

import pytest

from stagedoor.errors import TokenRevoked
from stagedoor.revocation import Page, Record, Revocations, cursor_in, position_in
from stagedoor.stores.memory import SyncMemoryStore

from .material import NOW
from .scripted import PATIENCE, ScriptedFeed, moments


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


def test_who_follows_nobody():
    """Stands nowhere, follows no feed, and has heard nothing of how late anything was."""
    revocations = Revocations()
    assert not revocations.follows(object())
    assert (revocations.standing(), revocations.knowledge().lag, revocations.knowledge().age) == (None, None, None)


class Unread:
    """What is no feed."""


@pytest.mark.parametrize(("source", "name"), [(Unread(), "Unread"), ({}, "dict"), (SyncMemoryStore, "SyncMemoryStore"), (Unread, "Unread")])
def test_what_cannot_be_followed(source: object, name: str):
    """Is named, whether it is a thing without a log, or a store's class in place of a store."""
    with pytest.raises(TypeError, match=rf"not {name}$"):
        Revocations.following(source)


@pytest.mark.parametrize(
    ("cursor", "position"), [(None, None), ("", None), ("log", None), ("log:", None), ("log:7", "7"), ("other:7", None), (":7", None)]
)
def test_a_cursor_is_of_one_log(cursor: str | None, position: str | None):
    """In any other it stands nowhere."""
    assert position_in("log", cursor) == position
    assert position_in("log", cursor_in("log", 12)) == "12"


@pytest.mark.parametrize("wakes", [True, False])
def test_closing_wakes_the_feed(wakes: bool):
    """Where it can be woken; whoever waits there ends at once, and closing does not wait until it has waited for long enough."""
    asked, woken = threading.Event(), threading.Event()

    class Waiting:
        def read(self, after: str | None, wait: float = 0.0) -> Page:
            asked.set()
            assert not wakes or woken.wait(PATIENCE)
            return Page("log:0", (), None, 0.0)

    feed = Waiting()
    if wakes:
        feed.wake = woken.set  # type: ignore[attr-defined]
    revocations = Revocations.following(feed)
    revocations.follow()
    assert asked.wait(PATIENCE)
    revocations.close()
    assert woken.is_set() == wakes


def test_a_refusal_names_the_session():
    """Of a key or an issuer too; where a token has none, none is named."""
    revocations = Revocations()
    revocations.add(Record.of_key("k", 900, NOW), Record.of_issuer("https://auth.example", 900, NOW), now=NOW)
    for token in ({"issuer": ""}, {"key_id": ""}):
        for name, told in (("s", "s"), ("", None)):
            with pytest.raises(TokenRevoked) as caught:
                revocations.check(Token(session_id=name, **token), NOW)  # type: ignore[arg-type]
            assert caught.value.session_id == told


def test_how_much_is_known():
    """Of each kind; and how often it was asked."""
    revocations = Revocations()
    for n, record in enumerate((session("s", NOW + 960), Record.of_key("k", 900, NOW), Record.of_issuer("i", 960, NOW))):
        assert len(revocations) == n
        revocations.add(record, now=NOW)
        assert refused(revocations, NOW, session_id="s")
    assert (len(revocations), revocations.knowledge().records, revocations.knowledge().checks) == (3, 3, 3)
    revocations.add(now=NOW + 959.5)
    assert len(revocations) == 3
    revocations.add(now=NOW + 960)
    assert (len(revocations), revocations.through("i")) == (0, 0)


def test_all_who_listen_are_told():
    """However many there are."""

    class Listener:
        calls = 0

        def heard(self) -> None:
            self.calls += 1

    revocations, listeners = Revocations(), [Listener() for _ in range(3)]
    for listener in listeners:
        revocations.listen(listener.heard)
    revocations.take(Page("log:1", [session(f"s{n}", NOW + 960) for n in range(2_500)], None, 0.0), NOW)
    assert [listener.calls for listener in listeners] == [3, 3, 3]  # a thousand at one time: others have their turn in between


@pytest.mark.parametrize(
    ("now", "age", "ahead"), [(NOW - 100.0, 10.0, 90.0), (NOW - 100.0, 0.0, 100.0), (NOW + 5.0, 0.0, 0.0), (None, 9.0, 0.0)]
)
def test_how_far_the_clock_is_ahead_of_the_logs(now: float | None, age: float, ahead: float):
    """Counted from the moment that the log was asked; 0 where it is behind, or the log has no clock."""
    revocations = Revocations()
    revocations.take(Page("log:0", (), now, age), NOW)
    assert (revocations.ahead, revocations.knowledge().lag) == (ahead, None)


@pytest.mark.parametrize(("now", "lag"), [(None, 0.25), (NOW - 0.125, 0.125), (NOW + 100.0, 100.25), (NOW - 50.0, 0.0)])
def test_how_late_the_latest_was(now: float | None, lag: float):
    """On the log's clock where it has one, and never less than nothing."""
    revocations = Revocations()
    revocations.take(
        Page("log:2", [Record("session", each, NOW + 960, NOW - late) for each, late in (("a", 0.25), ("b", 9))], now, 0.0), NOW
    )
    assert revocations.knowledge().lag == lag


def test_where_it_stands():
    """By cursor and moment of one read, for as long as that is fresh; and it reads on from there, however long it was silent."""
    with moments() as moment:
        feed, other = ScriptedFeed(), ScriptedFeed()
        revocations = Revocations.following(feed, clock=lambda: moment.wall)
        assert (revocations.follows(feed), revocations.follows(other), revocations.standing()) == (True, False, None)
        feed.end("s")
        feed.age = 0.25
        revocations.hear()
        assert revocations.standing() == ("log:1", moment.up - 0.25)
        moment.passes(0.75)
        assert revocations.standing() is None
        moment.passes(60)
        revocations.hear()
        assert [after for after, wait in feed.asked if not wait] == [None, "log:1"]
        feed.close()
        revocations.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 and later, where there are threads
def test_a_fork_in_the_middle_of_taking_in():
    """A child can take in what its parent's thread was about to."""
    inside, go_on, revocations = threading.Event(), threading.Event(), Revocations()

    class Held:
        @property
        def kind(self) -> str:
            inside.set()
            go_on.wait(PATIENCE)
            return "key"

        name, until = "k", NOW + 960

    adding = threading.Thread(target=lambda: revocations.add(Held(), now=NOW))  # type: ignore[arg-type]
    adding.start()
    assert inside.wait(PATIENCE)
    process = multiprocessing.get_context("fork").Process(target=lambda: revocations.add(session("s", NOW + 960), now=NOW))
    process.start()
    process.join(PATIENCE)
    code = process.exitcode
    process.kill()
    process.join()
    go_on.set()
    adding.join(PATIENCE)
    assert (code, len(revocations)) == (0, 1)
