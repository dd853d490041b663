"""SecretFile: a file that only its owner reads, replaced whole by one writer at a time.

Never knows what stands in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: first use is still safe, two changes at one moment are not
    fcntl = None  # type: ignore[assignment]

_NOT_FOR_OTHERS = 0o027  # a group may read: that is how a container is handed its secrets


class SecretFile:
    """The file at this path, mode 0600. OSError where it cannot be read or written, PermissionError where others may."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __str__(self) -> str:
        return str(self.path)

    def read(self, known: object = None) -> tuple[object, bytes] | None:
        """A stamp of its state, and its content; None where the stamp is still the known one. FileNotFoundError where it is not there."""
        status = self.path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        return None if stamp == known else (stamp, self._content())

    def change(self, work: Callable[[bytes | None], bytes | None]) -> None:
        """Write what `work` makes of the content (None: there is no file), unless that is None: then nothing is written."""
        with _locked(self.path):
            changed = work(self._content() if self.path.exists() else None)
            if changed is not None:
                self._write(changed)

    def _content(self) -> bytes:
        with self.path.open("rb") as file:
            if fcntl is not None and os.fstat(file.fileno()).st_mode & _NOT_FOR_OTHERS:
                raise PermissionError(errno.EPERM, "others may read it or write to it: chmod 600", str(self.path))
            return file.read()

    def _write(self, content: bytes) -> None:
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        part.unlink(missing_ok=True)  # what somebody else left there would keep its owner and its mode
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)  # a reader sees the old file or the new one, never half of one
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if fcntl is not None:
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # or a power cut forgets the new name, and with the peppers every session
            finally:
                os.close(folder)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time, over processes too: many workers that start at once make one entry."""
    try:
        descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, f"there is no folder for {path.name}", str(path.parent)) from None
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing does not, while a child that was forked meanwhile has it open too
        os.close(descriptor)
