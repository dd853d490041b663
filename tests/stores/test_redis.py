"""The store on Redis keeps the contract, on one server and on a cluster, with and without await; and what only Redis can show."""

import asyncio
import contextlib
import math
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import redis

from awake import Awake
from servers import SYNCED, Cluster, Redis
from stagedoor import Session
from stagedoor.encoding import encode
from stagedoor.errors import SessionUnreadable, StoreError
from stagedoor.revocation import EXPECTED, MARGIN
from stagedoor.session import KEPT_DEAD, Outcome, Presented
from stagedoor.stores.redis import RedisStore, SyncRedisStore, link, records, sessions
from stagedoor.stores.redis.row import pack
from stagedoor.testing.contract import StoreContract, SyncStoreContract
from stores.processes import six_processes_that_start_at_once, six_processes_with_one_token

T = TypeVar("T")
HOUR = 3_600.0
DAY = 86_400.0


async def opened(store: RedisStore) -> AsyncIterator[RedisStore]:
    await store.migrate()
    yield store
    await store.close()


def sync_opened(store: SyncRedisStore) -> Iterator[SyncRedisStore]:
    store.migrate()
    yield store
    store.close()


class TestRedisStore(StoreContract):
    """RedisStore on one server under the contract."""

    @pytest.fixture
    async def store(self, redis_url: str) -> AsyncIterator[RedisStore]:
        async for store in opened(RedisStore(redis_url, server_clock=False)):
            yield store


class TestSyncRedisStore(SyncStoreContract):
    """SyncRedisStore on one server under the contract, raced by threads."""

    @pytest.fixture
    def sync_store(self, redis_url: str) -> Iterator[SyncRedisStore]:
        yield from sync_opened(SyncRedisStore(redis_url, server_clock=False))


class TestRedisStoreOnCluster(StoreContract):
    """RedisStore on a cluster under the contract."""

    @pytest.fixture
    async def store(self, redis_cluster_url: str) -> AsyncIterator[RedisStore]:
        async for store in opened(RedisStore(redis_cluster_url, server_clock=False, replicas=1)):
            yield store


class TestSyncRedisStoreOnCluster(SyncStoreContract):
    """SyncRedisStore on a cluster under the contract, its revocations acknowledged by a replica each."""

    @pytest.fixture
    def sync_store(self, redis_cluster_url: str) -> Iterator[SyncRedisStore]:
        yield from sync_opened(SyncRedisStore(redis_cluster_url, server_clock=False, replicas=1))


def a_session(now: float = 0.0, *, subject: str = "ada", idle: float = HOUR, absolute: float = DAY) -> Session:
    """A session as an issuer opens it at this moment."""
    now = now or time.time()
    return Session(
        id=secrets.token_bytes(16),
        subject=subject,
        client_id="https://api.example",
        scope="orders:read",
        digest=secrets.token_bytes(32),
        seed=secrets.token_bytes(32),
        pepper_id=1,
        created_at=now,
        idle_ends_at=now + idle,
        absolute_ends_at=now + absolute,
    )


def presented(row: Session, **others: object) -> Presented:
    """The current token of this row, as an issuer shows it."""
    shown = Presented(row.id, row.generation, row.digest, 1, secrets.token_bytes(32), 1, None, window=60.0, idle=HOUR)
    return replace(shown, **others)


def login(store: SyncRedisStore, row: Session, *, limit: int = 100, now: float = 0.0) -> Session:
    store.open(row, limit=limit, now=now or row.created_at)
    return row


