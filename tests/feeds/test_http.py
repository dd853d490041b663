"""HTTPFeed: what it reads, what it refuses, and that nobody gets in while it hears nothing."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import logging
import math
import os
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from remote import server as misbehaviour
from remote.server import KeyServer, Sink, head
from stagedoor import Issuer, KeySet, Peppers, Revocations, Verifier, errors
from stagedoor.access_token import AccessToken
from stagedoor.encoding import encode
from stagedoor.errors import AuthError, StoreError
from stagedoor.feeds import http as module
from stagedoor.feeds.http import HTTPFeed
from stagedoor.revocation import FeedClosed, Record, uptime
from stagedoor.stores.memory import MemoryStore
from stagedoor.testing.clock import FixedClock

KEY = "mark-of-a-feed-key-0123456789abcdef"
PATH = "/auth/revocations"
PATIENCE = 30
BOUND = 0.4
NOW = 1_750_000_000.0
GOOD_RECORD: dict[str, Any] = {"kind": "session", "name": "s" * 22, "until": NOW + 900.5, "written": NOW, "through": 0}
GOOD: dict[str, Any] = {"cursor": "log:7", "now": NOW, "age": 0.0, "records": [GOOD_RECORD]}
EMPTY = {**GOOD, "records": []}
JSON = {"Content-Type": "application/json"}
BOMB = gzip.compress(b"[" * 50_000_000, 1)


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """A server that says that nothing was ended."""
    with KeyServer({PATH: EMPTY}) as made:
        made.headers = dict(JSON)
        yield made


@pytest.fixture
def feed(server: KeyServer) -> Iterator[HTTPFeed]:
    made = HTTPFeed(server.origin + PATH, key=KEY, timeout=50)
    yield made
    made.close()


@pytest.fixture
def impatient(server: KeyServer) -> Iterator[HTTPFeed]:
    """One that gives a server up soon."""
    made = HTTPFeed(server.origin + PATH, key=KEY, timeout=0.8)
    yield made
    made.close()


class Token:
    """As much of an access token as is checked."""

    def __init__(self, session_id: str) -> None:
        self.session_id, self.key_id, self.issuer, self.issued_at = session_id, "k", "i", int(NOW)


def following(feed: HTTPFeed, **options: Any) -> Revocations:
    return Revocations.following(feed, **{"bound": BOUND, "clock": FixedClock(NOW)} | options)


def code(revocations: Revocations, session_id: str = "another") -> str:
    """What is said of a token of this session."""
    try:
        revocations.check(Token(session_id), NOW)
    except AuthError as error:
        return error.code
    return "ok"


def until(revocations: Revocations, wanted: str, session_id: str = "another") -> float:
    """The moment (uptime) of the last question to which something else was said."""
    began, last = uptime(), -math.inf
    while (said := (uptime(), code(revocations, session_id)))[1] != wanted:
        last = said[0]
        assert last - began < PATIENCE, said
        time.sleep(0.005)
    return last


def when(condition: Callable[[], object]) -> None:
    """Wait for something that another thread does."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.005)


def refused(feed: HTTPFeed, after: str | None = None, wait: float = 0.0) -> str:
    """Why a read is refused; no word of the key in it, nor in what hangs on to it."""
    with pytest.raises(StoreError) as caught:
        feed.read(after, wait)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert KEY not in "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    told = str(error)
    assert "hush" not in told
    return told


def own_threads() -> int:
    """Those of feeds."""
    return sum(thread.name == "stagedoor-feed" for thread in threading.enumerate())


def test_what_is_asked(server: KeyServer, feed: HTTPFeed):
    """A read sends the key, the cursor and how long to wait, and asks for plain JSON."""
    feed.read(None)
    feed.read("log:7/ä&b=%", 0.25)
    assert [path for path, _ in server.requests] == [f"{PATH}?wait=0.000", f"{PATH}?after=log%3A7%2F%C3%A4%26b%3D%25&wait=0.250"]
    for _, headers in server.requests:
        assert headers["authorization"] == f"Bearer {KEY}"
        assert headers["accept-encoding"] == "identity"


