"""Revocations over HTTP: who may read them, from where on, how long a reader waits, and how old an answer says that it is."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from endpoints.house import NAME, House, authenticate, bearer, error
from stagedoor import Issuer, KeySet, Peppers
from stagedoor.encoding import encode
from stagedoor.endpoints import Endpoints
from stagedoor.endpoints import revocations as module
from stagedoor.endpoints.request import Request
from stagedoor.errors import StoreError
from stagedoor.feeds.feed_keys import FeedKeys
from stagedoor.guards.headers import Headers
from stagedoor.revocation import Page
from stagedoor.stores.memory import MemoryStore

Build = Callable[..., House]
PATH = "/auth/revocations"
KEY = "mark-of-a-feed-key-0123456789abcdef"
OTHER = "!" * 32
AUTH = bearer(KEY)
PATIENCE = 60
LONG = 600
"""Seconds that somebody waits who is not to have waited in vain."""


class Log:
    """The log of a store that is shared, in memory; what was asked of it, and what goes wrong with it, in the test's hand."""

    shared = True

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.asked: list[str | None] = []
        """The cursors of all reads but those of the process's own follower, which wait."""
        self.trouble: Exception | None = None
        self.age = 0.0
        self.go = threading.Event()
        self.go.set()

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        if wait == 0:
            self.asked.append(after)
            assert self.go.wait(PATIENCE)
        if self.trouble is not None:
            raise self.trouble
        page: Page = self._inner.read(after, wait)
        return page._replace(age=page.age + self.age)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def store_of_many() -> MemoryStore:
    """A store in memory that an issuer takes for one of many processes, and listens to."""
    store = MemoryStore()
    store.log = Log(store.log)  # type: ignore[assignment]
    return store


@pytest.fixture(scope="module", params=["starlette-own", "starlette-shared", "fastapi-own"])
def still(request: pytest.FixtureRequest) -> Iterator[House]:
    """One house for all that changes nothing in it."""
    mount, kind = request.param.split("-")
    house = made(mount, kind)
    with house.client:
        house.logout(house.tokens()["refresh_token"])
        yield house


@pytest.fixture(params=["own", "shared", "sqlite"])
def house(request: pytest.FixtureRequest, build: Build, tmp_path: Path) -> House:
    """A house whose store is in this process alone, one whose store is taken for a shared one, and one on SQLite."""
    store = store_of_many() if request.param == "shared" else None
    return build(tmp_path if request.param == "sqlite" else None, store=store, feed_keys=[KEY, OTHER])


def read(house: House, after: str | None = None, headers: dict[str, str] | None = None, **parameters: Any) -> Any:
    sent = parameters if after is None else {"after": after, **parameters}
    return house.client.get(PATH, params=sent, headers=AUTH if headers is None else headers)


def test_what_was_ended_is_told(house: House):
    """A logout is told once with its session id, and from its cursor on there is nothing more."""
    pair = house.tokens()
    first = read(house).json()
    assert (first.keys(), first["records"]) == ({"cursor", "now", "age", "records"}, [])
    house.logout(pair["refresh_token"])
    answer = read(house, first["cursor"])
    assert (answer.status_code, answer.headers["content-type"], answer.headers["cache-control"]) == (200, "application/json", "no-store")
    (record,) = answer.json()["records"]
    assert record.keys() == {"kind", "name", "until", "written", "through"}
    assert (record["kind"], record["name"], record["through"]) == ("session", sid_of(house, pair), 0)
    assert record["until"] > record["written"] + house.issuer.access
    assert float(answer.headers["stagedoor-age"]) == answer.json()["age"] < PATIENCE
    assert read(house, answer.json()["cursor"]).json()["records"] == []
    assert read(house).json()["records"] == read(house, "another:7").json()["records"] == [record]


def sid_of(house: House, pair: dict[str, Any]) -> str:
    return encode(house.issuer.peppers.parse(pair["refresh_token"], house.clock()).session_id)


