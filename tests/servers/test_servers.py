"""The servers of the tests do what the tests of the stores rely on: durable, killable, copied, and gone afterwards."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis.cluster import RedisCluster

from servers import Cluster, Postgres, Redis, binaries, watchdog
from servers.process import is_free

TESTS = Path(__file__).parents[1]


def gone(pid: int) -> bool:
    return watchdog.started_at(pid) is None


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("primary")) as server:
        yield server


def test_a_killed_postgres_comes_back_with_its_data(primary: Postgres):
    """After kill -9 no process of PostgreSQL is left and the port is free; what was committed is there after the start."""
    primary.sql("CREATE TABLE kept (a int)")
    primary.sql("INSERT INTO kept VALUES (%s)", 42)
    with psycopg.connect(primary.url):
        pid, processes = primary.pid, primary.processes()
        assert len(processes) >= 5
        primary.kill()
    assert not primary.alive
    assert is_free(primary.port)
    assert all(gone(each) for each in [pid, *processes])
    primary.start()
    assert primary.sql("SELECT a FROM kept") == [(42,)]
    assert "not properly shut down" in primary.log
    primary.restart()
    assert primary.sql("SELECT a FROM kept") == [(42,)]


def test_a_synchronous_standby_has_all_and_is_promoted(tmp_path: Path):
    """A standby that was made synchronous has what was committed when the primary is killed, and accepts writes once promoted."""
    with Postgres(tmp_path / "primary") as primary, primary.standby(tmp_path / "standby", synchronous=True) as standby:
        primary.sql("CREATE TABLE copied (a int)")
        primary.sql("INSERT INTO copied VALUES (1)")
        primary.kill()
        standby.promote()
        standby.sql("INSERT INTO copied VALUES (2)")
        assert standby.sql("SELECT a FROM copied ORDER BY a") == [(1,), (2,)]


def test_an_asynchronous_standby_follows(primary: Postgres, tmp_path: Path):
    """An asynchronous standby streams, and refuses writes; the primary goes on when it is gone."""
    with primary.standby(tmp_path, synchronous=False) as standby:
        primary.sql("CREATE TABLE followed (a int)")
        standby.wait_until(lambda: standby.sql("SELECT 1 FROM pg_class WHERE relname = 'followed'"), "follow")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            standby.sql("INSERT INTO followed VALUES (1)")
        standby.kill()
    primary.sql("INSERT INTO followed VALUES (1)")


def test_each_test_has_a_database_of_its_own(postgres: Postgres, postgres_url: str):
    """The database of a test is new and empty."""
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchone() == (0,)
        assert postgres.url != postgres_url


def test_pgbouncer_gives_each_transaction_a_connection(pgbouncer_url: str):
    """Behind PgBouncer two clients share one connection of PostgreSQL when their transactions do not overlap."""
    with psycopg.connect(pgbouncer_url, prepare_threshold=None) as one, psycopg.connect(pgbouncer_url, prepare_threshold=None) as two:
        seen = set()
        for client in (one, two):
            seen.add(client.execute("SELECT pg_backend_pid()").fetchone())
            client.commit()
        assert len(seen) == 1


@pytest.mark.parametrize("appendfsync", ["everysec", "always"])
def test_a_killed_redis_comes_back_with_its_data(tmp_path: Path, appendfsync: str):
    """After kill -9 Redis has what it answered, because its appended file was written, if not synced, before the answer."""
    with Redis(tmp_path, settings={"appendfsync": appendfsync}) as server:
        assert server.call("SET", "kept", "42")
        # With everysec it waits while an earlier part of the file is being synced.
        server.wait_until(lambda: server.info("persistence")["aof_buffer_length"] == 0, "write its file")
        pid = server.pid
        server.kill()
        assert gone(pid)
        assert is_free(server.port)
        server.start()
        assert server.call("GET", "kept") == "42"
        assert server.call("CONFIG", "GET", "appendfsync")


def test_a_redis_replica_is_promoted(tmp_path: Path):
    """A replica has what its master had, and accepts writes once promoted, after a restart too."""
    with Redis(tmp_path / "master") as master:
        master.call("SET", "copied", "1")
        with master.replica(tmp_path / "replica") as replica:
            master.kill()
            replica.promote()
            replica.restart()
            assert replica.call("GET", "copied") == "1"
            assert replica.call("SET", "copied", "2")


def test_the_redis_of_a_test_is_empty(redis_url: str, redis_server: Redis):
    """A test finds nothing in the Redis that it shares with the others."""
    assert redis_server.url == redis_url
    assert redis_server.call("DBSIZE") == 0


def test_a_cluster_fails_over(tmp_path: Path):
    """When a master is killed its replica becomes master with the data; the old one comes back as its replica."""
    with Cluster(tmp_path) as cluster:
        client = RedisCluster("127.0.0.1", cluster.nodes[0].port)
        for number in range(100):
            client.set(f"key-{number}", number)
            client.execute_command("WAIT", 1, 1000, target_nodes=client.get_node_from_key(f"key-{number}"))
        client.close()
        killed = cluster.nodes[1]
        killed.kill()
        assert cluster.nodes[0].port != killed.port
        cluster.wait_for_masters(3)
        client = RedisCluster("127.0.0.1", cluster.nodes[0].port)
        assert [int(client.get(f"key-{number}")) for number in range(100)] == list(range(100))
        client.close()
        cluster.start()
        assert killed.info("replication")["role"] == "slave"


def test_the_cluster_of_a_test_is_empty(redis_cluster_url: str):
    """A test finds nothing in the cluster that it shares with the others."""
    assert redis_cluster_url.startswith("redis+cluster://127.0.0.1:")


def test_a_server_that_does_not_start_says_why(tmp_path: Path):
    """A setting that does not exist is an AssertionError with what the server said about it."""
    with pytest.raises(AssertionError, match="no-such-setting"):
        Redis(tmp_path, settings={"no-such-setting": "1"}).start()


def test_a_program_that_is_missing_says_what_brings_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Where nothing was found the error names the command."""
    monkeypatch.setattr(binaries, "SERVERS", tmp_path)
    with pytest.raises(AssertionError, match=r"This brings it: .*\.ci/servers"):
        binaries.binary.__wrapped__("postgres")


ABANDONED = """
import sys, time
from pathlib import Path
from servers import Postgres, Redis
postgres, redis = Postgres(Path(sys.argv[1]) / "postgres").start(), Redis(Path(sys.argv[1]) / "redis").start()
print(postgres.pid, *postgres.processes(), redis.pid, flush=True)
print(postgres.data, flush=True)
time.sleep(60)
"""


def test_no_server_outlives_the_tests(tmp_path: Path):
    """When the process of the tests is killed with -9, its servers end within seconds, and so does a folder outside the tests' own."""
    command = [sys.executable, "-c", ABANDONED, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        data = Path(process.stdout.readline().strip())
        assert len(pids) >= 7
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 60
    while not all(map(gone, pids)) or (data.exists() and not data.is_relative_to(tmp_path)):
        assert time.monotonic() < until, pids
        time.sleep(0.05)
