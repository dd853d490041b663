"""Composition: from settings and a data folder to the store, the keys, the peppers, the issuer and the accounts that belong together.

Never knows a request, a route or an event loop.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL

from stagedoor.event import Listener, log
from stagedoor.issuer import Issuer
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers
from stagedoor.service.accounts import Accounts
from stagedoor.service.passwords import Passwords
from stagedoor.service.settings import Settings
from stagedoor.stores.sql import SQLStore

R = TypeVar("R")

DATABASE = "stagedoor.db"
KEYS = "keys.json"
PEPPERS = "peppers.json"


class DataError(Exception):
    """The data folder, or a file in it, cannot be used; `hint` says how to mend it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Composition:
    """What one data folder holds, ready for use. Nothing is asked of the database before the first call."""

    settings: Settings
    store: SQLStore
    keys: KeySet
    peppers: Peppers
    issuer: Issuer
    accounts: Accounts
    passwords: Passwords

    async def migrate(self) -> None:
        """Bring all tables to this version's form; safe from many processes at once, and again. StoreError."""
        await self.store.migrate()
        await self.accounts.migrate()

    async def close(self) -> None:
        """Finish what is under way; let go of the database and of the threads for passwords."""
        await asyncio.to_thread(self.passwords.close)
        await self.store.close()


def compose(
    settings: Settings,
    *,
    create: bool = True,
    events: Listener = log,
    clock: Callable[[], float] = time.time,
) -> Composition:
    """Everything that these settings ask for. DataError where the folder or a file in it cannot be used.

    With `create` a missing folder is made (mode 0700), and so are the database, the keys and the peppers in it (mode 0600); without, what
    is missing is a DataError: nothing that only reads leaves a trace.
    """
    folder = settings.data
    if create:
        _make(folder)
        for name in (KEYS, PEPPERS):
            if (folder / DATABASE).stat().st_size and not (folder / name).exists():
                # A fresh one would log everybody out, or leave the tokens that are out without their key.
                raise DataError(f"{folder / name} is missing beside a database in use", "bring it back from a backup")
    for name in (DATABASE, KEYS, PEPPERS):
        if not create and not (folder / name).is_file():
            missing = name if folder.is_dir() else "no such folder"
            raise DataError(f"there is no Stagedoor in {folder} ({missing})", "name another folder with --data, or run `stagedoor migrate`")
    keys = _opened(folder / KEYS, lambda path: KeySet.open(path, settings.algorithm, clock=clock))
    peppers = _opened(folder / PEPPERS, lambda path: Peppers.open(path, clock=clock))
    store = SQLStore(URL.create("sqlite", database=str(folder / DATABASE)).render_as_string(hide_password=False))
    passwords = Passwords(threads=settings.password_threads)
    issuer = Issuer(
        settings.issuer_url,
        audience=settings.token_audience,
        store=store,
        keys=keys,
        peppers=peppers,
        access=settings.access,
        refresh_idle=settings.refresh_idle,
        refresh_absolute=settings.refresh_absolute,
        retry_window=settings.retry_window,
        session_limit=settings.session_limit,
        events=events,
        clock=clock,
    )
    return Composition(settings, store, keys, peppers, issuer, Accounts(store.database, passwords, clock=clock), passwords)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(folder)
        # SQLite gives its own files beside it (-wal, -shm) the mode of this one.
        os.close(os.open(folder / DATABASE, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise DataError(f"cannot write to the data folder {folder}: {_reason(error)}", "name another folder with --data") from None


def _check_owner(folder: Path) -> None:
    """What somebody else laid out in a shared folder is not ours: with their keys they could sign whatever they like."""
    status = folder.stat()
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise DataError(f"the data folder {folder} belongs to another user", "run this as that user, or name another folder with --data")
    if hasattr(os, "geteuid") and status.st_mode & 0o022:
        raise DataError(f"others may write to the data folder {folder}", f"chmod go-w {folder}")


def _opened(path: Path, open_: Callable[[Path], R]) -> R:
    try:
        return open_(path)
    except OSError as error:
        raise DataError(f"cannot open {path}: {_reason(error)}", "it must be a file that this user may read and write") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # The error's own text may quote the file: only its kind is told.
        raise DataError(
            f"cannot read {path}: it is not what Stagedoor wrote ({type(error).__name__})", "bring it back from a backup"
        ) from None


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
