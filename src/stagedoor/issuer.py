"""Issuer: opens sessions, refreshes and ends them, with await; SyncIssuer, the same without.

Never knows a rule of its own: the flows stand once, in flows.py.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, cast

from stagedoor import signer
from stagedoor.draft import Draft
from stagedoor.errors import AuthError, SessionUnreadable, SigningFailed, SubjectCheckFailed
from stagedoor.flows import Flows
from stagedoor.parts import Flow, R
from stagedoor.scope import Scope
from stagedoor.session import Session, Store, SyncStore
from stagedoor.token_pair import SubjectCheck, TokenPair

_NOTHING: Mapping[str, Any] = MappingProxyType({})
SIGNING_SECONDS = 10.0
"""How long Issuer waits for a signer; SyncIssuer has nothing to end its call with."""
_BOX_THREADS = 16


class Issuer(Flows[Store]):
    """Issues, refreshes and ends sessions for one audience, on an async store. SyncIssuer has the same words without await."""

    _awaits = True
    _boxes: ThreadPoolExecutor | None = None

    async def issue(
        self,
        subject: str,
        *,
        scope: str | Scope = "",
        claims: Mapping[str, Any] = _NOTHING,
        device: str | None = None,
        confirm: Callable[[], Any] | None = None,
    ) -> TokenPair:
        """Open a session for this subject and hand out its first tokens. ValueError for a bad subject, scope or claim; SigningFailed.

        `claims` go into each access token of the session; `device` is what the person will know it by. `confirm` (sync or async) is asked
        once the session stands: where it says no, the account changed meanwhile, the session is ended and BadCredentials raised.
        """
        return await self._run(self._issue(subject, scope, claims, device, confirm))

    async def refresh(self, refresh_token: str, *, attempt: str | None = None, scope: str | Scope | None = None) -> TokenPair:
        """A new access token, and the refresh token to use from now on (RFC 6749 section 6).

        Within the retry window, and later with the same `attempt` id, a repeated call gets the same refresh token again. `scope`: less
        than the session has, for this access token alone. GrantError: RefreshTokenUnknown, RefreshTokenExpired, SessionRevoked,
        RefreshTokenReused (which ends the session); InvalidRequest for a bad attempt id, InvalidScope for more than there is; StoreError,
        SubjectCheckFailed, SigningFailed, after which nothing has changed.
        """
        return await self._run(self._refresh(refresh_token, attempt, scope))

    async def revoke(self, refresh_token: str) -> None:
        """Log out: end the session of this genuine token, old or new. RefreshTokenUnknown for any other; StoreError."""
        await self._run(self._logout(refresh_token))

    async def revoke_session(self, session_id: str | bytes, *, reason: str = "revoked", subject: str | None = None) -> None:
        """End one session, by `sid` or Session.id. NotFound where it is not live, or not of this subject; StoreError."""
        await self._run(self._revoke_session(session_id, reason, subject))

    async def revoke_subject(self, subject: str, *, reason: str = "revoked") -> int:
        """End all sessions of a subject; how many there were. StoreError."""
        return await self._run(self._revoke_subject(subject, reason))

    async def revoke_key(self, kid: str) -> None:
        """For an emergency: retire this key, and have its tokens refused everywhere at once. NotFound, StoreError.

        What fails on the way may be repeated. The keys are retired first: KeySet.retire says what takes their place.
        """
        await self._run(self._revoke_key(kid))

    async def revoke_everything(self) -> int:
        """For an emergency: end all sessions, and have all access tokens refused, that were opened and issued until now. StoreError.

        Until everybody has heard of it, some six seconds, nothing is issued (IssuingPaused, 503). The last second that is revoked, in Unix
        seconds, is returned.
        """
        return await self._run(self._revoke_everything())

    async def sessions(self, subject: str) -> list[Session]:
        """The live sessions of a subject, the latest first. StoreError."""
        return await self._run(self._sessions(subject))

    def _aside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return asyncio.to_thread(function, *arguments)

    def _hear(self) -> Any:
        return self.revocations.hear_async()

    async def _read_keys(self) -> None:
        with suppress(OSError, ValueError):
            await self.keys.read_anew_async()

    async def _still_granted(self, session: Session) -> Any:
        check = cast("SubjectCheck", self._subject_check)
        with _failing():
            # A plain function may block, on a database most of all: it has a thread, as a plain route has in the frameworks.
            answer = check(session) if inspect.iscoroutinefunction(check) else await asyncio.to_thread(_called, check, session)
            return await answer if inspect.isawaitable(answer) else answer

    async def _signature(self, draft: Draft) -> bytes:
        asked = cast("signer.Signer", draft.key.signer)
        with signer.asking():
            try:
                async with asyncio.timeout(SIGNING_SECONDS) as limit:
                    # A plain function talks to its box and blocks meanwhile: on a thread, as a plain subject check.
                    answer = asked.sign(draft.data) if signer.awaits(asked) else await self._on_thread(asked.sign, draft.data)
                    if inspect.isawaitable(answer):
                        answer = await answer
            except TimeoutError:
                if limit.expired():
                    raise SigningFailed(f"the signer did not answer within {SIGNING_SECONDS:g} s") from None
                raise
        return draft.key.taken(draft.data, answer)

    def _on_thread(self, function: Callable[..., Any], data: bytes) -> asyncio.Future[Any]:
        """On one of a few threads for boxes alone: calls that hang take none from names that are looked up, or from the application."""
        if self._boxes is None:
            self._boxes = ThreadPoolExecutor(_BOX_THREADS, thread_name_prefix="stagedoor-signer")
        return asyncio.get_running_loop().run_in_executor(self._boxes, _called, function, data)

    async def _run(self, flow: Flow[R]) -> R:
        answer: Any = None
        try:
            while True:
                try:
                    asked = flow.send(answer)
                except StopIteration as stop:  # the flow's alone: what is asked may raise one by mistake
                    return cast(R, stop.value)
                answer = asked(self.store)
                if inspect.isawaitable(answer):
                    answer = await answer
        except SessionUnreadable as error:
            self._alarm(error)
            raise


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

    def refresh(self, refresh_token: str, *, attempt: str | None = None, scope: str | Scope | None = None) -> TokenPair:
        """As Issuer.refresh."""
        return self._run(self._refresh(refresh_token, attempt, scope))

    def revoke(self, refresh_token: str) -> None:
        """As Issuer.revoke."""
        self._run(self._logout(refresh_token))

    def revoke_session(self, session_id: str | bytes, *, reason: str = "revoked", subject: str | None = None) -> None:
        """As Issuer.revoke_session."""
        self._run(self._revoke_session(session_id, reason, subject))

    def revoke_subject(self, subject: str, *, reason: str = "revoked") -> int:
        """As Issuer.revoke_subject."""
        return self._run(self._revoke_subject(subject, reason))

    def revoke_key(self, kid: str) -> None:
        """As Issuer.revoke_key."""
        self._run(self._revoke_key(kid))

    def revoke_everything(self) -> int:
        """As Issuer.revoke_everything."""
        return self._run(self._revoke_everything())

    def sessions(self, subject: str) -> list[Session]:
        """As Issuer.sessions."""
        return self._run(self._sessions(subject))

    def _aside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def _hear(self) -> Any:
        self.revocations.hear()

    def _read_keys(self) -> None:
        with suppress(OSError, ValueError):
            self.keys.read_anew()

    def _still_granted(self, session: Session) -> Any:
        with _failing():
            return cast("SubjectCheck", self._subject_check)(session)

    def _signature(self, draft: Draft) -> bytes:
        return draft.key.sign(draft.data)

    def _run(self, flow: Flow[R]) -> R:
        answer: Any = None
        try:
            while True:
                try:
                    asked = flow.send(answer)
                except StopIteration as stop:
                    return cast(R, stop.value)
                answer = asked(self.store)
                if inspect.isawaitable(answer):  # truthy whatever it will say: taken for an answer, it would confirm everything
                    raise TypeError("SyncIssuer takes a sync store, a sync confirm and a sync subject_check; Issuer awaits")
        except SessionUnreadable as error:
            self._alarm(error)
            raise


def _called(function: Callable[[Any], Any], argument: Any) -> Any:
    """What a function of the application returns. No future can carry a StopIteration: whoever waited would wait for ever."""
    try:
        return function(argument)
    except StopIteration as error:
        raise RuntimeError("a function of the application raised StopIteration") from error


@contextmanager
def _failing() -> Iterator[None]:
    """Whatever the application's check raises is no fault of the token: 503, and the session stays as it is."""
    try:
        yield
    except AuthError:
        raise
    except Exception as error:
        raise SubjectCheckFailed(f"the subject check raised {type(error).__name__}") from error
