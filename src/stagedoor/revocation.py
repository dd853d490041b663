"""Revocations: what a verifier remembers of what was ended, until the last access token concerned has expired; and how it hears of it.

Never knows a store or a token's text: an ES256 signature has a twin, a session id has none.
"""

from __future__ import annotations

import asyncio
import heapq
import inspect
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple, Protocol, Self

from stagedoor.encoding import decode, encode
from stagedoor.errors import MalformedToken, TokenRevoked
from stagedoor.follower import FeedClosed as FeedClosed
from stagedoor.follower import Follower
from stagedoor.follower import uptime as uptime

MARGIN = 60.0
"""Seconds that a record outlives the last access token concerned: clocks differ."""
AHEAD = 5
"""Seconds, beyond the next whole one, until "everything before now" is past: every issuer hears of it in them, and issues nothing."""
EXPECTED = 3600.0
"""Seconds that access tokens are taken to live for as long as no issuer has said how long (Log.expect)."""
_TOGETHER = 1000
"""Records that are taken in at one time."""
_JUMP = 5.0
"""Seconds by which the clock may have moved against the one that never jumps before all is read again."""

NOBODY = "take Revocations.following(store), or following(HTTPFeed(url, …))"
"""What to do where a strict guard finds nobody to ask."""

Kind = Literal["session", "key", "issuer"]


class Record(NamedTuple):
    """One thing that was ended. Times in Unix seconds, on the log's clock."""

    kind: Kind
    """The access tokens of a session, those that a key signed, or all that an issuer has issued so far."""
    name: str
    """The `sid`, the `kid` or the `iss`."""
    until: float
    """When the last access token concerned has expired: from then on it may be forgotten."""
    written: float
    through: int = 0
    """Of an issuer: what has this `iat` or an earlier one is refused, and the sessions that were opened until then."""

    @classmethod
    def of_session(cls, session_id: bytes, life: float, now: float) -> Self:
        """A session was ended now."""
        return cls("session", encode(session_id), now + life + MARGIN, now)

    @classmethod
    def of_key(cls, kid: str, life: float, now: float) -> Self:
        """A key is refused from now on."""
        return cls("key", kid, now + life + MARGIN, now)

    @classmethod
    def of_issuer(cls, issuer: str, keep: float, now: float) -> Self:
        """All that this issuer issues until the next whole second and AHEAD more is refused, for `keep` seconds."""
        return cls("issuer", issuer, now + keep, now, int(now) + 1 + AHEAD)


class Page(NamedTuple):
    """What a feed answers."""

    cursor: str
    """Where to go on. It names the log that it belongs to."""
    records: Iterable[Record]
    """Those after the cursor that was sent; some may come twice."""
    now: float | None
    """The moment on the log's clock; None where it has none but the caller's."""
    age: float
    """Seconds since the log itself was asked: what was written after that may be missing."""


def cursor_in(log: str, position: object) -> str:
    """The cursor that stands at this position of the log of this name."""
    return f"{log}:{position}"


def position_in(log: str, cursor: str | None) -> str | None:
    """Where a cursor stands in the log of this name; None where it belongs to another one."""
    name, _, position = (cursor or "").partition(":")
    return position if name == log and position else None


class Feed(Protocol):
    """How revocations are heard of: the log of a store, or the endpoint of a service."""

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        """The records after this cursor; all that still count where it is None, of another log, or past the end of this one.

        It blocks. Where nothing is new it may first wait for so many seconds. StoreError, or whatever else says that no answer came;
        FeedClosed, where it is to wait. A feed that has `wake()` answers whoever waits when that is called, soon.
        """


class Log(Feed, Protocol):
    """What an issuer asks of a store besides: the one record of what was ended, for all processes. Its calls block. StoreError.

    For each session that a store ends it writes a record of the kind "session", before it says that the session is ended.
    """

    def expect(self, life: float) -> None:
        """Access tokens may live for so many seconds after a revocation: records are kept for as long, and MARGIN more."""

    def revoke_key(self, kid: str, now: float) -> Record:
        """Write that what this key has signed is refused. `now` as for Store."""

    def revoke_issuer(self, issuer: str, keep: float, now: float) -> Record:
        """Write that all is refused that this issuer issues until the next whole second and AHEAD more; for `keep` seconds."""


