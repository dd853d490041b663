"""RevocationFeed: what was revoked, for services that verify only: the log of the store, handed out to whoever has a feed key.

Never knows who asks, and holds no thread while they wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import msgspec

from stagedoor.endpoints.request import Request, knows, parameters
from stagedoor.endpoints.shapes import RevocationsResponse, RevocationView
from stagedoor.endpoints.workers import Workers
from stagedoor.errors import AuthError, FeedKeyRefused, InvalidRequest, MissingToken, Overloaded, StoreError
from stagedoor.feeds.feed_keys import FeedKeys
from stagedoor.follower import uptime
from stagedoor.guards.headers import Headers
from stagedoor.guards.response import Response
from stagedoor.issuer import Issuer

AGE = "stagedoor-age"
"""The header that says how many seconds old an answer is: a 304 has no body."""
LONGEST_WAIT = 20.0
"""Seconds."""
MOST_WAITING = 2000
"""Requests that wait at one time."""
_THREADS, _QUEUE = 4, 64
_LOOK = 1.0
"""Seconds after which who waits sees whether what is known here is still fresh."""
_DEAF = 0.2
"""Seconds to wait at the most where nobody here would hear of it."""
_MANY = 1000
_WAIT = re.compile(r"([0-9]{1,6})(\.[0-9]{1,6})?")
_CURSOR = re.compile(r"[!-~]*")


class _Found(NamedTuple):
    """An answer, ready to be sent."""

    cursor: str
    is_news: bool
    age: str
    body: bytes


class _Reading:
    """A question to the log, that several may have."""

    task: asyncio.Task[_Found]

    def __init__(self, after: str | None) -> None:
        self.after = after
        self.news: object = None
        """What had been heard when it began; None before."""


class RevocationFeed:
    """The operation `revocations` of this issuer's endpoints. ValueError for a store that has no log."""

    def __init__(self, issuer: Issuer, keys: FeedKeys) -> None:
        self._keys = keys
        self._log: Any = getattr(issuer.store, "log", None)
        if self._log is None:
            raise ValueError("feed_keys: this store keeps no log of what is revoked, so that there is nothing to read")
        self._revocations = issuer.revocations
        self._shared = getattr(self._log, "shared", True)
        self._follows = issuer.revocations.follows(self._log)
        self._workers = Workers(_THREADS, _QUEUE)
        self._readings: dict[tuple[asyncio.AbstractEventLoop, str | None], _Reading] = {}
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._news = object()  # another one whenever something was heard; no lock, which a fork could leave locked
        self._latest: tuple[object, set[str]] = (self._news, set())
        """The cursors that were handed out since that was heard: behind them is nothing."""
        self._heard_at = uptime()
        issuer.revocations.listen(self._heard)

    async def answer(self, request: Request) -> Response:
        """The operation. MissingToken, FeedKeyRefused, InvalidRequest, TooLarge, Overloaded, StoreError."""
        self._admit(request.headers)
        after, wait = _asked(request)
        found = await self._find(after, wait)
        told = after if after is not None and not found.is_news and knows(request.headers, _etag(after)) else None
        headers = (("cache-control", "no-store"), ("etag", _etag(told or found.cursor)), (AGE, found.age))
        if told is not None:
            return Response(304, headers)
        return Response(200, (("content-type", "application/json"), *headers), found.body)

    def _admit(self, headers: Headers) -> None:
        sent = headers.one(b"authorization")
        scheme, _, key = (sent or "").partition(" ")
        if sent is None or scheme.lower() != "bearer":
            raise MissingToken("no feed key was sent")
        if key not in self._keys:
            raise FeedKeyRefused

    async def _find(self, after: str | None, wait: float) -> _Found:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while after is not None:
            if wait > 0:
                after = self._own_place(after)
            woken = await self._wait(after, until)
            found = self._known(after) if wait > 0 and not woken else None  # who does not wait wants the log itself to be asked
            if found is None:
                found = await self._read(after, woken)
            if found.is_news or loop.time() >= until or self._is_deaf():
                return found
        return await self._read(None, False)

    async def _wait(self, after: str, until: float) -> bool:
        """Until something may be new after this cursor, which may be so already, or that moment; whether something was heard meanwhile."""
        if len(self._waiting) >= MOST_WAITING:
            raise Overloaded("too many requests wait for revocations")
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        waiting = (loop, event)
        self._waiting.add(waiting)  # before it is looked: what is heard from here on sets the event
        try:
            while not event.is_set() and self._is_latest(after) and (left := until - loop.time()) > 0:
                is_deaf = self._is_deaf()
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, _DEAF if is_deaf else _LOOK)):
                        await event.wait()
                if is_deaf:
                    break
        finally:
            self._waiting.discard(waiting)
        return event.is_set()

    def _is_deaf(self) -> bool:
        """Whether others may end something and nobody here hears of it in time."""
        if not self._follows:
            return self._shared
        if self._revocations.is_fresh:
            return False
        self._revocations.follow()
        return True

    def _is_latest(self, cursor: str) -> bool:
        """Whether nothing was heard here that may be behind this cursor."""
        news, cursors = self._latest
        return (news is self._news and cursor in cursors) or self._known(cursor) is not None

    def _known(self, after: str) -> _Found | None:
        """The answer where the log need not be asked: this process did so just now, and heard nothing since."""
        standing = self._abreast(after)
        return None if standing is None else _found(after, [], None, standing[1])

    def _own_place(self, after: str) -> str:
        """The cursor of this process where nothing lies between: all who wait have one question then, whatever cursors they came with."""
        standing = self._abreast(after)
        return after if standing is None else standing[0]

    def _abreast(self, after: str) -> tuple[str, float] | None:
        """Where this process stands and as of when, if nothing came behind this cursor until then."""
        standing = self._revocations.standing() if self._follows else None  # first: what is heard after it shows below
        if standing is None:
            return None
        cursor, holds_at = standing
        news, cursors = self._latest
        is_so = (news is self._news and after in cursors) or (after == cursor and self._heard_at <= holds_at)
        return standing if is_so else None

    async def _read(self, after: str | None, woken: bool) -> _Found:
        """What the log says. One question is for all who have asked it by then, and for all who were woken by what was heard before it."""
        loop = asyncio.get_running_loop()
        reading = self._readings.get((loop, after))
        if reading is None or not (reading.news is None or (woken and reading.news is self._news)):
            reading = self._readings[loop, after] = _Reading(after)
            reading.task = loop.create_task(self._workers.run(self._look, reading))
            reading.task.add_done_callback(partial(self._landed, reading, loop))
        return await asyncio.shield(reading.task)  # who hangs up does not take the answer away from the others

    def _landed(self, reading: _Reading, loop: asyncio.AbstractEventLoop, task: asyncio.Task[_Found]) -> None:
        if self._readings.get((loop, reading.after)) is reading:
            del self._readings[loop, reading.after]
        if not task.cancelled():
            task.exception()  # seen, though nobody may be left who waits for it

    def _look(self, reading: _Reading) -> _Found:
        after = reading.after
        news = reading.news = self._news  # before the log is asked: what is heard from here on may be missing in its answer
        try:
            page = self._log.read(after)
            holds_at = uptime() - page.age
            records = [RevocationView(each.kind, each.name, each.until, each.written, each.through) for each in page.records]
        except AuthError:
            raise
        except Exception as error:
            raise StoreError(f"the log of revocations could not be read: {type(error).__name__}") from error
        latest = self._latest  # once: on another thread it may be replaced by one that has heard more, and that has nothing of ours
        if latest[0] is not news or len(latest[1]) >= _MANY:
            latest = self._latest = (news, set())
        latest[1].add(page.cursor)
        if not records and after is not None:
            latest[1].add(after)
        return _found(page.cursor, records, page.now, holds_at)

    def _heard(self) -> None:
        """Something may be new: on any thread."""
        self._news, self._heard_at = object(), uptime()
        for loop, event in list(self._waiting):
            with suppress(RuntimeError):  # a loop that was closed
                loop.call_soon_threadsafe(event.set)


def _asked(request: Request) -> tuple[str | None, float]:
    """`after` and `wait`. InvalidRequest, TooLarge."""
    sent = parameters(request.query)
    after, wait = sent.get("after", ""), sent.get("wait", "0")
    if not _CURSOR.fullmatch(after):
        raise InvalidRequest("The parameter after is no cursor.")
    if not _WAIT.fullmatch(wait):
        raise InvalidRequest(f"The parameter wait is a number of seconds, {LONGEST_WAIT:g} at the most.")
    return after or None, min(float(wait), LONGEST_WAIT)


def _etag(cursor: str) -> str:
    return f'"{hashlib.sha256(cursor.encode()).hexdigest()[:32]}"'


def _found(cursor: str, records: list[RevocationView], now: float | None, holds_at: float) -> _Found:
    age = max(0, math.ceil((uptime() - holds_at) * 1000)) / 1000  # rounded up: it is never older than it says
    body = msgspec.json.encode(RevocationsResponse(cursor, now, age, records))
    return _Found(cursor, bool(records), f"{age:.3f}", body)
