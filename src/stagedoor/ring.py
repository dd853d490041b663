"""Ring: things that are announced, current, old and gone; in memory, in a file, or in a vault that many workers share.

Never knows what it holds: keys and peppers live by the same rules.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self

from stagedoor.entry import BY_HAND, Entry, Make, Schedule, T, current, in_order, is_due, retired, rotated, span
from stagedoor.errors import AuthError, MalformedToken
from stagedoor.flight import Flight
from stagedoor.secret_file import SecretFile
from stagedoor.vault import Vault
from stagedoor.watch import Watch

_log = logging.getLogger("stagedoor.keys")
_BETWEEN = 0.1
"""Seconds between two reads, however many ask."""
_PATIENCE = 2.0
"""Seconds that one who asks waits for a read."""


class Place(Protocol):
    """Where a ring is kept, as one document."""

    def read(self, known: object = None) -> tuple[object, bytes] | None:
        """A stamp of its state, and its content; None where the stamp is still the known one."""

    def change(self, work: Callable[[bytes | None], bytes | None]) -> None:
        """Write what `work` makes of the content (None: there is none yet), unless that is None; one after another, whoever does it."""


class _Known(NamedTuple, Generic[T]):
    """What a ring knows, replaced whole: a thread that reads sees the old or the new, never some of both."""

    stamp: object
    entries: tuple[Entry[T], ...]
    by_id: dict[object, Entry[T]]


class Ring(Generic[T]):
    """The entries of a kind, by id. The current one is that which started last and has not ended.

    One that is kept in a file or a vault looks every second whether another process changed it, and rotates when its schedule says so;
    `reload` looks at once. A subclass says how an entry's value is written and read.
    """

    NAME: ClassVar[str]
    """What its document in a vault is called."""

    def __init__(
        self,
        entries: Iterable[Entry[T]],
        *,
        place: Place | None = None,
        schedule: Schedule = BY_HAND,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.schedule = schedule
        self._place = place
        self._clock = clock
        self._looked = 0.0
        self._trouble = False
        self._watch = Watch(self)
        self._flight = Flight(partial(_reload, weakref.ref(self)), "stagedoor-ring")
        self._read_at = -math.inf
        self._is_closed = False
        self._locks: dict[int, threading.Lock] = {}
        self.known = self._checked(entries)
        """Replaced whole with each change: while it is the same object, whatever `find` has found is found again, until it ends."""

    @staticmethod
    def _written(value: T) -> Any:
        raise NotImplementedError

    @staticmethod
    def _read(written: Any) -> T:
        raise NotImplementedError

    def _make(self, entries: list[Entry[T]]) -> tuple[str | int, T]:
        """The id and the value of a new entry beside these."""
        raise NotImplementedError

    @classmethod
    def _open(cls, where: str | Path | Vault, first: Make[T], schedule: Schedule, clock: Callable[[], float]) -> Self:
        """The ring in this file or vault, made with one entry when it is not there; of many processes one makes it."""
        if not isinstance(where, str | Path | Vault):
            raise TypeError(f"{cls.__name__}.open takes a path or a Vault: Vault(store.documents, master_key)")
        place: Place = where.document(cls.NAME) if isinstance(where, Vault) else SecretFile(where)

        def make(content: bytes | None) -> bytes | None:
            return cls._document([Entry(*first([]), starts=clock())]) if content is None else None

        place.change(make)
        ring = cls.__new__(cls)  # a subclass may build its own way
        Ring.__init__(ring, (), place=place, schedule=schedule, clock=clock)
        ring.reload()
        if ring._current(clock()) is None:  # all have ended: nobody has rotated for long
            ring._change(lambda entries: entries if current(in_order(entries), clock()) else [Entry(*first(entries), clock()), *entries])
        ring.watch()
        return ring

    @classmethod
    def take_over(cls, path: str | Path, vault: Vault) -> None:
        """Put what this file holds into the vault, under the same ids and terms, unless it is there already. The file stays.

        OSError, ValueError where the file cannot be read; StoreError, KeyRejected.
        """
        ring = cls.__new__(cls)
        Ring.__init__(ring, (), place=SecretFile(path))
        ring.reload()
        vault.document(cls.NAME).change(lambda content: cls._document(list(ring.entries())) if content is None else None)

    def watch(self) -> None:
        """Look and rotate by itself, where it is kept somewhere: `open` began it, this begins it again after `close`."""
        self._is_closed = False
        if self._place is not None:
            self._watch.start()

    def close(self) -> None:
        """Look and rotate no more by itself, so that its store can be closed. What is known goes on being known."""
        self._is_closed = True
        self._watch.stop()

    def entries(self) -> tuple[Entry[T], ...]:
        """Every entry, the latest to start first."""
        return self.known.entries

    def state(self, entry: Entry[T], now: float) -> str:
        """ "announced", "current", "old" or "gone" at this moment."""
        if entry.is_gone(now):
            return "gone"
        if entry is self._current(now):
            return "current"
        return "announced" if now < entry.starts else "old"

    def current(self, now: float) -> Entry[T]:
        """The entry that new things are made with. ValueError where there is none."""
        self._look()
        entry = self._current(now)
        if entry is None:
            raise ValueError(f"{type(self).__name__} has nothing to make anything with")
        return entry

    def find(self, id_: object, now: float) -> T | None:
        """What has this id and has not ended; None where there is nothing."""
        entry = self.known.by_id.get(id_)
        if entry is None and self._look():
            entry = self.known.by_id.get(id_)
        if entry is None:
            return None
        ends = entry.ends
        return entry.value if ends is None or now < ends else None  # as is_gone, without a call: each token that is verified comes here

    def reload(self) -> bool:
        """Read anew what another process may have changed; whether it had.

        OSError, ValueError, StoreError where it cannot be read: then nothing changes here.
        """
        if self._place is None:
            return False
        with self._own_lock():  # who read it earlier must not be done later
            found = self._place.read(self.known.stamp)
            if found is None:
                return False
            stamp, content = found
            before, self.known = self.known, self._checked(self._entries_of(content), stamp)
        self._tell(before)
        return True

    def read_anew(self) -> None:
        """Have it reloaded once more from now on, for all who ask at this time, and wait for that; ten times a second at the most.

        As reload; TimeoutError after two seconds. Nothing is read after `close`.
        """
        if self._place is not None:
            self._flight.ask().result(_PATIENCE)

    async def read_anew_async(self) -> None:
        """As read_anew, with await."""
        if self._place is not None:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.wrap_future(self._flight.ask())

    def tend(self) -> None:
        """Reload, and rotate if it is time; trouble is logged, once until it is over. The watch calls it every second."""
        try:
            self.reload()
            if is_due(self.known.entries, self.schedule, self._clock()):
                self._change(self._rotated_if_due)
        except Exception as error:  # noqa: BLE001 - nobody is there to catch it
            if not self._trouble:
                _log.warning("%s cannot be looked after, what is known stays: %s", self._place, str(error).partition("\n")[0])
            self._trouble = True
        else:
            if self._trouble:
                _log.info("%s is looked after again", self._place)
            self._trouble = False

    def _tell(self, before: _Known[T]) -> None:
        """Log what is new, and what has come to an early end."""
        for entry in self.known.entries if before.entries else ():
            was = before.by_id.get(entry.id)
            if was is None:
                _log.info("%s: %s is announced, current from %s", self._place, entry.id, _moment(entry.starts))
            elif entry.is_gone(self._clock()) and (was.ends is None or was.ends > (entry.ends or 0.0)):
                _log.warning("%s: %s was retired, and is accepted no more", self._place, entry.id)

    def _rotate(self, *, keep: str | int | None, announce: str | int | None, make: Make[T] | None = None) -> Entry[T]:
        """Announce a new entry that is current after `announce` seconds; what is older ends `keep` seconds after that."""
        schedule = self.schedule
        if keep is not None or announce is not None:
            schedule = replace(
                schedule,
                keep=schedule.keep if keep is None else span(keep),
                announce=schedule.announce if announce is None else span(announce),
            )
        if schedule.keep is None:
            raise TypeError("keep= is how long old ones are still accepted: rotate(keep='1d'), or keep='1d' where this was opened")
        return self._change(lambda entries: rotated(entries, make or self._make, schedule, self._clock()))[0]

    def _retire(self, id_: object) -> None:
        """Accept this entry no more, from now on, whatever a worker's clock says. LookupError where there is none of this id."""
        self._change(lambda entries: retired(entries, id_, self._make, self._clock()))

    def _rotated_if_due(self, entries: list[Entry[T]]) -> list[Entry[T]]:
        now = self._clock()
        return rotated(entries, self._make, self.schedule, now) if is_due(entries, self.schedule, now) else entries

    def _change(self, work: Callable[[list[Entry[T]]], list[Entry[T]]]) -> list[Entry[T]]:
        """Replace the entries, which another process may have changed since we last looked; they are then known here."""
        if self._place is None:
            with self._own_lock():
                changed = work(list(self.known.entries))
                self.known = self._checked(changed)
            return changed

        def rewritten(content: bytes | None) -> bytes | None:
            nonlocal changed
            if content is None:
                raise ValueError(f"{self._place} has gone")
            before = self._entries_of(content)
            changed = work(before)
            self._checked(changed)  # what does not go together is not written either
            return None if changed == before else self._document(changed)

        changed = []
        try:
            self._place.change(rewritten)
        except AuthError:
            with suppress(Exception):  # it may be written though its answer was lost
                self.reload()
            raise
        self.reload()
        return changed

    def _current(self, now: float) -> Entry[T] | None:
        return current(self.known.entries, now)

    def _own_lock(self) -> threading.Lock:
        """The lock, another one in a forked child: there nobody may be left to release the parent's."""
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _look(self) -> bool:
        """Read a file again that changed, at most once a second; a vault is left to the watch: it may keep us waiting."""
        if not isinstance(self._place, SecretFile) or time.monotonic() - self._looked < 1.0:
            return False
        self._looked = time.monotonic()
        try:
            return self.reload()
        except (OSError, ValueError):
            return False  # a file that cannot be read just now: go on with what is known

    def _checked(self, entries: Iterable[Entry[T]], stamp: object = None) -> _Known[T]:
        """These entries, if they go together; else ValueError."""
        ordered = in_order(entries)
        by_id: dict[object, Entry[T]] = {entry.id: entry for entry in ordered}
        if len(by_id) != len(ordered):
            raise ValueError("two entries have one id")
        return _Known(stamp, ordered, by_id)

    def _entries_of(self, content: bytes) -> list[Entry[T]]:
        try:
            return [
                Entry(members["id"], self._read(members["value"]), float(members["starts"]), members["ends"])
                for members in json.loads(content.decode("utf-8"))["entries"]
            ]
        except (KeyError, TypeError, AttributeError, MalformedToken, json.JSONDecodeError, UnicodeDecodeError):
            # Without the cause: it would carry the text along.
            raise ValueError(f"{self._place} holds nothing that a {type(self).__name__} can read") from None

    @classmethod
    def _document(cls, entries: list[Entry[T]]) -> bytes:
        written = [{"id": e.id, "starts": e.starts, "ends": e.ends, "value": cls._written(e.value)} for e in entries]
        return json.dumps({"entries": written}, indent=1).encode("utf-8")


def _reload(ring: weakref.ref[Ring[Any]]) -> None:
    """On the thread of a flight, which keeps no ring alive. Whoever sends ids that nobody has makes no more reads than this."""
    this = ring()
    if this is None:
        return
    time.sleep(max(0.0, this._read_at + _BETWEEN - time.monotonic()))
    if not this._is_closed:
        this._read_at = time.monotonic()
        this.reload()


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(" ", "seconds")
