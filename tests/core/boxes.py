"""Signers for the tests: each has a private key in a box and says its signatures in its own form, or fails in its own way.

Never knows what a test expects.
"""

import asyncio
import inspect
import threading
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from stagedoor.keys import Key

from .material import private_der, private_key, public_pem

TRUTH = object()


class Box:
    """Signs as PKCS#11 does. `says`, where it is set, is what it answers instead; an exception is raised."""

    def __init__(self, name: str = "ES256") -> None:
        self._inside = Key.from_der(private_der(private_key(name)), name)
        self.key = Key.from_signer(self, public_pem(private_key(name).public_key()), name)
        self.says: Any = TRUTH
        self.asked: list[bytes] = []
        self.threads: list[threading.Thread] = []

    def sign(self, data: bytes) -> Any:
        self.asked.append(data)
        self.threads.append(threading.current_thread())
        if isinstance(self.says, BaseException):
            raise self.says
        return self._inside.sign(data) if self.says is TRUTH else self.says


class AsyncBox(Box):
    """The same, to be awaited."""

    async def sign(self, data: bytes) -> Any:
        await asyncio.sleep(0)
        return super().sign(data)


class LateBox(Box):
    """A plain function that returns what must be awaited."""

    def sign(self, data: bytes) -> Any:
        async def later() -> Any:
            return Box.sign(self, data)

        return later()


def as_der(raw: bytes) -> bytes:
    """An ECDSA signature as a KMS says it."""
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


async def settle(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
