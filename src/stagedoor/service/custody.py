"""Custody: the changes of an account that end its sessions, each as one call.

Never knows who may ask for it, nor whether that came by HTTP or by a command.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from stagedoor.encoding import encode
from stagedoor.errors import NotFound
from stagedoor.event import Event, Listener, log, tell
from stagedoor.issuer import Issuer
from stagedoor.service.accounts import Accounts, StoredAccount


class Custody:
    """Changes accounts, ends their sessions and tells one event for it. `by`: who asked, for that event.

    Sessions end after the change: a login that is under way then finds the account changed, and ends its own. What is cut short in
    between is mended by asking again: each call ends the sessions, also where nothing is left to change. How many sessions ended is
    returned. Raises what Accounts and Issuer raise.
    """

    def __init__(self, accounts: Accounts, issuer: Issuer, *, events: Listener = log, clock: Callable[[], float] = time.time) -> None:
        self._accounts = accounts
        self._issuer = issuer
        self._events = events
        self._clock = clock

    async def disable(self, username: str, *, by: str) -> int:
        """Let nobody log in to this account."""
        subject, ended = await self._disabled("account_disabled", username)
        self._tell("account_disabled", subject, by)
        return ended + await self._end_rest(subject, "account_disabled")

    async def enable(self, username: str, *, by: str) -> None:
        """Let people log in to it again. Sessions that were ended stay ended."""
        self._tell("account_enabled", await self._accounts.enable(username), by)

    async def set_password(self, username: str, password: str, *, by: str) -> int:
        """Replace the password."""
        return await self._changed("password_changed", await self._accounts.set_password(username, password), by)

    async def set_scope(self, username: str, scope: str, *, by: str) -> int:
        """Replace all that the account may be granted: people log in again, for what they have now."""
        return await self._changed("scope_changed", await self._accounts.set_scope(username, scope), by)

    async def delete(self, username: str, *, by: str) -> int:
        """Let go of the account. It is disabled until its sessions have ended: cut short, it is still there to be deleted again."""
        subject, ended = await self._disabled("account_deleted", username)
        ended += await self._end_rest(subject, "account_deleted")
        await self._accounts.delete(subject)
        self._tell("account_deleted", subject, by)
        return ended

    async def change_password(self, account: StoredAccount, old: str, new: str, *, keep: str) -> None:
        """Replace the password of whoever knows the old one, and end all sessions but the one that asks (ASVS 7.4.3)."""
        await self._accounts.change_password(account, old, new)
        self._tell("password_changed", account.subject, account.subject)
        await self._end_rest(account.subject, "password_changed", keep)

    async def _disabled(self, reason: str, username: str) -> tuple[str, int]:
        """Disable it, once its sessions have ended: where that is cut short, none goes on that an account shown as disabled has."""
        subject = (await self._accounts.find(username)).subject
        ended = await self._issuer.revoke_subject(subject, reason=reason)
        return await self._accounts.disable(username), ended

    async def _end_rest(self, subject: str, reason: str, keep: str = "") -> int:
        """End what there still is, for who logged in meanwhile, but the session to keep."""
        ended = 0
        for session in await self._issuer.store.sessions(subject, self._clock()):
            if encode(session.id) != keep:
                with suppress(NotFound):  # it has just ended by itself
                    await self._issuer.revoke_session(session.id, reason=reason, subject=subject)
                    ended += 1
        return ended

    async def _changed(self, name: str, subject: str, by: str) -> int:
        self._tell(name, subject, by)
        return await self._issuer.revoke_subject(subject, reason=name)

    def _tell(self, name: str, subject: str, by: str) -> None:
        tell(self._events, Event(name, self._clock(), subject, detail=f"by {by}"))