def test_what_is_told(server: KeyServer, feed: HTTPFeed):
    """Cursor, records and the log's clock come as they were sent, and members that are not known are passed over."""
    records = [{**GOOD_RECORD, "x": 1}, {"kind": "issuer", "name": "https://a", "until": 1, "written": 2, "through": 3}]
    server.documents[PATH] = {**GOOD, "records": records, "more": [1, {}]}
    page = feed.read(None)
    assert (page.cursor, page.now) == ("log:7", NOW)
    assert list(page.records) == [Record("session", "s" * 22, NOW + 900.5, NOW, 0), Record("issuer", "https://a", 1.0, 2.0, 3)]
    server.documents[PATH] = {**GOOD, "now": None}
    assert feed.read(None).now is None


def test_the_age_counts_from_when_the_request_was_sent(server: KeyServer, feed: HTTPFeed):
    """The age of an answer is what the service says, and all the time since it was asked."""
    server.documents[PATH] = {**GOOD, "age": 3.5}
    server.delay = 0.3
    began = uptime()
    assert 3.8 <= feed.read(None).age <= 3.5 + uptime() - began


def test_who_does_not_wait_is_asked_no_more_often(server: KeyServer, feed: HTTPFeed):
    """A server that answers at once, with nothing new, though it was told to wait, is not asked at once again."""
    began = time.monotonic()
    page = feed.read("log:7", 0.3)
    assert 0.3 <= time.monotonic() - began < PATIENCE
    assert page.age >= 0.3
    server.documents[PATH] = GOOD
    began = time.monotonic()
    feed.read("log:7", 20)
    assert time.monotonic() - began < 15


def test_it_waits_no_longer_than_the_endpoint_does(server: KeyServer, feed: HTTPFeed):
    """However long the bound is, a read is told to wait 20 seconds at the most; closing ends a pause too."""
    link = feed._link()
    link.ended = pause = Pause()
    waiting = threading.Thread(target=feed.read, args=("log:7", 600))
    waiting.start()
    when(pause.begun.is_set)
    began = time.monotonic()
    feed.close()
    waiting.join(PATIENCE)
    assert time.monotonic() - began < 15
    assert [path for path, _ in server.requests] == [f"{PATH}?after=log%3A7&wait=20.000"]


