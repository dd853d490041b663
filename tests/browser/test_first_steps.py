"""The two fetch calls of examples/first_steps, in a real browser, against the example's own app."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Page, expect

from first_steps import create_app

pytestmark = pytest.mark.browser


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"http://localhost:{listening.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(create_app(tmp_path, address), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    yield address
    server.should_exit = True
    thread.join()


def test_login_call_and_refresh(page: Page, site: str) -> None:
    """One click logs in and reads the profile; with the access token gone the call refreshes by the cookie and succeeds."""
    page.goto(site)
    page.get_by_role("button").click()
    expect(page.locator("#answer")).to_have_text('{"sub":"user-42","username":"ada"}')
    page.goto(site)  # the access token was in memory only
    answer = page.evaluate("import('/first_steps.js').then(({ call }) => call('/profile')).then((answer) => answer.text())")
    assert answer == '{"sub":"user-42","username":"ada"}'
