"""Composition: from settings and a data folder to the store, the keys, the peppers, the issuer and the accounts that belong together.

Never knows a request, a route or an event loop.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import URL, inspect

from stagedoor.event import Listener, log
from stagedoor.issuer import Issuer
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers
from stagedoor.service.accounts import HISTORY, Accounts
from stagedoor.service.passwords import Passwords
from stagedoor.service.settings import Settings
from stagedoor.service.store_url import StoreURL
from stagedoor.session import Store
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


class SessionStore(Store, Protocol):
    """What the service asks of a store besides what an issuer does."""

    async def migrate(self) -> None:
        """Make it ready for use; again and again, from many processes at once. StoreError."""

    async def close(self) -> None:
        """Let go of all connections."""

    async def purge(self, *, now: float) -> int:
        """Delete what has been dead for long, in batches; how much it was. StoreError."""


@dataclass(frozen=True, slots=True)
class Composition:
    """What these settings and their data folder hold, ready for use."""

    settings: Settings
    database: SQLStore
    """Where accounts live and failed logins are counted."""
    store: SessionStore
    """Where sessions live: the database, unless the settings name another place."""
    keys: KeySet
    peppers: Peppers
    issuer: Issuer
    accounts: Accounts
    passwords: Passwords

    async def migrate(self) -> None:
        """Bring all tables to this version's form; safe from many processes at once, and again. StoreError."""
        await self.database.migrate()
        await self.accounts.migrate()
        if self.store is not self.database:
            await self.store.migrate()

    async def close(self) -> None:
        """Finish what is under way; let go of the stores and of the threads for passwords."""
        await asyncio.to_thread(self.passwords.close)
        await self.store.close()
        await self.database.close()


def compose(
    settings: Settings,
    *,
    create: bool = True,
    events: Listener = log,
    clock: Callable[[], float] = time.time,
) -> Composition:
    """Everything that these settings ask for. DataError where the folder or a file in it cannot be used.

    With `create` a missing folder is made (mode 0700), and so are the keys, the peppers and SQLite's database in it (mode 0600); without,
    what is missing is a DataError: nothing that only reads leaves a trace. A database elsewhere is asked only before keys or peppers are
    made: StoreError where it cannot be.
    """
    folder = settings.data
    if create:
        _make(folder, with_database=not settings.database)
        _check_secrets(settings)
    for name in (KEYS, PEPPERS) if settings.database else (DATABASE, KEYS, PEPPERS):
        if not create and not (folder / name).is_file():
            missing = name if folder.is_dir() else "no such folder"
            raise DataError(f"there is no Stagedoor in {folder} ({missing})", "name another folder with --data, or run `stagedoor migrate`")
    keys = _opened(folder / KEYS, lambda path: KeySet.open(path, settings.algorithm, clock=clock))
    peppers = _opened(folder / PEPPERS, lambda path: Peppers.open(path, clock=clock))
    database = _database(settings)
    store = database if settings.session_store == settings.database else _store(settings.sessions)
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
    accounts = Accounts(database.database, passwords, clock=clock)
    return Composition(settings, database, store, keys, peppers, issuer, accounts, passwords)


def _database(settings: Settings) -> SQLStore:
    if settings.database:
        return _sql(settings.database)
    return SQLStore(URL.create("sqlite", database=str(settings.data / DATABASE)).render_as_string(hide_password=False))


def _store(url: StoreURL) -> SessionStore:
    if not url.is_redis:
        return _sql(url)
    with _refusals(url):
        from stagedoor.stores.redis import RedisStore  # an extra of its own

        return RedisStore(url.address, **url.options)


def _sql(url: StoreURL) -> SQLStore:
    with _refusals(url):
        return SQLStore(url.address, **url.options)


@contextmanager
def _refusals(url: StoreURL) -> Iterator[None]:
    try:
        yield
    except ImportError as error:  # not missing, or the settings had said so: broken
        raise DataError(f"the driver of {url} cannot be loaded: {error}", "install it anew") from None
    except ValueError:  # its text may quote the password
        raise DataError(f"the store does not take the URL {url}", "the guide has examples, under Beyond one machine") from None


def _check_secrets(settings: Settings) -> None:
    """Fresh ones beside a database in use would log everybody out, or leave the tokens that are out without their key."""
    missing = [settings.data / name for name in (KEYS, PEPPERS) if not (settings.data / name).exists()]
    if not missing:
        return
    if not settings.database:
        if (settings.data / DATABASE).stat().st_size:
            raise DataError(f"{missing[0]} is missing beside a database in use", "bring it back from a backup")
        return
    store = _sql(settings.database)
    try:
        in_use = store.database.submit(lambda connection: inspect(connection).has_table(HISTORY.version_table)).result()
    finally:
        store.database.close()
    if in_use:
        hint = f"copy {KEYS} and {PEPPERS} from the data folder of a machine that uses it, or bring them back from a backup"
        raise DataError(f"{missing[0]} is missing beside a database in use, {settings.database}", hint)


def _make(folder: Path, *, with_database: bool) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(folder)
        if with_database:  # SQLite gives its own files beside it (-wal, -shm) the mode of this one
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
