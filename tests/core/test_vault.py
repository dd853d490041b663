"""Vault: documents that a store keeps and cannot read."""

import fcntl
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stagedoor.encoding import encode
from stagedoor.errors import KeyRejected, StoreError
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers
from stagedoor.stores.memory import MemoryDocuments, SyncMemoryStore
from stagedoor.vault import MasterKey, Vault

from .material import NOW, SECRET

MASTER, OTHER = SECRET[:32], SECRET[32:64]


@pytest.fixture
def documents() -> MemoryDocuments:
    return SyncMemoryStore().documents


def vault(documents: MemoryDocuments, *secrets: bytes) -> Vault:
    return Vault(documents, MasterKey(*(secrets or (MASTER,))))


def refused(call, *arguments) -> str:
    with pytest.raises(KeyRejected) as caught:
        call(*arguments)
    assert encode(MASTER) not in str(caught.value)
    return caught.value.code


def test_what_a_store_has_tells_nothing(documents: MemoryDocuments):
    """Neither a private key nor a pepper stands readable in what the store is given, and the same content is never sealed alike."""
    keys, peppers = KeySet.open(vault(documents)), Peppers.open(vault(documents))
    kept = documents.read("keys")[1] + documents.read("peppers")[1]
    private = keys.entries()[0].value.jwk(private=True)
    for secret in (
        b"kty",
        private["d"].encode(),
        private["kid"].encode(),
        peppers.entries()[0].value,
        encode(peppers.entries()[0].value).encode(),
    ):
        assert secret not in kept
    master = MasterKey(MASTER)
    assert master.seal(b"x", "keys") != master.seal(b"x", "keys")


@pytest.mark.parametrize("place", range(60))
def test_what_was_altered_is_refused(place: int):
    """A bit changed anywhere in a sealed document, its name or its end is found."""
    master = MasterKey(MASTER)
    sealed = master.seal(b"a document of some length", "keys")
    altered = bytearray(sealed)
    altered[place % len(sealed)] ^= 1
    assert refused(master.unseal, bytes(altered), "keys") in ("vault_damaged", "master_key_wrong")
    assert refused(master.unseal, sealed[: len(sealed) - 1 - place % len(sealed)], "keys") in ("vault_damaged", "master_key_wrong")
    assert refused(master.unseal, sealed, "peppers") == "vault_damaged"


def test_another_master_key(documents: MemoryDocuments):
    """Whoever has the store and another master key is told so, and changes nothing."""
    KeySet.open(vault(documents))
    before = documents.read("keys")
    assert refused(KeySet.open, vault(documents, OTHER)) == "master_key_wrong"
    assert documents.read("keys") == before


def test_a_change_of_the_master_key(documents: MemoryDocuments):
    """Opened with the new one and the old one, everything is sealed under the new one, and then needs the old one no more."""
    kid = KeySet.open(vault(documents)).entries()[0].id
    assert refused(KeySet.open, vault(documents, OTHER)) == "master_key_wrong"
    assert KeySet.open(vault(documents, OTHER, MASTER)).entries()[0].id == kid
    assert KeySet.open(vault(documents, OTHER)).entries()[0].id == kid
    assert refused(KeySet.open, vault(documents, MASTER)) == "master_key_wrong"


@pytest.mark.parametrize("wrong", [b"", b"short", b"x" * 32, bytes(32), SECRET[:31], SECRET[:33]])
def test_weak_master_keys(wrong: bytes):
    """A master key is 32 random bytes."""
    assert refused(MasterKey, wrong) == "master_key_malformed"
    assert refused(MasterKey, MASTER, wrong) == "master_key_malformed"
    assert refused(MasterKey.parse, encode(wrong)) == "master_key_malformed"


@pytest.mark.parametrize("text", ["", "password", ",", f"{encode(MASTER)}=", f"{encode(MASTER)},", "é" * 43, None])
def test_texts_that_are_no_master_key(text: str):
    """The text is base64url of 32 bytes; several stand with commas between."""
    assert refused(MasterKey.parse, text) == "master_key_malformed"


