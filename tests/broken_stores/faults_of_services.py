"""Broken stores that the fault suite must complain about; each has one fault planted.

Never knows a test: a Place of a broken store is given where a sound one would be.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import struct
import time
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

from faults import subject_check
from faults.service import SECRET
from stagedoor import Peppers, RefreshToken
from stagedoor.encoding import decode
from stagedoor.errors import MalformedToken, RefreshTokenUnknown
from stagedoor.session import Answer, Outcome, Presented, Session, decide, written
from stagedoor.stores.sql import SyncSQLStore


class SelectThenUpdate(SyncSQLStore):
    """rotate reads the row in one statement and writes what it made of it in another: R2 must see two that rotate."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._path = url.removeprefix("sqlite:///")

    def rotate(self, presented: Presented, now: float) -> Answer:
        row = self.get(presented.session_id)
        outcome = decide(presented, row, now, proof_holds=None)
        time.sleep(0.005)  # as long as a busy server takes between two statements
        if row is not None and (after := written(outcome, presented, row, now)) != row:
            values = (after.generation, after.digest, after.pepper_id, after.rotated_at, after.attempt, after.idle_ends_at, row.id)
            names = ", ".join(f"{name} = ?" for name in ("generation", "digest", "pepper_id", "rotated_at", "attempt", "idle_ends_at"))
            with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as connection:
                connection.execute(f"UPDATE stagedoor_sessions SET {names} WHERE id = ?", values)
            row = after
        return Answer(outcome, row, now)


@dataclass(frozen=True)
class BrokenPlace:
    """Place, of a store with a fault, in an SQLite file."""

    url: str
    broken: type[Any]
    kind: str = "sqlite"
    server_clock: bool = True

    def sync_store(self) -> Any:
        return self.broken(self.url)

    store = sync_store  # a race takes either


class ForgetsAttempts:
    """A store that never hears of attempt ids: R4 must see late retries of honest clients taken for reuse. `Settings.wrap` of a service."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def rotate(self, presented: Presented, now: float) -> Answer:
        answer: Answer = await self._store.rotate(replace(presented, attempt=None), now)
        return answer


class RandomSuccessors(Peppers):
    """Successors that are drawn, not derived: what was lost once is lost."""

    def successor(self, token: RefreshToken, now: float) -> bytes:
        return secrets.token_bytes(32)


def random_successors(settings: Any) -> dict[str, Any]:
    """`Settings.issuer` of a service whose lost answers cannot be given again: R4 must see its clients logged out."""
    return subject_check.arguments(settings) | {"peppers": RandomSuccessors(SECRET)}


class Gullible(Peppers):
    """Tags that nobody looks at: R9 must see that the store is asked about garbage."""

    def parse(self, text: str, now: float) -> RefreshToken:
        with suppress(RefreshTokenUnknown):
            return super().parse(text, now)
        with suppress(ValueError, struct.error, MalformedToken):
            pepper_id, session_id, generation, secret, proof = struct.unpack_from(">xH16sI32s16s", decode(text.removeprefix("sdr_")))
            if self.find(pepper_id, now) is not None and generation < 2**32 - 1:
                return RefreshToken(pepper_id, session_id, generation, secret, proof)
        raise RefreshTokenUnknown


def gullible(_: Any) -> dict[str, Any]:
    """`Settings.issuer` of a service with such peppers."""
    return {"peppers": Gullible(SECRET)}


class AnswersFirst:
    """A store that answers a rotation, and writes it a little later: R3 must see that a kill takes it. `Settings.wrap` of a service."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._unwritten: dict[bytes, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def rotate(self, presented: Presented, now: float) -> Answer:
        row = self._unwritten.get(presented.session_id) or await self._store.get(presented.session_id)
        outcome = decide(presented, row, now, proof_holds=None)
        if outcome is Outcome.ROTATED and row is not None:
            self._unwritten[row.id] = row = written(outcome, presented, row, now)
            task = asyncio.create_task(self._write(presented, now))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return Answer(outcome, row, now)

    async def _write(self, presented: Presented, now: float) -> None:
        await asyncio.sleep(0.5)
        await self._store.rotate(presented, now)
        self._unwritten.pop(presented.session_id, None)
