"""RemoteKeySet: the public keys of an issuer elsewhere, fetched from its JWKS (RFC 7517), kept and renewed; SyncRemoteKeySet, the same
for code without an event loop.

Never knows a token, and never fetches on the thread that asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self

from stagedoor.discovery import Discovery
from stagedoor.errors import AuthError, KeySetUnavailable, UnknownKey
from stagedoor.keys import Key
from stagedoor.lifetime import seconds
from stagedoor.published_keys import PublishedKeys
from stagedoor.remote_document import check_url, fetch, shown, why

OLDEST = 24 * 3600
"""Seconds after which a set that could not be renewed is not used any more, counted from when it was asked for."""
_RENEWED_AFTER = 0.8
"""The share of a set's age from which a new one is fetched."""
_TYPES = ("application/jwk-set+json", "application/json")
_log = logging.getLogger("stagedoor.keys")


class _Location(Protocol):
    """Who knows where the keys are."""

    name: str

    async def url(self, moment: float) -> str:
        """Where they are now, on the monotonic clock."""

    def forget(self) -> None:
        """They could not be had there."""


class _Address:
    """A location that was given, and stays."""

    def __init__(self, url: str) -> None:
        check_url(url, "url")
        self.name = shown(url)
        self._url = url

    async def url(self, moment: float) -> str:
        return self._url

    def forget(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Known:
    """The last good set. Times are those of the monotonic clock."""

    published: PublishedKeys
    url: str
    etag: str | None
    sent: float
    renew_from: float
    """From here on a fetch is begun in the background: who is asked all the time never waits."""
    fresh_until: float
    """From here on a fetch is waited for: or a verifier that nobody asked for an hour would take a key that has been retired since."""


class _RemoteKeys:
    """What both sets share: one fetch at a time over all threads and event loops, on a thread of its own, at most one a cool-down."""

    def __init__(
        self,
        url: str,
        *,
        max_age: str | int = "5m",
        cool_down: str | int = "10s",
        timeout: str | int = "5s",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._begin(_Address(url), max_age, cool_down, timeout, clock)

    @classmethod
    def discover(
        cls,
        issuer: str,
        *,
        max_age: str | int = "5m",
        cool_down: str | int = "10s",
        timeout: str | int = "5s",
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """The keys of this issuer, wherever its metadata says that they are (OpenID Connect Discovery, then RFC 8414).

        Nothing is fetched before the first key is wanted. Metadata that name another issuer are refused.
        """
        keys = cls.__new__(cls)
        keys._begin(Discovery(issuer), max_age, cool_down, timeout, clock)
        return keys

    def _begin(self, location: _Location, max_age: str | int, cool_down: str | int, timeout: str | int, clock: Callable[[], float]) -> None:
        self._location = location
        self._max_age, self._cool_down, self._timeout = seconds(max_age), seconds(cool_down), seconds(timeout)
        if not self._cool_down <= self._max_age <= OLDEST:
            raise ValueError("max_age lies between cool_down and 24 hours")
        if self._timeout > 60:
            raise ValueError("timeout is at most 60 seconds: requests wait for it")
        if not callable(clock):
            raise TypeError("clock is a callable that returns monotonic seconds, such as time.monotonic")
        self._clock = clock
        self._known: _Known | None = None
        self._lock = threading.Lock()
        self._flight: Future[None] | None = None
        self._next = -math.inf  # the monotonic moment from which a fetch may begin
        self._failed_at = -math.inf
        self._survives_forks = False

    def knows(self, id_: object) -> bool:
        """Whether `find` has this key at once; a fetch that is due is begun, and never waited for.

        Among several issuers those that have a key are asked first: nobody waits for the keys of another's issuer.
        """
        known = self._known
        moment = self._clock()
        if known is None or moment >= known.renew_from:
            self._fetching()
        return known is not None and self._is_at_hand(known, moment) and id_ in known.published.keys

    def _is_at_hand(self, known: _Known, moment: float) -> bool:
        """Whether this set answers now: it is fresh, or a fresh one was tried for just now, in vain, and it is not a day old."""
        just_now = 2 * self._cool_down + self._timeout
        return (moment < known.fresh_until or moment - self._failed_at < just_now) and moment - known.sent < OLDEST

    def _usable(self, moment: float) -> _Known:
        """The last good set. KeySetUnavailable where there is none that answers now."""
        known = self._known
        if known is None or not self._is_at_hand(known, moment):
            wait = 1 if self._flight else max(1, math.ceil(self._next - moment))
            what = "not there yet" if known is None else "too old"
            raise KeySetUnavailable(f"the keys are {what}: where they can be awaited, verify_async waits for a fetch", retry_after=wait)
        return known

    def _answers(self, error: AuthError) -> bool:
        """Whether the set as it is now can end otherwise than in this refusal."""
        try:
            known = self._usable(self._clock())
        except KeySetUnavailable:
            return False
        return isinstance(error, KeySetUnavailable) or (isinstance(error, UnknownKey) and error.kid in known.published.keys)

    def _fetching(self) -> Future[None] | None:
        """The fetch that is under way, begun now if the cool-down allows; None where it does not."""
        with self._lock:
            if self._flight is not None:
                return self._flight
            moment = self._clock()
            if moment < self._next:
                return None
            self._let_go_before_forks()
            self._next = moment + self._cool_down
            flight: Future[None] = Future()
            self._flight = flight
            flight.set_running_or_notify_cancel()  # from now on one who gives up waiting cannot cancel it for the others
        try:
            threading.Thread(target=self._fly, args=(flight,), name="stagedoor-keys", daemon=True).start()
        except RuntimeError as error:  # no more threads, or the interpreter is on its way out
            self._land(flight, error)
        return flight

    def _fly(self, flight: Future[None]) -> None:
        try:
            asyncio.run(self._fetch_and_land(flight))
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            self._land(flight, error)

    async def _fetch_and_land(self, flight: Future[None]) -> None:
        """Landed before the loop ends, which waits for a resolver that hangs: nobody else shall."""
        failure: BaseException | None = None
        try:
            self._known = await self._fetch(self._clock())
        except BaseException as error:  # noqa: BLE001 - as above
            failure = error
        self._land(flight, failure)

    def _land(self, flight: Future[None], failure: BaseException | None) -> None:
        if flight.done():
            return
        try:
            if failure is not None:
                self._failed_at = self._clock()
                self._location.forget()
                kept = "nothing was fetched before" if self._known is None else "the last good set is kept"
                reason = f"not done within {self._timeout} s" if isinstance(failure, TimeoutError) else why(failure)
                _log.warning("the keys of %s could not be fetched: %s; %s", self._location.name, reason, kept)
        finally:  # a log may fail too
            with self._lock:
                self._flight = None
            flight.set_result(None)

    async def _fetch(self, sent: float) -> _Known:
        known = self._known
        async with asyncio.timeout(self._timeout):  # over all of it: one byte now and then wins nobody more
            url = await self._location.url(sent)
            document = await fetch(url, _TYPES, etag=known.etag if known is not None and known.url == url else None)
        if known is not None and document.members is None:
            published = known.published
        else:
            published = PublishedKeys.read(document.members or {})
            self._tell(published, known)
        age = self._max_age if document.max_age is None else document.max_age
        age = min(max(age, self._cool_down), OLDEST)
        return _Known(published, url, document.etag, sent, sent + _RENEWED_AFTER * age, sent + age)

    def _tell(self, published: PublishedKeys, known: _Known | None) -> None:
        """Log what is passed over, once for each key, and that there is nothing at all."""
        told = known.published.passed_over if known is not None else {}
        for kid, reason in published.passed_over.items():
            if kid not in told:
                _log.warning("a key of %s is passed over: kid %.80r: %s", self._location.name, kid, reason)
        if not published.keys and (known is None or known.published.keys):
            _log.warning("%s publishes no key that signs: every token of it is refused", self._location.name)

    def _let_go_before_forks(self) -> None:
        """A child has no fetching thread, and would wait for ever for what that thread held: our lock, or a module's in its import."""
        if self._survives_forks or not hasattr(os, "register_at_fork"):
            return
        self._survives_forks = True
        this = weakref.ref(self)  # hooks cannot be taken back: they must keep nobody alive
        os.register_at_fork(
            before=partial(_with, this, _RemoteKeys._land_and_hold),
            after_in_parent=partial(_with, this, lambda keys: keys._lock.release()),
            after_in_child=partial(_with, this, _RemoteKeys._wake_in_child),
        )

    def _land_and_hold(self) -> None:
        flight = self._flight
        if flight is not None:
            with contextlib.suppress(TimeoutError):
                flight.result(self._timeout + 1)
        self._lock.acquire()

    def _wake_in_child(self) -> None:
        if self._flight is not None:  # it could not be waited for: a resolver of names that hangs, say
            self._flight, self._next = None, -math.inf
        self._lock.release()


class RemoteKeySet(_RemoteKeys):
    """The keys that an issuer publishes at this URL, for a Verifier behind an event loop.

    Nothing is fetched before the first key is wanted. A set is fresh for as long as its Cache-Control says, `max_age` where it says
    nothing; towards the end of that a new one is fetched in the background, and after it a fetch is waited for. `cool_down` lies between
    two fetches at least, whoever asks for whatever key; `timeout` is for one fetch in all. Where a fetch fails the last good set goes on
    to answer, for 24 hours at the most. `clock`: monotonic seconds. TypeError, ValueError at construction.
    """

    def find(self, id_: object, now: float) -> Key | None:
        """The key of this `kid`, at once: no I/O, no wait. KeySetUnavailable where a fetch must be waited for first: `learn` does."""
        known = self._known
        moment = self._clock()
        if known is None or moment >= known.renew_from:
            self._fetching()
            known = self._usable(moment)
        return known.published.keys.get(id_)

    async def learn(self, error: AuthError) -> bool:
        """After UnknownKey or KeySetUnavailable: fetch, or wait for the fetch that is under way; whether to verify again.

        At most one fetch a cool-down; what is asked for between two is False at once. KeySetUnavailable where there are no keys after
        the fetch either; it says when to come back.
        """
        if self._answers(error):
            return True  # another's fetch brought it meanwhile
        if not isinstance(error, KeySetUnavailable) and not (isinstance(error, UnknownKey) and error.kid is not None):
            return False
        flight = self._fetching()
        if flight is None:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout + 1):
                await asyncio.wrap_future(flight)
        self._usable(self._clock())
        return self._answers(error)


class SyncRemoteKeySet(_RemoteKeys):
    """RemoteKeySet for code without an event loop: the same words, but `find` itself waits for a fetch, as long as `timeout` at most."""

    def find(self, id_: object, now: float) -> Key | None:
        """The key of this `kid`; for one that is not known a fetch is waited for, if the cool-down allows one.

        KeySetUnavailable; TypeError where an event loop would be held up.
        """
        known = self._known
        moment = self._clock()
        if known is None or not self._is_at_hand(known, moment) or id_ not in known.published.keys:
            _check_no_loop()
            flight = self._fetching()
            if flight is not None:
                with contextlib.suppress(TimeoutError):
                    flight.result(self._timeout + 1)
            known = self._usable(self._clock())
        elif moment >= known.renew_from:
            self._fetching()
        return known.published.keys.get(id_)


def _check_no_loop() -> None:
    """TypeError on a thread whose event loop would be held up."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise TypeError("SyncRemoteKeySet would hold up this event loop while it fetches: take RemoteKeySet")


def _with(this: weakref.ref[_RemoteKeys], do: Callable[[Any], object]) -> None:
    keys = this()
    if keys is not None:
        do(keys)
