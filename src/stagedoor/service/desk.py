"""Desk: what people do to their own account over HTTP, and administrators to others', as rows of the table of endpoints.

Never knows a framework, a token's text or how an account is kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Annotated, Any

from msgspec import Meta, Struct

from stagedoor.access_token import AccessToken
from stagedoor.endpoints import Operation, Throttle
from stagedoor.endpoints.administration import administrators
from stagedoor.endpoints.request import Request, client_address, networks
from stagedoor.errors import AuthError, BadCredentials, NotFound
from stagedoor.guards.guard import Gate
from stagedoor.guards.response import Response
from stagedoor.service.composition import Composition
from stagedoor.service.passwords import check

ADMIN_SCOPE = "stagedoor:admin"
"""Whose account has it may end the sessions of others and change their accounts, over HTTP."""
Password = Annotated[str, Meta(min_length=1, max_length=1024)]


class PasswordChange(Struct, frozen=True):
    """What changing one's own password sends."""

    old_password: Password
    new_password: Password

    def __repr__(self) -> str:
        return "PasswordChange(…)"  # as LoginRequest


class NewPassword(Struct, frozen=True):
    """What an administrator sends who sets a password."""

    password: Password

    def __repr__(self) -> str:
        return "NewPassword(…)"


class NewScope(Struct, frozen=True):
    """What an administrator sends who changes what an account may be granted: all of it, anew."""

    scope: Annotated[str, Meta(max_length=4096)]


class Desk:
    """The operations on accounts. `gate` admits requests, as to the other guarded operations."""

    def __init__(self, house: Composition, gate: Gate[Any], throttle: Throttle, *, proxies: Iterable[str] = ()) -> None:
        self._accounts = house.accounts
        self._custody = house.custody
        self._gate = gate
        self._throttle = throttle
        self._proxies = networks(proxies)
        strict = house.issuer.revocations.can_be_asked
        self._own = gate.demand((), strict=strict)
        self._admin = administrators(gate, house.issuer, ADMIN_SCOPE)
        user = "/admin/users/{name}"
        self.operations = (
            Operation("password", "POST", "/password", self._password, "Change the own password", PasswordChange),
            Operation("admin_disable", "POST", f"{user}/disable", self._by_admin(self._disable), "Let nobody log in to an account"),
            Operation("admin_enable", "POST", f"{user}/enable", self._by_admin(self._enable), "Let people log in to it again"),
            Operation("admin_delete", "DELETE", user, self._by_admin(self._delete), "Delete an account"),
            Operation("admin_password", "PUT", f"{user}/password", self._by_admin(self._set_password), "Set a password", NewPassword),
            Operation("admin_scope", "PUT", f"{user}/scope", self._by_admin(self._set_scope), "Change the scope", NewScope),
        )
        """Their rows, below the prefix of the endpoints."""

    async def _password(self, request: Request) -> Response:
        token = await self._gate.admit_async(request.method, request.headers, self._own)
        body = request.read(PasswordChange)
        check(body.new_password)  # before anything is counted: what is refused for its new password tells nothing of the old one
        try:
            account = await self._accounts.of_subject(token.subject)
        except NotFound:
            raise BadCredentials("the account is gone") from None
        attempt = await self._throttle.attempt(account.username, client_address(request, self._proxies))
        try:
            await self._custody.change_password(account, body.old_password, body.new_password, keep=token.session_id)
        except AuthError as error:
            if error.status == 503:  # as at a login
                with suppress(AuthError):
                    await self._throttle.withdraw(attempt)
            raise
        await self._throttle.forgive(attempt)
        return Response(204)

    def _by_admin(self, change: Callable[[str, Request, str], Awaitable[object]]) -> Callable[[Request], Awaitable[Response]]:
        """The change of the account that the path names, for administrators: others are refused before anything is looked at."""

        async def answer(request: Request) -> Response:
            token: AccessToken[Any] = await self._gate.admit_async(request.method, request.headers, self._admin)
            await change(request.path["name"], request, token.subject)
            return Response(204)

        return answer

    async def _disable(self, name: str, request: Request, by: str) -> None:
        await self._custody.disable(name, by=by)

    async def _enable(self, name: str, request: Request, by: str) -> None:
        await self._custody.enable(name, by=by)

    async def _delete(self, name: str, request: Request, by: str) -> None:
        await self._custody.delete(name, by=by)

    async def _set_password(self, name: str, request: Request, by: str) -> None:
        await self._custody.set_password(name, request.read(NewPassword).password, by=by)

    async def _set_scope(self, name: str, request: Request, by: str) -> None:
        await self._custody.set_scope(name, request.read(NewScope).scope, by=by)