class Pause(threading.Event):
    """It is known when somebody has begun to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.begun.set()
        return super().wait(timeout)


def changed(**members: Any) -> dict[str, Any]:
    return {**GOOD, **members}


def record(**members: Any) -> dict[str, Any]:
    """A page in which one record of three is this."""
    told = {name: value for name, value in {**GOOD_RECORD, **members}.items() if value is not ...}
    return changed(records=[GOOD_RECORD, told, {**GOOD_RECORD, "name": "t"}])


NO_NUMBERS = ["1", None, True, [], {}, -1, -0.5, 1e300, 10**30]
BAD: dict[str, Any] = {
    "nothing": b"",
    "garbage": b"\x00\xff not JSON",
    "HTML": b"<!doctype html><p>Log in",
    "cut short": json.dumps(GOOD).encode()[:-1],
    "something behind": json.dumps(GOOD).encode() + b" hush",
    "two objects": json.dumps(GOOD).encode() * 2,
    "an array": b"[]",
    "a text": b'"hush"',
    "null": b"null",
    "a name twice": b'{"cursor": "a", "cursor": "b", "now": null, "age": 0, "records": []}',
    "a name twice in a record": json.dumps(GOOD).replace('"through": 0', '"through": 0, "name": "x"').encode(),
    "NaN": b'{"cursor": "a", "now": null, "age": NaN, "records": []}',
    "Infinity": b'{"cursor": "a", "now": null, "age": -Infinity, "records": []}',
    "a number without end": b'{"cursor": "a", "now": null, "age": 1e999, "records": []}',
    "5000 digits": b'{"cursor": "a", "now": null, "age": ' + b"1" * 5000 + b', "records": []}',
    "not UTF-8": b'{"cursor": "a", "now": null, "age": 0, "records": [], "x": "\xff"}',
    "a lone surrogate": b'{"cursor": "a", "now": null, "age": 0, "records": [], "x": "\\ud800"}',
    "nested too deeply": b'{"cursor": "a", "now": null, "age": 0, "records": [], "x": ' + b"[" * 40 + b"]" * 40 + b"}",
    "no cursor": {name: value for name, value in GOOD.items() if name != "cursor"},
    "no age": {name: value for name, value in GOOD.items() if name != "age"},
    "no records": {name: value for name, value in GOOD.items() if name != "records"},
    **{f"cursor {value!r:.12}": changed(cursor=value) for value in (None, 7, "", " ", "a b", "a\n", "ä", [], True)},
    "a cursor of 16 KiB": changed(cursor="c" * 16 * 1024),
    "a cursor that is 16 KiB when it is sent": changed(cursor="&" * 6000),
    **{f"age {value!r:.12}": changed(age=value) for value in NO_NUMBERS},
    **{f"now {value!r:.12}": changed(now=value) for value in NO_NUMBERS if value is not None},
    **{f"records {value!r:.12}": changed(records=value) for value in (None, {}, "", 7, [[]], ["x"], [None], [GOOD_RECORD, 7])},
    **{f"kind {value!r:.12}": record(kind=value) for value in (..., None, "", "subject", 7, ["session"], {})},
    **{f"name {value!r:.12}": record(name=value) for value in (..., None, "", 7, "n" * 5000, ["n"])},
    **{f"until {value!r:.12}": record(until=value) for value in (..., *NO_NUMBERS)},
    **{f"written {value!r:.12}": record(written=value) for value in (..., *NO_NUMBERS)},
    **{f"through {value!r:.12}": record(through=value) for value in (..., *NO_NUMBERS, 1.0, 0.5)},
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_refused_whole(server: KeyServer, feed: HTTPFeed, name: str):
    """What is not strict JSON, or has one member of a wrong kind, is refused with a reason, and nothing of it is taken."""
    server.documents[PATH] = BAD[name]
    assert "the answer is refused: " in refused(feed)
    revocations = following(feed)
    with pytest.raises(errors.RevocationsStale):
        revocations.hear()
    assert len(revocations) == 0
    assert code(revocations) == "revocations_stale"
    revocations.close()


def is_huge(send: Sink, until: float) -> None:
    """More than is taken, honestly announced."""
    size = module.LARGEST + 1
    send(head(200, {**JSON, "Content-Length": str(size)}))
    for _ in range(0, size, 65536):
        send(b"a" * 65536)


def is_a_bomb(send: Sink, until: float) -> None:
    """Few bytes that would unpack to many."""
    send(head(200, {**JSON, "Content-Encoding": "gzip", "Content-Length": str(len(BOMB))}) + BOMB)


def redirects(send: Sink, until: float) -> None:
    """Says that it is elsewhere."""
    send(head(302, {**JSON, "Location": "http://127.0.0.1:9/hush", "Content-Length": "0"}))


BEHAVIOURS: dict[str, tuple[Any, str]] = {
    "huge": (is_huge, f"over {module.LARGEST} bytes"),
    "endless": (misbehaviour.is_endless, f"over {module.LARGEST} bytes|not done within"),
    "a bomb": (is_a_bomb, "compressed"),
    "packed": (misbehaviour.is_packed, "compressed"),
    "said to be packed": (misbehaviour.says_it_is_packed, "compressed"),
    "cut": (misbehaviour.closes_early, "RemoteProtocolError"),
    "cut at once": (misbehaviour.closes_at_once, "RemoteProtocolError"),
    "no HTTP": (misbehaviour.is_no_http, "RemoteProtocolError"),
    "headers without end": (misbehaviour.has_endless_headers, "RemoteProtocolError"),
    "silent": (misbehaviour.says_nothing, "not done within"),
    "slow headers": (misbehaviour.drips_headers, "not done within"),
    "a slow body": (misbehaviour.drips_body, "not done within"),
    "interim answers for ever": (misbehaviour.informs_for_ever, "not done within"),
    "a redirect": (redirects, "status 302: a redirect, and none is followed"),
}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_server_that_misbehaves_is_given_up(server: KeyServer, feed: HTTPFeed, impatient: HTTPFeed, name: str):
    """Too much, compressed, cut off, no HTTP, slow in whatever way: refused within the time limit, and never unpacked or followed."""
    server.behaviour, reason = BEHAVIOURS[name]
    began = time.monotonic()
    told = refused(impatient if "not done" in reason else feed).replace("no answer came in time", "not done within it")
    assert any(part in told for part in reason.split("|")), told
    assert time.monotonic() - began < misbehaviour.LONG / 2
    server.behaviour = None
    assert feed.read(None).cursor == "log:7"


STATUSES = {400: "", 401: "STAGEDOOR_FEED_KEYS", 403: "", 404: "no such endpoint", 204: "", 206: "", 304: "", 429: "", 500: "", 503: ""}


@pytest.mark.parametrize("status", STATUSES)
def test_only_200_is_taken(server: KeyServer, feed: HTTPFeed, status: int):
    """Any other status is refused, whatever comes with it; of a wrong key the reason says where it belongs."""
    server.documents[PATH] = GOOD
    server.status = status
    told = refused(feed)
    assert f"status {status}" in told
    assert STATUSES[status] in told


@pytest.mark.parametrize(
    ("kind", "taken"),
    [("application/json", True), ("Application/JSON; charset=utf-8", True), (None, True), ("text/html", False), ("", False)],
)
def test_content_types(server: KeyServer, feed: HTTPFeed, kind: str | None, taken: bool):
    """An answer is application/json, or says nothing of its type."""
    server.headers = {} if kind is None else {"Content-Type": kind}
    if taken:
        feed.read(None)
    else:
        assert "Content-Type" in refused(feed)


FAULTS: dict[str, Callable[[KeyServer], None]] = {
    "garbage": lambda server: server.documents.update({PATH: b"\xff"}),
    "one bad record": lambda server: server.documents.update({PATH: record(until="hush")}),
    "a server that says that it knows of long ago": lambda server: server.documents.update({PATH: changed(age=60)}),
    "silence": lambda server: setattr(server, "behaviour", misbehaviour.says_nothing),
    "a cut": lambda server: setattr(server, "behaviour", misbehaviour.closes_early),
    "an error": lambda server: setattr(server, "status", 500),
    "a key that is not valid any more": lambda server: setattr(server, "status", 401),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("stale", ["ask", "refuse"])
def test_it_never_fails_open(server: KeyServer, impatient: HTTPFeed, caplog: pytest.LogCaptureFixture, name: str, stale: str):
    """What goes wrong is a refusal with 503 once the bound is over, what was known to be ended stays so, and then it recovers."""
    server.documents[PATH] = GOOD
    revocations = following(impatient, stale=stale)
    revocations.follow()
    until(revocations, "ok")
    assert code(revocations, GOOD_RECORD["name"]) == "token_revoked"
    FAULTS[name](server)
    failed = uptime()
    assert until(revocations, "revocations_stale") < failed + BOUND  # nobody who came later was let in
    assert code(revocations, GOOD_RECORD["name"]) == "token_revoked"
    time.sleep(BOUND)
    assert code(revocations) == "revocations_stale"
    server.behaviour, server.status, server.documents[PATH] = None, 200, EMPTY
    until(revocations, "ok")
    assert code(revocations, GOOD_RECORD["name"]) == "token_revoked"
    revocations.close()
    own = [line.getMessage() for line in caplog.records if line.name.startswith("stagedoor") and line.levelno >= logging.WARNING]
    assert KEY not in "".join(own)
    assert "hush" not in "".join(own)
    assert not [line for line in caplog.records if line.name.startswith("httpx2") and line.levelno >= logging.INFO]
    if "long ago" not in name:
        assert "revocations are heard again" in own
        assert "are not heard" in own[0]


def test_a_server_that_is_not_there(server: KeyServer, feed: HTTPFeed):
    """Nobody at the address is a refusal with the reason."""
    server.__exit__()
    assert "onnect" in refused(feed)


MISTAKES: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"url": "http://auth.example/auth/revocations"}, ValueError),
    ({"url": "https://auth.example/auth/revocations?x=1"}, ValueError),
    ({"url": "https://auth.example/auth/revocations#x"}, ValueError),
    ({"url": "https://user:hush@auth.example/auth/revocations"}, ValueError),
    ({"url": "auth.example"}, ValueError),
    ({"url": "https://auth.example"}, ValueError),
    ({"url": "https://auth.example/"}, ValueError),
    ({"url": ""}, ValueError),
    ({"url": None}, TypeError),
    ({"key": "hush" * 7}, ValueError),
    ({"key": ""}, ValueError),
    ({"key": "ä" * 32}, ValueError),
    ({"key": None}, TypeError),
    ({"key": KEY.encode()}, TypeError),
    ({"timeout": 0}, ValueError),
    ({"timeout": 61}, ValueError),
    ({"timeout": "2"}, ValueError),
    ({"timeout": None}, TypeError),
]


@pytest.mark.parametrize(("change", "mistake"), MISTAKES)
def test_a_mistake_at_construction(change: dict[str, Any], mistake: type[Exception]):
    """An address that is never fetched from, a key that is none and a limit out of range are told at construction."""
    with pytest.raises(mistake) as caught:
        HTTPFeed(**{"url": "https://auth.example/auth/revocations", "key": KEY} | change)
    assert "hush" not in str(caught.value)
    assert "jwks" not in str(caught.value)


def test_the_key_is_never_shown(feed: HTTPFeed):
    """A feed shows its address and nothing else."""
    assert repr(feed) == str(feed) == f"<HTTPFeed {feed._url}>"


def test_nothing_is_opened_before_the_first_read(server: KeyServer):
    """A feed that nobody reads has no thread and asks nobody."""
    when(lambda: own_threads() == 0)  # those of other tests have ended
    made = HTTPFeed(server.origin + PATH, key=KEY)
    assert (own_threads(), server.count()) == (0, 0)
    made.close()


def test_close_and_again(server: KeyServer, feed: HTTPFeed):
    """Closing ends a read that waits; one that is to wait then says that the feed is closed, one that asks opens it again."""
    feed.read(None)
    server.behaviour = misbehaviour.says_nothing
    ended: list[BaseException] = []

    def waits() -> None:
        try:
            feed.read("log:7", 20)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=waits)
    thread.start()
    when(lambda: server.count() == 2)
    began = time.monotonic()
    feed.close()
    thread.join(PATIENCE)
    assert time.monotonic() - began < PATIENCE
    assert [type(error) for error in ended] == [FeedClosed]
    with pytest.raises(FeedClosed):
        feed.read("log:7", 0.1)
    server.behaviour = None
    assert feed.read(None).cursor == "log:7"
    feed.close()
    feed.close()
    when(lambda: own_threads() == 0)


def test_a_feed_that_is_forgotten_lets_go(server: KeyServer):
    """Who follows a feed no more and throws it away leaves no thread and no connection behind, without having closed it."""
    feed = HTTPFeed(server.origin + PATH, key=KEY)
    revocations = following(feed)
    revocations.follow()
    until(revocations, "ok")
    revocations.close()
    gone = weakref.ref(feed)
    del feed, revocations
    began = time.monotonic()
    while gone() is not None or own_threads():
        gc.collect()
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.02)


def test_a_wait_holds_nobody_up(server: KeyServer, feed: HTTPFeed):
    """While one thread waits others ask, and are answered at once."""
    feed.read(None)
    begun, go_on = threading.Event(), threading.Event()

    def answers_late(send: Sink, until: float) -> None:
        begun.set()
        go_on.wait(PATIENCE)
        send(head(200, JSON) + json.dumps(GOOD).encode())

    server.behaviour = answers_late
    waiting = threading.Thread(target=feed.read, args=("log:7", 0.5))
    waiting.start()
    when(begun.is_set)
    server.behaviour = None
    for _ in range(10):
        feed.read("log:7")
    assert waiting.is_alive()
    go_on.set()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_many_threads(server: KeyServer, feed: HTTPFeed):
    """Many threads that begin at one time open one link, and each is answered."""
    start, answers = threading.Barrier(20), []

    def asks() -> None:
        start.wait()
        answers.append(feed.read(None).cursor)

    threads = [threading.Thread(target=asks) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert answers == ["log:7"] * 20
    when(lambda: own_threads() == 1)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_a_fork_has_connections_of_its_own(server: KeyServer, feed: HTTPFeed):
    """After a fork, in the middle of a read too, the child hears by itself, and the parent goes on as before."""
    server.documents[PATH] = GOOD
    revocations = following(feed, bound=30)
    assert revocations._follower is not None
    revocations._follower._heartbeat = 1.0
    revocations.follow()
    until(revocations, "ok")
    known = hears(revocations)
    child = os.fork()
    if not child:
        status = 1
        try:
            when(lambda: hears(revocations) > known)
            assert code(revocations) == "ok"
            assert feed.read(None).cursor == "log:7"
            feed.close()
            status = 0
        finally:
            os._exit(status)
    began = time.monotonic()
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        assert code(revocations) == "ok"
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    known = hears(revocations)
    when(lambda: hears(revocations) > known)
    assert code(revocations) == "ok"
    revocations.close()


def hears(revocations: Revocations) -> float:
    """The moment (uptime) until which what was heard last is within its bound."""
    assert revocations._follower is not None
    return revocations._follower.fresh_until


def test_a_proxy_of_the_environment_is_asked_for_what_is_elsewhere(monkeypatch: pytest.MonkeyPatch):
    """HTTPS_PROXY and NO_PROXY count, but never for this machine itself."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    told = refused(HTTPFeed("https://auth.example/auth/revocations", key=KEY, timeout=20))
    assert "onnect" in told
    with KeyServer({PATH: EMPTY}) as server:
        server.headers = dict(JSON)
        assert HTTPFeed(server.origin + PATH, key=KEY, timeout=20).read(None).cursor == "log:7"


