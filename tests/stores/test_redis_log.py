"""The log of what a store on Redis ends keeps the contract, on one server and on a cluster; and what only Redis can show."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from awake import Awake
from patience import PATIENCE
from servers import SYNCED, Cluster, Redis
from stagedoor import Issuer, KeySet, Peppers, Session, SyncIssuer
from stagedoor.encoding import encode
from stagedoor.errors import AuthError, RevocationsStale, StoreError, TokenRevoked
from stagedoor.revocation import FeedClosed
from stagedoor.session import Outcome
from stagedoor.stores.redis import RedisStore, SyncRedisStore, link, records, script, sessions
from stagedoor.testing.contract import LogContract, SyncLogContract
from stores.test_redis import a_session, at_last, login, presented


class TestRedisLog(LogContract):
    """What RedisStore writes on one server."""

    @pytest.fixture
    async def store(self, redis_url: str) -> AsyncIterator[RedisStore]:
        store = RedisStore(redis_url, server_clock=False)
        await store.migrate()
        yield store
        await store.close()


class TestSyncRedisLog(SyncLogContract):
    """The same of SyncRedisStore."""

    @pytest.fixture
    def sync_store(self, redis_url: str) -> Iterator[SyncRedisStore]:
        store = SyncRedisStore(redis_url, server_clock=False)
        store.migrate()
        yield store
        store.close()


class TestRedisLogOnCluster(LogContract):
    """What RedisStore writes on a cluster, acknowledged by a replica."""

    @pytest.fixture
    async def store(self, redis_cluster_url: str) -> AsyncIterator[RedisStore]:
        store = RedisStore(redis_cluster_url, server_clock=False, replicas=1)
        await store.migrate()
        yield store
        await store.close()


class TestSyncRedisLogOnCluster(SyncLogContract):
    """The same of SyncRedisStore."""

    @pytest.fixture
    def sync_store(self, redis_cluster_url: str) -> Iterator[SyncRedisStore]:
        store = SyncRedisStore(redis_cluster_url, server_clock=False, replicas=1)
        store.migrate()
        yield store
        store.close()


@pytest.fixture(params=["server", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("redis_url" if request.param == "server" else "redis_cluster_url")


@pytest.fixture
def store(url: str) -> Iterator[SyncRedisStore]:
    store = SyncRedisStore(url)
    yield store
    store.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Redis]:
    """A server of the test's own, to be killed."""
    with Redis(tmp_path / "own", settings=SYNCED) as server:
        yield server


@pytest.fixture
def on_own(own: Redis) -> Iterator[SyncRedisStore]:
    store = SyncRedisStore(own.url)
    yield store
    store.close()


def ended(store: SyncRedisStore) -> str:
    """The `sid` of a session that was opened and ended."""
    row = login(store, a_session())
    assert store.revoke(row.id, "logout", 0.0)
    return encode(row.id)


def read(store: SyncRedisStore, after: str | None, wait: float = 0.0) -> tuple[str, set[str]]:
    """Where to go on, and which sessions, keys and issuers are named."""
    page = store.log.read(after, wait)
    return page.cursor, {record.name for record in page.records}


def heard(store: SyncRedisStore, after: str | None) -> set[str]:
    return read(store, after)[1]


def home(cluster: Cluster) -> Redis:
    """The master that has the log."""
    slot = cluster.nodes[0].call("CLUSTER", "KEYSLOT", "stagedoor:{r}:log")
    return next(node for node in cluster.masters_now() if node.call("CLUSTER", "COUNTKEYSINSLOT", slot))


@pytest.fixture
def without_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a record lives longer than the access tokens is left out: no test waits for a minute."""
    for module in (script, records):
        monkeypatch.setattr(module, "MARGIN", 0.0)


# Time and lifetimes.


def test_the_moment_is_the_servers(store: SyncRedisStore):
    """Records and pages are at the moment of Redis, whatever a caller's clock says; a page is as old as its question."""
    ended(store)
    key = store.log.revoke_key("kid-1", 7.0)
    began = time.monotonic()
    page = store.log.read(None)
    took = time.monotonic() - began
    assert key in page.records
    assert len(page.records) == 2
    assert all(abs(record.written - time.time()) < 60 for record in page.records)
    assert abs(page.now - time.time()) < 60
    assert 0 < page.age < took


