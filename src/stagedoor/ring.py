"""Ring: things that are announced, current, old and gone; in memory, in a file, or in a vault that many workers share.

Never knows what it holds: keys and peppers live by the same rules.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

from stagedoor.errors import MalformedToken
from stagedoor.lifetime import seconds
from stagedoor.secret_file import SecretFile
from stagedoor.vault import Vault
from stagedoor.watch import Watch

T = TypeVar("T")
Make = Callable[[list["Entry[T]"]], tuple[str | int, T]]
"""(the entries of this moment) -> the id and the value of a new one."""

ANNOUNCE = 360
"""Seconds from the announcement of an entry until it is current, unless said otherwise: five minutes for whoever keeps a copy, and one
for our own workers to hear of it, and for clocks that differ."""
_log = logging.getLogger("stagedoor.keys")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One thing and its term, in Unix seconds."""

    id: str | int
    value: T = field(repr=False)
    starts: float
    """From when it is the current one."""
    ends: float | None = None
    """From when it is not accepted any more; None: not settled."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a ring rotates by itself; all in seconds."""

    every: int | None = None
    """From one entry's start to the next one's; None: only by hand."""
    announce: int = ANNOUNCE
    keep: int | None = None
    """How long an old entry is still accepted; None: to be said with each rotation."""

    @classmethod
    def of(cls, every: str | int | None, announce: str | int, keep: str | int | None) -> Schedule:
        """From spans such as "90d". ValueError where they do not go together, or are none."""
        lead = seconds(announce)
        if every is None:
            return cls(None, lead, None if keep is None else seconds(keep))
        if keep is None:
            raise ValueError("what rotates by itself needs keep=: how long old ones are still accepted")
        if seconds(every) <= lead:
            raise ValueError("rotate_every is longer than announce")
        return cls(seconds(every), lead, seconds(keep))


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
        schedule: Schedule = Schedule(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.schedule = schedule
        self._place = place
        self._clock = clock
        self._looked = 0.0
        self._trouble: str | None = None
        self._watch = Watch(self)
        self._known = self._checked(entries)

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
        place: Place = where.document(cls.NAME) if isinstance(where, Vault) else SecretFile(where)

        def make(content: bytes | None) -> bytes | None:
            return cls._document([Entry(*first([]), starts=clock())]) if content is None else None

        place.change(make)
        ring = cls.__new__(cls)  # a subclass may build its own way
        Ring.__init__(ring, (), place=place, schedule=schedule, clock=clock)
        ring.reload()
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
        if self._place is not None:
            self._watch.start()

    def close(self) -> None:
        """Look and rotate no more by itself, so that its store can be closed. What is known goes on being known."""
        self._watch.stop()

    def entries(self) -> tuple[Entry[T], ...]:
        """Every entry, the latest to start first."""
        return self._known.entries

    def state(self, entry: Entry[T], now: float) -> str:
        """ "announced", "current", "old" or "gone" at this moment."""
        if entry.ends is not None and now >= entry.ends:
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
        entry = self._known.by_id.get(id_)
        if entry is None and self._look():
            entry = self._known.by_id.get(id_)
        if entry is None or (entry.ends is not None and now >= entry.ends):
            return None
        return entry.value

    def reload(self) -> bool:
        """Read anew what another process may have changed; whether it had.

        OSError, ValueError, StoreError where it cannot be read: then nothing changes here.
        """
        changed = False
        # Until nothing is new: another thread may have read it earlier than we did, and be done later.
        while self._place is not None and (found := self._place.read(self._known.stamp)) is not None:
            stamp, content = found
            self._known = self._checked(self._entries_of(content), stamp)
            changed = True
        return changed

    def tend(self) -> None:
        """Reload, and rotate if it is time; trouble is logged, once until it is over. The watch calls it every second."""
        try:
            self.reload()
            if self._is_due(self._known.entries):
                self._change(lambda entries: self._rotated(entries) if self._is_due(entries) else entries)
        except Exception as error:  # noqa: BLE001 - nobody is there to catch it
            if self._trouble != str(error):
                self._trouble = str(error)
                _log.warning("%s cannot be looked after, what is known stays: %s", self._place, error)
        else:
            self._trouble = None

    def _rotate(self, *, keep: str | int | None, announce: str | int | None) -> Entry[T]:
        """Announce a new entry that is current after `announce` seconds; what is older ends `keep` seconds after that."""
        schedule = self.schedule
        if keep is not None or announce is not None:
            schedule = replace(
                schedule,
                keep=schedule.keep if keep is None else seconds(keep),
                announce=schedule.announce if announce is None else seconds(announce),
            )
        if schedule.keep is None:
            raise TypeError("keep= is how long old ones are still accepted: the longest life of what was made with them")
        return self._change(lambda entries: self._rotated(entries, schedule))[0]

    def _retire(self, id_: object) -> None:
        """Accept this entry no more, from now on. If it was the current one, the next that is announced takes over, or a new one.

        LookupError where there is none of this id.
        """

        def retired(entries: list[Entry[T]]) -> list[Entry[T]]:
            now = self._clock()
            if all(entry.id != id_ or (entry.ends is not None and now >= entry.ends) for entry in entries):
                raise LookupError(f"nothing here has the id {id_!r}")
            changed = [replace(entry, ends=now) if entry.id == id_ else entry for entry in entries]
            left = [entry for entry in changed if entry.ends is None or now < entry.ends]
            if any(entry.starts <= now for entry in left):
                return changed
            if not left:
                return [Entry(*self._make(changed), starts=now), *changed]
            first = min(left, key=lambda entry: entry.starts)
            return [replace(entry, starts=now) if entry is first else entry for entry in changed]

        self._change(retired)

    def _rotated(self, entries: list[Entry[T]], schedule: Schedule | None = None) -> list[Entry[T]]:
        """With a new entry before them, and without those that are gone."""
        rule = schedule or self.schedule
        now = self._clock()
        starts = now + rule.announce
        ends = starts + (rule.keep or 0)
        # What was to start later (the clock went back, or this one is in a hurry) gives way: it would take over again, and end soon.
        ending = (replace(e, starts=min(e.starts, starts), ends=ends if e.ends is None else e.ends) for e in entries)
        return [Entry(*self._make(entries), starts=starts), *(e for e in ending if e.ends is None or now < e.ends)]

    def _is_due(self, entries: Iterable[Entry[T]]) -> bool:
        if self.schedule.every is None:
            return False
        latest = max((entry.starts for entry in entries), default=0.0)
        return self._clock() >= latest + self.schedule.every - self.schedule.announce

    def _change(self, work: Callable[[list[Entry[T]]], list[Entry[T]]]) -> list[Entry[T]]:
        """Replace the entries, which another process may have changed since we last looked; they are then known here."""
        if self._place is None:
            changed = work(list(self._known.entries))
            self._known = self._checked(changed)
            return changed

        def rewritten(content: bytes | None) -> bytes:
            nonlocal changed
            if content is None:
                raise ValueError(f"{self._place} has gone")
            changed = work(self._entries_of(content))
            return self._document(changed)

        changed = []
        self._place.change(rewritten)
        self.reload()
        return changed

    def _current(self, now: float) -> Entry[T] | None:
        begins = None
        for entry in self._known.entries:  # the latest first
            if entry.ends is None or now < entry.ends:
                if entry.starts <= now:
                    return entry
                begins = entry
        return begins  # none has started: by our clock, which is behind that of whoever made it

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
        ordered = tuple(sorted(entries, key=lambda entry: -entry.starts))
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