async def test_keys_and_issuers_are_told(build: Build):
    """A revoked key is told by its kid; everything of an issuer by its name and the last second that is refused."""
    keys = KeySet.generate()
    house = build(store=store_of_many(), feed_keys=[KEY], keys=keys)
    kid = keys.signing(house.clock()).kid
    await house.issuer.revoke_key(kid)
    through = await house.issuer.revoke_everything()
    told = [(each["kind"], each["name"], each["through"]) for each in read(house).json()["records"]]
    assert told == [("key", kid, 0), ("issuer", NAME, through)]


@pytest.mark.parametrize("key", [KEY, OTHER])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_each_key_is_valid(still: House, key: str, scheme: str):
    """Several keys are valid at one time, so that they can be changed."""
    assert read(still, headers={"Authorization": f"{scheme} {key}"}).status_code == 200


REFUSED = {
    "nothing": {},
    "basic": {"Authorization": "Basic " + KEY},
    "bare": {"Authorization": KEY},
    "no key": {"Authorization": "Bearer"},
    "an empty key": {"Authorization": "Bearer "},
    "another key": bearer("x" * 32),
    "the beginning of a key": bearer(KEY[:-1]),
    "more than a key": bearer(KEY + "x"),
    "both": bearer(f"{KEY},{OTHER}"),
    "two blanks": {"Authorization": "Bearer  " + KEY},
    "Latin-1": {"Authorization": b"Bearer " + b"\xff" * 32},
    "another case": bearer(KEY.upper()),
    "in the query": {"X-Key": KEY},
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_has_no_key_reads_nothing(still: House, method: str, headers: Any):
    """A missing or wrong key is a 401 with a challenge, whatever else is asked; the key is in no answer and no log."""
    for query in ("", "?wait=20", "?after=%ff", f"?key={KEY}"):
        answer = still.client.request(method, PATH + query, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer realm=")
        assert KEY not in answer.text + str(answer.headers)
        if method == "GET":
            known = "error=" in answer.headers["www-authenticate"]
            assert error(answer, 401) == ("invalid_token" if known else "token_missing")


def test_an_access_token_is_no_feed_key(house: House):
    """Who is logged in may not read what others did, and a feed key logs nobody in."""
    access = house.tokens()["access_token"]
    assert error(read(house, headers=bearer(access)), 401) == "invalid_token"
    assert error(house.client.get("/auth/me", headers=AUTH), 401) == "invalid_token"


def test_without_a_key_there_is_nothing(build: Build):
    """Where nobody could be admitted the operation is not in the table."""
    house = build()
    assert "revocations" not in {operation.name for operation in house.endpoints.operations}
    assert read(house).status_code == 404


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        (["x" * 31], ValueError),
        (["x" * 513], ValueError),
        ([""], ValueError),
        (["x" * 16 + " " + "x" * 16], ValueError),
        (["ä" * 32], ValueError),
        (["x" * 31 + "\n"], ValueError),
        ([KEY, "short"], ValueError),
        (KEY, TypeError),
        (KEY.encode(), TypeError),
        ([KEY.encode()], TypeError),
        ([None], TypeError),
        (None, TypeError),
        (7, TypeError),
    ],
)
def test_a_mistake_in_the_keys(build: Build, keys: Any, mistake: type[Exception]):
    """What is no feed key is refused at construction, and not repeated."""
    with pytest.raises(mistake) as refused:
        build(feed_keys=keys)
    assert KEY not in str(refused.value)


def test_a_store_without_a_log_is_a_mistake():
    """Feed keys for a store that keeps no log are a ValueError: there would be nothing to read."""
    store = MemoryStore()
    del store.log
    issuer = Issuer(NAME, audience=NAME, store=store, keys=KeySet.generate(), peppers=Peppers.generate())
    with pytest.raises(ValueError, match="log"):
        Endpoints(issuer, authenticate, feed_keys=[KEY])


