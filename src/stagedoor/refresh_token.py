"""RefreshToken and Peppers: the wire form of a refresh token, its tag, its proof and its successor.

Never knows a store, a clock or what a session is allowed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from stagedoor.encoding import decode, encode
from stagedoor.entry import ANNOUNCE, Entry, Schedule
from stagedoor.errors import InvalidRequest, KeySetUnavailable, MalformedToken, RefreshTokenUnknown
from stagedoor.ring import Ring
from stagedoor.vault import Vault

PREFIX = "sdr_"
"""What secret scanners find our refresh tokens by."""
_VERSION = 1
_BODY = struct.Struct(">BH16sI32s16s")  # version, pepper id, session id, generation, secret, proof
_TAG = 16
_LAST_PEPPER = 65535
_UNHEARD = 3
"""Peppers that others may have made before we hear of it."""
_LAST_GENERATION = 2**32 - 1  # it could have no successor
_TEXT = len(PREFIX) + (_BODY.size + _TAG) * 4 // 3  # the size is a multiple of three: no slack bits


@dataclass(frozen=True, slots=True, repr=False)
class RefreshToken:
    """A refresh token whose tag was right: the parts of it. Its proof is still to be checked against the session's seed."""

    pepper_id: int
    session_id: bytes
    generation: int
    secret: bytes
    proof: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the secret: all that a store ever holds of it."""
        return digest_of(self.secret)


class Peppers(Ring[bytes]):
    """The secrets under which refresh tokens are made and checked; 32 bytes each, kept apart from the sessions, or sealed."""

    NAME = "peppers"

    def __init__(self, peppers: bytes | Mapping[int, bytes] = MappingProxyType({}), *, clock: Callable[[], float] = time.time) -> None:
        """One pepper, or several by their ids (1 to 65535), of which the highest is current: an id stays with its pepper for ever."""
        numbered = {1: peppers} if isinstance(peppers, bytes) else dict(peppers)
        for number, pepper in numbered.items():
            if not isinstance(pepper, bytes) or len(pepper) < 32:
                raise ValueError("a pepper is at least 32 random bytes")
            if type(number) is not int or not 0 < number <= _LAST_PEPPER:
                raise ValueError("a pepper's id is a number from 1 to 65535")
        super().__init__([Entry(number, pepper, starts=float(number - 65536)) for number, pepper in numbered.items()], clock=clock)

    @classmethod
    def generate(cls, *, clock: Callable[[], float] = time.time) -> Self:
        """One fresh pepper in memory: all sessions end with the process."""
        return cls(secrets.token_bytes(32), clock=clock)

    @classmethod
    def open(
        cls,
        where: str | Path | Vault,
        *,
        rotate_every: str | int | None = None,
        announce: str | int = ANNOUNCE,
        keep: str | int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Peppers:
        """The peppers in this file (mode 0600) or vault; made with one fresh pepper when it is not there. The rest as for KeySet.open.

        `keep` is one absolute lifetime of a session.
        """
        return cls._open(where, _fresh, Schedule.of(rotate_every, announce, keep), clock)

    @staticmethod
    def _written(value: bytes) -> str:
        return encode(value)

    @staticmethod
    def _read(written: str) -> bytes:
        pepper = decode(written)
        if len(pepper) < 32:
            raise ValueError("a pepper is at least 32 random bytes")
        return pepper

    def _make(self, entries: list[Entry[bytes]]) -> tuple[str | int, bytes]:
        return _fresh(entries)

    def rotate(self, *, keep: str | int | None = None, announce: str | int | None = None) -> int:
        """Announce a fresh pepper, current after `announce` seconds; older ones end `keep` seconds (one absolute lifetime) later; its id.

        As KeySet.rotate.
        """
        return int(self._rotate(keep=keep, announce=announce).id)

    def retire(self, id_: int) -> None:
        """For an emergency: no refresh token made under this pepper is accepted any more, so its sessions are over. As KeySet.retire."""
        self._retire(id_)

    def current_id(self, now: float) -> int:
        """The id of the pepper that new tokens are made under."""
        return int(self.current(now).id)

    def parse(self, text: str, now: float) -> RefreshToken:
        """The token in this text. RefreshTokenUnknown for a wrong form, an unknown pepper or a wrong tag: no store is asked for those.

        KeySetUnavailable where another worker may just have made its pepper.
        """
        if not isinstance(text, str) or len(text) != _TEXT or not text.startswith(PREFIX):
            raise RefreshTokenUnknown("not the form of a refresh token")
        try:
            data = decode(text[len(PREFIX) :])
        except MalformedToken:
            raise RefreshTokenUnknown("not the form of a refresh token") from None
        body, tag = data[:-_TAG], data[-_TAG:]
        version, pepper_id, session_id, generation, secret, proof = _BODY.unpack(body)
        pepper = self.find(pepper_id, now) if version == _VERSION and generation < _LAST_GENERATION else None
        if pepper is None and version == _VERSION and self._may_come(pepper_id):
            raise KeySetUnavailable(f"pepper {pepper_id} has not come here yet")  # an honest token, perhaps: not told that it is none
        if pepper is None:
            raise RefreshTokenUnknown("made under a pepper that is not known here")
        if not hmac.compare_digest(_tag(pepper, body), tag):
            raise RefreshTokenUnknown("the tag is wrong")
        return RefreshToken(pepper_id, session_id, generation, secret, proof)

    def _may_come(self, pepper_id: int) -> bool:
        """Whether another worker may have made this one since we last looked: one of the next few, where several share them."""
        latest = max((int(entry.id) for entry in self.entries()), default=0)
        return self._place is not None and latest < pepper_id <= latest + _UNHEARD

    def successor(self, token: RefreshToken, now: float) -> bytes:
        """The secret that follows this token's: derived, so that a retry yields it again and nobody has to keep it."""
        pepper = self._pepper(token.pepper_id, now)
        place = token.session_id + _generation(token.generation + 1)
        return _mac(pepper, b"successor", place + token.secret)

    def proves(self, token: RefreshToken, seed: bytes, now: float) -> bool:
        """Whether the token's proof was made with this session's seed."""
        pepper = self._pepper(token.pepper_id, now)
        wanted = _proof(pepper, seed, token.session_id, token.generation, token.secret)
        return hmac.compare_digest(wanted, token.proof)

    def write(self, *, pepper_id: int, session_id: bytes, generation: int, secret: bytes, seed: bytes, now: float) -> str:
        """The wire form of a token, always the same for the same arguments. KeySetUnavailable where the pepper has not come here yet."""
        pepper = self.find(pepper_id, now)
        if pepper is None:
            raise KeySetUnavailable(f"pepper {pepper_id} is not known here")
        proof = _proof(pepper, seed, session_id, generation, secret)
        body = _BODY.pack(_VERSION, pepper_id, session_id, generation, secret, proof)
        return PREFIX + encode(body + _tag(pepper, body))

    def _pepper(self, pepper_id: int, now: float) -> bytes:
        pepper = self.find(pepper_id, now)
        if pepper is None:
            raise RefreshTokenUnknown(f"pepper {pepper_id} is not known here")
        return pepper


