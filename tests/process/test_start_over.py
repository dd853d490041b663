"""The master key is lost while the service runs: it goes on, and after a fresh start everybody logs in again."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2

from awake import Awake
from service_process import ServiceProcess, stagedoor, start

PASSWORD = "a long password of ben"
HEARD = 20.0
"""Seconds in which a running service has heard of a change, at the most."""


def login(client: httpx2.Client) -> dict[str, Any]:
    answer = client.post("/auth/login", json={"username": "ben", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refresh(client: httpx2.Client, pair: dict[str, Any]) -> int:
    return client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]}).status_code


def kids(client: httpx2.Client) -> list[str]:
    return [key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]]


def serving(data: Path) -> ServiceProcess:
    return start("serve", data, RETRY_WINDOW="1s")


def test_starting_over(tmp_path: Path) -> None:
    """A service with the old master key keeps what it knows; started again, it refuses old tokens and lets people log in.

    One that has the right master key, while the keys in the database were damaged, has the fresh ones within seconds.
    """
    data = tmp_path / "data"
    stagedoor("users", "add", "ben", "--password-stdin", data=data, stdin=PASSWORD + "\n")
    service = serving(data)
    with service.client() as client:
        before, published = login(client), kids(client)
        (data / "master.key").unlink()
        assert stagedoor("keys", "start-over", "--yes", data=data) == "made fresh keys and peppers\n"
        with Awake() as awake:
            while "sealed under another master key" not in service.log:
                assert awake.seconds < HEARD, service.log
                time.sleep(0.05)
        time.sleep(1.5)  # it looks again
        assert kids(client) == published
        pair = login(client)
        assert refresh(client, pair) == 200
    service.stop(PASSWORD)

    service = serving(data)
    with service.client() as client:
        assert client.get("/auth/me", headers={"Authorization": f"Bearer {before['access_token']}"}).status_code == 401
        assert refresh(client, before) == 400
        published = kids(client)
        with closing(sqlite3.connect(data / "stagedoor.db", isolation_level=None)) as database:
            database.execute("UPDATE stagedoor_documents SET content = x'00' WHERE name = 'keys'")
        assert stagedoor("keys", "start-over", "--yes", data=data) == "made fresh keys\n"
        with Awake() as awake:
            while kids(client) == published and awake.seconds < HEARD:
                time.sleep(0.05)
        assert kids(client) != published
        assert refresh(client, login(client)) == 200
    service.stop(PASSWORD)
