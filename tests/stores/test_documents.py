"""Documents in every store: what a vault asks, and workers that start, rotate and retire at one moment."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from stagedoor import KeySet
from stagedoor.errors import StoreError
from stagedoor.stores.memory import SyncMemoryStore
from stagedoor.stores.redis import SyncRedisStore
from stagedoor.stores.sql import SQLStore, SyncSQLStore
from stagedoor.vault import MasterKey, Vault

MASTER = bytes(range(32))
WORKERS = """
import json, os, sys
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers
from stagedoor.stores.redis import SyncRedisStore
from stagedoor.stores.sql import SyncSQLStore
from stagedoor.vault import MasterKey, Vault
url, count, go = sys.argv[1], int(sys.argv[2]), os.pipe()
for number in range(count):
    if os.fork() == 0:
        os.read(go[0], 1)  # until all are there
        vault = Vault((SyncRedisStore if url.startswith("redis") else SyncSQLStore)(url).documents, MasterKey(bytes(range(32))))
        keys, peppers = KeySet.open(vault), Peppers.open(vault)
        made = peppers.rotate(keep="1d")
        keys.reload()
        os.write(1, (json.dumps([[e.id for e in keys.entries()], made]) + "\\n").encode())
        os._exit(0)
os.write(go[1], b"x" * count)
failed = [status for _ in range(count) if (status := os.waitstatus_to_exitcode(os.wait()[1]))]
sys.exit(1 if failed else 0)
"""


@pytest.fixture(params=["memory", "sqlite", "postgres", "redis", "cluster"])
def store(request: pytest.FixtureRequest, tmp_path) -> Iterator[Any]:
    match request.param:
        case "memory":
            yield SyncMemoryStore()
            return
        case "sqlite":
            made: Any = SyncSQLStore(f"sqlite:///{tmp_path}/auth.db")
        case "postgres":
            made = SyncSQLStore(request.getfixturevalue("postgres_url"))
        case "redis":
            made = SyncRedisStore(request.getfixturevalue("redis_url"))
        case _:
            made = SyncRedisStore(request.getfixturevalue("redis_cluster_url"), replicas=1)
    yield made
    made.close()


def test_versions(store: Any):
    """A document is written over the version that its writer has seen, and over no other."""
    documents = store.documents
    assert documents.read("a") is None
    assert not documents.write("a", b"too early", expected=1)
    assert documents.read("a") is None
    assert documents.write("a", b"one", expected=0)
    assert not documents.write("a", b"other", expected=0)
    assert documents.read("a") == (1, b"one")
    assert documents.write("a", bytes(range(256)), expected=1)
    for late in (0, 1, 3):
        assert not documents.write("a", b"late", expected=late)
    assert documents.read("a") == (2, bytes(range(256)))
    assert documents.read("b") is None


def test_a_write_whose_answer_was_lost(store: Any):
    """The same write once more is that write, on every store that may repeat one by itself."""
    repeats = not isinstance(store, SyncMemoryStore)
    assert store.documents.write("a", b"one", expected=0)
    assert store.documents.write("a", b"one", expected=0) is repeats
    assert store.documents.read("a") == (1, b"one")


def test_before_and_after_migrate(store: Any):
    """Keys are opened before an application migrates its store, and are the same after it."""
    vault = Vault(store.documents, MasterKey(MASTER))
    first = KeySet.open(vault).entries()[0].id
    store.migrate()
    assert KeySet.open(vault).entries()[0].id == first


def test_reading_makes_nothing(tmp_path):
    """Who only looks into a database without tables leaves it without tables."""
    store = SyncSQLStore(f"sqlite:///{tmp_path}/auth.db")
    assert store.documents.read("keys") is None
    with pytest.raises(StoreError):
        store.get(bytes(16))
    store.close()


async def test_beside_an_event_loop(postgres_url: str):
    """The documents of an async store block, and are the same as those of its sync one."""
    ours, theirs = SQLStore(postgres_url), SyncSQLStore(postgres_url)
    kid = KeySet.open(Vault(ours.documents, MasterKey(MASTER))).entries()[0].id
    assert KeySet.open(Vault(theirs.documents, MasterKey(MASTER))).entries()[0].id == kid
    await ours.close()
    theirs.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "redis"])
def test_twenty_workers_that_start_at_once(kind: str, request: pytest.FixtureRequest, tmp_path):
    """They make one key between them, and of twenty rotations at one moment none is lost."""
    url = f"sqlite:///{tmp_path}/auth.db" if kind == "sqlite" else request.getfixturevalue(f"{kind}_url")
    done = subprocess.run([sys.executable, "-c", WORKERS, url, "20"], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 20
    assert len({tuple(kids) for kids, _ in answers}) == 1
    assert len(answers[0][0]) == 1
    assert sorted(made for _, made in answers) == list(range(2, 22))