def test_keys_are_never_shown():
    """What keeps the keys shows none of them, and makes them fresh each time."""
    keys = FeedKeys([KEY])
    assert KEY not in repr(keys) + str(keys)
    assert (KEY in keys, OTHER in keys, len(FeedKeys.parse(f" {KEY} , {OTHER},"))) == (True, False, 2)
    assert FeedKeys.generate_text() != FeedKeys.generate_text()
    assert len(FeedKeys([FeedKeys.generate_text()])) == 1


GARBAGE = {
    "wait= text": "wait=soon",
    "wait empty": "wait=",
    "wait negative": "wait=-1",
    "wait NaN": "wait=nan",
    "wait without end": "wait=inf",
    "wait with an exponent": "wait=1e3",
    "wait with a comma": "wait=0,2",
    "wait in another script": "wait=%D9%A1",
    "wait with a blank": "wait=+1",
    "many digits": "wait=" + "1" * 5000,
    "a parameter twice": "after=a&after=b",
    "wait twice": "wait=0&wait=0",
    "twice, once quoted": "after=a&%61fter=b",
    "no sign": "after",
    "no name": "=a",
    "an empty parameter": "after=a&&wait=0",
    "only a sign": "&",
    "a percent sign": "after=%",
    "half a percent sign": "after=%2",
    "no hex": "after=%zz",
    "not UTF-8": "after=%ff",
    "an overlong encoding": "after=%c0%af",
    "a surrogate": "after=%ed%a0%80",
    "NUL": "after=%00",
    "a line end": "after=a%0d%0aX:b",
    "a blank": "after=a+b",
    "not ASCII": "after=%c3%a4",
}


@pytest.mark.parametrize("query", GARBAGE.values(), ids=GARBAGE)
def test_garbage_in_the_query(still: House, caplog: pytest.LogCaptureFixture, query: str):
    """A parameter that cannot be read, or stands twice, is a bad request, which is never repeated."""
    caplog.set_level(logging.DEBUG)
    for sent in (query, f"x=mark-of-what-was-sent&{query}"):
        answer = still.client.get(f"{PATH}?{sent}", headers=AUTH)
        assert error(answer) == "invalid_request"
        assert "mark-of-what-was-sent" not in answer.text + str(answer.headers)
    own = [line.getMessage() for line in caplog.records if line.name.startswith("stagedoor")]
    assert not [line for line in own if "mark-of" in line]


def test_a_query_over_its_limit(still: House):
    """A query over 16 KiB is refused; one of just as much is read."""
    most = 16 * 1024 - len("after=")
    assert read(still, "x" * most).status_code == 200
    assert error(read(still, "x" * (most + 1)), 413) == "too_large"


@pytest.mark.parametrize("after", ["x", "x:1", ":", "a:b:c", "'; DROP TABLE x; --", "99999999999999999999:1", "\\", '"', "%", "&=", "😀"])
def test_odd_cursors(still: House, after: str):
    """A cursor of no log that this store knows brings all that still counts; what is no visible ASCII is refused."""
    answer = read(still, after)
    if after.isascii() and " " not in after:
        assert len(answer.json()["records"]) == 1
    else:
        assert error(answer) == "invalid_request"


def test_positions_past_the_end(house: House):
    """A cursor past the end, as of a log that was restored, brings all that still counts."""
    cursor = read(house).json()["cursor"]
    house.logout(house.tokens()["refresh_token"])
    assert len(read(house, cursor.partition(":")[0] + ":999").json()["records"]) == 1


@pytest.mark.parametrize("name", ["If-None-Match", "Accept", "Range", "Content-Type", "Cookie", "Origin", "Connection", "Expect"])
@pytest.mark.parametrize("value", [b"\xff", b"\x00", b"", b",", b'"', b"W/", b"A" * 9000], ids=lambda value: repr(value[:4]))
def test_odd_headers(still: House, name: str, value: bytes):
    """No header, however odd, makes more of a request than a plain answer or a 4xx."""
    assert read(still, headers=AUTH | {name: value}).status_code in (200, 400)  # type: ignore[dict-item]


