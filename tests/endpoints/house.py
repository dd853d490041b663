"""A house: an application with the endpoints mounted, its store, its clock and its accounts in the test's hand.

Never knows what a test expects.
"""

import sqlite3
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.testclient import TestClient

from stagedoor import Issuer, KeySet, Peppers, Scope
from stagedoor.endpoints import Account, Endpoints, Throttle
from stagedoor.endpoints import fastapi as on_fastapi
from stagedoor.endpoints import starlette as on_starlette
from stagedoor.endpoints.counters import MemoryCounters
from stagedoor.event import log
from stagedoor.stores.memory import MemoryStore
from stagedoor.stores.sql import SQLStore
from stagedoor.stores.sql.counters import SQLCounters
from stagedoor.testing.clock import FixedClock

NAME = "https://auth.example"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
EVIL = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
ATTEMPT = {"Idempotency-Key": "attempt-0123456789"}
ACCESS_COOKIE = "__Host-stagedoor_access"
REFRESH_COOKIE = "__Host-stagedoor_refresh"
WINDOW = 60
"""The retry window, seconds."""
PASSWORDS = {"ada": "the password of ada", "ben": "the password of ben"}
ACCOUNTS = {
    "ada": Account("user-ada", Scope(["orders:read", "orders:write"]), {"username": "ada"}),
    "ben": Account("user-ben", Scope(["orders:read"]), {"username": "ben"}),
}


def authenticate(username: str, password: str) -> Account | None:
    return ACCOUNTS[username] if PASSWORDS.get(username) == password else None


class House:
    """One application. `folder`: the store is SQLite in it; without, it is in memory, unless one is handed over."""

    def __init__(
        self, mount: str, folder: Path | None, *, name: str = NAME, keys: KeySet | None = None, store: Any = None, **options: Any
    ) -> None:
        self.clock = FixedClock()
        self.file = folder and folder / "auth.db"
        self.store: Any = store or (SQLStore(f"sqlite:///{self.file}") if self.file else MemoryStore())
        self.peppers = Peppers.generate(clock=self.clock)
        self.issuer = self.issuer_on(self.store, name, keys)
        counters = SQLCounters(self.store.database) if self.file else MemoryCounters()
        options = {"throttle": Throttle(counters, clock=self.clock), "authenticate": authenticate} | options
        mounting = {key: options.pop(key) for key in ("prefix", "paths", "jwks") if key in options}
        self.endpoints = Endpoints(self.issuer, clock=self.clock, **options)
        self.app: Any = {"starlette": Starlette, "fastapi": FastAPI}[mount]()
        {"starlette": on_starlette.mount, "fastapi": on_fastapi.mount}[mount](self.app, self.endpoints, **mounting)
        self.client = TestClient(self.app, base_url=NAME, follow_redirects=False)
        # Cookies go the way that a test says.
        self.client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def issuer_on(self, store: Any, name: str = NAME, keys: KeySet | None = None) -> Issuer:
        """An issuer with the peppers and the clock of the house."""
        return Issuer(
            name,
            audience=name,
            store=store,
            keys=keys or KeySet.from_secret(b"a secret for tests of endpoints!", clock=self.clock),
            peppers=self.peppers,
            retry_window=WINDOW,
            events=log,
            clock=self.clock,
        )

    def login(self, name: str = "ada", *, headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
        """A login from an own page."""
        sent = {"username": name, "password": PASSWORDS.get(name, "?"), **body}
        return self.client.post("/auth/login", json=sent, headers=SAME_ORIGIN | (headers or {}))

    def tokens(self, name: str = "ada", **body: Any) -> dict[str, Any]:
        """What a login in the body answers."""
        answer = self.login(name, **body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def refresh(self, token: str, headers: dict[str, str] | None = None) -> httpx2.Response:
        """A refresh with the token in the body."""
        return self.client.post("/auth/refresh", json={"refresh_token": token}, headers=headers)

    def refreshed(self, token: str, headers: dict[str, str] | None = None) -> str:
        """The refresh token that this one is answered with."""
        answer = self.refresh(token, headers)
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["refresh_token"]
        return found

    def rotated(self, token: str) -> str:
        """The successor, once the session is old enough to rotate."""
        self.clock.forward(WINDOW)
        return self.refreshed(token)

    def logout(self, token: str) -> httpx2.Response:
        """A logout with the token in the body."""
        return self.client.post("/auth/logout", json={"refresh_token": token})

    def me(self, access_token: str) -> httpx2.Response:
        """What the access token says, if it is still good."""
        return self.client.get("/auth/me", headers=bearer(access_token))

    def rows(self) -> Any:
        """The sessions as they are stored, to be compared."""
        return dict(self.store._sync._rows) if self.file is None else self._sql("SELECT * FROM stagedoor_sessions ORDER BY id")

    def counts(self) -> Any:
        """What the throttle has counted."""
        return self._sql("SELECT * FROM stagedoor_counters ORDER BY key") if self.file else None

    def _sql(self, statement: str) -> list[Any]:
        connection = sqlite3.connect(str(self.file))
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def cookies(answer: httpx2.Response) -> dict[str, tuple[str, set[str]]]:
    """Value and attributes of each cookie set."""
    found = {}
    for line in answer.headers.get_list("set-cookie"):
        pair, *attributes = line.split("; ")
        name, _, value = pair.partition("=")
        assert name not in found
        found[name] = (value, set(attributes))
    return found


def sent_back(answer: httpx2.Response, **headers: str) -> dict[str, str]:
    """The headers that a browser sends next from an own page: the cookies of this answer."""
    return {"Cookie": "; ".join(f"{name}={value}" for name, (value, _) in cookies(answer).items()), **SAME_ORIGIN, **headers}


def error(answer: httpx2.Response, status: int = 400) -> str:
    """The `error` of a refusal in our shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"error", "error_description"}
    assert body["error_description"]
    found: str = body["error"]
    return found
