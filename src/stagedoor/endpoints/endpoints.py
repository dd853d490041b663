"""Endpoints: the one table of operations, each a function of a plain request; and the one way in which they answer.

Never knows a framework, a password's check or a user's table: the application's `authenticate` does.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import UNSET

from stagedoor.access_token import AccessToken
from stagedoor.encoding import encode
from stagedoor.endpoints.administration import Administration
from stagedoor.endpoints.counters import MemoryCounters
from stagedoor.endpoints.operation import Operation
from stagedoor.endpoints.request import Request, client_address, knows, networks
from stagedoor.endpoints.revocations import RevocationFeed
from stagedoor.endpoints.shapes import (
    LoginRequest,
    LogoutRequest,
    RefreshRequest,
    RevocationsResponse,
    SessionsResponse,
    TokenResponse,
)
from stagedoor.endpoints.throttle import Throttle
from stagedoor.endpoints.transport import COOKIE, Transports
from stagedoor.endpoints.workers import Workers
from stagedoor.errors import AuthError, BadCredentials, GrantError, InvalidRequest, InvalidScope, TokenRevoked
from stagedoor.feeds.feed_keys import FeedKeys
from stagedoor.guards.guard import Demand, Gate, asking
from stagedoor.guards.response import Response, json_response, refusal
from stagedoor.issuer import Issuer
from stagedoor.scope import Scope
from stagedoor.session import Session

_FEED = "What was revoked after a cursor, for services that verify only"
_LONGEST_DEVICE = 200
_THREADS = min(32, (os.cpu_count() or 1) + 4)


@dataclass(frozen=True, slots=True)
class Account:
    """Who logged in, as the application knows it."""

    subject: str
    """Never changes, never given to another: not a name, not an address."""
    scope: Scope
    """All that this account may be granted."""
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What goes into each access token of the session."""
    confirm: Callable[[], Any] | None = None
    """Asked (sync or async) once the session stands: is the account still as it was when its password was checked?"""

    def __post_init__(self) -> None:
        if not isinstance(self.subject, str) or not self.subject:
            raise TypeError("an account's subject is a text with something in it")
        if not isinstance(self.scope, Scope):
            raise TypeError("an account's scope is a Scope: Scope.parse('orders:read orders:write')")


Authenticate = Callable[[str, str], Any]
"""(username, password) -> Account, or None for any refusal; sync or async. It must take as long for an unknown name as for a known one."""


