"""Issuer: opens sessions, refreshes and ends them, with await; SyncIssuer, the same without.

Never knows a rule of its own: the flows stand once, in flows.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

from stagedoor.flows import Flow, Flows, R, TokenPair
from stagedoor.scope import Scope
from stagedoor.session import Session, Store, SyncStore

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Issuer(Flows[Store]):
    """Issues, refreshes and ends sessions for one audience, on an async store. SyncIssuer has the same words without await."""

    _awaits = True

    async def issue(
        self,
        subject: str,
        *,
        scope: str | Scope = "",
        claims: Mapping[str, Any] = _NOTHING,
        device: str | None = None,
        confirm: Callable[[], Any] | None = None,
    ) -> TokenPair:
        """Open a session for this subject and hand out its first tokens. ValueError for a bad subject, scope or claim.

        `claims` go into each access token of the session; `device` is what the person will know it by. `confirm` (sync or async) is asked
        once the session stands: where it says no, the account changed meanwhile, the session is ended and BadCredentials raised.
        """
        return await self._run(self._issue(subject, scope, claims, device, confirm))

    async def refresh(self, refresh_token: str, *, attempt: str | None = None) -> TokenPair:
        """A new access token, and the refresh token to use from now on (RFC 6749 section 6).

        Within the retry window, and later with the same `attempt` id, a repeated call gets the same refresh token again. GrantError:
        RefreshTokenUnknown, RefreshTokenExpired, SessionRevoked, RefreshTokenReused (which ends the session); InvalidRequest for a bad
        attempt id; StoreError.
        """
        return await self._run(self._refresh(refresh_token, attempt))

    async def revoke(self, refresh_token: str) -> None:
        """Log out: end the session of this genuine token, old or new. RefreshTokenUnknown for any other; StoreError."""
        await self._run(self._logout(refresh_token))

    async def revoke_session(self, session_id: str | bytes, *, reason: str = "revoked", subject: str | None = None) -> None:
        """End one session, by `sid` or Session.id. NotFound where it is not live, or not of this subject; StoreError."""
        await self._run(self._revoke_session(session_id, reason, subject))

    async def revoke_subject(self, subject: str, *, reason: str = "revoked") -> int:
        """End all sessions of a subject; how many there were. StoreError."""
        return await self._run(self._revoke_subject(subject, reason))

    async def sessions(self, subject: str) -> list[Session]:
        """The live sessions of a subject, the latest first. StoreError."""
        return await self._run(self._sessions(subject))

    async def _run(self, flow: Flow[R]) -> R:
        answer: Any = None
        while True:
            try:
                ask = flow.send(answer)
            except StopIteration as stop:
                return cast(R, stop.value)
            answer = ask(self.store)
            if inspect.isawaitable(answer):
                answer = await answer


class SyncIssuer(Flows[SyncStore]):
    """Issuer for code without an event loop, on a sync store: the same words, the same flows."""

    _awaits = False

    def issue(
        self,
        subject: str,
        *,
        scope: str | Scope = "",
        claims: Mapping[str, Any] = _NOTHING,
        device: str | None = None,
        confirm: Callable[[], bool] | None = None,
    ) -> TokenPair:
        """As Issuer.issue."""
        return self._run(self._issue(subject, scope, claims, device, confirm))

    def refresh(self, refresh_token: str, *, attempt: str | None = None) -> TokenPair:
        """As Issuer.refresh."""
        return self._run(self._refresh(refresh_token, attempt))

    def revoke(self, refresh_token: str) -> None:
        """As Issuer.revoke."""
        self._run(self._logout(refresh_token))

    def revoke_session(self, session_id: str | bytes, *, reason: str = "revoked", subject: str | None = None) -> None:
        """As Issuer.revoke_session."""
        self._run(self._revoke_session(session_id, reason, subject))

    def revoke_subject(self, subject: str, *, reason: str = "revoked") -> int:
        """As Issuer.revoke_subject."""
        return self._run(self._revoke_subject(subject, reason))

    def sessions(self, subject: str) -> list[Session]:
        """As Issuer.sessions."""
        return self._run(self._sessions(subject))

    def _run(self, flow: Flow[R]) -> R:
        answer: Any = None
        while True:
            try:
                ask = flow.send(answer)
            except StopIteration as stop:
                return cast(R, stop.value)
            answer = ask(self.store)
            if inspect.isawaitable(answer):  # truthy whatever it will say: taken for an answer, it would confirm everything
                raise TypeError("SyncIssuer takes a sync store and a sync confirm; Issuer awaits")
