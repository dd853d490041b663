"""RedisDocuments: a few small documents in Redis, each written only over the version that its writer has seen.

Never knows what a document says: it comes sealed.
"""

from __future__ import annotations

from stagedoor.errors import StoreError
from stagedoor.stores.redis.link import SyncLink
from stagedoor.stores.redis.script import ACKNOWLEDGED_IN, Script, Steps


class RedisDocuments:
    """What a Vault asks of a store. Every call blocks. With `replicas` a write is answered when so many of them have it."""

    def __init__(self, link: SyncLink, *, prefix: str, replicas: int) -> None:
        self._link = link
        self._prefix = prefix
        self._replicas = replicas
        self._script = Script("document")

    def read(self, name: str) -> tuple[int, bytes] | None:
        """As Documents.read."""
        return self._link.run(self._read(name), [self._script.source])

    def write(self, name: str, content: bytes, *, expected: int) -> bool:
        """As Documents.write."""
        return self._link.run(self._write(name, content, expected), [self._script.source])

    def _read(self, name: str) -> Steps[tuple[int, bytes] | None]:
        ((version, content),) = yield lambda link: link.send([("HMGET", self._key(name), "version", "content")])
        return None if version is None else (int(version), content)

    def _write(self, name: str, content: bytes, expected: int) -> Steps[bool]:
        key = self._key(name)
        node = yield lambda link: link.node_of(key)
        waiting = [("WAIT", self._replicas, ACKNOWLEDGED_IN)] if self._replicas else []
        written, *acknowledged = yield lambda link: link.on(node, [self._script.on(key, expected, content), *waiting])
        if written and waiting and int(acknowledged[0]) < self._replicas:
            raise StoreError(f"{name} is written, but {acknowledged[0]} of {self._replicas} replicas acknowledged it: try again")
        return bool(written)

    def _key(self, name: str) -> bytes:
        return f"{self._prefix}:d:{name}".encode()
