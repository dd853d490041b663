"""The box that keeps the signing key of R4's service, and signs nothing while a file exists.

Never knows who makes the file, or when.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stagedoor import Key, KeySet

_PRIVATE = Ed25519PrivateKey.from_private_bytes(b"a key of the fault suite in a box"[:32])


def met_file(folder: str | Path) -> Path:
    """Exists once the box was asked while it was down."""
    return Path(folder) / "box-was-down"


class Box:
    """A remote signer, as far as the service can see."""

    def __init__(self, down: Path, folder: str | Path) -> None:
        self._down, self._met = str(down), met_file(folder)

    async def sign(self, data: bytes) -> bytes:
        if os.path.exists(self._down):  # noqa: PTH110 - once a refresh: a Path costs ten times as much
            self._met.touch()
            raise ConnectionError("the box is down")
        return _PRIVATE.sign(data)


def keys(down: Path, folder: str | Path) -> KeySet:
    """The service's keys: one, in the box."""
    public = _PRIVATE.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeySet(Key.from_signer(Box(down, folder), public, "Ed25519"))
