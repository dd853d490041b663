"""Signer: what signs with a key that never leaves its box (a KMS, an HSM), and how its answer is taken.

Never knows a token, a network, or how a box is spoken to.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from stagedoor.algorithms import Algorithm
from stagedoor.encoding import encode
from stagedoor.errors import AuthError, SigningFailed

_log = logging.getLogger("stagedoor.keys")


class Signer(Protocol):
    """Signs with one private key that is kept elsewhere: `def sign`, or, for Issuer alone, `async def sign`."""

    def sign(self, data: bytes) -> bytes | Awaitable[bytes]:
        """The signature of `data` itself, not of its hash, as RFC 7518 section 3 has it; for ECDSA DER is taken too.

        May raise whatever it likes: that is SigningFailed, 503, and nothing has changed. Called by several threads at once.
        """


def awaits(signer: Signer) -> bool:
    """Whether it can be seen that `signer` wants to be awaited."""
    return inspect.iscoroutinefunction(signer.sign)


@contextmanager
def asking() -> Iterator[None]:
    """Whatever a signer raises is no fault of the token: SigningFailed. Errors of ours pass."""
    try:
        yield
    except AuthError:
        raise
    except Exception as error:
        _log.warning("the signer raised %s: %s", type(error).__name__, error)  # what is wrong with a box only it can say
        raise SigningFailed(f"the signer raised {type(error).__name__}") from error


def taken(row: Algorithm, public: Any, data: bytes, answer: object) -> bytes:
    """The signer's answer as a JWS carries it. SigningFailed where it is no signature of `data` by the key whose public half this is."""
    if not isinstance(answer, bytes | bytearray | memoryview):
        raise SigningFailed(f"the signer returned {type(answer).__name__}, not bytes")
    for signature in _forms(row, public, bytes(answer)):
        if row.verify(public, data, encode(signature)):
            return signature
    raise SigningFailed("what the signer returned is not this key's signature")


def _forms(row: Algorithm, public: Any, answer: bytes) -> Iterator[bytes]:
    """What the answer can be read as. A KMS says ECDSA's two numbers in DER, PKCS#11 as RFC 7518 section 3.4 does."""
    yield answer
    if row.key_type != "EC":
        return
    width = (public.key_size + 7) // 8
    try:
        r, s = decode_dss_signature(answer)
        yield r.to_bytes(width, "big") + s.to_bytes(width, "big")
    except (ValueError, OverflowError):  # no DER, or numbers that this curve does not have
        return