def test_how_long_tokens_live_is_told_again(store: SyncRedisStore, redis_server: Redis, redis_cluster: Cluster):
    """A server that has lost how long access tokens live hears of it with the next record of whoever has told it."""
    store.log.expect(7_200)
    for server in [redis_server, *redis_cluster.masters_now()]:
        server.call("FLUSHALL")
    ended(store)
    stranger = SyncRedisStore(store._link._url.replace("redis://", "redis+cluster://") if store._link._cluster else store._link._url)
    ended(stranger)
    assert [round(record.until - record.written) for record in store.log.read(None).records] == [7_260, 7_260]
    stranger.close()


def test_a_log_in_which_nothing_is_written_vanishes(without_margin: None, on_own: SyncRedisStore, own: Redis):
    """The stream expires with its last record; what is read on then is nothing, and what comes later is heard."""
    on_own.log.expect(30.0)
    first = ended(on_own)
    cursor, names = read(on_own, None)
    assert names == {first}
    assert 0 < own.call("PTTL", "stagedoor:{r}:log") <= 30_000
    own.call("PEXPIRE", "stagedoor:{r}:log", 1)
    time.sleep(0.1)
    assert own.call("EXISTS", "stagedoor:{r}:log") == 0
    cursor, names = read(on_own, cursor)
    assert names == set()
    second = ended(on_own)
    assert heard(on_own, cursor) == {second}


def test_an_issuers_record_outlives_the_stream(without_margin: None, on_own: SyncRedisStore, own: Redis):
    """What is revoked of a whole issuer is read for as long as it was told, once after each cursor, and is gone then."""
    on_own.log.expect(1.0)
    before = read(on_own, None)[0]
    lasting = on_own.log.revoke_issuer("https://long.example", 900.0, 0.0)
    until = time.monotonic() + PATIENCE
    while True:  # until both reads come before the second is over
        on_own.log.revoke_issuer("https://short.example", 1.0, 0.0)
        found = [heard(on_own, after) for after in (before, None)]
        if found == [{"https://short.example", "https://long.example"}] * 2:
            break
        assert time.monotonic() < until, found
    own.call("DEL", "stagedoor:{r}:log")
    time.sleep(1.1)
    page = on_own.log.read(None)
    assert page.records == [lasting]
    assert on_own.log.read(page.cursor).records == []
    again = on_own.log.revoke_issuer("https://long.example", 100.0, 0.0)
    assert (again.until, again.through >= lasting.through) == (lasting.until, True)
    assert on_own.log.read(page.cursor).records == [again]
    assert own.call("HEXISTS", "stagedoor:{r}:about", "=https://short.example") == 0


def test_a_long_log_comes_in_parts(store: SyncRedisStore, monkeypatch: pytest.MonkeyPatch):
    """A log that is longer than one answer is read whole, whatever the last part holds, and read on from its end."""
    monkeypatch.setattr(records, "_TOGETHER", 3)
    store.log.revoke_issuer("https://auth.example", 900.0, 0.0)
    cursor, expected = None, {"https://auth.example"}
    for _ in range(7):
        expected.add(ended(store))
        assert heard(store, None) == expected
        cursor, _ = read(store, cursor)
        assert heard(store, cursor) == set()


def test_all_of_a_subject_are_one_record(store: SyncRedisStore):
    """Sessions that are ended together take one place in the log, and are heard one by one."""
    rows = [login(store, a_session()) for _ in range(20)]
    cursor = store.log.read(None).cursor
    assert len(store.revoke_subject("ada", "all", 0.0)) == 20
    after, names = read(store, cursor)
    assert names == {encode(row.id) for row in rows}
    assert int(after.rpartition(":")[2]) == 1


# What a server loses is noticed, and everything is read again.


