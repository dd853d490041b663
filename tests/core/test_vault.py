"""Vault: documents that a store keeps and cannot read."""

import fcntl
import hmac
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stagedoor.encoding import encode
from stagedoor.errors import KeyRejected, StoreError
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers
from stagedoor.stores.memory import MemoryDocuments, SyncMemoryStore
from stagedoor.testing.clock import FixedClock
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


def test_what_was_sealed_can_be_opened_by_every_version():
    """Version, name of the key, nonce, AES-256-GCM over the content and the document's name: made by hand it opens."""
    name = hmac.digest(MASTER, b"stagedoor master key name", "sha256")[:8]
    nonce, content = bytes(range(12)), b"a document"
    sealed = b"\x01" + name + nonce + AESGCM(MASTER).encrypt(nonce, content, b"stagedoor vault\0keys")
    assert MasterKey(MASTER).unseal(sealed, "keys") == content
    assert MasterKey(MASTER).seals(sealed)


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
    assert MasterKey(b"abcdefgh" * 4)


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
    for other in (b"", b"something else", b"\xff" * 43, "é".encode() * 43, f"{encode(MASTER)}\u00a0".encode()):
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
        made = tmp_path / "made"
        made.write_text(encode(MASTER))
        made.chmod(0o600)
        made.rename(path)  # at once with all that it is: MasterKey.open may look at any moment
    thread.join(30)
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
    for each in (ours, theirs):
        each.close()  # or their watches might be quicker
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
    until = time.monotonic() + 30
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
    until = time.monotonic() + 30
    while len(keys.entries()) == 1 and time.monotonic() < until:
        time.sleep(0.02)
    os._exit(0 if len(keys.entries()) == 2 else 1)
KeySet.open(path).rotate(keep="1d")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
keys.close()
del keys
until = time.monotonic() + 30
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
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_happens_is_logged(documents: MemoryDocuments, caplog: pytest.LogCaptureFixture):
    """A rotation elsewhere is told once, an early end as a warning, and that a store is back."""
    caplog.set_level("INFO", "stagedoor.keys")
    ours, theirs = KeySet.open(vault(documents), keep="1d"), KeySet.open(vault(documents), keep="1d")
    for each in (ours, theirs):
        each.close()  # or their watches might be quicker
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


def test_an_end_in_its_time_is_not_told(documents: MemoryDocuments, caplog: pytest.LogCaptureFixture):
    """What ended as it was to end is no warning, though it still stands beside what is retired."""
    clock = FixedClock(NOW)
    ours, theirs = KeySet.open(vault(documents), clock=clock), KeySet.open(vault(documents), clock=clock)
    for each in (ours, theirs):
        each.close()  # or their watches might be quicker
    made = theirs.rotate(keep=60, announce=300).kid
    ours.tend()
    clock.forward(400)
    theirs.retire(made)
    caplog.clear()
    ours.tend()
    assert [made in record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [True]


def test_an_announcement_says_from_when(documents: MemoryDocuments, caplog: pytest.LogCaptureFixture):
    """To the second, and in UTC wherever the machine stands."""
    caplog.set_level("INFO", "stagedoor.keys")
    clock = FixedClock(NOW + 0.25)
    ours, theirs = KeySet.open(vault(documents), clock=clock), KeySet.open(vault(documents), clock=clock)
    for each in (ours, theirs):
        each.close()  # or their watches might be quicker
    theirs.rotate(keep=60, announce=300)
    caplog.clear()
    ours.tend()
    assert [record.getMessage().partition(" from ")[2] for record in caplog.records] == ["2025-06-15 15:11:40+00:00"]


def test_of_two_that_find_all_ended_one_makes_a_fresh_one(documents: MemoryDocuments):
    """Who comes second takes what the first has made meanwhile."""
    first = KeySet.open(vault(documents), clock=FixedClock(NOW))
    first._change(lambda entries: [replace(entry, ends=NOW - 1.0) for entry in entries])
    theirs: list[KeySet] = []
    # It was found there, it was read, and now it is to be changed.
    slow = Slow(documents, 3, lambda: theirs.append(KeySet.open(vault(documents), clock=FixedClock(NOW))))
    ours = KeySet.open(vault(slow), clock=FixedClock(NOW))
    assert ours.signing(NOW).kid == theirs[0].signing(NOW).kid
    assert len(ours.entries()) == 2


class Slow(MemoryDocuments):
    """The documents of others, to which something happens before this one reads for the so-manieth time."""

    def __init__(self, others: MemoryDocuments, reads: int, meanwhile: Callable[[], object]) -> None:
        self.others, self.reads, self.meanwhile = others, reads, meanwhile

    def read(self, name: str) -> tuple[int, bytes] | None:
        self.reads -= 1
        if self.reads == 0:
            self.meanwhile()
        return self.others.read(name)

    def write(self, name: str, content: bytes, *, expected: int) -> bool:
        return self.others.write(name, content, expected=expected)


def test_of_two_that_find_it_is_time_one_rotates(documents: MemoryDocuments):
    """Who has read before the other wrote, and writes after it, takes what that one made."""
    clock, spans = FixedClock(NOW), {"rotate_every": 1000, "announce": 100, "keep": 300}
    theirs = KeySet.open(vault(documents), clock=clock, **spans)
    slow = Slow(documents, 0, theirs.tend)
    ours = KeySet.open(vault(slow), clock=clock, **spans)
    ours.close()
    theirs.close()
    slow.reads = 2  # the first to see whether it is time, the second to change it
    clock.forward(900)
    ours.tend()
    assert [entry.id for entry in ours.entries()] == [entry.id for entry in theirs.entries()]
    assert len(ours.entries()) == 2


def test_what_changes_nothing_is_not_written(documents: MemoryDocuments):
    """Whoever retires again what is retired leaves the document as it was."""
    keys = KeySet.open(vault(documents))
    kid = keys.entries()[0].id
    keys.retire(kid)
    before = documents.read("keys")
    keys.retire(kid)
    assert documents.read("keys") == before


def test_a_store_that_goes_down_in_the_middle_of_a_rotation(documents: MemoryDocuments):
    """Whoever rotates hears of it, and nothing changes; a rotation whose answer alone was lost is known all the same."""
    keys = KeySet.open(vault(documents))
    keys.close()
    known = keys.entries()
    write = documents.write

    def lost(*arguments: Any, **more: Any) -> bool:
        write(*arguments, **more)
        raise StoreError("the answer was lost")

    def down(*arguments: Any, **more: Any) -> bool:
        documents.read = down
        raise StoreError("down")

    documents.write = down
    with pytest.raises(StoreError):
        keys.rotate(keep="1d")
    assert keys.entries() == known
    del documents.read
    documents.write = lost
    with pytest.raises(StoreError):
        keys.rotate(keep="1d")
    assert len(keys.entries()) == 2


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
