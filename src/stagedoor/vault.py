"""Vault: documents in a store, sealed under a master key that the store never sees (AES-256-GCM, NIST SP 800-38D).

Never knows what a document says, nor which store keeps it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stagedoor.encoding import decode, encode
from stagedoor.errors import KeyRejected, MalformedToken, StoreError
from stagedoor.secret_file import SecretFile

_VERSION = b"\x01"
_SIZE = 32
_NAME = 8
_NONCE = 12
_TRIES = 100
_MAKE_ONE = "MasterKey.generate_text() or `stagedoor keys master-key` makes one"


class Documents(Protocol):
    """What a vault asks of a store: a few small documents by name. Both raise StoreError, and both may block."""

    def read(self, name: str) -> tuple[int, bytes] | None:
        """The number of its latest version, and its content; None where there is none."""

    def write(self, name: str, content: bytes, *, expected: int) -> bool:
        """Write version `expected` + 1, if the latest still is `expected` (0: there is none); whether it did. One atomic step."""


class MasterKey:
    """The secret that documents are sealed under: 32 random bytes, kept apart from the store. KeyRejected for any other.

    `MasterKey(new, old)` seals under the new one and still opens what is sealed under the old one.
    """

    __slots__ = ("_ciphers",)

    def __init__(self, secret: bytes, *older: bytes) -> None:
        for each in (secret, *older):
            if not isinstance(each, bytes):
                raise TypeError("a master key is 32 random bytes; MasterKey.parse takes its text, MasterKey.open its file")
            if len(each) != _SIZE or len(set(each)) < 8:
                raise KeyRejected("master_key_malformed", f"a master key is {_SIZE} random bytes: {_MAKE_ONE}")
        # The name stands with what is sealed, so that a wrong key is told from a broken document; it tells nothing of the key.
        self._ciphers = {hmac.digest(each, b"stagedoor master key name", "sha256")[:_NAME]: AESGCM(each) for each in (secret, *older)}

    @classmethod
    def parse(cls, text: str) -> Self:
        """From base64url, as MasterKey.generate_text makes it; several with commas between, the newest first. KeyRejected."""
        try:
            return cls(*(decode(part.strip()) for part in text.split(",")))
        except (MalformedToken, AttributeError):
            raise KeyRejected("master_key_malformed", f"a master key's text is base64url of {_SIZE} bytes: {_MAKE_ONE}") from None

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The one whose text stands in this file; made with a fresh one, mode 0600, when the file is not there. KeyRejected, OSError."""
        file = SecretFile(path)
        if not file.path.exists():  # one that is there may lie where nobody may write
            file.change(lambda content: None if content is not None else f"{cls.generate_text()}\n".encode("ascii"))
        found = file.read()
        return cls.parse("" if found is None else found[1].decode("ascii", errors="replace").strip())

    @staticmethod
    def generate_text() -> str:
        """A fresh master key as text, for an environment variable or a vault of your own."""
        return encode(secrets.token_bytes(_SIZE))

    def seal(self, content: bytes, name: str) -> bytes:
        """The content, readable under this key only, and as the document of this name only."""
        key_name, cipher = next(iter(self._ciphers.items()))
        nonce = secrets.token_bytes(_NONCE)
        return _VERSION + key_name + nonce + cipher.encrypt(nonce, content, _label(name))

    def unseal(self, sealed: bytes, name: str) -> bytes:
        """The content. KeyRejected `master_key_wrong` where it was sealed under another key, `vault_damaged` where it was altered."""
        key_name, nonce, text = sealed[1 : 1 + _NAME], sealed[1 + _NAME : 1 + _NAME + _NONCE], sealed[1 + _NAME + _NONCE :]
        if sealed[:1] != _VERSION or len(nonce) != _NONCE:
            raise KeyRejected("vault_damaged", f"what the store has as {name!r} was not sealed by a vault")
        cipher = self._ciphers.get(key_name)
        if cipher is None:
            raise KeyRejected("master_key_wrong", f"{name!r} is sealed under another master key")
        try:
            return cipher.decrypt(nonce, text, _label(name))
        except InvalidTag:
            raise KeyRejected("vault_damaged", f"{name!r} was altered after it had been sealed") from None

    def seals(self, sealed: bytes) -> bool:
        """Whether this was sealed under the newest of these keys."""
        return sealed[1 : 1 + _NAME] == next(iter(self._ciphers))

    def __repr__(self) -> str:
        return "<MasterKey>"


class Vault:
    """Where key sets and peppers are kept for many workers: `KeySet.open(vault)`, `Peppers.open(vault)`.

    `Vault(store.documents, MasterKey.open("master.key"))`. What the store has, a backup of it too, is of no use without the master key.
    What is sealed under an older master key is sealed under the newest when it is opened or changed; `reseals=False`: only when changed.
    """

    def __init__(self, documents: Documents, master_key: MasterKey, *, reseals: bool = True) -> None:
        if not callable(getattr(documents, "write", None)):
            raise TypeError("a vault takes a store's documents: Vault(store.documents, …)")
        if not isinstance(master_key, MasterKey):
            raise TypeError("master_key is a MasterKey: MasterKey.open('master.key') or MasterKey.parse(text)")
        self._documents = documents
        self._master_key = master_key
        self._reseals = reseals

    def document(self, name: str) -> SealedDocument:
        """The document of this name, whether it is there yet or not."""
        return SealedDocument(self._documents, self._master_key, name, reseals=self._reseals)


class SealedDocument:
    """One document of a vault. StoreError, KeyRejected."""

    def __init__(self, documents: Documents, master_key: MasterKey, name: str, *, reseals: bool) -> None:
        self._documents = documents
        self._master_key = master_key
        self._name = name
        self._reseals = reseals

    def __str__(self) -> str:
        return f"the vault's {self._name}"

    def read(self, known: object = None) -> tuple[object, bytes] | None:
        """A stamp of its state, and its content; None where the stamp is still the known one. FileNotFoundError where it is not there."""
        found = self._documents.read(self._name)
        if found is None:
            raise FileNotFoundError(f"{self} is not there")
        # The content is the stamp: after a failover another one may have the same number.
        return None if found[1] == known else (found[1], self._master_key.unseal(found[1], self._name))

    def change(self, work: Callable[[bytes | None], bytes | None]) -> None:
        """Write what `work` makes of the content (None: there is none yet), unless that is None. `work` may be called again.

        What is still sealed under an older master key is sealed under the newest.
        """
        for _ in range(_TRIES):
            version, sealed = self._documents.read(self._name) or (0, None)
            content = None if sealed is None else self._master_key.unseal(sealed, self._name)
            changed = work(content)
            if changed is None and self._reseals and sealed is not None and not self._master_key.seals(sealed):
                changed = content
            if changed is None or self._documents.write(self._name, self._master_key.seal(changed, self._name), expected=version):
                return
        raise StoreError(f"{self} kept changing: try again")


def _label(name: str) -> bytes:
    return b"stagedoor vault\0" + name.encode("utf-8")
