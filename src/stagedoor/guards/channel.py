"""Channel: one WebSocket between its application and the server, open for as long as its token would be let in.

Never knows a framework: it takes ASGI's receive and send, and gives both back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Generic, Protocol, TypeVar, cast

import msgspec

from stagedoor.access_token import AccessToken, C
from stagedoor.encoding import MAX_TOKEN, decode_object
from stagedoor.errors import (
    AuthError,
    ClaimRejected,
    InvalidRequest,
    MalformedToken,
    RevocationsStale,
    StepUpRequired,
    TokenExpired,
    TokenRevoked,
)
from stagedoor.guards.bearer import bearer
from stagedoor.guards.guard import Demand, Gate
from stagedoor.guards.headers import Headers
from stagedoor.guards.patrol import Patrol
from stagedoor.guards.response import log_refusal
from stagedoor.revocation import Revocations

TOKEN, _CHANNEL = "stagedoor.token", "stagedoor.channel"
"""Where an ASGI scope keeps the token that was let in, and the channel that watches over it."""
PROTOCOL = "stagedoor"
"""The subprotocol that is chosen where the application chooses none of its own: a browser that offers some fails without an answer."""
BEARER = "stagedoor.bearer."
"""What a subprotocol begins with that is no protocol but a token: a browser can send no header of its own with a handshake."""
RENEW, RENEWED, NOT_RENEWED = "stagedoor.renew", "stagedoor.renewed", "stagedoor.not_renewed"
"""What messages of ours say they are."""
UNAUTHORIZED = 4401
TRY_LATER = 1013
_LARGEST = 2 * MAX_TOKEN
"""Characters of a message in which a renewal is looked for. A token that is too large for us is refused, not handed to the application."""
_PATIENCE = 2.0
"""Seconds that a client which reads nothing may hold up the word that its WebSocket is closed."""
_REASONS: Final[dict[type[AuthError], str]] = {
    TokenExpired: "token expired",
    TokenRevoked: "token revoked",
    StepUpRequired: "login too old",
    RevocationsStale: "try again later",
}
_log = logging.getLogger("stagedoor.refusals")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Allow = Callable[[AccessToken[Any]], Awaitable[None]]
"""The application's own check, which raises."""
R = TypeVar("R")


class Rechecks(Protocol[C]):
    """What a channel needs of a verifier beside what a guard does; Stagedoor's own have it."""

    revocations: Revocations

    def check_again(self, token: AccessToken[C]) -> float:
        """Seconds that a verified token still lives, or the refusal."""

    def check_recent(self, token: AccessToken[C], max_age: int) -> None:
        """StepUpRequired unless the login is recent."""


class _Shut(Exception):
    """The channel was shut while somebody waited in it."""


