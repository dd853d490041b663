"""Knows a Redis of our own, and a Redis Cluster of several: started, killed, restarted, copied to a replica, promoted.

Never knows a key.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.retry import Retry

from servers.binaries import binary
from servers.process import PATIENCE, Server

SLOTS = 16_384
ONCE = Retry(NoBackoff(), 0)  # redis-py waits for seconds otherwise before it says that nobody is there
SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
}

SYNCED = {"appendfsync": "always"}
"""Of one that is killed and must have what it answered: with everysec that may not even be written, while a sync is under way."""


class Redis(Server):
    """One Redis server. `settings` are those of redis.conf."""

    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, *, settings: Mapping[str, str] = {}, port: int | None = None) -> None:
        super().__init__(folder, port)
        self.settings = SETTINGS | dict(settings)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> Client:
        """A synchronous client, with texts for answers."""
        return Client(host="127.0.0.1", port=self.port, **({"decode_responses": True} | options))

    def call(self, *command: Any) -> Any:
        """What one command answers, on a connection of its own."""
        with self.client(retry=ONCE) as client:
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        with self.client(retry=ONCE) as client:
            return dict(client.info(section))

    def settle(self) -> None:
        """Wait until the append-only file is not being written anew: meanwhile each page that is written to is copied first."""
        self.wait_until(lambda: not self.info("persistence")["aof_rewrite_in_progress"], "rewrite its file", patience=10 * PATIENCE)

    def command(self) -> list[str]:
        own = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.folder), "daemonize": "no"}
        lines = [name + " " + (value or '""') + "\n" for name, value in (own | self.settings).items()]
        (self.folder / "conf").write_text("".join(lines), encoding="utf-8")
        return [str(binary("redis").path), str(self.folder / "conf")]

    def answers(self) -> bool:
        return bool(self.call("PING"))

    def replica(self, folder: Path) -> Redis:
        """A copy of this one that follows it, started and linked."""
        copy = Redis(folder, settings=self.settings | {"replicaof": f"127.0.0.1 {self.port}"}).start()
        copy.wait_until(copy.linked, "link to its master")
        return copy

    def linked(self) -> bool:
        """Whether a replica has all that its master had when it asked, on its disk too."""
        writing = self.info("persistence")["aof_rewrite_in_progress"] or self.info("persistence")["aof_rewrite_scheduled"]
        return self.info("replication").get("master_link_status") == "up" and not writing

    def promote(self) -> None:
        """Makes a replica a master."""
        self.settings = {name: value for name, value in self.settings.items() if name != "replicaof"}
        self.call("REPLICAOF", "NO", "ONE")


class Cluster:
    """A Redis Cluster: the masters are the first of `nodes`, then come the replicas."""

    def __init__(self, folder: Path, *, masters: int = 3, replicas: int = 1, settings: Mapping[str, str] = {}) -> None:
        own = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": "2000",
            "cluster-replica-validity-factor": "0",
        }
        self.masters = masters
        self.nodes = [Redis(folder / f"node-{number}", settings=own | dict(settings)) for number in range(masters * (1 + replicas))]

    @property
    def url(self) -> str:
        """With the port of a node that runs."""
        port = next((node.port for node in self.nodes if node.alive), self.nodes[0].port)
        return f"redis+cluster://127.0.0.1:{port}"

    def start(self) -> Self:
        """Starts all nodes, forms the cluster if it is new, and waits until all nodes say that it is well."""
        new = not (self.nodes[0].folder / "nodes.conf").exists()
        try:
            for node in self.nodes:
                if not node.alive:
                    node.launch()
            for node in self.nodes:
                node.wait_until(node.answers, "answer")
            if new:
                self.form()
            self.wait()
        except BaseException:
            self.kill()
            raise
        return self

    def form(self) -> None:
        masters = self.nodes[: self.masters]
        share = -(-SLOTS // len(masters))
        with ThreadPoolExecutor(len(self.nodes)) as pool, ExitStack() as stack:
            clients = [stack.enter_context(node.client()) for node in self.nodes]
            names = [client.execute_command("CLUSTER", "MYID") for client in clients]
            for number, client in enumerate(clients):
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)  # else they first have to agree on that
                if number < len(masters):
                    client.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS)[number * share : (number + 1) * share])
                for other in self.nodes[:number]:  # all of them, which is quicker than gossip
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)

            def follow(number: int) -> None:
                node, master = self.nodes[number], names[number % len(masters)]
                node.wait_until(lambda: clients[number].execute_command("CLUSTER", "REPLICATE", master), "know its master")

            list(pool.map(follow, range(len(masters), len(self.nodes))))

    def wait(self, patience: float = PATIENCE) -> None:
        """Until every node that runs says that the cluster is well, and every replica is linked."""
        for node in self.nodes:
            if node.alive:
                node.wait_until(lambda node=node: self.well(node), "say cluster_state:ok", patience=patience)

    def well(self, node: Redis) -> bool:
        with node.client() as client:
            if dict(client.execute_command("CLUSTER INFO"))["cluster_state"] != "ok":
                return False
            return dict(client.info("replication"))["role"] == "master" or node.linked()

    def wait_for_masters(self, count: int) -> None:
        """Until so many nodes that run are masters, as after a failover, and the cluster is well."""
        witness = next(node for node in self.nodes if node.alive)
        witness.wait_until(lambda: len(self.masters_now()) >= count, f"see {count} masters")
        self.wait()

    def masters_now(self) -> list[Redis]:
        """The nodes that run and are masters."""
        return [node for node in self.nodes if node.alive and node.info("replication")["role"] == "master"]

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def flush(self) -> None:
        """Deletes all keys."""
        for node in self.masters_now():
            node.call("FLUSHALL")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
