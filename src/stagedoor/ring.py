"""Ring: things that are announced, current, old and gone; in memory, or in a file that only its owner reads.

Never knows what it holds: keys and peppers live by the same rules.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from stagedoor.errors import MalformedToken

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: first use is still safe, two rotations at one moment are not
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")
_NOT_FOR_OTHERS = 0o027  # a group may read: that is how a container is handed its secrets


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One thing and its term, in Unix seconds."""

    id: str | int
    value: T = field(repr=False)
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
        """Read the file again if it changed; whether it had. OSError or ValueError where it cannot be read: then nothing changes."""
        if self._path is None:
            return False
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return False
        self._set(self._from_file(self._path))
        self._stamp = stamp
        return True

    def _rotate(self, make: Callable[[list[Entry[T]]], tuple[str | int, T]], *, announce: float, keep: float) -> Entry[T]:
        """Announce a new entry that is current after `announce` seconds; what is older ends `keep` seconds after that.

        `make` is told the entries of this moment: another process may have rotated since we last looked.
        """
        now = self._clock()

        def after(entries: list[Entry[T]]) -> list[Entry[T]]:
            id_, value = make(entries)
            starts = now + announce
            # What was to start later (the clock went back, or this one is in a hurry) gives way: it would take over again, and end soon.
            ending = (replace(e, starts=min(e.starts, starts), ends=starts + keep if e.ends is None else e.ends) for e in entries)
            return [Entry(id_, value, starts=starts), *(e for e in ending if e.ends is None or now < e.ends)]

        if self._path is None:
            changed = after(list(self._entries))
            self._set(changed)
        else:
            with _locked(self._path):
                changed = after(self._from_file(self._path))
                self._write(self._path, changed)
            self.reload()
        return changed[0]

    def _current(self, now: float) -> Entry[T] | None:
        for entry in self._entries:
            if entry.starts <= now and (entry.ends is None or now < entry.ends):
                return entry
        return None

    def _look(self) -> bool:
        if self._path is None or time.monotonic() - self._looked < 1.0:
            return False
        self._looked = time.monotonic()
        try:
            return self.reload()
        except (OSError, ValueError):
            return False  # a file that cannot be read just now: go on with what is known

    def _set(self, entries: Iterable[Entry[T]]) -> None:
        ordered = tuple(sorted(entries, key=lambda entry: -entry.starts))
        by_id: dict[object, Entry[T]] = {entry.id: entry for entry in ordered}
        if len(by_id) != len(ordered):
            raise ValueError("two entries have one id")
        self._entries, self._by_id = ordered, by_id

    @classmethod
    def _from_file(cls, path: Path) -> list[Entry[T]]:
        with path.open("rb") as file:
            if fcntl is not None and os.fstat(file.fileno()).st_mode & _NOT_FOR_OTHERS:
                raise PermissionError(errno.EPERM, "others may read it or write to it: chmod 600", str(path))
            data = file.read()
        try:
            return [
                Entry(members["id"], cls._read(members["value"]), float(members["starts"]), members["ends"])
                for members in json.loads(data.decode("utf-8"))["entries"]
            ]
        except (KeyError, TypeError, AttributeError, MalformedToken, json.JSONDecodeError, UnicodeDecodeError):
            # Without the cause: it would carry the file's text along.
            raise ValueError(f"{path} holds nothing that a {cls.__name__} can read") from None

    @classmethod
    def _write(cls, path: Path, entries: list[Entry[T]]) -> None:
        written = [{"id": e.id, "starts": e.starts, "ends": e.ends, "value": cls._written(e.value)} for e in entries]
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.unlink(missing_ok=True)  # what somebody else left there would keep its owner and its mode
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump({"entries": written}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)  # a reader sees the old file or the new one, never half of one
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if fcntl is not None:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # or a power cut forgets the new name, and with the peppers every session
            finally:
                os.close(folder)


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
