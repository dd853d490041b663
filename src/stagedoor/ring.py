"""Ring: things that are announced, current, old and gone; in memory, or in a file that only its owner reads.

Never knows what it holds: keys and peppers live by the same rules.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: first use is still safe, two rotations at one moment are not
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One thing and its term, in Unix seconds."""

    id: str | int
    value: T
    starts: float
    """From when it is the current one."""
    ends: float | None = None
    """From when it is not accepted any more; None: not settled."""


class Ring(Generic[T]):
    """The entries of a kind, by id. The current one is that which started last and has not ended.

    With a path the entries live in that file. A changed file is read again when something unknown is looked up or something is to be made,
    at most once a second; `reload` does it at once. A subclass says how an entry's value is written and read.
    """

    def __init__(self, entries: Iterable[Entry[T]], *, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = None
        self._looked = 0.0
        self._set(entries)

    @staticmethod
    def _written(value: T) -> Any:
        raise NotImplementedError

    @staticmethod
    def _read(written: Any) -> T:
        raise NotImplementedError

    @classmethod
    def _open(cls, path: str | Path, make: Callable[[], tuple[str | int, T]], clock: Callable[[], float]) -> Self:
        """The ring in this file, which is made with one entry, mode 0600, when it is not there."""
        file = Path(path)
        with _locked(file):
            if not file.exists():
                made, value = make()
                cls._write(file, [Entry(made, value, starts=0.0)])
        ring = cls.__new__(cls)  # a subclass may build its own way
        Ring.__init__(ring, (), path=file, clock=clock)
        ring.reload()
        return ring

    def entries(self) -> tuple[Entry[T], ...]:
        """Every entry, the latest to start first."""
        return self._entries

    def state(self, entry: Entry[T], now: float) -> str:
        """ "announced", "current", "old" or "gone" at this moment."""
        if entry.ends is not None and now >= entry.ends:
            return "gone"
        if now < entry.starts:
            return "announced"
        return "current" if entry is self._current(now) else "old"

    def current(self, now: float) -> Entry[T]:
        """The entry that new things are made with. ValueError where there is none."""
        self._look()
        entry = self._current(now)
        if entry is None:
            raise ValueError(f"{type(self).__name__} has nothing to make anything with")
        return entry

    def find(self, id_: object, now: float) -> T | None:
        """What has this id and has not ended; None where there is nothing."""
        entry = self._by_id.get(id_)
        if entry is None and self._look():
            entry = self._by_id.get(id_)
        if entry is None or (entry.ends is not None and now >= entry.ends):
            return None
        return entry.value

    def reload(self) -> bool:
        """Read the file again if it changed; whether it had."""
        if self._path is None:
            return False
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return False
        self._set(self._from_file(self._path))
        self._stamp = stamp
        return True

    def _rotate(self, made: str | int, value: T, *, announce: float, keep: float) -> None:
        """Announce a new entry that is current after `announce` seconds; what is older ends `keep` seconds after that."""
        self._change(lambda entries, now: [
            Entry(made, value, starts=now + announce),
            *(replace(e, ends=now + announce + keep) if e.ends is None else e for e in entries),
        ])  # fmt: skip

    def _change(self, change: Callable[[list[Entry[T]], float], list[Entry[T]]]) -> None:
        now = self._clock()
        if self._path is None:
            self._set(_alive(change(list(self._entries), now), now))
            return
        with _locked(self._path):
            self._write(self._path, _alive(change(list(self._from_file(self._path)), now), now))
        self.reload()

    def _current(self, now: float) -> Entry[T] | None:
        for entry in self._entries:
            if entry.starts <= now and (entry.ends is None or now < entry.ends):
                return entry
        return None

    def _look(self) -> bool:
        if self._path is None or time.monotonic() - self._looked < 1.0:
            return False
        self._looked = time.monotonic()
        return self.reload()

    def _set(self, entries: Iterable[Entry[T]]) -> None:
        ordered = tuple(sorted(entries, key=lambda entry: -entry.starts))
        self._by_id: dict[object, Entry[T]] = {entry.id: entry for entry in ordered}
        if len(self._by_id) != len(ordered):
            raise ValueError("two entries have one id")
        self._entries = ordered

    @classmethod
    def _from_file(cls, path: Path) -> Iterator[Entry[T]]:
        for members in json.loads(path.read_text("utf-8"))["entries"]:
            yield Entry(members["id"], cls._read(members["value"]), members["starts"], members["ends"])

    @classmethod
    def _write(cls, path: Path, entries: list[Entry[T]]) -> None:
        written = [{"id": e.id, "starts": e.starts, "ends": e.ends, "value": cls._written(e.value)} for e in entries]
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({"entries": written}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)  # a reader sees the old file or the new one, never half of one


def _alive(entries: list[Entry[T]], now: float) -> list[Entry[T]]:
    return [entry for entry in entries if entry.ends is None or now < entry.ends]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time, over processes too: many workers that start at once make one entry."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