class Endpoints:
    """What an issuer offers over HTTP. Mount it with `endpoints.starlette.mount` or `endpoints.fastapi.mount`.

    `authenticate(username, password)` is the application's own. `origins`: pages of other origins that may use the cookies. `proxies`:
    addresses or networks whose X-Forwarded-For is believed. `throttle` counts in memory unless another is given. `feed_keys`: secrets that
    services which verify only read revocations with (`HTTPFeed`), all of them valid; without one nobody can. `admin_scope`: who has this
    scope may end others' sessions, retire keys and revoke everything; without it there are no such operations.
    """

    def __init__(
        self,
        issuer: Issuer,
        authenticate: Authenticate,
        *,
        origins: Iterable[str] = (),
        proxies: Iterable[str] = (),
        throttle: Throttle | None = None,
        feed_keys: Iterable[str] | FeedKeys = (),
        admin_scope: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(issuer, Issuer):
            raise TypeError("endpoints take an Issuer")
        if not callable(authenticate):
            raise TypeError("authenticate is a callable: (username, password) -> Account or None")
        self.issuer = issuer
        self._workers = Workers(_THREADS, 4 * _THREADS)  # not the loop's own: a flood of logins must not starve the guards' checks
        self._authenticate = asking(authenticate, self._workers.run)
        self._transports = Transports(issuer.name, origins)
        self._proxies = networks(proxies)
        self._throttle = throttle or Throttle(MemoryCounters(), clock=clock)
        self.gate: Gate[Any] = Gate(issuer.verifier(), origins=self._transports.origins)
        """Admits requests to the operations that are guarded."""
        self._clock = clock
        keys = feed_keys if isinstance(feed_keys, FeedKeys) else FeedKeys(feed_keys)
        self._feed = RevocationFeed(issuer, keys) if keys else None
        administration = () if admin_scope is None else Administration(issuer, self.gate, admin_scope).operations
        self.operations = (*self._table(), *administration)
        """The table of operations under the prefix."""
        self.jwks = Operation("jwks", "GET", "/.well-known/jwks.json", self._jwks, "The public keys", response=dict)
        """The keys, at a path of their own (RFC 8615)."""

    def _table(self) -> tuple[Operation, ...]:
        login = Operation("login", "POST", "/login", self._login, "Log in with a username and a password", LoginRequest, TokenResponse)
        refresh = Operation(
            "refresh", "POST", "/refresh", self._refresh, "A new access token for a refresh token", RefreshRequest, TokenResponse
        )
        logout = Operation("logout", "POST", "/logout", self._logout, "End this session", LogoutRequest)
        logout_all = Operation("logout_all", "POST", "/logout-all", self._logout_all, "End all own sessions")
        sessions = Operation("sessions", "GET", "/sessions", self._sessions, "The own sessions", response=SessionsResponse)
        end_session = Operation("end_session", "DELETE", "/sessions/{id}", self._end_session, "End one own session")
        me = Operation("me", "GET", "/me", self._me, "The subject and claims of the access token", response=dict)
        feed = (
            ()
            if self._feed is None
            else (Operation("revocations", "GET", "/revocations", self._feed.answer, _FEED, None, RevocationsResponse),)
        )
        public = (replace(row, errors=(400, 403, 413, 415, 503)) for row in (refresh, logout))
        guarded = (replace(row, errors=(400, 401, 403, 413, 503), guarded=True) for row in (logout_all, sessions, me))
        return (
            replace(login, errors=(400, 403, 413, 415, 429, 503)),
            *public,
            *guarded,
            replace(end_session, errors=(400, 401, 403, 404, 413, 503), guarded=True),
            *(replace(row, errors=(400, 401, 413, 503)) for row in feed),
        )

    async def answer(self, operation: Operation, request: Request) -> Response:
        """Run an operation; every refusal becomes an answer in our shape."""
        try:
            return await operation.answer(request)
        except AuthError as error:
            return refusal(error)

    async def _login(self, request: Request) -> Response:
        body = request.read(LoginRequest)
        self._transports.check_login(body.transport, request.headers)
        attempt = await self._throttle.attempt(body.username, client_address(request, self._proxies))
        try:
            account = await self._authenticate(body.username, body.password)
        except AuthError as error:
            if error.status == 503:  # no password was looked at: who tries again must not be kept waiting for it
                with suppress(AuthError):
                    await self._throttle.withdraw(attempt)
            raise
        if account is None:
            raise BadCredentials
        if not isinstance(account, Account):
            raise TypeError("authenticate returns an Account, or None for whoever may not log in")
        await self._throttle.forgive(attempt)
        pair = await self.issuer.issue(
            account.subject,
            scope=_granted(account.scope, body.scope),
            claims=account.claims,
            device=_device(request),
            confirm=account.confirm,
        )
        try:
            return self._transports.answer(pair, body.transport)
        except InvalidRequest:
            await self.issuer.revoke_session(pair.session_id, reason="too_large_for_cookies")
            raise

    async def _refresh(self, request: Request) -> Response:
        body = request.read(RefreshRequest) if request.body else RefreshRequest()
        token, transport = self._refresh_token(request, body)
        pair = await self.issuer.refresh(token, attempt=request.headers.one(b"idempotency-key"), scope=body.scope)
        return self._transports.answer(pair, transport)

    async def _logout(self, request: Request) -> Response:
        token, _ = self._refresh_token(request, request.read(LogoutRequest) if request.body else LogoutRequest())
        with suppress(GrantError):  # whatever it was, it opens nothing any more: that is what was asked for (RFC 7009 section 2.2)
            await self.issuer.revoke(token)
        return Response(204, self._transports.cleared())

    async def _logout_all(self, request: Request) -> Response:
        token, _ = await self._alive(request)
        await self.issuer.revoke_subject(token.subject, reason="logout_all")
        return Response(204, self._transports.cleared())

    async def _sessions(self, request: Request) -> Response:
        token, sessions = await self._alive(request)
        return json_response(SessionsResponse.of(sessions, token.session_id))

    async def _end_session(self, request: Request) -> Response:
        token, _ = await self._alive(request)
        session_id = request.path["id"]
        await self.issuer.revoke_session(session_id, reason="ended_by_owner", subject=token.subject)
        return Response(204, self._transports.cleared() if session_id == token.session_id else ())

    async def _me(self, request: Request) -> Response:
        return json_response(dict((await self._admitted(request)).claims))

    async def _jwks(self, request: Request) -> Response:
        body = msgspec.json.encode(self.issuer.keys.jwks(self._clock()))
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = (("cache-control", f"public, max-age={self.issuer.keys.max_age}"), ("etag", etag))
        if knows(request.headers, etag):
            return Response(304, headers)
        return Response(200, (("content-type", "application/jwk-set+json"), *headers), body)

    async def _admitted(self, request: Request) -> AccessToken[Any]:
        return await self.gate.admit_async(request.method, request.headers, Demand())

    async def _alive(self, request: Request) -> tuple[AccessToken[Any], list[Session]]:
        """The access token, and the live sessions of its subject, its own among them: what governs sessions asks the store.

        A guard that was started anew may not have heard yet that the token's session has ended.
        """
        token = await self._admitted(request)
        sessions = await self.issuer.sessions(token.subject)
        if all(encode(session.id) != token.session_id for session in sessions):
            raise TokenRevoked(session_id=token.session_id)
        return token, sessions

    def _refresh_token(self, request: Request, body: LogoutRequest) -> tuple[str, str]:
        """The refresh token and the way it came: one in the body wins over the cookie."""
        if body.refresh_token is not UNSET:
            return body.refresh_token, "body"
        found = self._transports.refresh_token(request.headers)
        if found is None:
            raise InvalidRequest(f"Send refresh_token in a JSON body, or the cookie {COOKIE}.")
        return found


def _granted(held: Scope, asked: str | None) -> Scope:
    """What is asked for, if the account has it; all that it has if nothing is asked for. InvalidScope."""
    if asked is None:
        return held
    try:
        scope = Scope.parse(asked)
    except ValueError:
        raise InvalidScope("The scope is not a list of scope tokens, separated by one space.") from None
    if not held.covers(scope):
        raise InvalidScope("The account does not have all of this scope.")
    return scope


def _device(request: Request) -> str | None:
    sent = " ".join(request.headers.all(b"user-agent"))
    return "".join(mark for mark in sent if " " <= mark <= "~")[:_LONGEST_DEVICE] or None