def test_a_restart(on_own: SyncRedisStore, own: Redis):
    """After a restart of the server all is read again, once; and then on."""
    names = {ended(on_own)}
    cursor = read(on_own, None)[0]
    own.kill()
    with pytest.raises(StoreError):
        on_own.log.read(cursor)
    own.start()
    cursor, found = read(on_own, cursor)
    assert found == names
    assert heard(on_own, cursor) == set()


def test_a_restored_log(on_own: SyncRedisStore, own: Redis, tmp_path: Path):
    """A log that was restored from a copy, and has grown since beyond a cursor, is read whole from there: nothing is missed."""
    first = ended(on_own)
    own.stop()
    shutil.copytree(own.folder, tmp_path / "copy")
    own.start()
    lost = ended(on_own)
    cursor = read(on_own, None)[0]
    own.stop()
    shutil.rmtree(own.folder)
    shutil.copytree(tmp_path / "copy", own.folder)
    own.start()
    others = {ended(on_own), ended(on_own)}
    assert heard(on_own, cursor) == {first} | others
    assert lost not in heard(on_own, None)


def test_a_log_that_was_emptied(store: SyncRedisStore, redis_server: Redis, redis_cluster: Cluster):
    """After FLUSHALL another log begins: whoever reads on from the old one reads all of the new one."""
    for _ in range(3):
        ended(store)
    cursor = read(store, None)[0]
    for server in [redis_server, *redis_cluster.masters_now()]:
        server.call("FLUSHALL")
    emptied, names = read(store, cursor)
    assert names == set()
    fresh = {ended(store) for _ in range(4)}
    assert heard(store, cursor) == heard(store, emptied) == fresh


def test_half_a_log_that_was_lost(on_own: SyncRedisStore, own: Redis):
    """Where a Redis that evicts has dropped one of its two keys, what is in the other is read, and the log goes on."""
    first = ended(on_own)
    cursor = read(on_own, None)[0]
    own.call("DEL", "stagedoor:{r}:about")
    strange, names = read(on_own, cursor)
    assert names == {first}
    began = time.monotonic()
    assert read(on_own, strange, 0.2)[1] == {first}
    assert time.monotonic() - began >= 0.2
    second = ended(on_own)
    cursor, names = read(on_own, cursor)
    assert names == {first, second}
    own.call("DEL", "stagedoor:{r}:log")
    third = ended(on_own)
    assert heard(on_own, cursor) == {third}


def test_a_replica_that_takes_over(own: Redis, tmp_path: Path):
    """A replica is not read, for it may know less; promoted without the last records of its master, it is read whole."""
    first = SyncRedisStore(own.url)
    known = ended(first)
    replica = own.replica(tmp_path / "replica")
    second = SyncRedisStore(replica.url)
    with pytest.raises(StoreError, match="replica"):
        second.log.read(None)
    replica.promote()
    lost = ended(first)
    cursor = read(first, None)[0]
    others = {ended(second), ended(second)}
    assert heard(second, cursor) == {known} | others
    own.call("REPLICAOF", "127.0.0.1", replica.port)  # the old master follows the new one, and takes over again, without a restart
    own.wait_until(own.linked, "link to its master")
    own.promote()
    assert heard(first, cursor) == {known} | others
    assert lost not in heard(first, None)
    first.close()
    second.close()
    replica.stop()


async def test_a_failover(tmp_path: Path):
    """While the log's master on a cluster is dead: StoreError; from the replica that takes over all is read, and it is written to."""
    with Cluster(tmp_path / "cluster") as cluster:
        store, other = SyncRedisStore(cluster.url), RedisStore(cluster.url)
        names = {ended(store) for _ in range(3)}
        cursor = read(store, None)[0]
        row = a_session()
        await other.open(row, limit=9, now=row.created_at)
        cluster.wait()
        dead = home(cluster)
        waiting = asyncio.create_task(asyncio.to_thread(store.log.read, cursor, 30.0))
        await asyncio.sleep(0.1)
        dead.kill()
        with pytest.raises(StoreError):
            await waiting
        with pytest.raises(StoreError):
            store.log.read(cursor)
        await asyncio.to_thread(cluster.wait_for_masters, 3)
        cursor, found = read(store, cursor)
        assert found == names
        assert await other.revoke(row.id, "logout", 0.0)
        assert heard(store, cursor) == {encode(row.id)}
        store.close()
        await other.close()


