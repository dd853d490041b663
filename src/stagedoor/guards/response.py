"""Response: a plain answer, and the one function that turns a refusal into one.

Never knows a framework: those only carry it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stagedoor.errors import AuthError, InsufficientScope, MethodNotAllowed, MissingToken, StepUpRequired

_log = logging.getLogger("stagedoor.refusals")
_REALM = "stagedoor"
_NO_STORE = ("cache-control", "no-store")
_JSON = ("content-type", "application/json")


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers and body of an answer."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # cookies and bodies hold tokens
    body: bytes = field(default=b"", repr=False)

    async def __call__(self, scope: Any, receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Send it: an answer is an ASGI application by itself. What wanted to be a WebSocket hears no more than the server can tell it."""
        kind = "http"
        if scope["type"] == "websocket":
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1013 if self.status >= 500 else 4401, "reason": "refused"})
                return
            kind = "websocket.http"
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]
        if self.status not in (204, 304):  # RFC 9110 section 8.6: of a 304 it would be taken for the length of what is cached
            headers.append((b"content-length", str(len(self.body)).encode("ascii")))
        await send({"type": f"{kind}.response.start", "status": self.status, "headers": headers})
        await send({"type": f"{kind}.response.body", "body": self.body})
        if kind == "websocket.http":
            await asyncio.sleep(0)  # uvicorn takes an end within the same turn of its loop for a handshake that nobody answered


def json_response(content: object, *headers: tuple[str, str], status: int = 200) -> Response:
    """An answer in JSON that no cache keeps (RFC 6749 section 5.1)."""
    return Response(status, (_JSON, _NO_STORE, *headers), msgspec.json.encode(content))


def refusal(error: AuthError) -> Response:
    """What a client is told: `{"error", "error_description"}`, the challenge of RFC 6750 for 401 and 403, Retry-After.

    Why it was refused stands in the log `stagedoor.refusals`: at level DEBUG, and as a WARNING where we are to blame (503).
    """
    log_refusal(error)
    headers = []
    if error.status in (401, 403):
        headers.append(("www-authenticate", challenge(error)))
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers.append(("retry-after", str(retry_after)))
    if isinstance(error, MethodNotAllowed):
        headers.append(("allow", error.allowed))
    return json_response({"error": error.error, "error_description": error.told}, *headers, status=error.status)


def log_refusal(error: AuthError) -> None:
    """Say in the log why something was refused."""
    _log.log(logging.WARNING if error.status >= 500 else logging.DEBUG, "%d %s: %s", error.status, error.code, error)


def challenge(error: AuthError) -> str:
    """The WWW-Authenticate value (RFC 6750 section 3); without an error code where no token was sent (section 3.1)."""
    parts = [f'realm="{_REALM}"']
    if not isinstance(error, MissingToken):
        parts += [f'error="{error.error}"', f'error_description="{_quotable(error.told)}"']
    if isinstance(error, InsufficientScope):
        parts.append(f'scope="{_quotable(error.required)}"')
    if isinstance(error, StepUpRequired):
        parts.append(f'max_age="{error.max_age}"')
    return "Bearer " + ", ".join(parts)


def _quotable(text: str) -> str:
    """RFC 6750 section 3: what may stand in error_description."""
    return "".join(mark if " " <= mark <= "~" and mark not in '"\\' else "'" for mark in text)
