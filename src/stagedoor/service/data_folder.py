"""Data folder: where the service keeps its files; made for its owner alone, refused where it is somebody else's.

Never knows what stands in a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stagedoor.errors import KeyRejected

DATABASE = "stagedoor.db"
BACKUP = "bring it back from a backup"


class DataError(Exception):
    """The data folder, a file in it, or what the database keeps sealed cannot be used; `hint` says how to mend it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def make(folder: Path, *, with_database: bool) -> None:
    """Make it (mode 0700) where it is missing, `with_database` an empty one of SQLite (mode 0600) too. DataError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(folder)
        if with_database:  # SQLite gives its own files beside it (-wal, -shm) the mode of this one
            os.close(os.open(folder / DATABASE, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise DataError(f"cannot write to the data folder {folder}: {_reason(error)}", "name another folder with --data") from None


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """What goes wrong with this file while it is read is a DataError; KeyRejected is not the file's fault alone, and goes through."""
    try:
        yield
    except KeyRejected:
        raise
    except OSError as error:
        raise DataError(f"cannot open {path}: {_reason(error)}", "it must be a file that this user may read and write") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # The error's own text may quote the file: only its kind is told.
        raise DataError(f"cannot read {path}: it is not what Stagedoor wrote ({type(error).__name__})", BACKUP) from None


def _check_owner(folder: Path) -> None:
    """What somebody else laid out in a shared folder is not ours: with their keys they could sign whatever they like."""
    status = folder.stat()
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise DataError(f"the data folder {folder} belongs to another user", "run this as that user, or name another folder with --data")
    if hasattr(os, "geteuid") and status.st_mode & 0o022:
        raise DataError(f"others may write to the data folder {folder}", f"chmod go-w {folder}")


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
