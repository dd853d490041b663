"""Revoked there, refused here: a service as a process, and an application that only verifies, which hears of it over HTTP."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from awake import Awake
from service_process import PATIENCE, ServiceProcess, stagedoor, start
from stagedoor import AccessToken, Revocations, Verifier
from stagedoor.feeds.http import HTTPFeed
from stagedoor.guards.fastapi import Guard
from stagedoor.jwks import RemoteKeySet

PASSWORD = "a long password of ben"
BOUND = 1.0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two feed keys, as the command prints them."""
    nowhere = tmp_path_factory.mktemp("nowhere") / "data"
    made = [stagedoor("keys", "feed-key", data=nowhere).strip() for _ in range(2)]
    assert len(set(made)) == 2
    assert not nowhere.exists()
    return made


@pytest.fixture
def house(tmp_path: Path, keys: list[str]) -> Iterator[list[ServiceProcess]]:
    """The service, which a test may kill and start anew: the last of the list runs."""
    data = tmp_path / "data"
    stagedoor("users", "add", "ben", "--password-stdin", "--scope", "orders:read", data=data, stdin=PASSWORD + "\n")
    running = [start("serve", data, FEED_KEYS=",".join(keys))]
    yield running
    running[-1].stop(PASSWORD, *keys)


def application(service: ServiceProcess, key: str) -> tuple[FastAPI, Revocations]:
    """What only verifies: FastAPI, a guarded route, keys and revocations of the service."""
    revocations = Revocations.following(HTTPFeed(f"{service.url}/auth/revocations", key=key))
    remote = RemoteKeySet(f"{service.url}/.well-known/jwks.json")
    guard = Guard(Verifier(service.url, audience=service.url, keys=remote, revocations=revocations))
    app = FastAPI()

    @app.get("/orders")
    async def orders(token: Annotated[AccessToken, guard("orders:read")]) -> str:
        return token.subject

    return app, revocations


def tokens(service: ServiceProcess) -> dict[str, Any]:
    with service.client() as client:
        answer = client.post("/auth/login", json={"username": "ben", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def until(client: TestClient, pair: dict[str, Any], wanted: int) -> tuple[float, httpx2.Response]:
    """When the last request was sent that was let in before the route answered so, without the seconds of a machine's standstill."""
    let_in = 0.0
    with Awake() as awake:
        while True:
            asked = awake.seconds
            answer = client.get("/orders", headers={"Authorization": f"Bearer {pair['access_token']}"})
            if answer.status_code == wanted:
                return let_in, answer
            if answer.status_code == 200:
                let_in = asked
            assert awake.seconds < PATIENCE, answer.text
            time.sleep(0.01)


def logout(service: ServiceProcess, pair: dict[str, Any]) -> None:
    """By its owner, over HTTP."""
    with service.client() as client:
        answer = client.post("/auth/logout", json={"refresh_token": pair["refresh_token"]})
    assert answer.status_code == 204


def revoke(service: ServiceProcess, pair: dict[str, Any]) -> None:
    """By an operator, from another process."""
    stagedoor("sessions", "revoke", "--user", "ben", data=service.data)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.getMessage() for line in caplog.records if line.name == "stagedoor.revocations"]


def test_what_is_ended_there_is_refused_here_within_a_second(house: list[ServiceProcess], keys: list[str]):
    """A session that is ended at the service is a 401 in the application within a second, with either feed key; others go on."""
    for key, end in zip(keys, (logout, revoke), strict=True):
        app, revocations = application(house[-1], key)
        with TestClient(app) as client:
            pair = tokens(house[-1])
            until(client, pair, 200)
            end(house[-1], pair)
            let_in, answer = until(client, pair, 401)
            assert let_in < BOUND
            assert answer.json()["error"] == "invalid_token"
            until(client, tokens(house[-1]), 200)
        revocations.close()


def test_a_service_that_is_gone_lets_nobody_in(house: list[ServiceProcess], keys: list[str]):
    """Once the service is killed and the bound is over the guard is a 503 with Retry-After, which ends when the service is back."""
    service = house[-1]
    app, revocations = application(service, keys[0])
    with TestClient(app) as client:
        ended, pair = tokens(service), tokens(service)
        until(client, pair, 200)
        logout(service, ended)
        until(client, ended, 401)
        service.process.kill()
        service.process.wait(PATIENCE)
        let_in, answer = until(client, pair, 503)
        assert let_in < BOUND
        assert answer.json()["error"] == "temporarily_unavailable"
        assert int(answer.headers["retry-after"]) >= 1
        assert until(client, ended, 401)[0] < 0.5
        house.append(start("serve", service.data, port=service.port, FEED_KEYS=keys[0]))
        until(client, pair, 200)
        assert until(client, ended, 401)[0] < 0.5
        logout(house[-1], pair)
        assert until(client, pair, 401)[0] < BOUND
    revocations.close()


def test_a_key_that_is_not_valid_any_more(house: list[ServiceProcess], keys: list[str], caplog: pytest.LogCaptureFixture):
    """With a key that the service does not take nobody gets in, and the log says what to do, without the key."""
    app, revocations = application(house[-1], "x" * 40)
    with TestClient(app) as client:
        until(client, tokens(house[-1]), 503)
        with Awake() as awake:
            while not any("STAGEDOOR_FEED_KEYS" in line for line in told(caplog)):
                assert awake.seconds < PATIENCE, told(caplog)
                time.sleep(0.01)
    revocations.close()
    assert "x" * 40 not in "".join(told(caplog))
