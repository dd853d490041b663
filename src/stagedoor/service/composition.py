"""Composition: from settings and a data folder to the store, the keyring, the issuer and the accounts that belong together.

Never knows a request, a route or an event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import URL

from stagedoor.event import Listener, log
from stagedoor.issuer import Issuer
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers
from stagedoor.service import data_folder, keyring
from stagedoor.service.accounts import Accounts
from stagedoor.service.custody import Custody
from stagedoor.service.data_folder import DATABASE, DataError
from stagedoor.service.passwords import Passwords
from stagedoor.service.settings import Settings
from stagedoor.service.store_url import StoreURL
from stagedoor.session import Store
from stagedoor.stores.sql import SQLStore


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
    custody: Custody
    passwords: Passwords

    async def migrate(self) -> None:
        """Bring all tables to this version's form; safe from many processes at once, and again. StoreError."""
        await self.database.migrate()
        await self.accounts.migrate()
        if self.store is not self.database:
            await self.store.migrate()

    async def close(self) -> None:
        """Finish what is under way; let go of the stores and of the threads."""
        for each in (self.issuer.revocations, self.keys, self.peppers):  # first: they look into the database
            await asyncio.to_thread(each.close)
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
    """Everything that these settings ask for. DataError where the folder, a file in it or the keys in the database cannot be used.

    With `create` a missing folder is made (mode 0700), and so are the master key and SQLite's database in it (mode 0600), and the keys;
    without, what is missing is a DataError: nothing that only reads leaves a trace. It blocks. StoreError where the database cannot be
    asked.
    """
    folder = settings.data
    if create:
        data_folder.make(folder, with_database=not settings.database)
    else:
        _check_is_there(settings)
    database = _database(settings)
    store = database if settings.session_store == settings.database else _store(settings.sessions)
    try:
        keys, peppers = keyring.open_keyring(settings, database, create=create, clock=clock)
    except BaseException:
        database.database.close()
        raise
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
    custody = Custody(accounts, issuer, events=events, clock=clock)
    return Composition(settings, database, store, keys, peppers, issuer, accounts, custody, passwords)


def start_over(settings: Settings, *, clock: Callable[[], float] = time.time) -> list[str]:
    """As keyring.start_over, on the database of these settings. It blocks."""
    _check_is_there(settings)
    database = _database(settings)
    try:
        return keyring.start_over(settings, database, clock=clock)
    finally:
        database.database.close()


def _check_is_there(settings: Settings) -> None:
    folder = settings.data
    if settings.database or (folder / DATABASE).is_file():
        return
    if folder.is_dir():
        raise DataError(f"there is no Stagedoor in {folder} ({DATABASE})", "name another folder with --data, or run `stagedoor migrate`")
    hint = "name the folder with --data, which after `make demo` is demo-data; `stagedoor serve` makes a new one"
    raise DataError(f"there is no Stagedoor in {folder} (no such folder)", hint)


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