# Waiting.


async def test_a_connection_that_is_cut_while_it_waits(on_own: SyncRedisStore, own: Redis):
    """Whoever waits over a connection that the server cuts goes on over another, and hears of what comes."""
    cursor = read(on_own, None)[0]
    row = login(on_own, a_session())
    for seen in range(3):
        waiting = asyncio.create_task(asyncio.to_thread(read, on_own, cursor, 60.0))
        await asyncio.sleep(0.1)
        assert own.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") >= 1
        await asyncio.sleep(0.2)
        assert not waiting.done()
        began = time.monotonic()
        if seen:
            on_own.log.revoke_key(f"kid-{seen}", 0.0)
        else:
            on_own.revoke(row.id, "logout", 0.0)
        cursor, names = await waiting
        assert names == {f"kid-{seen}" if seen else encode(row.id)}
        assert time.monotonic() - began < 30


def test_a_wait_longer_than_an_answer_may_take(redis_url: str):
    """Who waits longer than an answer of the server may take waits in several questions, and is told of nothing then."""
    store = SyncRedisStore(f"{redis_url}?socket_timeout=0.2")
    cursor = at_last(lambda: read(store, None)[0])
    began = time.monotonic()
    assert at_last(lambda: read(store, cursor, 0.7)[1]) == set()
    assert 0.7 <= time.monotonic() - began < 30
    store.close()


def test_a_server_that_hangs(own: Redis, monkeypatch: pytest.MonkeyPatch):
    """A server that takes a question and does not answer is StoreError in time, and is read again when it goes on."""
    monkeypatch.setitem(link._OPTIONS, "socket_timeout", 60.0)
    store = SyncRedisStore(f"{own.url}?socket_timeout=0.2")
    cursor = at_last(lambda: read(store, None)[0])
    os.kill(own.pid, signal.SIGSTOP)
    for wait in (0.0, 0.2):
        began = time.monotonic()
        with pytest.raises(StoreError):
            store.log.read(cursor, wait)
        assert time.monotonic() - began < 30
    os.kill(own.pid, signal.SIGCONT)
    name = at_last(lambda: ended(store))
    assert name in at_last(lambda: heard(store, cursor))
    store.close()


async def test_a_closed_store_is_not_opened_by_who_waits(url: str):
    """Whoever waits while the store is closed is told so, and is until it is used again, or read without a wait."""
    store, other = SyncRedisStore(url), RedisStore(url)
    for log, close in ((store.log, lambda: asyncio.to_thread(store.close)), (other.log, other.close)):
        cursor = log.read(None, 1.0).cursor
        waiting = asyncio.create_task(asyncio.to_thread(log.read, cursor, 60.0))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await close()
        with pytest.raises(FeedClosed):
            await waiting
        assert time.monotonic() - began < 30
        for after in (None, cursor):
            with pytest.raises(FeedClosed):
                log.read(after, 0.1)
        assert log.read(cursor).records == []
        assert log.read(cursor, 0.1).records == []
        await close()
        await asyncio.to_thread(store.get, bytes(16))
        await other.get(bytes(16))
        assert log.read(cursor, 0.1).records == []
    store.close()
    await other.close()


# Between the row and the log.


@pytest.fixture
def limited(own: Redis) -> Iterator[SyncRedisStore]:
    """A store whose user can be forbidden to write to the log."""
    own.call("ACL", "SETUSER", "limited", "on", ">password-of-the-test", "~*", "+@all")
    store = SyncRedisStore(own.url.replace("//", "//limited:password-of-the-test@"))
    yield store
    store.close()


def forbid(own: Redis) -> None:
    own.call("ACL", "SETUSER", "limited", "-xadd")


def allow(own: Redis) -> None:
    own.call("ACL", "SETUSER", "limited", "+xadd")