@pytest.fixture(params=["server", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("redis_url" if request.param == "server" else "redis_cluster_url")


@pytest.fixture
def store(url: str) -> Iterator[SyncRedisStore]:
    store = SyncRedisStore(url)
    yield store
    store.close()


@pytest.fixture
def raw(redis_server: Redis, redis_url: str) -> Iterator[redis.Redis]:
    with redis_server.client(decode_responses=False) as client:
        yield client


@pytest.fixture
def plain(redis_url: str) -> Iterator[SyncRedisStore]:
    """A store on one server, at a moment that the test says."""
    store = SyncRedisStore(redis_url, server_clock=False)
    yield store
    store.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Redis]:
    """A server of the test's own, to be killed."""
    with Redis(tmp_path / "own", settings=SYNCED) as server:
        yield server


def key(row: Session) -> bytes:
    return b"stagedoor:s:" + row.id


# The moment is the server's own.


def test_a_session_is_opened_at_the_servers_moment(store: SyncRedisStore):
    """Whatever the clock of the one who opens a session says, its times are those of the server, its lifetimes as asked."""
    for wrong in (-HOUR, 0.0, HOUR):
        asked = login(store, a_session(time.time() + wrong))
        row = store.get(asked.id)
        assert abs(row.created_at - time.time()) < 60
        assert row.idle_ends_at - row.created_at == pytest.approx(HOUR)
        assert row.absolute_ends_at - row.created_at == pytest.approx(DAY)


def test_callers_clocks_are_not_asked(store: SyncRedisStore):
    """Rotated, Kept, Revoked: an hour's error of a caller's clock changes no answer, and the answer names the server's moment."""
    row = login(store, a_session())
    wrong = time.time() + 2 * HOUR
    answer = store.rotate(presented(row), wrong)
    assert answer.outcome is Outcome.ROTATED
    assert abs(answer.now - time.time()) < 60
    assert answer.session.rotated_at == answer.now
    assert answer.session.idle_ends_at == answer.now + HOUR
    assert store.rotate(presented(answer.session), wrong).outcome is Outcome.KEPT
    assert [session.id for session in store.sessions("ada", wrong)] == [row.id]
    assert store.revoke(row.id, "logout", wrong)
    assert abs(store.get(row.id).revoked_at - time.time()) < 60


# Scripts.


@pytest.fixture
def watched(redis_server: Redis, redis_url: str) -> Callable[[Callable[[], object]], list[str]]:
    """What clients send while something is done; what a script does by itself is left out."""

    def watch(do: Callable[[], object]) -> list[str]:
        with redis_server.client() as client, redis_server.client() as asker:
            asker.ping()  # it is connected: what it says of itself does not count
            with client.monitor() as monitor:
                do()
                asker.echo("that is all")
                heard = []
                while "that is all" not in (one := monitor.next_command())["command"]:
                    if one["client_type"] != "lua":
                        heard.append(one["command"].split()[0])
                return heard

    return watch


def test_one_round_trip(plain: SyncRedisStore, watched: Callable[[Callable[[], object]], list[str]]):
    """A rotation is one command, whatever the outcome; so is reading. Ending a session is two: its row, and then the log."""
    now = 1_750_000_000.0
    first = login(plain, a_session(now))
    asked = presented(first)
    current = plain.rotate(asked, now).session
    calls: dict[Outcome, Callable[[], object]] = {
        Outcome.UNKNOWN: lambda: plain.rotate(replace(asked, session_id=b"?" * 16), now),
        Outcome.KEPT: lambda: plain.rotate(presented(current), now),
        Outcome.REPLAYED: lambda: plain.rotate(asked, now),
        Outcome.BEHIND: lambda: plain.rotate(replace(asked, successor=b"?" * 32), now),
        Outcome.AHEAD: lambda: plain.rotate(presented(current, generation=3), now),
        Outcome.ROTATED: lambda: plain.rotate(presented(current), now + 60),
        Outcome.EXPIRED: lambda: plain.rotate(asked, now + DAY),
    }
    for outcome, call in calls.items():
        answers = []
        assert watched(lambda call=call, answers=answers: answers.append(call())) == ["EVALSHA"]
        assert answers[0].outcome is outcome
    assert watched(lambda: plain.get(first.id)) == ["EVALSHA"]
    assert watched(lambda: plain.settle(Outcome.RECOVERED, asked, now + 60)) == ["EVALSHA"]
    assert watched(lambda: plain.settle(Outcome.REUSED, asked, now + 60)) == ["EVALSHA"] * 2
    assert watched(lambda: plain.revoke(first.id, "logout", now + 60)) == ["EVALSHA"] * 2
    assert watched(lambda: plain.revoke(first.id, "logout", now + DAY)) == ["EVALSHA"]  # its access tokens have expired


def test_scripts_are_loaded_again(url: str, redis_cluster: Cluster, redis_server: Redis):
    """A server that forgot the scripts (a new one, a failover, SCRIPT FLUSH) is given them anew, in the middle of anything."""
    store = SyncRedisStore(url)
    rows = [login(store, a_session()) for _ in range(3)]
    for call in (
        lambda: store.rotate(presented(rows[0]), 0.0).outcome is Outcome.ROTATED,
        lambda: len(store.sessions("ada", 0.0)) == 3,
        lambda: len(store.revoke_subject("ada", "all", 0.0)) == 3,
    ):
        for server in [redis_server, *redis_cluster.masters_now()]:
            server.call("SCRIPT", "FLUSH")
        assert call()
    store.close()


async def test_scripts_are_loaded_again_with_await(url: str, redis_cluster: Cluster, redis_server: Redis):
    """The same with await."""
    store = RedisStore(url)
    rows = [a_session() for _ in range(3)]
    for row in rows:
        await store.open(row, limit=100, now=row.created_at)
    for server in [redis_server, *redis_cluster.masters_now()]:
        server.call("SCRIPT", "FLUSH")
    assert len(await store.sessions("ada", 0.0)) == 3
    for server in [redis_server, *redis_cluster.masters_now()]:
        server.call("SCRIPT", "FLUSH")
    assert (await store.rotate(presented(rows[0]), 0.0)).outcome is Outcome.ROTATED
    await store.close()


def test_a_call_whose_answer_was_lost_knows_its_own_work(plain: SyncRedisStore, monkeypatch: pytest.MonkeyPatch):
    """A command that is sent twice because the first answer never came does nothing twice, and says what the first one did."""
    send = plain._link.send

    def twice(commands: object) -> object:
        send(commands)
        return send(commands)

    monkeypatch.setattr(plain._link, "send", twice)
    now = 1_750_000_000.0
    rows = [login(plain, a_session(now)) for _ in range(3)]
    assert [plain.get(row.id) for row in rows] == rows
    assert plain.revoke(rows[0].id, "logout", now)
    assert plain.rotate(presented(rows[1]), now).outcome is Outcome.REPLAYED
    assert plain.settle(Outcome.REUSED, presented(rows[1], successor=b"?" * 32), now)
    assert plain.revoke_subject("ada", "all", now) == [rows[2].id]
    assert [plain.get(row.id).reason for row in rows] == ["logout", "reuse", "all"]


# Dead sessions vanish by themselves.


def test_times_to_live(plain: SyncRedisStore, raw: redis.Redis):
    """A session stays a day longer than it lives, a revoked one a day; its subject's list outlives it, and is never cut short."""
    now = 1_750_000_000.0
    row = login(plain, a_session(now))
    assert stays(raw, key(row)) == HOUR + KEPT_DEAD
    assert stays(raw, b"stagedoor:u:ada") == DAY + KEPT_DEAD
    plain.rotate(presented(row), now + HOUR / 2)
    assert stays(raw, key(row)) == HOUR + KEPT_DEAD
    short = login(plain, a_session(now, absolute=HOUR / 2))
    assert stays(raw, key(short)) == HOUR / 2 + KEPT_DEAD
    assert stays(raw, b"stagedoor:u:ada") == DAY + KEPT_DEAD
    plain.revoke(row.id, "logout", now + HOUR / 2 + 60)
    assert stays(raw, key(row)) == KEPT_DEAD
    assert stays(raw, b"stagedoor:{r}:log") == EXPECTED + MARGIN
    assert len(raw.keys()) == 5  # the fifth says how long access tokens live, and stays


def stays(raw: redis.Redis, name: bytes) -> float:
    """Seconds that a key has left, the few of this test rounded off."""
    return float(round(raw.pttl(name) / 1000 / 60) * 60)


def test_a_session_that_redis_dropped_is_unknown(store: SyncRedisStore):
    """A row that has expired in Redis is no row."""
    row = login(store, a_session())
    assert store.get(row.id) is not None
    store._link.send([("PEXPIRE", key(row), 1)])
    time.sleep(0.1)
    assert store.get(row.id) is None
    assert store.rotate(presented(row), 0.0).outcome is Outcome.UNKNOWN


# The list of a subject survives what breaks in the middle.


def test_an_entry_without_a_row(plain: SyncRedisStore, raw: redis.Redis):
    """An entry whose session was never written is harmless: it waits for its row a while, then leaves; it takes no place of another's."""
    now = 1_750_000_000.0
    half = a_session(now)
    raw.zadd("stagedoor:u:ada", {half.id: now * 1000})
    assert plain.sessions("ada", now) == []
    assert plain.revoke_subject("ada", "all", now) == []
    row = login(plain, a_session(now), limit=1)
    assert [session.id for session in plain.sessions("ada", now + sessions.GRACE)] == [row.id]
    assert raw.zrange("stagedoor:u:ada", 0, -1) == [half.id, row.id]
    plain.sessions("ada", now + sessions.GRACE + 1)
    assert raw.zrange("stagedoor:u:ada", 0, -1) == [row.id]


def test_opening_that_breaks_at_each_step(plain: SyncRedisStore, monkeypatch: pytest.MonkeyPatch):
    """Whichever step of opening breaks: a session that is there is also in its subject's list, and ended with all the others."""
    now = 1_750_000_000.0
    send = plain._link.send
    for steps in range(5):
        login(plain, a_session(now), limit=2)
        left = steps

        def breaking(commands: object) -> object:
            nonlocal left
            if left == 0:
                raise redis.ConnectionError("gone")
            left -= 1
            return send(commands)

        monkeypatch.setattr(plain._link, "send", breaking)
        row = a_session(now)
        broken = False
        try:
            plain.open(row, limit=1, now=now)
        except StoreError:
            broken = True
        monkeypatch.undo()
        assert broken is (steps < 5)
        written = plain.get(row.id) is not None
        assert written is (steps >= 2)
        assert (row.id in [session.id for session in plain.sessions("ada", now)]) is written
        assert (row.id in plain.revoke_subject("ada", "all", now)) is written
        assert plain.sessions("ada", now) == []


def test_a_login_that_slept_on_the_way(store: SyncRedisStore, monkeypatch: pytest.MonkeyPatch):
    """An entry that was taken for a dead one while its login slept is written again."""
    monkeypatch.setattr(sessions, "GRACE", -1.0)  # everything took too long
    send = store._link.send

    def slow(commands: object) -> object:
        answer = send(commands)
        if "enter" in commands[0] and not slept:
            slept.append(SyncRedisStore.sessions(store, "ada", 0.0))
        return answer

    slept: list[object] = []
    monkeypatch.setattr(store._link, "send", slow)
    row = login(store, a_session())
    monkeypatch.undo()
    assert slept == [[]]
    assert [session.id for session in store.sessions("ada", 0.0)] == [row.id]


def test_revoking_a_subject_that_breaks_in_the_middle(plain: SyncRedisStore, monkeypatch: pytest.MonkeyPatch):
    """What a broken call left over, a repeated one ends: also when the server died between two batches."""
    now = 1_750_000_000.0
    monkeypatch.setattr(sessions, "_TOGETHER", 2)
    rows = [login(plain, a_session(now)) for _ in range(5)]
    send, left = plain._link.send, 3

    def breaking(commands: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise redis.TimeoutError("gone")
        return send(commands)

    monkeypatch.setattr(plain._link, "send", breaking)
    with pytest.raises(StoreError):
        plain.revoke_subject("ada", "all", now)
    monkeypatch.setattr(plain._link, "send", send)
    assert len(plain.sessions("ada", now)) == 1
    assert plain.revoke_subject("ada", "all", now) == [rows[-1].id]


def test_revoked_entries_leave_later(plain: SyncRedisStore, raw: redis.Redis):
    """A revoked session stays in the list for a while, in case a failover loses that; then only the live ones are left."""
    now = 1_750_000_000.0
    row, other = login(plain, a_session(now)), login(plain, a_session(now))
    plain.revoke(row.id, "logout", now)
    plain.sessions("ada", now + sessions.GRACE)
    assert raw.zcard("stagedoor:u:ada") == 2
    plain.sessions("ada", now + sessions.GRACE + 1)
    assert raw.zrange("stagedoor:u:ada", 0, -1) == [other.id]


def test_an_expired_session_that_a_clock_set_back_brings_to_life(plain: SyncRedisStore):
    """It is still in its subject's list: logging out everywhere ends it. Once it is expired for good it leaves."""
    row = login(plain, a_session(1_750_000_000.0), limit=9)
    assert plain.sessions("ada", row.idle_ends_at + 1) == []
    assert [found.id for found in plain.sessions("ada", row.idle_ends_at - 1)] == [row.id]
    assert plain.sessions("ada", row.idle_ends_at + sessions.GRACE + 1) == []
    assert plain.sessions("ada", row.idle_ends_at - 1) == []


def test_purge(url: str):
    """By hand: the entries of dead sessions leave the lists of all subjects, and are counted; a live session stays."""
    store = SyncRedisStore(url, server_clock=False)
    now = 1_750_000_000.0
    for number in range(20):
        login(store, a_session(now, subject=f"user-{number}"))
    kept = login(store, a_session(now, subject="user-7", idle=DAY / 2))
    assert store.purge(now=now) == 0
    assert store.purge(now=now + HOUR) == 0
    assert store.purge(now=now + HOUR + sessions.GRACE + 1) == 20
    assert store.purge(now=now + HOUR + sessions.GRACE + 1) == 0
    assert [row.id for row in store.sessions("user-7", now + HOUR)] == [kept.id]
    store.close()


async def test_purge_with_await(url: str):
    """The same with await."""
    store = RedisStore(url, server_clock=False)
    row = a_session(1_750_000_000.0)
    await store.open(row, limit=1, now=row.created_at)
    assert await store.purge(now=row.created_at + HOUR + sessions.GRACE + 1) == 1
    await store.close()


def test_prefixes_do_not_meet(redis_url: str):
    """Two applications with a prefix each share a server: neither sees or ends a session of the other."""
    one, two = SyncRedisStore(redis_url), SyncRedisStore(redis_url, prefix="other")
    row = login(one, a_session())
    assert two.get(row.id) is None
    assert two.revoke_subject("ada", "all", 0.0) == []
    assert [session.id for session in one.sessions("ada", 0.0)] == [row.id]
    one.close()
    two.close()


# What is foreign or broken is refused, never a crash.


@pytest.mark.parametrize("value", [b"", b"hello", b"{}", b"\1" * 40, b"\1" * 400, b"\2" + b"\0" * 200, 7, None, ["list"]], ids=repr)
def test_a_foreign_row_is_unreadable(plain: SyncRedisStore, raw: redis.Redis, value: object):
    """Whatever else lies under a session's key, text, number, half a row or another type, is refused by name; lists pass over it."""
    now = 1_750_000_000.0
    row = login(plain, a_session(now))
    half = raw.get(key(row))[:-1]
    raw.delete(key(row))
    raw.rpush(key(row), *value) if isinstance(value, list) else raw.set(key(row), half if value is None else value)
    assert_unreadable(plain, row)
    assert plain.sessions("ada", now) == []
    assert plain.revoke_subject("ada", "all", now) == []
    login(plain, a_session(now), limit=1)


def test_garbage_in_a_rows_texts(plain: SyncRedisStore, raw: redis.Redis):
    """A row whose head is right and whose claims are no JSON is as unreadable."""
    now = 1_750_000_000.0
    row = login(plain, a_session(now))
    good = raw.get(key(row))
    for bad in (b"\xff", b"x", b"9", b"["):
        raw.set(key(row), good[:-1] + bad)
        assert_unreadable(plain, row)


def assert_unreadable(store: SyncRedisStore, row: Session) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.get(row.id),
        lambda: store.rotate(presented(row), row.created_at),
        lambda: store.settle(Outcome.REUSED, presented(row), row.created_at),
        lambda: store.revoke(row.id, "logout", row.created_at),
    ]
    for call in calls:
        with pytest.raises(SessionUnreadable) as caught:
            call()
        assert caught.value.session_id == encode(row.id)


# A Redis that would lose sessions is refused.


@pytest.fixture
def evicting(redis_server: Redis, redis_cluster: Cluster) -> Iterator[None]:
    servers = [redis_server, redis_cluster.masters_now()[-1]]
    for server in servers:
        server.call(
            "CONFIG",
            "SET",
            "maxmemory",
            "1gb",
        )
        server.call("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
    yield
    for server in servers:
        server.call("CONFIG", "SET", "maxmemory", "0")
        server.call("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_a_redis_that_evicts_is_refused(evicting: None, store: SyncRedisStore, url: str, redis_server: Redis, redis_cluster: Cluster):
    """At migrate, and where nobody migrated before the first write; until it is mended, or somebody says that it is all right."""
    for call in (store.migrate, lambda: login(store, a_session()), lambda: store.rotate(presented(a_session()), 0.0)):
        with pytest.raises(StoreError, match="noeviction"):
            call()
    willing = SyncRedisStore(url, allow_eviction=True)
    willing.migrate()
    login(willing, a_session())
    willing.close()
    for server in [redis_server, *redis_cluster.masters_now()]:
        server.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    login(store, a_session())


async def test_a_redis_that_evicts_is_refused_with_await(evicting: None, url: str):
    """The same with await."""
    store = RedisStore(url)
    with pytest.raises(StoreError, match="noeviction"):
        await store.migrate()
    await store.close()


# Revocations that replicas know of.


def test_a_revocation_waits_for_replicas(own: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Revoked but not acknowledged is StoreError, as often as it is asked; once a replica has it the repeated call succeeds."""
    for module in (records, sessions):
        monkeypatch.setattr(module, "ACKNOWLEDGED_IN", 50)
    store = SyncRedisStore(own.url, replicas=1)
    alone, others, limited = login(store, a_session()), login(store, a_session(subject="bob")), login(store, a_session(subject="eve"))
    reused = store.rotate(presented(alone), 0.0).session
    behind = presented(reused, generation=0)
    calls: list[Callable[[], object]] = [
        lambda: store.settle(Outcome.REUSED, behind, 0.0),
        lambda: store.revoke(alone.id, "logout", 0.0),
        lambda: store.revoke_subject("bob", "all", 0.0),
        lambda: store.open(a_session(subject="eve"), limit=1, now=time.time()),
    ]
    for call in [calls[0], *calls]:
        with pytest.raises(StoreError, match="replicas"):
            call()
    assert [store.get(row.id).reason for row in (alone, others, limited)] == ["reuse", "all", "session_limit"]
    replica = own.replica(tmp_path / "replica")
    os.kill(replica.pid, signal.SIGSTOP)
    with pytest.raises(StoreError, match="replicas"):  # it is there, and has not said that it has it
        store.revoke(alone.id, "logout", 0.0)
    os.kill(replica.pid, signal.SIGCONT)
    monkeypatch.undo()
    assert not store.revoke(alone.id, "logout", 0.0)
    assert store.revoke_subject("bob", "all", 0.0) == []
    with replica.client(decode_responses=False) as copy, own.client(decode_responses=False) as master:
        assert copy.get(key(alone)) == master.get(key(alone))
    replica.stop()
    store.close()


def test_an_unacknowledged_revocation_stays_in_the_list(own: Redis, monkeypatch: pytest.MonkeyPatch):
    """While no replica has acknowledged it, a revoked session does not leave its subject's list, however old it is."""
    monkeypatch.setattr(sessions, "GRACE", 0.0)
    for module in (records, sessions):
        monkeypatch.setattr(module, "ACKNOWLEDGED_IN", 50)
    store, careless = SyncRedisStore(own.url, replicas=1), SyncRedisStore(own.url)
    row = login(store, a_session())
    careless.revoke(row.id, "logout", 0.0)
    time.sleep(0.01)
    assert store.sessions("ada", 0.0) == []
    assert own.call("ZCARD", "stagedoor:u:ada") == 1
    with pytest.raises(StoreError):
        store.revoke_subject("ada", "all", 0.0)
    careless.sessions("ada", 0.0)
    assert own.call("ZCARD", "stagedoor:u:ada") == 0
    store.close()
    careless.close()


async def test_a_revocation_on_a_cluster_waits_for_replicas(
    redis_cluster: Cluster, redis_cluster_url: str, monkeypatch: pytest.MonkeyPatch
):
    """On a cluster the replicas of each session's own master are waited for; one that hangs is StoreError for its sessions only."""
    store = RedisStore(redis_cluster_url, replicas=1)
    rows = [a_session() for _ in range(18)]
    for row in rows:
        await store.open(row, limit=100, now=row.created_at)
    masters = redis_cluster.masters_now()
    hanging = next(node for node in redis_cluster.nodes if node not in masters)
    os.kill(hanging.pid, signal.SIGSTOP)
    for module in (records, sessions):
        monkeypatch.setattr(module, "ACKNOWLEDGED_IN", 200)
    try:
        acknowledged = 0
        for row in rows:
            with contextlib.suppress(StoreError):
                acknowledged += await store.revoke(row.id, "logout", 0.0)
    finally:
        os.kill(hanging.pid, signal.SIGCONT)
    monkeypatch.undo()
    assert 0 < acknowledged < len(rows)
    assert {(await store.get(row.id)).reason for row in rows} == {"logout"}
    redis_cluster.wait()
    assert await store.revoke_subject("ada", "all", 0.0) == []
    await store.close()


async def test_a_node_of_a_cluster_is_no_server(redis_cluster: Cluster, redis_cluster_url: str):
    """A URL without +cluster that names a node of a cluster is StoreError before anything is written, whatever is allowed."""
    for allowed in (False, True):
        store = SyncRedisStore(redis_cluster.nodes[0].url, allow_eviction=allowed)
        for call in (store.migrate, lambda store=store: login(store, a_session())):
            with pytest.raises(StoreError, match=r"write redis\+cluster://"):
                call()
        store.close()
    waiting = RedisStore(redis_cluster.nodes[0].url)
    with pytest.raises(StoreError, match="node of a cluster"):
        await waiting.migrate()
    await waiting.close()


# A broken Redis is a 503, never a refusal and never a crash.


def test_nobody_there():
    """Where nobody listens every call is StoreError, at once."""
    for url in ("redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1", "unix:///nowhere/redis.sock", "rediss://127.0.0.1:1"):
        store = SyncRedisStore(url)
        with Awake() as awake:
            for call in calls_of(store):
                with pytest.raises(StoreError):
                    call()
        assert awake.seconds < 10
        store.close()


async def test_nobody_there_with_await():
    """The same with await."""
    for url in ("redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1", "unix:///nowhere/redis.sock"):
        store = RedisStore(url)
        for call in calls_of(store):
            with pytest.raises(StoreError):
                await call()
        await store.close()


def calls_of(store: object) -> list[Callable[[], object]]:
    row = a_session()
    return [
        store.migrate,
        lambda: store.open(row, limit=1, now=0.0),
        lambda: store.get(row.id),
        lambda: store.rotate(presented(row), 0.0),
        lambda: store.settle(Outcome.REUSED, presented(row), 0.0),
        lambda: store.revoke(row.id, "logout", 0.0),
        lambda: store.revoke_subject("ada", "all", 0.0),
        lambda: store.sessions("ada", 0.0),
        lambda: store.purge(now=0.0),
    ]


def test_a_server_killed_and_back(own: Redis):
    """While the server is dead: StoreError; when it is back, from its log, the sessions go on, and the first call already succeeds."""
    store = SyncRedisStore(own.url)
    row = login(store, a_session())
    for _ in range(2):
        row = store.rotate(presented(row, window=0.0), 0.0).session
        own.kill()
        with pytest.raises(StoreError):
            store.rotate(presented(row, window=0.0), 0.0)
        own.start()
        assert store.get(row.id) == row
    store.close()


async def test_a_server_killed_and_back_with_await(own: Redis):
    """The same with await, many callers at once."""
    store = RedisStore(own.url)
    row = a_session()
    await store.open(row, limit=1, now=row.created_at)
    await asyncio.gather(*(store.get(row.id) for _ in range(100)))
    own.kill()
    assert all(
        isinstance(each, StoreError) for each in await asyncio.gather(*(store.get(row.id) for _ in range(100)), return_exceptions=True)
    )
    own.start()
    assert all(await asyncio.gather(*(store.get(row.id) for _ in range(100))))
    await store.close()


def at_last(call: Callable[[], T]) -> T:
    """What a store that waits for tenths of a second answers, though the machine may stand still for longer."""
    for _ in range(20):
        with contextlib.suppress(StoreError):
            return call()
        time.sleep(0.1)
    return call()


def test_a_server_that_hangs(own: Redis, monkeypatch: pytest.MonkeyPatch):
    """A server that takes calls and does not answer is StoreError within seconds; the options of the URL say how many."""
    monkeypatch.setitem(link._OPTIONS, "socket_timeout", 60.0)
    store = SyncRedisStore(f"{own.url}?socket_timeout=0.2")
    row = at_last(lambda: login(store, a_session()))
    shown = presented(row)
    os.kill(own.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(StoreError):
        store.rotate(shown, 0.0)
    assert time.monotonic() - began < 30
    os.kill(own.pid, signal.SIGCONT)
    assert at_last(lambda: store.rotate(shown, 0.0)).outcome in (Outcome.ROTATED, Outcome.REPLAYED)
    store.close()


def test_servers_that_refuse(own: Redis):
    """A replica that only reads, no memory, too few replicas to write, a wrong password: StoreError, and nothing is lost."""
    store = SyncRedisStore(own.url)
    row = login(store, a_session())
    for broken, mended in (
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    ):
        own.call(*broken)
        with pytest.raises(StoreError):
            store.rotate(presented(row, window=0.0), 0.0)
        own.call(*mended)
        row = store.rotate(presented(row, window=0.0), 0.0).session
    store.close()
    own.call("CONFIG", "SET", "requirepass", "secret-of-the-test")
    for address in (own.url, own.url.replace("//", "//:wrong-password@")):
        stranger = SyncRedisStore(address)
        with pytest.raises(StoreError) as caught:
            stranger.get(row.id)
        assert "password@" not in str(caught.value)
        stranger.close()
    with_password = SyncRedisStore(own.url.replace("//", "//:secret-of-the-test@"))
    assert with_password.get(row.id) == row
    with_password.close()
    with redis.Redis(port=own.port, password="secret-of-the-test") as client:
        client.config_set("requirepass", "")


RIGHTS = (
    "+evalsha +script|load +info +wait +scan +zrem +time +get +set +zadd +zrange +zcard +pttl +pexpire "
    "+hget +hmget +hgetall +hset +hsetnx +hdel +hincrby +xadd +xrange +xrevrange +xtrim +xread"
)
FOLLOWING = "+evalsha +script|load +info +time +hgetall +xrange +xread"
GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"


def test_the_rights_it_needs(own: Redis):
    """A user of Redis with just the rights that the guide names, on our keys alone, can do everything that a store does."""
    own.call("ACL", "SETUSER", "stagedoor", "on", ">password-of-the-test", "~stagedoor:*", *RIGHTS.split())
    store = SyncRedisStore(own.url.replace("//", "//stagedoor:password-of-the-test@"))
    store.migrate()
    store.log.expect(900)
    row, other = login(store, a_session()), login(store, a_session())
    current = store.rotate(presented(row), 0.0).session
    assert store.settle(Outcome.REUSED, presented(current, generation=0), 0.0)
    assert store.revoke(other.id, "logout", 0.0)
    assert store.sessions("ada", 0.0) == store.revoke_subject("ada", "all", 0.0) == []
    assert store.purge(now=0.0) == 0
    store.log.revoke_issuer("https://old.example", -1.0, 0.0)
    for _ in range(2):
        store.log.revoke_issuer("https://auth.example", 900.0, 0.0)
    store.log.revoke_key("kid-1", 0.0)
    assert {record.kind for record in store.log.read(store.log.read(None).cursor[:-1] + "0", 0.1).records} == {"session", "issuer", "key"}
    assert store.documents.write("keys", b"sealed", expected=0)
    assert store.documents.read("keys") == (1, b"sealed")
    store.close()
    assert RIGHTS in GUIDE.read_text("utf-8")


def test_the_rights_to_follow(own: Redis):
    """A user that only follows needs the rights that the guide names, on the log's keys alone; it ends nothing, and reads no session."""
    own.call("ACL", "SETUSER", "follower", "on", ">password-of-the-test", "~stagedoor:{r}:*", *FOLLOWING.split())
    store = SyncRedisStore(own.url)
    row = login(store, a_session())
    following = SyncRedisStore(own.url.replace("//", "//follower:password-of-the-test@"))
    empty = following.log.read(None)
    assert list(empty.records) == []
    store.revoke(row.id, "logout", 0.0)
    assert [record.name for record in following.log.read(empty.cursor, 1.0).records] == [encode(row.id)]
    for call in (lambda: following.get(row.id), lambda: following.log.revoke_key("kid-1", 0.0)):
        with pytest.raises(StoreError):
            call()
    following.close()
    store.close()
    assert FOLLOWING in GUIDE.read_text("utf-8")


def test_errors_hold_nothing_secret(plain: SyncRedisStore, raw: redis.Redis):
    """What Redis says of a failed command is passed on without the command."""
    row = login(plain, a_session(1_750_000_000.0))
    raw.delete("stagedoor:u:ada")
    raw.set("stagedoor:u:ada", "foreign")
    with pytest.raises(StoreError) as caught:
        plain.sessions("ada", 0.0)
    assert "EVALSHA" not in str(caught.value)
    assert repr(row.seed)[2:-1] not in str(caught.value)


# Event loops, forks, processes.


def test_two_event_loops(url: str):
    """One store in two event loops, one after the other and at once: each has its own connections."""
    store = RedisStore(url)
    row = a_session()

    async def use(call: Callable[[], object]) -> object:
        try:
            return await call()
        finally:
            await store.close()

    asyncio.run(use(lambda: store.open(row, limit=1, now=row.created_at)))
    assert asyncio.run(use(lambda: store.get(row.id))).id == row.id
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: asyncio.run(use(lambda: store.get(row.id))).id, range(8)))
    assert found == [row.id] * 8


def test_more_callers_than_connections(url: str):
    """Three hundred calls at once wait for a connection; none is refused."""

    async def main() -> list[object]:
        store = RedisStore(url)
        row = a_session()
        await store.open(row, limit=1, now=row.created_at)
        found = await asyncio.gather(*(store.get(row.id) for _ in range(300)))
        await store.close()
        return found

    assert all(asyncio.run(main()))


async def test_what_an_event_loop_asks_at_once(redis_url: str, raw: redis.Redis):
    """Of calls that go out over one connection each gets its own answer: a foreign row, and one that is given up, spoil no other."""
    store = RedisStore(redis_url)
    rows = [a_session(subject=f"user-{n}") for n in range(40)]
    for row in rows:
        await store.open(row, limit=1, now=row.created_at)
    raw.delete(key(rows[3]))
    raw.lpush(key(rows[3]), "none of ours")
    raw.script_flush()
    tasks = [asyncio.create_task(store.get(row.id)) for row in rows]
    await asyncio.sleep(0)
    tasks[7].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[3], SessionUnreadable)
    assert isinstance(found[7], asyncio.CancelledError)
    assert all(
        isinstance(each, Session) and each.id == row.id for n, (each, row) in enumerate(zip(found, rows, strict=True)) if n not in (3, 7)
    )
    await store.close()


async def test_one_who_gives_up_alone(url: str):
    """Whoever asks alone and gives up, in whatever moment, leaves no answer behind for who asks next."""
    store = RedisStore(url)
    rows = [a_session(subject=f"user-{n}") for n in range(2)]
    for row in rows:
        await store.open(row, limit=1, now=row.created_at)
    given_up = 0
    for turn in range(600):
        task = asyncio.create_task(store.get(rows[0].id))
        if turn % 2:
            await asyncio.sleep(turn * 1e-6)
        else:
            for _ in range(turn % 30):
                await asyncio.sleep(0)
        task.cancel()
        following = [await store.get(rows[1].id), *await asyncio.gather(*(store.get(row.id) for row in rows))]
        assert [each.subject for each in following if each] == ["user-1", "user-0", "user-1"]
        given_up += task.cancelled()
    assert given_up > 20
    await store.close()


async def test_whoever_is_cancelled_ends(url: str):
    """A task that asks again and again ends with one cancel, in whatever moment that comes, alone as beside others."""
    store = RedisStore(url)
    row = a_session()
    await store.open(row, limit=1, now=row.created_at)

    async def asks(call: Callable[[], Awaitable[object]]) -> None:
        while True:
            await call()

    calls = [lambda: store.get(row.id), lambda: store.sessions(row.subject, row.created_at)]
    for turn in range(200):
        tasks = [asyncio.create_task(asks(calls[turn % 2])) for _ in range(1 + turn % 3)]
        await asyncio.sleep(0.001 + turn * 3e-6)
        for task in tasks:
            task.cancel()
        _, left = await asyncio.wait(tasks, timeout=30.0)
        assert not left
        assert all(task.cancelled() for task in tasks)
    await store.close()


async def test_company_is_waited_for_where_there_is_some(redis_url: str, monkeypatch: pytest.MonkeyPatch):
    """Whoever asks alone is sent by himself, in his own task; who asks beside others is sent with them, over few connections."""
    sent: list[int] = []
    real_one, real_many = redis.asyncio.Redis.execute_command, redis.asyncio.client.Pipeline.execute

    async def one(self: object, *command: object, **options: object) -> object:
        sent.append(1 if asyncio.current_task() is here else -1)
        return await real_one(self, *command, **options)

    async def many(self: redis.asyncio.client.Pipeline, **options: object) -> object:
        sent.append(len(self.command_stack))
        return await real_many(self, **options)

    here = asyncio.current_task()
    store = RedisStore(redis_url)
    row = a_session()
    await store.open(row, limit=1, now=row.created_at)
    monkeypatch.setattr(redis.asyncio.Redis, "execute_command", one)
    monkeypatch.setattr(redis.asyncio.client.Pipeline, "execute", many)

    async def ask(number: int) -> list[int]:
        sent.clear()
        if number == 1:
            await store.get(row.id)
        else:
            await asyncio.gather(*(store.get(row.id) for _ in range(number)))
        return sent.copy()

    assert [await ask(1) for _ in range(3)] == [[1]] * 3
    assert await ask(17) == [-1, 8, 8]  # nobody knew of the others when the first one came
    assert await ask(16) == [8, 8]
    assert await ask(1) == [-1]  # it waited for company that did not come
    assert [await ask(1) for _ in range(3)] == [[1]] * 3
    await store.close()


FORKED = """
import os, sys, time
from stagedoor import KeySet, Peppers, SyncIssuer
from stagedoor.stores.redis import SyncRedisStore
store = SyncRedisStore(sys.argv[1])
issuer = SyncIssuer("i", audience="a", store=store, keys=KeySet.generate(), peppers=Peppers.generate())
pair = issuer.issue("ada")
child = os.fork()
for _ in range(50):
    store.get(b"?" * 16)
if child == 0:
    issuer.revoke(issuer.refresh(pair.refresh_token).refresh_token)
    issuer.issue("ben")
    store.close()
    os._exit(0)
issuer.issue("parent")
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(status, *(len(issuer.sessions(subject)) for subject in ("ada", "ben", "parent")))
store.close()
"""


def test_a_fork_shares_no_connection(url: str):
    """Parent and child go on, each over connections of its own."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", FORKED, url], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "0 0 1 1", done.stderr


def test_six_processes_with_one_token(url: str):
    """Six processes with four threads each, round after round: one is Rotated, all get the same successor."""
    six_processes_with_one_token(url)


def test_processes_that_start_at_once(url: str):
    """Six processes start on the same empty server at once and all work on it."""
    six_processes_that_start_at_once(url)


# What it is told at construction.


@pytest.mark.parametrize("wrong", ["", "localhost", "http://localhost", "redis:/x", "postgresql://db", "redis+sentinel://x"])
def test_other_urls_are_refused(wrong: str):
    """A URL that is none of Redis is a ValueError at construction."""
    for store in (RedisStore, SyncRedisStore):
        with pytest.raises(ValueError, match="redis://"):
            store(wrong)


def test_other_arguments_are_refused():
    """A prefix that SCAN would take for a pattern, and fewer than no replicas, are ValueErrors at construction."""
    for arguments in ({"prefix": "a*"}, {"prefix": ""}, {"replicas": -1}):
        with pytest.raises(ValueError):
            SyncRedisStore("redis://localhost", **arguments)
    with pytest.raises(ValueError, match="at least one character"):
        SyncRedisStore("redis://localhost", prefix="")
    with pytest.raises(TypeError, match="replicas"):
        SyncRedisStore("redis://localhost", replicas="1")
    for store in (RedisStore, SyncRedisStore):
        with pytest.raises(TypeError, match="url is a text such as"):
            store(b"redis://localhost")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://h?replicas=1", r"replicas is an argument: RedisStore\(url, replicas=1\)"),
        ("redis://h?prefix=x", "prefix is an argument"),
        ("redis://h?allow_eviction=true", "allow_eviction is an argument"),
        ("redis+cluster://h?server_clock=0", "server_clock is an argument"),
        ("redis://h?colour=red", "no option 'colour'"),
        ("redis+cluster://h?colour=red", "no option 'colour'"),
        ("unix:///run/r.sock?ssl_ca_certs=x", "no option 'ssl_ca_certs'"),
        ("redis://h?socket_timeout=soon", "this value of socket_timeout"),
        ("redis://h?socket_timeout=-1", "this value of socket_timeout"),
        ("redis://h?socket_timeout=", "this value of socket_timeout"),
        ("redis://h?db=x", "this value of db"),
        ("redis://h:port", "the port"),
        ("redis://h:70000", "the port"),
        ("redis://h:0", "the port"),
        ("redis://h/first", "the database"),
        ("redis+cluster://h/1", "database 0 alone"),
        ("redis+cluster://:6379", "no host"),
        ("redis://h#x", "#"),
        ("redis://[::1", "the host"),
        ("unix://redis.sock", "no socket"),
    ],
)
def test_wrong_parts_of_a_url_are_refused(url: str, message: str):
    """What is wrong in a URL of Redis is said at construction, with and without await: options, numbers, port, database, place."""
    for store in (RedisStore, SyncRedisStore):
        with pytest.raises(ValueError, match=message):
            store(url)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster", "rediss+cluster", "unix"])
@pytest.mark.parametrize("mark", ["@", "/", "#", "?", "[", "@/", "/@", "1/", "1?", "1#", "@?x="])
def test_a_password_that_is_not_encoded_is_refused(scheme: str, mark: str):
    """A password with a character that ends it early is refused, and no part of it is in the message."""
    place = "/run/redis.sock" if scheme == "unix" else "cache.example:6379/0"
    for before, after in (("hid", "den"), ("", "hidden"), ("hidden", "")):
        for store in (RedisStore, SyncRedisStore):
            with pytest.raises(ValueError, match="the password in the URL holds a character that must be percent-encoded") as caught:
                store(f"{scheme}://:{before}{mark}{after}@{place}")
            assert not any(part in str(caught.value) for part in ("hid", "den"))


def test_no_message_holds_a_password():
    """A password behind the ?, or one that lacks its host, is in no message, whatever is wrong beside it."""
    for url in (
        "redis://h?password=hid&den=1",
        "redis://h?password=hid#den",
        "redis://:hidden",
        "redis://:hidden/0",
        "redis://:hidden@h:port",
        "redis://:hidden@h/x",
        "redis://:hidden@h?colour=red",
    ):
        with pytest.raises(ValueError) as caught:
            SyncRedisStore(url)
        assert not any(part in str(caught.value) for part in ("hid", "den"))


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://localhost/",
        "redis://user:p%40ss@localhost:6379/3?socket_timeout=1&max_connections=9&timeout=2&client_name=shop&health_check_interval=30",
        "rediss://[::1]:6379?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none&ssl_check_hostname=false",
        "unix:///run/redis@1.sock?db=2",
        "unix://user:secret@/run/redis.sock",
        "redis+cluster://h:7000/0?require_full_coverage=false",
        "rediss+cluster://:secret@h?ssl_ca_certs=/ca.pem&socket_connect_timeout=1",
    ],
)
def test_right_urls_are_taken(url: str):
    """What redis-py takes in a URL, its options among it, passes at construction, with and without await."""
    for store in (RedisStore, SyncRedisStore):
        store(url)


async def test_many_at_once_as_the_first(redis_cluster_url: str):
    """A cluster that several tasks begin to use at the same moment refuses none of them, and so it is at twenty and two thousand."""
    for at_once in (20, 20, 20, 2_000):
        store = RedisStore(redis_cluster_url)
        rows = [a_session(subject=f"user-{number}") for number in range(at_once)]
        await asyncio.gather(*(store.open(row, limit=9, now=time.time()) for row in rows))
        await store.close()


def test_a_login_over_the_limit_looks_at_a_few(plain: SyncRedisStore, raw: redis.Redis):
    """However often a subject logged in lately, one more login runs no more scripts than the limit and a constant."""
    now, limit = 1_750_000_000.0, 5
    rows = [login(plain, a_session(now + number / 100), limit=limit) for number in range(400)]
    before = raw.info("commandstats")["cmdstat_evalsha"]["calls"]
    login(plain, a_session(now + 5), limit=limit)
    assert raw.info("commandstats")["cmdstat_evalsha"]["calls"] - before <= limit + 2 * sessions._SPARE + 5
    live = plain.sessions("ada", now + 5)
    assert len(live) == limit
    assert {row.id for row in live} > {row.id for row in rows[-limit + 1 :]}


LOCKED = """
import os, signal, sys
from stagedoor.stores.redis import SyncRedisStore
store = SyncRedisStore(sys.argv[1])
with store._link._own_lock():
    child = os.fork()
    if child == 0:
        signal.alarm(50)
        os._exit(0 if store.get(b"?" * 16) is None else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
store.close()
"""


def test_a_child_is_not_kept_out_by_its_parents_lock(redis_url: str):
    """A process forked while another thread opens the store's connections has a lock of its own."""
    command = [sys.executable, "-W", "error", "-c", LOCKED, redis_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": 5},
        {"client_id": 1},
        {"device": {}},
        {"pepper_id": 70_000},
        {"created_at": math.inf},
        {"idle_ends_at": math.inf},
        {"rotated_at": math.inf},
    ],
    ids=str,
)
def test_a_row_of_the_wrong_parts_is_unreadable(plain: SyncRedisStore, raw: redis.Redis, wrong: dict[str, object]):
    """What no store of ours would write is refused, whichever part of the row it is in."""
    row = a_session(1_750_000_000.0)
    plain.open(row, limit=9, now=row.created_at)
    raw.set(b"stagedoor:s:" + row.id, pack(replace(row, **wrong)))
    with pytest.raises(SessionUnreadable):
        plain.get(row.id)