def digest_of(secret: bytes) -> bytes:
    """SHA-256 of a secret: all that a store ever holds of it."""
    return hashlib.sha256(secret).digest()


def _fresh(entries: list[Entry[bytes]]) -> tuple[int, bytes]:
    """A new pepper and its number beside these."""
    taken = {int(entry.id) for entry in entries}
    following = max(taken, default=0) + 1
    # Sixteen bits of a token are its pepper's: after the last number those of peppers long gone come again.
    return following if following <= _LAST_PEPPER else min(set(range(1, _LAST_PEPPER)) - taken), secrets.token_bytes(32)


def attempt_hash(attempt: str, token: RefreshToken) -> bytes:
    """An attempt id as a store keeps it: bound to the session and to the generation that was presented. InvalidRequest for none."""
    if not isinstance(attempt, str) or not 16 <= len(attempt) <= 255 or not all("!" <= mark <= "~" for mark in attempt):
        raise InvalidRequest("An attempt id (Idempotency-Key) is 16 to 255 visible ASCII characters.")
    place = token.session_id + _generation(token.generation)
    return hashlib.sha256(b"stagedoor attempt\0" + place + attempt.encode("ascii")).digest()


def _generation(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _mac(pepper: bytes, label: bytes, data: bytes) -> bytes:
    # Every use has its own label, and all data behind it is of fixed width: no two uses can meet.
    mac = _begun(pepper, label).copy()
    mac.update(data)
    return mac.finalize()


@lru_cache(maxsize=256)
def _begun(pepper: bytes, label: bytes) -> HMAC:
    """What every code under this label begins with, made once: a refresh makes five, and beginning one costs more than the rest."""
    mac = HMAC(pepper, SHA256())
    mac.update(b"stagedoor " + label + b"\0")
    return mac


def _tag(pepper: bytes, body: bytes) -> bytes:
    return _mac(pepper, b"tag", PREFIX.encode("ascii") + body)[:_TAG]


def _proof(pepper: bytes, seed: bytes, session_id: bytes, generation: int, secret: bytes) -> bytes:
    return _mac(pepper, b"proof", seed + session_id + _generation(generation) + secret)[:16]