class Concerned(Protocol):
    """An access token, as far as it is checked."""

    @property
    def session_id(self) -> str:
        """`sid`, or ""."""

    @property
    def key_id(self) -> str:
        """`kid`."""

    @property
    def issuer(self) -> str:
        """`iss`, or ""."""

    @property
    def issued_at(self) -> int:
        """`iat`, or 0."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """How much Revocations know, for an operator."""

    records: int
    age: float | None
    """Seconds since the last answered read was sent; None where nothing is followed, or nothing was heard yet."""
    lag: float | None
    """Seconds that the latest record had been in the log when it was read; None where none was."""
    checks: int
    """Tokens that were checked; a few less than there were where many threads check."""


class Revocations:
    """What was ended: sessions, keys, and all that an issuer had issued. One object is shared by the verifiers of a process.

    This one hears of what it is told by `add`, and of nothing else; `Revocations.following(…)` of what others end.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, int] = {}
        self._ends: dict[int, list[str]] = {}  # sessions by the second from which they are forgotten
        self._seconds: list[int] = []  # a heap of these seconds
        self._keys: dict[str, float] = {}
        self._issuers: dict[str, Record] = {}
        self._wide = False
        self._locks: dict[int, threading.Lock] = {}  # by process: in a forked child nobody may be left to release its parent's
        self._follower: Follower | None = None
        self._store: Any = None
        self._reading: _Reading | None = None
        self._listeners: list[weakref.WeakMethod[Callable[[], object]]] = []
        self._checks = 0
        self._lag: float | None = None
        self.ahead = 0.0
        """Seconds that the clock here is ahead of the log's; 0 where it is not."""

    @classmethod
    def until_expiry(cls) -> Self:
        """Says aloud that access tokens live until they expire, whatever is revoked: nobody tells this object anything."""
        return cls()

    @classmethod
    def following(
        cls,
        source: Any,
        *,
        bound: str | float = "1s",
        stale: Literal["ask", "refuse"] = "ask",
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Revocations that hear of what others end: from a store such as SQLStore, its `log`, or `HTTPFeed(url, …)` of a service.

        What is known is at most `bound` old (a span, or seconds). Where it is older, as before the first answer, a guard asks the source
        (`stale="ask"`) or not even that ("refuse"); where no answer comes it refuses with 503, whatever the token. A thread follows from
        the first check on, or from `follow`, until `close`. TypeError, ValueError at construction.
        """
        feed = getattr(source, "log", source)
        if isinstance(source, type) or not callable(getattr(feed, "read", None)):
            given = getattr(source, "__name__", type(source).__name__)
            raise TypeError(f"following takes a store with a log, as SQLStore(url) has, or a feed such as HTTPFeed(url, …), not {given}")
        made = cls()
        made._reading = _Reading(made, feed, clock)
        made._follower = Follower(made._reading, bound=bound, stale=stale, wake=getattr(feed, "wake", lambda: None))
        made._store = source if callable(getattr(source, "get", None)) else None
        return made

    @classmethod
    def beside(cls, store: Any) -> Self:
        """Those of the one process that this store lives in, which is told of all that is ended here. Strict guards ask the store."""
        made = cls()
        made._store = store
        return made

    def add(self, *records: Record, now: float) -> None:
        """Remember these, and forget what is over at `now` (Unix seconds, on the clock that tokens are checked by)."""
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            for record in records:
                if record.kind == "session":
                    self._add_session(record.name, math.ceil(record.until))
                elif record.kind == "key":
                    self._keys[record.name] = max(record.until, self._keys.get(record.name, 0.0))
                else:
                    known = self._issuers.get(record.name, record)
                    later, until = max(known, record, key=lambda each: each.through), max(known.until, record.until)
                    self._issuers[record.name] = later._replace(until=until)  # who revoked again may keep it for less
            self._forget(now)
            self._wide = bool(self._keys or self._issuers)
        for heard in [each() for each in self._listeners] if records else ():
            if heard is not None:
                heard()

    def listen(self, listener: Callable[[], object]) -> None:
        """Have this bound method called after each `add`, here or by what is followed, on its thread; nobody is kept alive by that."""
        self._listeners = [*(each for each in self._listeners if each() is not None), weakref.WeakMethod(listener)]

    def follows(self, feed: object) -> bool:
        """Whether this very feed is followed."""
        return self._reading is not None and self._reading.feed is feed

    def standing(self) -> tuple[str, float] | None:
        """Where it stands in what it follows, and the moment (uptime) as of which nothing is new there; None where that is too old."""
        return None if self._reading is None or not self.is_fresh else self._reading.standing

    def check(self, token: Concerned, now: float) -> None:
        """TokenRevoked where this token was ended; RevocationsStale where what is known is too old to say that it was not. No I/O."""
        self._checks += 1
        follower = self._follower
        # Before it is looked: what is heard in between has not been seen here.
        is_stale = follower is not None and uptime() >= follower.fresh_until
        until = self._sessions.get(token.session_id)
        if until is not None and now < until:
            raise TokenRevoked(session_id=token.session_id)
        if self._wide:
            self._check_wide(token, now)
        if is_stale and follower is not None:
            follower.begin()
            raise follower.stale()

    async def check_strictly(self, token: Concerned, now: float) -> None:
        """As check, after the store was asked, or the service. StoreError, RevocationsStale; TypeError where there is nobody to ask."""
        if self._store is not None:
            if await self._has_ended(token.session_id):
                raise TokenRevoked(session_id=token.session_id)
            if not self.is_fresh:
                await self.hear_async()
        elif self._follower is not None:
            await self._follower.hear_async(strict=True)
        else:
            raise TypeError(f"strict=True asks a store or a service, and here is none to ask: {NOBODY}")
        self.check(token, now)

    def has_revoked_key(self, kid: str, now: float) -> bool:
        """Whether what this key has signed is refused."""
        return now < self._keys.get(kid, 0.0)

    def through(self, issuer: str) -> int:
        """The last second of which all that this issuer issued is refused; 0 where there is none."""
        record = self._issuers.get(issuer)
        return 0 if record is None else record.through

    @property
    def is_fresh(self) -> bool:
        """Whether what is known is younger than its bound; always so where nothing is followed."""
        return self._follower is None or uptime() < self._follower.fresh_until

    @property
    def bound(self) -> float:
        """Seconds that what is known may be old; 0 where nothing is followed."""
        return 0.0 if self._follower is None else self._follower.bound

    @property
    def can_be_asked(self) -> bool:
        """Whether there is a store, or a service, that a strict guard can ask."""
        return self._follower is not None or self._store is not None

    def hear(self) -> None:
        """Have what is new read now, and wait for it: the bound, at least a second. RevocationsStale where no answer comes."""
        if self._follower is not None:
            self._follower.hear()

    async def hear_async(self) -> None:
        """As hear, with await."""
        if self._follower is not None:
            await self._follower.hear_async()

    def follow(self) -> None:
        """Begin to follow, before the first check does; again after `close`."""
        if self._follower is not None:
            self._follower.begin(anew=True)

    def close(self) -> None:
        """Follow no more, so that the store can be closed. What is known grows old then."""
        if self._follower is not None:
            self._follower.close()

    def knowledge(self) -> Knowledge:
        """How much is known, and how old it is."""
        return Knowledge(len(self), None if self._follower is None else self._follower.age, self._lag, self._checks)

    def __len__(self) -> int:
        return len(self._sessions) + len(self._keys) + len(self._issuers)

    def take(self, page: Page, now: float) -> None:
        """Remember what a feed answered; `now` as for `add`."""
        records, latest = iter(page.records), -math.inf
        while some := list(islice(records, _TOGETHER)):  # a million at once would hold up every other thread when they go
            self.add(*some, now=now)
            latest = max(latest, *(record.written for record in some))
        self.ahead = 0.0 if page.now is None else max(0.0, now - page.age - page.now)
        if latest > -math.inf:
            self._lag = max(0.0, (now if page.now is None else page.now) - latest)

    def _add_session(self, session_id: str, until: int) -> None:
        if until <= self._sessions.get(session_id, 0):
            return  # heard twice, or from a clock that jumped back: nothing is shortened
        self._sessions[session_id] = until
        if until not in self._ends:
            self._ends[until] = []
            heapq.heappush(self._seconds, until)
        self._ends[until].append(session_id)

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0] <= now:
            second = heapq.heappop(self._seconds)
            for session_id in self._ends.pop(second):
                if self._sessions.get(session_id) == second:
                    del self._sessions[session_id]
        if self._wide:
            self._keys = {kid: until for kid, until in self._keys.items() if now < until}
            self._issuers = {name: record for name, record in self._issuers.items() if now < record.until}

    def _check_wide(self, token: Concerned, now: float) -> None:
        record = self._issuers.get(token.issuer)
        if record is not None and token.issued_at <= record.through and now < record.until:
            raise TokenRevoked("all that its issuer had issued is revoked", session_id=token.session_id or None)
        if self.has_revoked_key(token.key_id, now):
            raise TokenRevoked("its key is revoked", session_id=token.session_id or None)

    async def _has_ended(self, session_id: str) -> bool:
        """What the store itself says: one that it does not know has ended as well."""
        try:
            id_ = decode(session_id)
        except MalformedToken:  # the name that somebody else's issuer gave
            return True
        get = self._store.get
        found = get(id_) if inspect.iscoroutinefunction(get) else await asyncio.to_thread(get, id_)  # a sync store blocks
        session = await found if inspect.isawaitable(found) else found
        return session is None or session.revoked_at is not None


class _Reading:
    """One read of a feed into Revocations, after the other."""

    def __init__(self, revocations: Revocations, feed: Feed, clock: Callable[[], float]) -> None:
        self._revocations = weakref.ref(revocations)  # the thread that reads keeps nobody alive who is not wanted any more
        self.feed = feed
        self.standing: tuple[str, float] | None = None
        """Cursor and moment of one and the same read: two may be under way."""
        self._clock = clock
        self._cursor: str | None = None
        self._drift: float | None = None

    def __call__(self, wait: float) -> float:
        if self._revocations() is None:
            raise FeedClosed
        drift, after = self._clock() - uptime(), self._cursor
        if self._drift is None or abs(drift - self._drift) > _JUMP:
            after = None  # by the clock that has jumped something may have been forgotten too early
        page = self.feed.read(after, wait)
        holds_at, now = uptime() - page.age, self._clock()
        revocations = self._revocations()
        if revocations is None:
            raise FeedClosed
        revocations.take(page, now)
        self._cursor, self._drift = page.cursor, drift  # not before: where this fails, another that was under way brings less
        self.standing = (page.cursor, holds_at)
        return holds_at
