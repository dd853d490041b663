"""Gate: the guard without a framework: finds the token, verifies it, checks scope and where a cookie's request comes from.

Never knows an issuer, a store or a framework's request.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from stagedoor.access_token import AccessToken, C, Reader
from stagedoor.errors import GuardRefused, InsufficientScope, KeySetUnavailable, MissingToken, RevocationsStale, TokenError, UnknownKey
from stagedoor.guards.bearer import bearer
from stagedoor.guards.cookies import ACCESS_COOKIE, read_cookie
from stagedoor.guards.cross_site import SAFE_METHODS, check_cross_site, origins_of
from stagedoor.guards.headers import Headers
from stagedoor.lifetime import seconds
from stagedoor.revocation import NOBODY
from stagedoor.scope import Scope

REFUSED = "stagedoor.refused"
"""Where an ASGI scope keeps the refusal of a guard, for the handler that answers it."""

_ADMITS = ("admit_async", "admit_optional_async", "_text", "_verify", "_satisfied")
_VERIFIES = ("verify", "verify_async")


@dataclass(frozen=True, slots=True)
class Demand:
    """What a route asks of an access token, made once a route."""

    scope: Scope = Scope()  # noqa: RUF009 - frozen
    strict: bool = False
    """Whether the store is asked, each time, if the token was ended."""
    max_age: int | None = None
    """Seconds that the login may be ago (RFC 9470)."""


class Verifies(Protocol[C]):
    """What a guard needs of a verifier. One that can wait for keys has `verify_async` beside it, which async guards then call.

    A `Demand` of more takes a verifier with `check_strictly` and `check_recent`, as Stagedoor's own have.
    """

    def verify(self, token: str) -> AccessToken[C]:
        """The token, or TokenError."""


class Gate(Generic[C]):
    """Admits requests of one API. A bearer header wins over the access cookie, and is exempt from the check of origins.

    `origins`: pages of other origins whose requests may use the cookie; own pages always may. `cookie=False`: header only.
    """

    def __init__(self, verifier: Verifies[C], *, origins: Iterable[str] = (), cookie: bool = True) -> None:
        if isinstance(verifier, type) or not callable(getattr(verifier, "verify", None)):
            raise TypeError("a guard takes a Verifier, or issuer.verifier()")
        self.verifier = verifier
        self._verify_async = getattr(verifier, "verify_async", None)
        self._origins = origins_of(origins)
        self._cookie = cookie

    def entrance(self, demand: Demand) -> Callable[[Any], AccessToken[C] | None]:
        """The short way in, made once a route: from the headers of an ASGI scope to the token, where nothing must be waited for.

        It knows a plain bearer header alone, and refuses as admit_async does. None decides nothing: then admit_async is to be asked.
        """
        if demand.strict or not (_is_own(self, Gate, *_ADMITS) and _is_own(self.verifier, Reader, *_VERIFIES)):
            return lambda headers: None
        verify = self.verifier.verify
        satisfied = None if demand == Demand() else self._satisfied

        def enter(headers: Any) -> AccessToken[C] | None:
            if type(headers) is not list:  # what can be read only once is left to be read
                return None
            value = None
            for name, sent in headers:
                if name == b"authorization":
                    if value is not None:
                        return None
                    value = sent
            if value is None:
                return None
            text = value.removeprefix(b"Bearer ")
            if len(text) == len(value):
                return None
            try:
                token = verify(text.decode())  # our own takes no text that RFC 6750 does not have
            except (UnknownKey, KeySetUnavailable, RevocationsStale, UnicodeDecodeError):
                return None
            except TokenError:
                bearer(Headers(headers))  # says first what is wrong with the form
                raise
            return token if satisfied is None else satisfied(token, demand)

        return enter

    def admit(self, method: str, headers: Headers, demand: Demand) -> AccessToken[C]:
        """The token of a request that may pass. MissingToken, TokenError, StepUpRequired, InsufficientScope, CrossSiteRefused,
        InvalidRequest; RevocationsStale, StoreError, KeySetUnavailable.
        """
        token = self.admit_optional(method, headers, demand)
        if token is None:
            raise MissingToken
        return token

    def admit_optional(self, method: str, headers: Headers, demand: Demand) -> AccessToken[C] | None:
        """As admit, but None where the request carries no token at all. A bad token is refused, never taken for none."""
        if demand.strict:
            raise TypeError("strict=True takes a guard that awaits")
        text, from_cookie = self._text(headers)
        if text is None:
            return None
        try:
            token = self.verifier.verify(text)
        except RevocationsStale:
            self.verifier.revocations.hear()  # type: ignore[attr-defined]  # who raises it has some
            token = self.verifier.verify(text)
        if from_cookie and method not in SAFE_METHODS:
            check_cross_site(headers, self._origins)
        return self._satisfied(token, demand)

    async def admit_async(self, method: str, headers: Headers, demand: Demand) -> AccessToken[C]:
        """As admit; but where keys or revocations must be fetched it waits without holding up the event loop."""
        token = await self.admit_optional_async(method, headers, demand)
        if token is None:
            raise MissingToken
        return token

    async def admit_optional_async(self, method: str, headers: Headers, demand: Demand) -> AccessToken[C] | None:
        """As admit_optional, waiting as admit_async does."""
        text, from_cookie = self._text(headers)
        if text is None:
            return None
        token = await self._verify(text, demand)
        if from_cookie and method not in SAFE_METHODS:
            check_cross_site(headers, self._origins)
        return self._satisfied(token, demand)

    async def admit_text(self, text: str, demand: Demand) -> AccessToken[C]:
        """As admit_async, for a token that came in no header of a request."""
        return self._satisfied(await self._verify(text, demand), demand)

    def demand(self, scopes: tuple[str, ...], *, strict: bool = False, max_age: str | int | None = None) -> Demand:
        """What a route asks for: guard("orders:read"), guard("a", "b") or guard("a b"), strict=True, max_age="5m".

        TypeError, ValueError at construction, as where this guard's verifier has nobody to ask.
        """
        if type(strict) is not bool:
            raise TypeError("strict is True or False")
        if strict and not getattr(getattr(self.verifier, "revocations", None), "can_be_asked", False):
            raise TypeError(f"strict=True asks a store or a service, and this verifier has none to ask: {NOBODY}")
        if max_age is not None and not hasattr(self.verifier, "check_recent"):
            raise TypeError("max_age takes a Verifier, or issuer.verifier()")
        return Demand(scope_of(scopes), strict, None if max_age is None else seconds(max_age))

    def _text(self, headers: Headers) -> tuple[str | None, bool]:
        """The token's text, and whether a cookie brought it."""
        text = bearer(headers)
        if text is not None or not self._cookie:
            return text, False
        return read_cookie(headers, ACCESS_COOKIE), True

    async def _verify(self, text: str, demand: Demand) -> AccessToken[C]:
        token = self.verifier.verify(text) if self._verify_async is None else await self._verify_async(text)
        if demand.strict:
            await self.verifier.check_strictly(token)  # type: ignore[attr-defined]  # as `demand` has made sure of
        return token

    def _satisfied(self, token: AccessToken[C], demand: Demand) -> AccessToken[C]:
        if demand.max_age is not None:
            self.verifier.check_recent(token, demand.max_age)  # type: ignore[attr-defined]  # as `demand` has made sure of
        if not token.scope.covers(demand.scope):
            raise InsufficientScope(str(demand.scope))
        return token