def test_a_call_that_broke_before_the_log(limited: SyncRedisStore, own: Redis):
    """A session is ended and the log cannot be written: StoreError, as often as it is tried; the repeated call writes it, and any other."""
    alone, others, reused = login(limited, a_session()), login(limited, a_session(subject="bob")), login(limited, a_session(subject="eve"))
    current = limited.rotate(presented(reused), 0.0).session
    behind = presented(current, generation=0, successor=bytes(32))
    calls: list[tuple[Session, Callable[[], object]]] = [
        (alone, lambda: limited.revoke(alone.id, "logout", 0.0)),
        (others, lambda: limited.revoke_subject("bob", "all", 0.0)),
        (reused, lambda: limited.settle(Outcome.REUSED, behind, 0.0)),
        (reused, lambda: limited.rotate(behind, 0.0)),
    ]
    for row, call in calls:
        forbid(own)
        for _ in range(2):
            with pytest.raises(StoreError):
                call()
        assert limited.get(row.id).revoked_at is not None
        cursor, names = read(limited, None)
        assert encode(row.id) not in names or call is calls[-1][1]
        allow(own)
        call()
        assert heard(limited, cursor) == {encode(row.id)}


def test_the_limit_that_broke_before_the_log(limited: SyncRedisStore, own: Redis, monkeypatch: pytest.MonkeyPatch):
    """A session that a login over the limit has ended comes to the log before it leaves its subject's list."""
    row = login(limited, a_session())
    forbid(own)
    with pytest.raises(StoreError):
        login(limited, a_session(), limit=1)
    monkeypatch.setattr(sessions, "GRACE", 0.0)
    time.sleep(0.01)
    limited.sessions("ada", 0.0)
    assert own.call("ZCARD", "stagedoor:u:ada") == 2
    allow(own)
    assert heard(limited, None) == set()
    limited.sessions("ada", 0.0)
    assert own.call("ZCARD", "stagedoor:u:ada") == 1
    assert heard(limited, None) == {encode(row.id)}


def test_who_follows_writes_what_could_not_be_written(limited: SyncRedisStore, own: Redis):
    """What a process could not write to the log it writes as soon as it can, while it follows; and it reads on meanwhile."""
    rows = [login(limited, a_session()) for _ in range(3)]
    cursor = read(limited, None)[0]
    forbid(own)
    for row in rows:
        with pytest.raises(StoreError):
            limited.revoke(row.id, "logout", 0.0)
    assert read(limited, cursor, 0.01)[1] == set()
    allow(own)
    assert read(limited, cursor, 0.01)[1] == {encode(row.id) for row in rows}
    cursor, _ = read(limited, cursor)
    assert read(limited, cursor, 0.01)[1] == set()


def test_what_could_not_be_written_is_kept_until_it_can(limited: SyncRedisStore, own: Redis):
    """Of moments told by the caller each is a try of its own: where the first fails, the others are not lost."""
    told = SyncRedisStore(own.url.replace("//", "//limited:password-of-the-test@"), server_clock=False)
    now = time.time()
    rows = [login(told, a_session(subject=name)) for name in ("ada", "bob", "eve")]
    cursor, _ = read(told, None)
    forbid(own)
    for n, row in enumerate(rows):
        with pytest.raises(StoreError):
            told.revoke(row.id, "logout", now + n)
    for _ in range(2):
        assert read(told, cursor, 0.01)[1] == set()
    allow(own)
    assert read(told, cursor, 0.01)[1] == {encode(row.id) for row in rows}
    told.close()


