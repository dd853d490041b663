"""Plain ASGI without a framework, guarded by Stagedoor's middleware."""

from typing import Any

import msgspec
from material import USERNAME, items
from stagedoor_verifier import verifier

from stagedoor.guards.asgi import GuardMiddleware


async def answer(scope: Any, receive: Any, send: Any) -> None:
    token = scope.get("stagedoor.token")
    body = msgspec.json.encode(items(USERNAME if token is None else token.claims["username"]))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = GuardMiddleware(answer, verifier, public=["/open"])