def scope_of(scopes: tuple[str, ...]) -> Scope:
    """What a route asks for: guard("orders:read"), guard("a", "b") or guard("a b"). TypeError, ValueError at construction."""
    if not all(isinstance(text, str) for text in scopes):
        raise TypeError('a guard takes scopes as texts: guard("orders:read")')
    return Scope(token for text in scopes for token in Scope.parse(text))


def asking(function: Callable[..., Any], threads: Callable[..., Awaitable[Any]] = asyncio.to_thread) -> Callable[..., Awaitable[Any]]:
    """How a function of the application is asked: awaited where it is async, on a thread where it is not, so that it may block."""
    if inspect.iscoroutinefunction(function):
        return function

    async def ask(*arguments: Any) -> Any:
        answer = await threads(function, *arguments)
        return await answer if inspect.isawaitable(answer) else answer

    return ask


def asking_whether(check: Callable[..., Any] | None) -> Callable[..., Awaitable[None]] | None:
    """An application's own check, which raises GuardRefused unless it said True. None is a no: one that forgets to answer lets nobody in.

    TypeError for one that cannot be called; None where there is none.
    """
    if check is None:
        return None
    if not callable(check):
        raise TypeError("check is a function: (token, request) -> True or False")
    ask = asking(check)

    async def require(*arguments: Any) -> None:
        if await ask(*arguments) is not True:
            raise GuardRefused

    return require


def _is_own(thing: object, kind: type, *names: str) -> bool:
    """Whether these methods are those of `kind`: an application's own, in a subclass say, may check more and must be asked each time."""
    return all(getattr(getattr(thing, name, None), "__func__", None) is getattr(kind, name) for name in names)