class Channel(Generic[C]):
    """`receive` and `send` are for the application, `scope` too: what would no longer be let in gets no message in or out.

    Each message is checked as a request would be, and whoever is idle by the patrol. `leave` ends it.
    """

    __slots__ = (
        "_accepted",
        "_ahead",
        "_allow",
        "_closing",
        "_demand",
        "_gate",
        "_goodbye",
        "_held",
        "_inner",
        "_interrupted",
        "_offered",
        "_patrol",
        "_receive",
        "_renewing",
        "_send",
        "_sent",
        "_token",
        "_waiting",
        "is_shut",
        "scope",
        "verifier",
    )

    def __init__(self, gate: Gate[C], demand: Demand, allow: Allow, scope: Any, receive: Receive, send: Send) -> None:
        self.verifier = rechecking(gate)
        self._gate, self._demand, self._allow = gate, demand, allow
        self._receive, self._send = receive, send
        self._offered = [name for name in scope.get("subprotocols", ()) if not name.startswith(BEARER)]
        self.scope: dict[str, Any] = _without_token(scope)
        self._token: AccessToken[C]
        self._sent: str | None = None
        """The token of the handshake, where it was a subprotocol: a guard behind this one finds none any more."""
        self._inner: list[Channel[Any]] = []
        """Of guards behind this one: they hear of renewals here alone."""
        self._patrol = Patrol.of_this_loop()
        self._accepted = False
        self.is_shut = False
        """Whether it was the guard that ended it."""
        self._goodbye: Message | None = None
        self._closing: asyncio.Task[None] | None = None
        self._ahead: asyncio.Task[Message] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._held: Message | None = None
        self._waiting: set[asyncio.Task[Any]] = set()
        self._interrupted: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, gate: Gate[C], demand: Demand, allow: Allow, scope: Any, receive: Receive, send: Send) -> Channel[C]:
        """The channel of a handshake that may pass. AuthError; TypeError for a verifier that could not watch over it."""
        channel = cls(gate, demand, allow, scope, receive, send)
        headers = Headers(scope["headers"])
        text = None if bearer(headers) is not None else _offered_token(scope.get("subprotocols", ()))
        if text is None and _CHANNEL in scope:
            text = scope[_CHANNEL]._sent
        channel._sent = text
        if text is None:
            token = await gate.admit_async("WEBSOCKET", headers, demand)
        else:
            token = await gate.admit_text(text, demand)
        await allow(token)
        channel._token = token
        if _CHANNEL in scope:
            scope[_CHANNEL]._inner.append(channel)
        channel.scope |= {TOKEN: token, _CHANNEL: channel}
        channel._patrol.join(channel)
        return channel

    async def receive(self) -> Message:
        """ASGI's, for the application."""
        with contextlib.suppress(_Shut):
            while self._goodbye is None:
                # Held until it is handed over: an application that waits no longer, and comes again, finds it.
                message = self._held = self._held or await self._next()
                if message["type"] == "websocket.disconnect":
                    self._goodbye = message
                    self._patrol.leave(self)
                    break
                renewal = _renewal_in(message)
                if renewal is None:
                    await self._vouch()
                self._held = None
                if renewal is not None:
                    await self._renew(renewal)
                elif self._goodbye is None:
                    return message
        await self._closed()
        return cast(Message, self._goodbye)

    async def send(self, message: Message) -> None:
        """ASGI's, for the application. ConnectionAbortedError once the guard has shut it: who only sends must hear of it too."""
        kind = message["type"]
        if kind == "websocket.accept":
            message = self._with_protocol(message)
        elif kind != "websocket.send" and not self.is_shut:
            self._patrol.leave(self)  # it closes, or refuses by itself
            await self._send(message)
            return
        with contextlib.suppress(_Shut):
            await self._vouch()
            if not self.is_shut:
                await self._interruptible(self._send(message))
                self._accepted = True
                return
        await self._closed()
        if kind == "websocket.send":
            raise ConnectionAbortedError("the guard has closed this WebSocket")

    async def leave(self) -> None:
        """The application is done."""
        self._patrol.leave(self)
        for task in (self._ahead, self._renewing):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.exception()  # looked at: nobody is to be told that nobody has
        await self._closed()

    def inspect(self) -> Revocations | None:
        """As Post."""
        try:
            self._left()
        except RevocationsStale:
            return self.verifier.revocations
        except AuthError as error:
            self._shut(error)
        except Exception as error:  # noqa: BLE001 - a clock or a key set of somebody else: what cannot be checked stays open no longer
            _log.exception("a WebSocket could not be checked, and is closed")
            self._shut(RevocationsStale(type(error).__name__))
        else:
            if self._accepted and self._ahead is None and not self._waiting:
                # An application that only sends would never hear of a renewal; at most one message of its own waits for it then.
                self._ahead = asyncio.get_running_loop().create_task(self._read_ahead())
        return None

    def doubt(self, error: RevocationsStale) -> None:
        """As Post."""
        if self.inspect() is not None:
            self._shut(error)

    def _left(self) -> float:
        """Seconds that it may stay open, or the refusal."""
        left = self.verifier.check_again(self._token)
        max_age = self._demand.max_age
        if max_age is None:
            return left
        self.verifier.check_recent(self._token, max_age)
        return min(left, left + self._token.auth_time + max_age - self._token.expires_at)

    async def _vouch(self) -> None:
        """Shut it unless its token is still good at this moment."""
        if self._goodbye is not None:
            return
        try:
            try:
                self._left()
            except RevocationsStale:
                await self._interruptible(self.verifier.revocations.hear_async())
                self._left()
        except AuthError as error:
            self._shut(error)

    def _shut(self, error: AuthError, reason: str = "") -> None:
        if self._goodbye is not None:
            return
        code = UNAUTHORIZED
        if error.status < 500:
            log_refusal(error)
        else:  # whoever follows revocations has said so once, for all that are closed now
            code = TRY_LATER
        said = {"code": code, "reason": reason or next((why for kind, why in _REASONS.items() if isinstance(error, kind)), error.error)}
        self.is_shut = True
        self._goodbye = {"type": "websocket.disconnect", **said}
        self._patrol.leave(self)
        for task in self._waiting:
            self._interrupted.add(task)
            task.cancel()
        self._closing = self._patrol.start(self._say({"type": "websocket.close", **said}))

    async def _say(self, message: Message) -> None:
        """Send, to a client that may be gone."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_PATIENCE):
                await self._send(message)

    async def _closed(self) -> None:
        """Until the client was told: an application that ends before that would cut the word short."""
        if self._closing is not None:
            await asyncio.wait([self._closing])

    async def _next(self) -> Message:
        if self._ahead is None:
            return await self._interruptible(self._receive())
        ahead = self._ahead
        message = await self._interruptible(asyncio.shield(ahead))
        self._ahead = None
        return message

    async def _read_ahead(self) -> Message:
        while True:
            message = await self._receive()
            renewal = _renewal_in(message)
            if renewal is None:
                return message
            await self._renew(renewal)

    async def _interruptible(self, call: Awaitable[R]) -> R:
        """What the call brings; _Shut where the channel is shut meanwhile. It costs no task, as asyncio.timeout costs none."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        cancels = task.cancelling()
        self._waiting.add(task)
        try:
            return await call
        except asyncio.CancelledError:
            if task in self._interrupted:
                self._interrupted.discard(task)
                if task.uncancel() <= cancels:
                    raise _Shut from None
            raise
        finally:
            self._waiting.discard(task)
            if task in self._interrupted:  # the call ended by itself all the same
                self._interrupted.discard(task)
                task.uncancel()

    async def _renew(self, said: dict[str, Any]) -> None:
        """To its end, even where the application waits for it no longer."""
        self._renewing = asyncio.get_running_loop().create_task(self._take(said))
        await asyncio.shield(self._renewing)

    async def _take(self, said: dict[str, Any]) -> None:
        try:
            admitted = await self._admit(said)
        except AuthError as error:
            if error.status < 500:
                self._shut(error, f"renewal refused: {error.error}")
            else:  # the token that it has is as good as before
                log_refusal(error)
                await self._answer({"type": NOT_RENEWED, "error": error.error, "retry_after": getattr(error, "retry_after", 1)})
            return
        if self._goodbye is None:  # else it has ended meanwhile, and nothing wakes it
            for channel, token in admitted:
                channel._token = channel.scope[TOKEN] = token
            with contextlib.suppress(AuthError):  # what has ended it within these microseconds the next check finds
                await self._answer({"type": RENEWED, "expires_in": int(self._left())})

    async def _admit(self, said: dict[str, Any]) -> list[tuple[Channel[Any], AccessToken[Any]]]:
        """The token as this guard reads it, and as each behind it does."""
        if said.keys() != {"type", "access_token"} or not isinstance(said["access_token"], str):
            raise InvalidRequest("a renewal has exactly type and access_token, a text")
        token = await self._gate.admit_text(said["access_token"], self._demand)
        for claim in ("issuer", "subject", "session_id"):
            if getattr(token, claim) != getattr(self._token, claim):
                raise ClaimRejected(claim, "not that of this WebSocket: renewing does not change whose it is")
        await self._allow(token)
        return [(self, token)] + [each for channel in self._inner for each in await channel._admit(said)]

    async def _answer(self, content: dict[str, Any]) -> None:
        await self._say({"type": "websocket.send", "text": msgspec.json.encode(content).decode()})

    def _with_protocol(self, message: Message) -> Message:
        """Browsers fail a handshake that offers protocols and gets none of them; and the token is none to get."""
        chosen = message.get("subprotocol")
        if chosen is None or chosen.startswith(BEARER):
            chosen = PROTOCOL if PROTOCOL in self._offered else None
        return {**message, "subprotocol": chosen}