async def test_a_logout_while_the_logs_node_is_down(tmp_path: Path):
    """While the node with the log is dead, logging out is a 503 wherever the session is; once it is back, the repeated call is heard."""
    with Cluster(tmp_path / "cluster", replicas=0, settings=SYNCED | {"cluster-require-full-coverage": "no"}) as cluster:
        store = RedisStore(cluster.url)
        issuer = an_issuer(store)
        pairs = [await issuer.issue("ada") for _ in range(6)]
        dead = home(cluster)
        cursor = await asyncio.to_thread(lambda: store.log.read(None).cursor)
        dead.kill()
        codes = set()
        for pair in pairs:
            with pytest.raises(AuthError) as caught:
                await issuer.revoke(pair.refresh_token)
            codes.add((caught.value.code, caught.value.status))
        assert codes == {("store_unavailable", 503)}
        dead.start()
        await asyncio.to_thread(cluster.wait)
        for pair in pairs:
            await issuer.revoke(pair.refresh_token)
        page = await asyncio.to_thread(store.log.read, cursor)
        assert {record.name for record in page.records} == {pair.session_id for pair in pairs}
        issuer.revocations.close()
        await store.close()


def test_what_ended_long_ago_is_not_told_again(without_margin: None, on_own: SyncRedisStore, monkeypatch: pytest.MonkeyPatch):
    """A repeated call on a session whose access tokens have all expired writes nothing; nor does another's on an ended one."""
    on_own.log.expect(60.0)
    row = login(on_own, a_session())
    on_own.revoke(row.id, "logout", 0.0)
    cursor = read(on_own, None)[0]
    on_own.revoke(row.id, "logout", 0.0, subject="eve")
    assert heard(on_own, cursor) == set()
    on_own.revoke(row.id, "logout", 0.0)
    cursor, names = read(on_own, cursor)
    assert names == {encode(row.id)}
    monkeypatch.setattr(on_own._sessions.records, "_life", -1.0)
    on_own.revoke(row.id, "logout", 0.0)
    assert heard(on_own, cursor) == set()


