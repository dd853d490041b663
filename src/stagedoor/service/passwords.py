"""Passwords: their policy, and argon2id (RFC 9106) on a few threads, with a queue that has an end.

Never knows whose password it is, and never keeps one.
"""

from __future__ import annotations

import base64
import secrets
import unicodedata

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from stagedoor.endpoints.workers import Workers
from stagedoor.errors import InvalidRequest, Overloaded

SHORTEST, LONGEST = 8, 1024
"""Characters of a password, after normalisation."""
_SALT, _DIGEST = 16, 32

COMMON = frozenset(
    """
    password password1 password12 password123 passw0rd p@ssw0rd p@ssword 12345678 123456789 1234567890 0123456789 87654321 987654321
    11111111 00000000 88888888 12341234 123123123 11223344 1q2w3e4r 1q2w3e4r5t 1qaz2wsx q1w2e3r4 zaq12wsx qwertyui qwertyuiop qwerty12
    qwerty123 1234qwer asdfghjk asdfghjkl abcdefgh abcd1234 abc12345 a1b2c3d4 iloveyou sunshine princess football baseball superman
    trustno1 starwars computer internet whatever welcome1 letmein1 letmein123 admin123 administrator changeme changeme1 michelle jennifer
    liverpool chocolate swordfish stagedoor
    """.split()  # noqa: SIM905 - a list of sixty strings would fill a screen
)
"""Guessed first, so never taken. A token of the idea: a long list (ASVS 6.2.4 asks for 3000) comes with a later version."""


class Passwords:
    """Hashes and checks passwords off the event loop.

    `threads` run at one time, each with `memory_cost` KiB; `waiting` more may queue (by default 16 a thread), then Overloaded is raised:
    a flood of logins takes neither the memory nor the event loop. The costs are argon2's; hashes made with others are still checked.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        waiting: int | None = None,
        time_cost: int = 3,
        memory_cost: int = 65_536,
        parallelism: int = 1,
    ) -> None:
        self._hasher = argon2.PasswordHasher(time_cost, memory_cost, parallelism, hash_len=_DIGEST, salt_len=_SALT)
        self._workers = Workers(threads, 16 * threads if waiting is None else waiting)
        # The digest is drawn, not computed: no password fits, checking one costs what it always costs, and making this costs nothing.
        salt, digest = (base64.b64encode(secrets.token_bytes(size)).decode("ascii").rstrip("=") for size in (_SALT, _DIGEST))
        self._nobodys = f"$argon2id$v=19$m={memory_cost},t={time_cost},p={parallelism}${salt}${digest}"

    async def hash(self, password: str) -> str:
        """The hash of a password that somebody chose. InvalidRequest where the policy refuses it, Overloaded."""
        return await self._workers.run(self._hasher.hash, check(password))

    async def renew(self, password: str) -> str:
        """A fresh hash of a password that was just verified: it is not asked again whether it is a good one. Overloaded."""
        return await self._workers.run(self._hasher.hash, _prepared(password))

    async def verify(self, hash_: str | None, password: str) -> bool:
        """Whether this is the password of this hash. None (there is no such user) takes as long, and is never right. Overloaded."""
        return await self._workers.run(self._verified, hash_ or self._nobodys, _prepared(password))

    def needs_rehash(self, hash_: str) -> bool:
        """Whether the hash was made with other costs than these."""
        return self._hasher.check_needs_rehash(hash_)

    def close(self) -> None:
        """Let go of the threads; what waits is dropped."""
        self._workers.close()

    def _verified(self, hash_: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(hash_, password)
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError):
            # Not a hash of ours, so nobody's: that must not show by a quick answer. Or no memory to check it with.
            return self._is_nobodys(password)

    def _is_nobodys(self, password: bytes) -> bool:
        try:
            return self._hasher.verify(self._nobodys, password)
        except VerifyMismatchError:
            return False
        except VerificationError as error:
            raise Overloaded(f"argon2: {error}") from None


def check(password: str) -> bytes:
    """What is hashed of a password, if the policy takes it; else InvalidRequest, which never repeats it.

    8 to 1024 characters of any kind but control characters (ASVS 6.2.1, 6.2.5, 6.2.8, 6.2.9), none of the most common ones.
    """
    prepared = _normal(password)
    if not SHORTEST <= len(prepared) <= LONGEST:
        raise InvalidRequest(f"A password has {SHORTEST} to {LONGEST} characters.")
    if any(unicodedata.category(mark) in ("Cc", "Cs") for mark in prepared):
        raise InvalidRequest("A password has no control characters.")
    if prepared.casefold() in COMMON:
        raise InvalidRequest("This password is one of the first to be guessed: choose another.")
    return prepared.encode("utf-8")


def _normal(password: str) -> str:
    """RFC 8265 section 4.2 (OpaqueString): every space is the plain one, and one character is written one way."""
    spaced = "".join(" " if unicodedata.category(mark) == "Zs" else mark for mark in password)
    return unicodedata.normalize("NFC", spaced)


def _prepared(password: str) -> bytes:
    # A lone surrogate is in no password, but may be sent: it must be wrong, not an accident.
    return _normal(password).encode("utf-8", "surrogatepass")
