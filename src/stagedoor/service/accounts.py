"""Accounts: who may log in to the service, one row each; adds, changes and authenticates them.

Never knows a session or a token, and never tells a stranger whether an account exists.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Double, Integer, MetaData, Row, Table, Text, delete, select, update
from sqlalchemy.exc import IntegrityError

from stagedoor.endpoints import Account
from stagedoor.errors import BadCredentials, InvalidRequest, NotFound, Overloaded, StoreError
from stagedoor.scope import Scope
from stagedoor.service.passwords import Passwords, check
from stagedoor.stores.sql import Database
from stagedoor.stores.sql.migrations import History, migrate

R = TypeVar("R")

HISTORY = History(Path(__file__).parent / "migrations" / "versions", "stagedoor_accounts_schema")
_LONGEST_NAME = 255

accounts = Table(
    "stagedoor_accounts",
    MetaData(),
    Column("subject", Text, primary_key=True),
    Column("username", Text, nullable=False, unique=True),
    Column("display", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("disabled_at", Double),
    Column("created_at", Double, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """One account as its row has it. Times in Unix seconds."""

    subject: str
    """ "usr_" and 16 random characters: stays when all else changes."""
    username: str
    """As it was typed when the account was added."""
    scope: Scope
    version: int
    """One more with each change."""
    disabled_at: float | None
    created_at: float
    password_hash: str = field(repr=False)


class Accounts:
    """The accounts in this database, which may be the store's."""

    def __init__(self, database: Database, passwords: Passwords, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock

    async def migrate(self) -> None:
        """Bring the table to this version's form; safe from many processes at once, and again. StoreError."""
        await asyncio.wrap_future(self._database.submit(lambda connection: migrate(connection, HISTORY), patience=math.inf))

    async def add(self, username: str, password: str, scope: str = "") -> StoredAccount:
        """A new account. InvalidRequest where the name is taken, or name, password or scope are not good; StoreError, Overloaded."""
        name = _name(username)
        granted = _scope(scope)
        hash_ = await self._passwords.hash(password)
        account = StoredAccount(f"usr_{secrets.token_urlsafe(12)}", username, granted, 1, None, self._clock(), hash_)

        def insert(connection: Connection) -> None:
            if _row(connection, accounts.c.username == name) is not None:
                raise InvalidRequest(f"There is an account {username!r} already.")
            row = accounts.insert().values(
                subject=account.subject,
                username=name,
                display=username,
                password_hash=hash_,
                scope=str(granted),
                version=account.version,
                created_at=account.created_at,
            )
            try:
                connection.execute(row)
            except IntegrityError:  # on PostgreSQL somebody else may have added it just now
                raise InvalidRequest(f"There is an account {username!r} already.") from None

        await self._do(insert)
        return account

    async def authenticate(self, username: str, password: str) -> Account | None:
        """The account of this name and password; None for an unknown name, a wrong password and a disabled account alike.

        One password hash is checked in each of these cases, so that none can be told by its time. StoreError, Overloaded.
        """
        name = _key(username)
        found = None if name is None else await self._do(lambda connection: _row(connection, accounts.c.username == name))
        right = await self._passwords.verify(None if found is None else found.password_hash, password)
        if found is None or not right or found.disabled_at is not None:
            return None
        await self._renew(found, password)
        return Account(
            found.subject,
            found.scope,
            MappingProxyType({"username": found.username}),
            lambda: self._unchanged(found),
        )

    async def find(self, username: str) -> StoredAccount:
        """The account of this name. NotFound, StoreError."""
        name = _key(username)
        found = None if name is None else await self._do(lambda connection: _row(connection, accounts.c.username == name))
        if found is None:
            raise NotFound(f"There is no account {username!r}.")
        return found

    async def of_subject(self, subject: str) -> StoredAccount:
        """The account of this subject. NotFound, StoreError."""
        found = await self._do(lambda connection: _row(connection, accounts.c.subject == subject))
        if found is None:
            raise NotFound(f"There is no account of {subject!r}.")
        return found

    async def disable(self, username: str) -> str:
        """Let nobody log in to this account; its subject, whose sessions the caller ends. NotFound, StoreError."""
        return await self._change(username, {"disabled_at": self._clock()})

    async def enable(self, username: str) -> str:
        """Undo `disable`; the subject. NotFound, StoreError."""
        return await self._change(username, {"disabled_at": None})

    async def set_password(self, username: str, password: str) -> str:
        """Replace the password; the subject, whose sessions the caller may end. NotFound, InvalidRequest, StoreError, Overloaded."""
        await self.find(username)
        return await self._change(username, {"password_hash": await self._passwords.hash(password)})

    async def change_password(self, account: StoredAccount, old: str, new: str) -> None:
        """Replace the password of whoever knows the old one. InvalidRequest, before that is looked at; StoreError, Overloaded.

        BadCredentials where the old one is wrong, or the account is disabled, or was changed meanwhile: what an administrator has done
        stays done.
        """
        check(new)
        right = await self._passwords.verify(account.password_hash, old)
        if not right or account.disabled_at is not None:
            raise BadCredentials("the old password is wrong, or the account is disabled")
        same = (accounts.c.subject == account.subject, accounts.c.version == account.version)
        values = {"password_hash": await self._passwords.hash(new), "version": account.version + 1}
        change = update(accounts).where(*same).values(values)
        if not await self._do(lambda connection: connection.execute(change).rowcount):
            raise BadCredentials("the account changed while its password was checked")

    async def set_scope(self, username: str, scope: str) -> str:
        """Replace what the account may be granted; the subject, whose sessions the caller ends. NotFound, InvalidRequest, StoreError."""
        return await self._change(username, {"scope": str(_scope(scope))})

    async def delete(self, subject: str) -> None:
        """Let go of an account that is disabled, and whose sessions the caller has ended; of one that is gone nothing is left to do.

        StoreError where it was enabled meanwhile: then somebody may have logged in.
        """
        disabled = delete(accounts).where(accounts.c.subject == subject, accounts.c.disabled_at.is_not(None))

        def go(connection: Connection) -> None:
            if not connection.execute(disabled).rowcount and _row(connection, accounts.c.subject == subject) is not None:
                raise StoreError("the account was enabled meanwhile: try again")

        await self._do(go)

    async def list(self) -> Sequence[StoredAccount]:
        """All accounts, in the order of their names. StoreError."""
        found = select(accounts).order_by(accounts.c.username)
        return await self._do(lambda connection: [_stored(row) for row in connection.execute(found)])

    async def _change(self, username: str, values: dict[str, Any]) -> str:
        name = _key(username)
        change = update(accounts).where(accounts.c.username == name).values(values | {"version": accounts.c.version + 1})
        subject: str | None = await self._do(lambda connection: connection.scalar(change.returning(accounts.c.subject)))
        if subject is None:
            raise NotFound(f"There is no account {username!r}.")
        return subject

    async def _unchanged(self, account: StoredAccount) -> bool:
        now = await self._do(lambda connection: _row(connection, accounts.c.subject == account.subject))
        return now is not None and now.version == account.version and now.disabled_at is None

    async def _renew(self, account: StoredAccount, password: str) -> None:
        """Hash the password again where the costs have changed since. No change of the account: its version stays."""
        if not self._passwords.needs_rehash(account.password_hash):
            return
        with suppress(Overloaded, StoreError):  # the login is good all the same; the next one tries again
            fresh = await self._passwords.renew(password)
            same = (accounts.c.subject == account.subject, accounts.c.password_hash == account.password_hash)
            await self._do(lambda connection: connection.execute(update(accounts).where(*same).values(password_hash=fresh)).rowcount)

    async def _do(self, work: Callable[[Connection], R]) -> R:
        return await asyncio.wrap_future(self._database.submit(work))


def _row(connection: Connection, where: Any) -> StoredAccount | None:
    row = connection.execute(select(accounts).where(where)).one_or_none()
    return None if row is None else _stored(row)


def _stored(row: Row[Any]) -> StoredAccount:
    return StoredAccount(row.subject, row.display, Scope.parse(row.scope), row.version, row.disabled_at, row.created_at, row.password_hash)


def _key(username: str) -> str | None:
    """What a name is looked up by: "Ada", "ADA" and "Ａｄａ" are one. None for what no account can be called."""
    if not 1 <= len(username) <= _LONGEST_NAME or not username.isprintable() or username != username.strip():
        return None
    key = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).casefold())
    return key if len(key) <= _LONGEST_NAME else None


def _name(username: str) -> str:
    key = _key(username)
    if key is None:
        raise InvalidRequest(f"A username has 1 to {_LONGEST_NAME} characters, none of them invisible, and no space at either end.")
    return key


def _scope(text: str) -> Scope:
    try:
        return Scope.parse(text)
    except ValueError:
        raise InvalidRequest('A scope is words separated by one space, such as "orders:read orders:write".') from None
