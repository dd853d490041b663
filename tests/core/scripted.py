"""A feed that answers as a test says, a clock for `uptime` that stands still, and the tokens that are checked.

Never knows what a test expects.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from stagedoor import follower, revocation, watch
from stagedoor.errors import RevocationsStale, TokenRevoked
from stagedoor.follower import FeedClosed
from stagedoor.revocation import Page, Record, Revocations

from .material import NOW

PATIENCE = 30.0
"""Real seconds in which a thread does what it is to do."""


@dataclass
class Token:
    """What is checked of an access token."""

    session_id: str = "s"
    key_id: str = "k"
    issuer: str = "https://auth.example"
    issued_at: int = int(NOW)


@dataclass
class Moment:
    """What `uptime` says, and the wall clock."""

    up: float = 1000.0
    wall: float = float(NOW)

    def passes(self, seconds: float) -> None:
        """On both clocks."""
        self.up += seconds
        self.wall += seconds


@contextmanager
def moments(*, patient: bool = True) -> Iterator[Moment]:
    """A moment that stands still until it is moved. `patient`: who asks waits for longer than any thread stands still."""
    moment, made = Moment(), follower.Follower.__init__

    def made_patient(self: follower.Follower, *arguments: Any, **more: Any) -> None:
        made(self, *arguments, **more)
        self._patience = PATIENCE

    with pytest.MonkeyPatch.context() as patch:
        if patient:
            patch.setattr(follower.Follower, "__init__", made_patient)
        patch.setattr(watch, "_PATIENCE", PATIENCE)
        for module in (follower, revocation):
            patch.setattr(module, "uptime", lambda: moment.up)
        yield moment


class ScriptedFeed:
    """A log in a list. Who is to wait (the thread of a follower) waits until `turn`; who is not is answered at once."""

    def __init__(self) -> None:
        self.name = "log"
        self.records: list[Record] = []
        self.asked: list[tuple[str | None, float]] = []
        """Each read: its cursor, and how long it was to wait."""
        self.age = 0.0
        self.fails: Exception | None = None
        self.before: Callable[[], Any] = lambda: None
        """Called in each read, when it was asked and before it answers."""
        self._let = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        self._waiting = threading.Semaphore(0)
        self._closed = False

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        """As Feed.read."""
        if wait > 0:
            if self._closed:
                raise FeedClosed
            self._waiting.release()
            self._let.acquire()
            if self._closed:
                raise FeedClosed
        try:
            return self._answer(after, wait)
        finally:
            if wait > 0:
                self._done.release()

    def _answer(self, after: str | None, wait: float) -> Page:
        self.asked.append((after, wait))
        self.before()
        if self.fails is not None:
            raise self.fails
        name, _, position = (after or "").partition(":")
        start = int(position) if name == self.name and int(position) <= len(self.records) else 0
        return Page(f"{self.name}:{len(self.records)}", self.records[start:], None, self.age)

    def end(self, name: str, until: float = NOW + 960) -> None:
        """A session is ended."""
        self.records.append(Record("session", name, until, NOW))

    def turn(self) -> None:
        """The thread reads once; it has read when this returns, and taken it in when it waits again."""
        assert self._waiting.acquire(timeout=PATIENCE)
        self._let.release()
        assert self._done.acquire(timeout=PATIENCE)
        assert self._waiting.acquire(timeout=PATIENCE)
        self._waiting.release()

    def waits(self) -> bool:
        """Whether the thread comes to wait."""
        came = self._waiting.acquire(timeout=PATIENCE)
        if came:
            self._waiting.release()
        return came

    def close(self) -> None:
        """Whoever waits is told so."""
        self._closed = True
        self._let.release(8)

    def open(self) -> None:
        """As before."""
        self._closed = False
        self._let = threading.Semaphore(0)


def answer(revocations: Revocations, moment: Moment, name: str = "s") -> int:
    """What a guard answers that asks nobody: 200, 401 or 503."""
    try:
        revocations.check(Token(name), moment.wall)
    except TokenRevoked:
        return 401
    except RevocationsStale:
        return 503
    return 200
