"""SecurityHeaders: what every answer of the service says to browsers (ASVS 3.4).

Never knows what is answered.
"""

from __future__ import annotations

from typing import Any

_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_OVER_HTTPS = [(b"strict-transport-security", b"max-age=63072000; includeSubDomains")]


class SecurityHeaders:
    """ASGI middleware. `https`: whether people reach the service over https."""

    def __init__(self, app: Any, *, https: bool) -> None:
        self._app = app
        self._headers = _ALWAYS + (_OVER_HTTPS if https else [])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        await self._app(scope, receive, sending)