def test_a_header_sent_twice(still: House):
    """Two keys in two headers are refused: two readers could take two of them."""
    twice = [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")]
    assert error(still.client.get(PATH, headers=twice)) == "invalid_request"


def test_oversized(still: House):
    """A body or headers over their limits are refused here too."""
    assert error(still.client.request("GET", PATH, headers=AUTH, content=b"x" * 9000), 413) == "too_large"
    assert error(read(still, headers=AUTH | {"X": "x" * 33_000}), 413) == "too_large"


def test_head(still: House):
    """HEAD is answered as GET, without the records."""
    answer = still.client.head(PATH, headers=AUTH)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"] == read(still).headers["etag"]


def test_reading_changes_nothing(house: House):
    """Whoever reads leaves no trace in the store."""
    house.tokens()
    before = house.rows()
    cursor = read(house).json()["cursor"]
    read(house, cursor, wait=0.05)
    assert house.rows() == before


def test_not_modified(house: House):
    """With the ETag of its cursor a reader to whom nothing is new gets a 304 with the age; with news the records."""
    first = read(house)
    cursor, tag = first.json()["cursor"], first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = read(house, cursor, headers=AUTH | {"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == "no-store"
        assert float(again.headers["stagedoor-age"]) < PATIENCE
    for other in ('"other"', "", tag[:-2]):
        assert read(house, cursor, headers=AUTH | {"If-None-Match": other}).status_code == 200
    assert read(house, headers=AUTH | {"If-None-Match": tag}).status_code == 200  # all was asked for
    house.logout(house.tokens()["refresh_token"])
    changed = read(house, cursor, headers=AUTH | {"If-None-Match": tag})
    assert (changed.status_code, len(changed.json()["records"])) == (200, 1)
    assert changed.headers["etag"] != tag


@pytest.fixture
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for LONG may."""
    monkeypatch.setattr(module, "LONGEST_WAIT", LONG)


@asynccontextmanager
async def running(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """The house's application on this event loop, so that many may wait at one time."""
    async with (
        house.app.router.lifespan_context(house.app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(house.app), base_url=NAME, timeout=PATIENCE, headers=AUTH) as client,
    ):
        while not house.issuer.revocations.is_fresh:
            await asyncio.sleep(0.01)
        yield client


def made(mount: str, kind: str, **options: Any) -> House:
    """A house that was not started."""
    return House(mount, None, store=store_of_many() if kind == "shared" else None, feed_keys=[KEY, OTHER], **options)


async def asking(house: House, client: httpx2.AsyncClient, cursor: str, wait: float, number: int = 1) -> list[asyncio.Task[Any]]:
    """Requests that wait by now."""
    return await asking_from(house, client, [cursor] * number, wait)


async def asking_from(house: House, client: httpx2.AsyncClient, cursors: list[str], wait: float) -> list[asyncio.Task[Any]]:
    """A request from each of these cursors on; all wait by now."""
    feed = house.endpoints._feed
    assert feed is not None
    before = len(feed._waiting)
    tasks = [asyncio.create_task(client.get(PATH, params={"after": cursor, "wait": wait})) for cursor in cursors]
    async with asyncio.timeout(PATIENCE):
        while len(feed._waiting) < before + len(cursors):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    return tasks


@pytest.mark.parametrize("kind", ["own", "shared"])
@pytest.mark.usefixtures("long_waits")
async def test_who_waits_hears_at_once(mount: str, kind: str, monkeypatch: pytest.MonkeyPatch):
    """A reader that waits is answered as soon as something is ended, long before its time is over."""
    monkeypatch.setattr(module, "_LOOK", 60.0)
    house = made(mount, kind)
    pair = await house.issuer.issue("user-ada")
    async with running(house) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        (task,) = await asking(house, client, cursor, LONG)
        assert not task.done()
        began = time.perf_counter()
        await house.issuer.revoke(pair.refresh_token)
        answer = (await task).json()
        assert time.perf_counter() - began < PATIENCE
        assert [record["name"] for record in answer["records"]] == [encode(house.issuer.peppers.parse(pair.refresh_token, 0).session_id)]


@pytest.mark.usefixtures("long_waits")
async def test_what_another_process_ends_is_heard_too(mount: str, monkeypatch: pytest.MonkeyPatch):
    """What stands in the log, and did not come by this process, wakes whoever waits as soon as the own follower has read it."""
    monkeypatch.setattr(module, "_LOOK", 60.0)
    house = made(mount, "shared")
    async with running(house) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        (task,) = await asking(house, client, cursor, LONG)
        began = time.perf_counter()
        house.store.log.end_session(b"x" * 16, house.clock())
        assert [record["name"] for record in (await task).json()["records"]] == [encode(b"x" * 16)]
        assert time.perf_counter() - began < PATIENCE


@pytest.mark.parametrize("kind", ["own", "shared"])
async def test_who_waits_in_vain_is_told_so(mount: str, kind: str):
    """Where nothing is ended the answer comes when the time is over: no records, the same cursor, and how old that is."""
    house = made(mount, kind)
    first = time.perf_counter()
    async with running(house) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        began = time.perf_counter()
        answer = (await client.get(PATH, params={"after": cursor, "wait": 0.4})).json()
        took = time.perf_counter() - began
        assert 0.35 < took < 15
        assert (answer["cursor"], answer["records"]) == (cursor, [])
        assert 0 <= answer["age"] < time.perf_counter() - first


async def test_a_wait_is_clamped(mount: str, monkeypatch: pytest.MonkeyPatch):
    """Whoever wants to wait for longer than is allowed waits for as long as is."""
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.2)
    async with running(made(mount, "own")) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        began = time.perf_counter()
        assert (await client.get(PATH, params={"after": cursor, "wait": 999_999})).status_code == 200
        assert time.perf_counter() - began < 15


async def test_while_nothing_happens_the_store_is_not_asked():
    """A hundred readers that wait again and again ask the store nothing: the process's own follower has."""
    house = made("starlette", "shared")
    began = time.perf_counter()
    async with running(house) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        await asyncio.sleep(0.3)
        asked = len(house.store.log.asked)
        for _ in range(5):
            answers = await asyncio.gather(*(client.get(PATH, params={"after": cursor, "wait": 0.1}) for _ in range(100)))
            assert {(answer.status_code, answer.json()["cursor"]) for answer in answers} == {(200, cursor)}
        assert len(house.store.log.asked) == asked
        assert all(answer.json()["age"] < time.perf_counter() - began for answer in answers)


async def test_who_does_not_wait_has_the_store_asked():
    """A read without a wait is for a guard that wants to be sure: the store itself is asked each time."""
    house = made("starlette", "shared")
    async with running(house) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        asked = len(house.store.log.asked)
        for _ in range(3):
            await client.get(PATH, params={"after": cursor})
        assert house.store.log.asked[asked:] == [cursor] * 3


async def test_many_wait_without_a_thread_each():
    """A thousand readers wait on no thread of their own, and one revocation is read from the store a few times for all of them."""
    house = made("starlette", "shared")
    async with running(house) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        threads, asked = threading.active_count(), len(house.store.log.asked)
        tasks = await asking(house, client, cursor, 20, 1000)
        assert threading.active_count() - threads <= 2
        assert not [task for task in tasks if task.done()]
        house.store.log.end_session(b"x" * 16, house.clock())
        answers = await asyncio.gather(*tasks)
        assert {len(answer.json()["records"]) for answer in answers} == {1}
        assert len(house.store.log.asked) - asked < 50


class Snapshots(Log):
    """As PostgreSQL while other transactions come and go: whoever is told anything has a cursor of its own."""

    told = 0

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        """As Feed.read."""
        page = super().read(None if after is None else after.partition("+")[0], wait)
        if not page.records and after is not None:
            return page._replace(cursor=after)
        self.told += 1
        return page._replace(cursor=f"{page.cursor}+{self.told}")


@pytest.mark.usefixtures("long_waits")
async def test_many_who_wait_with_a_cursor_each_share_one_read(monkeypatch: pytest.MonkeyPatch):
    """Three hundred readers that began at different times: what is ended is read once for all, and none of them is refused."""
    monkeypatch.setattr(module, "_LOOK", 60.0)
    store = MemoryStore()
    store.log = Snapshots(store.log)  # type: ignore[assignment]
    house = House("starlette", None, store=store, feed_keys=[KEY])
    async with running(house) as client:
        cursors = [(await client.get(PATH)).json()["cursor"] for _ in range(300)]
        assert len(set(cursors)) == 300
        tasks = await asking_from(house, client, cursors, LONG)
        asked = len(store.log.asked)
        store.log.end_session(b"x" * 16, time.time())
        answers = await asyncio.gather(*tasks)
        assert {(answer.status_code, len(answer.json().get("records", ()))) for answer in answers} == {(200, 1)}
        assert len(store.log.asked) - asked < 100
        assert len({answer.json()["cursor"] for answer in answers}) < 100


@pytest.mark.usefixtures("long_waits")
async def test_too_many_that_wait_are_told_so(mount: str, monkeypatch: pytest.MonkeyPatch):
    """Who finds no place to wait is told 503 with Retry-After at once; the others go on to wait."""
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    house = made(mount, "own")
    async with running(house) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        tasks = await asking(house, client, cursor, LONG, 3)
        refused = await client.get(PATH, params={"after": cursor, "wait": LONG})
        assert (error(refused, 503), refused.headers["retry-after"]) == ("temporarily_unavailable", "1")
        assert not [task for task in tasks if task.done()]
        await house.issuer.revoke((await house.issuer.issue("user-ada")).refresh_token)
        assert {(await task).status_code for task in tasks} == {200}
        assert (await client.get(PATH, params={"after": cursor, "wait": 0})).status_code == 200


@pytest.mark.usefixtures("long_waits")
async def test_hanging_up_makes_room(mount: str, monkeypatch: pytest.MonkeyPatch):
    """Whoever stops waiting leaves its place, and takes no answer away from others."""
    monkeypatch.setattr(module, "MOST_WAITING", 1)
    house = made(mount, "own")
    async with running(house) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        (first,) = await asking(house, client, cursor, LONG)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert (await client.get(PATH, params={"after": cursor, "wait": 0.05})).status_code == 200


@pytest.mark.parametrize("trouble", [StoreError("gone"), RuntimeError("mark-of-a-driver"), OSError(5, "mark-of-a-driver")])
async def test_a_store_that_cannot_be_asked(mount: str, trouble: Exception):
    """Where the log cannot be read the answer is a 503 with Retry-After, never an old one for a new one; and then it goes on."""
    house = made(mount, "shared")
    house.issuer.revocations._follower.bound = 1.0  # type: ignore[union-attr]  # the end of it is waited for
    async with running(house) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        house.store.log.trouble = trouble
        refused = await client.get(PATH)
        assert (error(refused, 503), refused.headers["retry-after"]) == ("temporarily_unavailable", "1")
        assert "mark-of" not in refused.text
        until = time.monotonic() + PATIENCE
        while (
            answer := await client.get(PATH, params={"after": cursor})
        ).status_code == 200:  # from what was heard last, while it is fresh
            assert answer.json()["age"] < 1.1
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
        assert error(answer, 503) == "temporarily_unavailable"
        began = time.perf_counter()
        assert (await client.get(PATH, params={"after": cursor, "wait": 20})).status_code == 503
        assert time.perf_counter() - began < 15
        house.store.log.trouble = None
        house.store.log.end_session(b"x" * 16, house.clock())
        assert len((await client.get(PATH, params={"after": cursor})).json()["records"]) == 1


async def test_a_store_that_hangs_queues_no_more_than_it_may():
    """While reads hang a few wait, and whoever comes beyond them is told 503 at once."""
    house = made("starlette", "shared")
    async with running(house) as client:
        house.store.log.go.clear()
        tasks = [asyncio.create_task(client.get(PATH, params={"after": f"x:{n}"})) for n in range(100)]
        async with asyncio.timeout(PATIENCE):
            while sum(task.done() for task in tasks) < 100 - module._THREADS - module._QUEUE:
                await asyncio.sleep(0.01)
        assert {task.result().status_code for task in tasks if task.done()} == {503}
        house.store.log.go.set()
        answers = await asyncio.gather(*tasks)
        assert [answer.status_code for answer in answers].count(200) == module._THREADS + module._QUEUE


@pytest.mark.parametrize("after", [True, False], ids=["known", "all"])
async def test_an_answer_is_as_old_as_it_says(mount: str, after: bool):
    """What the log says of its own age counts, whether the log was asked for this answer or not."""
    house = made(mount, "shared")
    house.store.log.age = 0.6
    began = time.perf_counter()
    async with running(house) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        await asyncio.sleep(0.3)
        answer = (await client.get(PATH, params={"after": cursor, "wait": 0.1} if after else None)).json()
        assert 0.6 <= answer["age"] < 0.6 + time.perf_counter() - began


async def test_who_shares_a_read_asked_before_it_began():
    """A reader that comes while a read is under way waits for the next one: the first may have looked too early."""
    house = made("starlette", "shared")
    async with running(house) as client:
        log = house.store.log
        begun = len(log.asked)
        log.go.clear()
        first = asyncio.create_task(client.get(PATH))
        while len(log.asked) == begun:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(client.get(PATH))
        await asyncio.sleep(0.1)
        log.end_session(b"x" * 16, house.clock())
        log.go.set()
        await first
        assert len((await second).json()["records"]) == 1
        assert len(log.asked) == begun + 2


async def test_a_page_that_brings_nothing_does_not_end_a_wait():
    """What was heard here and does not stand in the log yet wakes nobody for nothing."""
    house = made("starlette", "shared")
    async with running(house) as client:
        cursor = (await client.get(PATH)).json()["cursor"]
        (task,) = await asking(house, client, cursor, 20)
        house.issuer._remember(b"y" * 16, house.clock())
        await asyncio.sleep(0.2)
        assert not task.done()
        house.store.log.end_session(b"y" * 16, house.clock())
        assert len((await task).json()["records"]) == 1


async def test_two_reads_that_end_at_one_time():
    """What the later of them has heard is not taken for what the earlier one knew: nothing behind its cursor is passed over."""
    house = made("starlette", "shared")
    hooks: list[Callable[[], Any]] = []

    class Interrupted(module.RevocationFeed):
        """Once, another thread comes in between when it writes down what it knows."""

        @property
        def _latest(self) -> Any:
            return self.kept

        @_latest.setter
        def _latest(self, latest: Any) -> None:
            self.kept = latest
            if hooks:
                hooks.pop()()

    async with running(house):
        feed = Interrupted(house.issuer, FeedKeys([KEY]))
        feed._heard()

        def another() -> None:
            house.store.log.end_session(b"x" * 16, house.clock())
            house.issuer.revocations.hear()
            time.sleep(0.5)  # the follower has heard it as well
            feed._look(module._Reading(None))

        hooks.append(another)
        cursor = feed._look(module._Reading(None)).cursor
        sent = Request("GET", Headers([(b"authorization", f"Bearer {KEY}".encode())]), query=f"after={cursor}&wait=0.1".encode())
        assert b"session" in (await feed.answer(sent)).body
