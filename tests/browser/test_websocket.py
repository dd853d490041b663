"""A guarded WebSocket in a real browser, opened and renewed as the guide says."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from stagedoor import KeySet, Peppers, SyncIssuer
from stagedoor.guards.starlette import Guard
from stagedoor.stores.memory import SyncMemoryStore

pytestmark = pytest.mark.browser
GUIDE = (Path(__file__).parents[2] / "docs" / "guide.md").read_text("utf-8")
SCRIPT = re.search(r"```js\n(function open.*?)```", GUIDE, re.DOTALL)[1].replace("wss://api.example/", "/")  # type: ignore[index]
KEYS, PEPPERS = KeySet.generate(), Peppers.generate()
ISSUER = SyncIssuer("https://auth.example", audience="https://api.example", store=SyncMemoryStore(), keys=KEYS, peppers=PEPPERS)
TALK = """([token, fresh]) => new Promise((done) => {
    const socket = open(token), heard = [];
    socket.addEventListener("open", () => { heard.push(socket.protocol); renew(socket, fresh); });
    socket.addEventListener("message", (event) => { heard.push(event.data); socket.send("end my session"); });
    socket.addEventListener("close", (event) => done([...heard, event.code, event.reason]));
})"""


@pytest.fixture
def site() -> Iterator[str]:
    guard = Guard(ISSUER.verifier())

    @guard.websocket("orders:read")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        async for _ in socket.iter_text():
            ISSUER.revoke_subject(guard.token(socket).subject)

    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse("<!doctype html><title>A page</title>")

    listening = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/", page), WebSocketRoute("/live", live)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    yield f"http://localhost:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_opened_renewed_and_closed(page: Page, site: str) -> None:
    """The token goes as a subprotocol and the browser takes the answer, a message renews it, and the end is a 4401 with its reason."""
    pair = ISSUER.issue("user-42", scope="orders:read")
    page.goto(site)
    page.add_script_tag(content=SCRIPT)
    protocol, renewed, code, reason = page.evaluate(TALK, [pair.access_token, ISSUER.refresh(pair.refresh_token).access_token])
    assert protocol == "stagedoor"
    assert json.loads(renewed)["type"] == "stagedoor.renewed"
    assert (code, reason) == (4401, "token revoked")