def rechecking(gate: Gate[C]) -> Rechecks[C]:
    """The verifier of this guard. TypeError where it could not watch over what stays open."""
    if not callable(getattr(gate.verifier, "check_again", None)):
        raise TypeError("a WebSocket takes a guard with a Verifier, or issuer.verifier()")
    return cast("Rechecks[C]", gate.verifier)


def _renewal_in(message: Message) -> dict[str, Any] | None:
    """What a message says that is a renewal, to the letter; None for one that belongs to the application."""
    text = message.get("text")
    if text is None or len(text) > _LARGEST or RENEW not in text:
        return None
    try:
        said = decode_object(text.encode("utf-8", "surrogatepass"))
    except MalformedToken:
        return None
    return said if said.get("type") == RENEW else None


def _offered_token(protocols: Any) -> str | None:
    found = [name.removeprefix(BEARER) for name in protocols if name.startswith(BEARER)]
    if len(found) > 1:
        raise InvalidRequest("Two subprotocols are tokens.")
    return found[0] if found else None


def _without_token(scope: Any) -> dict[str, Any]:
    """A copy in which an application that looks for its own protocols finds nothing but those."""
    if not scope.get("subprotocols"):
        return {**scope}
    own = [name for name in scope["subprotocols"] if name != PROTOCOL and not name.startswith(BEARER)]
    headers = [(name, value) for name, value in scope["headers"] if name != b"sec-websocket-protocol"]
    if own:
        headers.append((b"sec-websocket-protocol", ", ".join(own).encode("latin-1")))
    return {**scope, "subprotocols": own, "headers": headers}
