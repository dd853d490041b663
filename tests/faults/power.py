"""Disk: what SQLite has written and what it has synced, so that a power cut can be played at any moment.

A VFS over SQLite's own, registered in this process, sees each write and each fsync. Never knows a page, a frame or a table.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import ctypes.util
import random
import threading
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast, memmove, sizeof, string_at
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_MAIN, _WAL = 0x100, 0x80000  # SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_WAL
_FAILED = 10  # SQLITE_IOERR


class _Methods(Structure):
    """sqlite3_io_methods: what is replaced by name, the others as they are."""

    _fields_: ClassVar[Any] = [
        ("version", c_int),
        ("close", _CLOSE),
        ("read", c_void_p),
        ("write", _WRITE),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
        ("others", c_void_p * 13),
    ]


class _File(Structure):
    """sqlite3_file."""

    _fields_: ClassVar[Any] = [("methods", POINTER(_Methods))]


class _Vfs(Structure):
    """sqlite3_vfs."""

    _fields_: ClassVar[Any] = [
        ("version", c_int),
        ("size_of_file", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", _OPEN),
        ("others", c_void_p * 14),
    ]


@dataclass
class _Content:
    """One file: what a power cut leaves for sure, and what was written since."""

    durable: bytearray
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Offset and bytes; or a length and None, for a truncation."""


_INSERTED: list[Disk] = []


class Disk:
    """All databases that are opened in this process while it is `inserted`. One at a time."""

    def __init__(self) -> None:
        self.syncs = 0
        self._files: dict[str, _Content] = {}
        self._open: dict[int, tuple[_Content, Any, Any]] = {}
        self._lock = threading.Lock()
        self._library = _library()
        self._library.sqlite3_vfs_find.restype = POINTER(_Vfs)
        self._library.sqlite3_vfs_find.argtypes = [c_char_p]
        self._library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
        self._library.sqlite3_vfs_unregister.argtypes = [c_void_p]
        self._below = self._library.sqlite3_vfs_find(None)
        self._vfs = _Vfs()
        memmove(ctypes.byref(self._vfs), self._below, sizeof(_Vfs))
        self._vfs.name = b"stagedoor-power"
        self._vfs.open = _OPEN(self._opened)

    def insert(self) -> None:
        """From here on connections are opened on this disk."""
        _INSERTED.append(self)  # SQLite calls back for as long as one of them is open, wherever it was forgotten
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)

    def remove(self) -> None:
        """No more. Close all connections before, or let them go with the process."""
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
        self._library.sqlite3_vfs_register(self._below, 1)

    def cut(self, rng: random.Random, database: Path, to: Path) -> int:
        """The power goes, now: `to` is what is found afterwards. Of what was not synced all, nothing or anything is there: how many bytes
        were not synced is returned."""
        with self._lock:
            found = {end: self._files[f"{database}{end}"] for end in ("", "-wal") if f"{database}{end}" in self._files}
            images = {end: _left(content, rng) for end, content in found.items()}
            unsynced = sum(len(data or b"") for content in found.values() for _, data in content.pending)
        for end, image in images.items():
            Path(f"{to}{end}").write_bytes(image)
        return unsynced

    def _opened(self, _vfs: int, name: int, file: int, flags: int, told: int) -> int:
        result: int = self._below.contents.open(cast(self._below, c_void_p).value, name, file, flags, told)
        if result == 0 and name and flags & (_MAIN | _WAL):
            path = string_at(name).decode()
            plain = cast(file, POINTER(_File)).contents
            below = cast(
                cast(plain.methods, c_void_p).value or 0, POINTER(_Methods)
            )  # a pointer of its own: a field's would change with it
            mine = _Methods()
            memmove(ctypes.byref(mine), below, sizeof(_Methods))
            mine.write, mine.truncate = _WRITE(self._written), _TRUNCATE(self._truncated)
            mine.sync, mine.close = _SYNC(self._synced), _CLOSE(self._closed)
            with self._lock:
                if path not in self._files:
                    self._files[path] = _Content(bytearray(Path(path).read_bytes()))
                self._open[file] = (self._files[path], below, mine)
            plain.methods = ctypes.pointer(mine)
        return result

    def _written(self, file: int, data: int, size: int, offset: int) -> int:
        content, below, _ = self._open[file]
        with self._lock:
            result: int = below.contents.write(file, data, size, offset)
            content.pending.append((offset, string_at(data, size)))
        return result

    def _truncated(self, file: int, size: int) -> int:
        content, below, _ = self._open[file]
        with self._lock:
            result: int = below.contents.truncate(file, size)
            content.pending.append((size, None))
        return result

    def _synced(self, file: int, flags: int) -> int:
        content, below, _ = self._open[file]
        with self._lock:
            reached = len(content.pending)
        result: int = below.contents.sync(file, flags)
        with self._lock:
            if result == 0:
                for offset, data in content.pending[:reached]:
                    _apply(content.durable, offset, data)
                del content.pending[:reached]
                self.syncs += 1
        return result

    def _closed(self, file: int) -> int:
        _, below, _ = self._open.pop(file)
        # The methods of before: SQLite closes with them, and ours may be gone by then.
        cast(file, POINTER(_File)).contents.methods = below
        result: int = below.contents.close(file)
        return result


def _left(content: _Content, rng: random.Random) -> bytearray:
    """What is found after a power cut: writes that were not synced may be there or not, each by itself, whole or in part."""
    image = bytearray(content.durable)
    share = rng.choice((0.0, 0.0, 0.5, 0.9, 1.0))
    for offset, data in content.pending:
        if rng.random() >= share:
            continue
        torn = data is not None and 0.0 < share < 1.0 and rng.random() < 0.2
        _apply(image, offset, data[: rng.randrange(len(data) + 1)] if torn and data is not None else data)
    return image


def _apply(image: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del image[offset:]
        return
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data


def _library() -> Any:
    """The SQLite that Python's own driver uses: linked to it, or inside of it."""
    for name in (_sqlite3.__file__, None, ctypes.util.find_library("sqlite3")):
        library = ctypes.CDLL(name)
        if hasattr(library, "sqlite3_vfs_find"):
            return library
    raise RuntimeError("Python's SQLite shows no sqlite3_vfs_find")