def test_the_text_of_a_master_key():
    """What is generated can be parsed, and what one sealed the other opens."""
    text = MasterKey.generate_text()
    sealed = MasterKey.parse(text).seal(b"x", "keys")
    assert MasterKey.parse(f"{MasterKey.generate_text()}, {text}").unseal(sealed, "keys") == b"x"
    assert text not in repr(MasterKey.parse(text))


def test_the_file_of_a_master_key(tmp_path: Path):
    """It is made on first use for its owner alone, and found again; one that others may read, or that holds something else, is refused."""
    path = tmp_path / "master.key"
    sealed = MasterKey.open(path).seal(b"x", "keys")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert MasterKey.open(path).unseal(sealed, "keys") == b"x"
    path.chmod(0o644)
    with pytest.raises(PermissionError):
        MasterKey.open(path)
    path.chmod(0o600)
    for other in (b"", b"something else", b"\xff" * 43, "é".encode() * 43):
        path.write_bytes(other)
        assert refused(MasterKey.open, path) == "master_key_malformed"


def test_the_file_of_a_master_key_that_another_process_makes_meanwhile(tmp_path: Path):
    """What lies there once it is our turn is taken, and not written over."""
    path = tmp_path / "master.key"
    with (tmp_path / "master.key.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        opened: list[MasterKey] = []
        thread = threading.Thread(target=lambda: opened.append(MasterKey.open(path)))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        path.write_text(encode(MASTER))
        path.chmod(0o600)
    thread.join(5)
    assert opened[0].unseal(MasterKey(MASTER).seal(b"x", "keys"), "keys") == b"x"


def test_held_wrong(documents: MemoryDocuments):
    """A store instead of its documents, a text instead of a master key: TypeError."""
    for arguments in ((SyncMemoryStore(), MasterKey(MASTER)), (documents, MASTER), (documents, "text")):
        with pytest.raises(TypeError):
            Vault(*arguments)
    with pytest.raises(TypeError):
        MasterKey(encode(MASTER))


def test_who_is_slower_writes_over_nobody(documents: MemoryDocuments):
    """Threads that rotate at once lose nothing of each other: each tries again on what it finds."""
    rings = [Peppers.open(vault(documents)) for _ in range(8)]
    threads = [threading.Thread(target=lambda ring=ring: [ring.rotate(keep="1d") for _ in range(5)]) for ring in rings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.id for entry in Peppers.open(vault(documents)).entries()) == list(range(1, 42))
    assert documents.read("peppers")[0] == 41


def test_a_document_that_keeps_changing():
    """Whoever never gets its turn is told so in the end, and not left alone with it."""

    class Busy(MemoryDocuments):
        def write(self, name: str, content: bytes, *, expected: int) -> bool:
            return False

    with pytest.raises(StoreError):
        KeySet.open(vault(Busy()))


def test_a_store_that_is_down_takes_nothing_away(documents: MemoryDocuments, caplog: pytest.LogCaptureFixture):
    """What is known goes on; the trouble is logged once, and reading works again when the store is back."""
    ours, theirs = KeySet.open(vault(documents)), KeySet.open(vault(documents))
    kid = ours.entries()[0].id
    documents.read = lambda name: (_ for _ in ()).throw(StoreError("down"))
    for _ in range(3):
        ours.tend()
    assert ours.find(kid, NOW) is not None
    assert caplog.text.count("down") == 1
    del documents.read
    made = theirs.rotate(keep="1d").kid
    ours.tend()
    assert ours.find(made, NOW) is not None


def test_a_document_that_has_gone(documents: MemoryDocuments):
    """What was deleted behind our back is not made anew by a rotation, and what is known goes on."""
    keys = KeySet.open(vault(documents))
    documents._documents.clear()
    with pytest.raises(ValueError):
        keys.rotate(keep="1d")
    keys.tend()
    assert keys.signing(time.time()).can_sign
    assert documents.read("keys") is None


def test_the_watch(documents: MemoryDocuments):
    """What another worker announced or retired is known here within a second or two, without anybody's asking."""
    ours, theirs = KeySet.open(vault(documents)), KeySet.open(vault(documents))
    first = ours.entries()[0].id
    made = theirs.rotate(keep="1d", announce=1).kid
    theirs.retire(first)
    until = time.monotonic() + 10
    while ours.find(first, time.time()) is not None and time.monotonic() < until:
        time.sleep(0.05)
    assert ours.find(first, time.time()) is None
    assert ours.signing(time.time()).kid == made
    ours.close()
    theirs.close()


WATCHED = """
import os, sys, threading, time
from stagedoor import KeySet
path = sys.argv[1]
def threads(): return sorted(t.name for t in threading.enumerate() if t.name == "stagedoor-watch")
keys = KeySet.open(path)
assert len(threads()) == 1, threads()
child = os.fork()
if child == 0:
    assert len(threads()) == 1, threads()
    known = keys.entries()[0].id
    until = time.monotonic() + 10
    while len(keys.entries()) == 1 and time.monotonic() < until:
        time.sleep(0.02)
    os._exit(0 if len(keys.entries()) == 2 else 1)
KeySet.open(path).rotate(keep="1d")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
keys.close()
del keys
until = time.monotonic() + 10
while threads() and time.monotonic() < until:
    time.sleep(0.02)
assert not threads(), threads()
"""


def test_the_watch_ends_with_its_ring_and_begins_anew_in_a_child(tmp_path: Path):
    """A forked worker hears of rotations too, and a ring that nobody holds is watched no more."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", WATCHED, str(tmp_path / "keys.json")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_happens_is_logged(documents: MemoryDocuments, caplog: pytest.LogCaptureFixture):
    """A rotation elsewhere is told once, an early end as a warning, and that a store is back."""
    caplog.set_level("INFO", "stagedoor.keys")
    ours, theirs = KeySet.open(vault(documents), keep="1d"), KeySet.open(vault(documents), keep="1d")
    assert caplog.text == ""
    made = theirs.rotate().kid
    theirs.retire(ours.entries()[0].id)
    caplog.clear()
    for _ in range(2):
        ours.tend()
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in told] == ["INFO", "WARNING"]
    assert made in told[0][1]
    assert ours.entries()[-1].id in told[1][1]
    caplog.clear()
    documents.read = lambda name: (_ for _ in ()).throw(StoreError("down\nwith a second line"))
    ours.tend()
    documents.read = lambda name: (_ for _ in ()).throw(StoreError("down in another way"))
    ours.tend()
    del documents.read
    ours.tend()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "second line" not in caplog.text


def test_who_only_reads_reseals_nothing(documents: MemoryDocuments):
    """A command that lists keys under new and old master keys leaves what machines with the old one alone can open."""
    kid = KeySet.open(vault(documents)).entries()[0].id
    reading = Vault(documents, MasterKey(OTHER, MASTER), reseals=False)
    assert KeySet.open(reading).entries()[0].id == kid
    assert KeySet.open(vault(documents)).entries()[0].id == kid
    KeySet.open(reading).rotate(keep="1d")
    assert refused(KeySet.open, vault(documents)) == "master_key_wrong"


@pytest.mark.parametrize("kind", [KeySet, Peppers])
def test_a_file_is_taken_over(kind: type[KeySet] | type[Peppers], documents: MemoryDocuments, tmp_path: Path):
    """What a file holds stands in the vault under the same ids and terms, once: what is there already is not written over."""
    path = tmp_path / "ring.json"
    before = kind.open(path, keep="1d")
    before.rotate()
    for _ in range(2):
        kind.take_over(path, vault(documents))
        after = kind.open(vault(documents))
        assert [(entry.id, entry.starts, entry.ends) for entry in after.entries()] == [
            (entry.id, entry.starts, entry.ends) for entry in before.entries()
        ]
        assert [kind._written(entry.value) for entry in after.entries()] == [kind._written(entry.value) for entry in before.entries()]
    assert documents.read(kind.NAME)[0] == 1
    assert path.exists()
    with pytest.raises(FileNotFoundError):
        kind.take_over(tmp_path / "another.json", vault(documents))