def test_a_large_page_is_taken(server: KeyServer):
    """Twenty thousand records come in one page, and each is known then."""
    names = [encode(number.to_bytes(16, "big")) for number in range(20_000)]
    server.documents[PATH] = json.dumps({**GOOD, "records": [{**GOOD_RECORD, "name": name} for name in names]}).encode()
    revocations = following(HTTPFeed(server.origin + PATH, key=KEY))
    began = uptime()
    revocations.follow()
    while len(revocations) < len(names):
        assert uptime() - began < PATIENCE
        time.sleep(0.05)
    assert code(revocations, names[-1]) == "token_revoked"
    revocations.close()


async def test_a_verifier_hears_by_it(server: KeyServer, feed: HTTPFeed):
    """A verifier of another application accepts a token, and refuses it once the service says that its session has ended."""
    keys = KeySet.generate()
    clock = FixedClock(NOW)
    issuer = Issuer("https://a", audience="b", store=MemoryStore(), keys=keys, peppers=Peppers.generate(), clock=clock)
    pair = await issuer.issue("user")
    verifier = Verifier("https://a", audience="b", keys=keys, revocations=following(feed), clock=clock)
    token: AccessToken[Any] = issuer.verifier().verify(pair.access_token)
    assert await said(verifier, pair.access_token, "ok") == token.session_id
    server.documents[PATH] = {**GOOD, "records": [{**GOOD_RECORD, "name": token.session_id}]}
    assert await said(verifier, pair.access_token, "token_revoked") == token.session_id


async def said(verifier: Verifier[Any], token: str, wanted: str) -> str | None:
    """The session of this token, once that is said of it."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        try:
            code, session_id = "ok", verifier.verify(token).session_id
        except AuthError as error:
            code, session_id = error.code, error.session_id or ""
        if code == wanted:
            return session_id
        await asyncio.sleep(0.01)
    raise AssertionError(code)