@pytest.fixture
def replicas_are_waited_for_briefly(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Until it is called."""
    for module in (records, sessions):
        monkeypatch.setattr(module, "ACKNOWLEDGED_IN", 100)
    return monkeypatch.undo


def test_a_record_waits_for_replicas(own: Redis, tmp_path: Path, replicas_are_waited_for_briefly: Callable[[], None]):
    """With `replicas` a key, an issuer and a session are said to be revoked when a replica has the record too."""
    store = SyncRedisStore(own.url, replicas=1)
    row = login(store, a_session())
    calls: list[Callable[[], object]] = [
        lambda: store.log.revoke_key("kid-1", 0.0),
        lambda: store.log.revoke_issuer("https://auth.example", 900.0, 0.0),
        lambda: store.revoke(row.id, "logout", 0.0),
    ]
    for call in calls:
        with pytest.raises(StoreError, match="0 of 1 replicas"):
            call()
    assert heard(store, None) == {"kid-1", "https://auth.example", encode(row.id)}  # whoever listens has heard of it
    replica = own.replica(tmp_path / "replica")
    replicas_are_waited_for_briefly()
    for call in calls:
        call()
        assert replica.call("XLEN", "stagedoor:{r}:log") == own.call("XLEN", "stagedoor:{r}:log")
    store.close()
    replica.stop()


def test_a_record_on_a_cluster_waits_for_a_replica_of_its_own_node(
    redis_cluster: Cluster, redis_cluster_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Whichever node a session is on: where the replica of the log's node hangs, its end is not answered."""
    store = SyncRedisStore(redis_cluster_url, replicas=1)
    rows = [login(store, a_session()) for _ in range(6)]
    store.log.revoke_key("kid-1", 0.0)
    master = home(redis_cluster)
    hanging = next(node for node in redis_cluster.nodes if node.info("replication").get("master_port") == master.port)
    os.kill(hanging.pid, signal.SIGSTOP)
    for module in (records, sessions):
        monkeypatch.setattr(module, "ACKNOWLEDGED_IN", 100)
    try:
        for row in rows:
            with pytest.raises(StoreError, match="replicas"):
                store.revoke(row.id, "logout", 0.0)
    finally:
        os.kill(hanging.pid, signal.SIGCONT)
    monkeypatch.undo()
    redis_cluster.wait()
    for row in rows:
        store.revoke(row.id, "logout", 0.0)
    store.close()


# Keys, and what is foreign there.


@pytest.mark.parametrize("prefix", ["shop", "{shop}", "a{b}c{d}", "{}", "a{}b", "{}{x}", "x{", "}x{", "}{", "{{x}}"])
def test_prefixes_with_braces(redis_cluster_url: str, prefix: str):
    """Whatever braces a prefix has: both keys of the log are in one slot of a cluster."""
    store = SyncRedisStore(redis_cluster_url, prefix=prefix)
    assert heard(store, None) == set()
    assert heard(store, read(store, None)[0]) == set()
    assert ended(store) in heard(store, None)
    store.close()


def test_two_applications_have_a_log_each(redis_url: str):
    """What one application ends is not in the log of another with its own prefix."""
    one, two = SyncRedisStore(redis_url), SyncRedisStore(redis_url, prefix="other")
    ended(one)
    assert heard(two, None) == set()
    one.close()
    two.close()


@pytest.mark.parametrize("raw", [b"", b"x", b"\x09" + bytes(24) + b"x", b"\x02" + bytes(24) + b"\xff"], ids=repr)
def test_what_is_no_record(on_own: SyncRedisStore, own: Redis, raw: bytes):
    """What this version cannot read in the log is StoreError, for it may be a revocation; the log goes on behind it."""
    ended(on_own)
    with own.client(decode_responses=False) as client:
        client.xadd("stagedoor:{r}:log", {"r": raw}, id=b"2")
        client.hset("stagedoor:{r}:about", "end", 2)
    with pytest.raises(StoreError):
        on_own.log.read(None)
    last = ended(on_own)
    name = own.call("HGET", "stagedoor:{r}:about", "name") + "-" + own.info("replication")["master_replid"]
    assert heard(on_own, f"{name}:2") == {last}


def test_a_foreign_key_in_the_place_of_the_log(on_own: SyncRedisStore, own: Redis):
    """What somebody else wrote under the log's name is StoreError, for who ends a session and for who reads."""
    row = login(on_own, a_session())
    for key in ("stagedoor:{r}:log", "stagedoor:{r}:about"):
        own.call("SET", key, "foreign")
        for call in (lambda: on_own.revoke(row.id, "logout", 0.0), lambda: on_own.log.read(None)):
            with pytest.raises(StoreError, match="WRONGTYPE"):
                call()
        own.call("DEL", key)


# All of it together.


def an_issuer(store: RedisStore | SyncRedisStore, made: type = Issuer) -> Issuer:
    return made("https://auth.example", audience="https://api.example", store=store, keys=KEYS, peppers=PEPPERS)


KEYS, PEPPERS = KeySet.generate(), Peppers.generate()


async def test_what_one_issuer_ends_another_refuses(url: str):
    """Within a second of a logout, a logout everywhere and a revoked key, another process's verifier refuses the access tokens."""
    one, two = RedisStore(url), SyncRedisStore(url)
    here, there = an_issuer(one), an_issuer(two, SyncIssuer)
    verifier = there.verifier()

    async def refused_within_a_second(token: str) -> None:
        with Awake() as awake:
            while True:
                late = awake.seconds >= 1
                try:
                    verifier.verify(token)
                except TokenRevoked:
                    return
                except RevocationsStale:  # the machine stood still for longer than that
                    pass
                assert not late
                await asyncio.sleep(0.01)

    pairs = [await here.issue("ada") for _ in range(3)]
    await asyncio.to_thread(there.revocations.hear)
    for pair in pairs:
        assert verifier.verify(pair.access_token).session_id == pair.session_id
    await here.revoke(pairs[0].refresh_token)
    await refused_within_a_second(pairs[0].access_token)
    verifier.verify(pairs[1].access_token)
    await here.revoke_subject("ada")
    await refused_within_a_second(pairs[1].access_token)
    await refused_within_a_second(pairs[2].access_token)
    last = await here.issue("ada")
    kid = verifier.verify(last.access_token).key_id
    await asyncio.to_thread(one.log.revoke_key, kid, 0.0)
    await refused_within_a_second(last.access_token)
    here.revocations.close()
    there.revocations.close()
    await one.close()
    two.close()
