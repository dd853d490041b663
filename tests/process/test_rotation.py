"""Keys and peppers that change while the service runs: nobody notices a rotation, and a retired key opens nothing any more."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
import pytest

from awake import Awake
from service_process import PATIENCE, ServiceProcess, keys_of, stagedoor, start
from stagedoor.jws import read_unverified
from stagedoor.vault import MasterKey

PASSWORD = "a long password of ben"
WINDOW = 1
HEARD = 2.0
"""Seconds after which a running service accepts nothing of a retired key."""
NOTICED = 20.0
"""Seconds in which it has noticed any other change, at the most: it looks once a second."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    data = tmp_path_factory.mktemp("rotation") / "data"
    stagedoor("users", "add", "ben", "--password-stdin", data=data, stdin=PASSWORD + "\n")
    running = start("serve", data, RETRY_WINDOW=f"{WINDOW}s")
    yield running
    running.stop(PASSWORD)


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[httpx2.Client]:
    with service.client() as made:
        yield made


def login(client: httpx2.Client) -> dict[str, Any]:
    answer = client.post("/auth/login", json={"username": "ben", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refresh(client: httpx2.Client, token: str) -> httpx2.Response:
    return client.post("/auth/refresh", json={"refresh_token": token})


def me(client: httpx2.Client, pair: dict[str, Any]) -> int:
    return client.get("/auth/me", headers={"Authorization": f"Bearer {pair['access_token']}"}).status_code


def kid_of(pair: dict[str, Any]) -> str:
    kid: str = read_unverified(pair["access_token"])[0]["kid"]
    return kid


def pepper_of(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text.removeprefix("sdr_"))[1:3], "big")


def jwks(client: httpx2.Client) -> tuple[list[str], httpx2.Headers]:
    answer = client.get("/.well-known/jwks.json")
    return [key["kid"] for key in answer.json()["keys"]], answer.headers


def within(limit: float, is_so: Callable[[], bool]) -> None:
    with Awake() as awake:
        late = False
        while not is_so():
            assert not late, f"not within {limit:g} s"
            time.sleep(0.05)
            late = awake.seconds >= limit


def test_a_rotation_is_a_non_event(client: httpx2.Client, service: ServiceProcess) -> None:
    """The new key is published at once and signs when it was announced to; tokens of the old one go on being good."""
    before = login(client)
    _, headers = jwks(client)
    new = stagedoor("keys", "rotate", "--announce", "4s", data=service.data).split()[0]
    signs = next(entry.starts for entry in keys_of(service.data).entries() if entry.id == new)
    within(NOTICED, lambda: new in jwks(client)[0])
    published, later = jwks(client)
    assert published == [new, kid_of(before)]
    assert later["etag"] != headers["etag"]
    assert later["cache-control"] == headers["cache-control"] == "public, max-age=300"  # as long as a key is announced without --announce
    pair = before
    while kid_of(pair) != new:
        asked = time.time()
        pair = refresh(client, pair["refresh_token"]).json()
        assert asked < signs + 0.5 or kid_of(pair) == new
        assert me(client, pair) == me(client, before) == 200
        time.sleep(0.1)
    assert time.time() >= signs - 0.1
    assert [key["kid"] for key in json.loads(stagedoor("keys", "jwks", data=service.data))["keys"]] == published


def test_a_retired_key_opens_nothing(client: httpx2.Client, service: ServiceProcess) -> None:
    """Its access tokens are refused within two seconds, it is in the JWKS no more, and a refresh brings a token of another key."""
    pair = login(client)
    retired = kid_of(pair)
    signing = stagedoor("keys", "retire", retired, data=service.data).splitlines()[1].split()[0]
    within(HEARD, lambda: me(client, pair) == 401)
    within(NOTICED, lambda: retired not in jwks(client)[0])  # looked at once a second; the record was heard of before
    published, _ = jwks(client)
    assert signing in published
    fresh = refresh(client, pair["refresh_token"]).json()
    assert kid_of(fresh) == signing
    assert me(client, fresh) == 200


def test_a_new_pepper_logs_nobody_out(client: httpx2.Client, service: ServiceProcess) -> None:
    """Sessions that refresh all the while move to the new pepper; one that sleeps does so when it wakes up."""
    sleeping, first = login(client)["refresh_token"], login(client)["refresh_token"]
    enough = Event()

    def keep_refreshing(token: str) -> list[int]:
        codes = []
        with service.client() as own:
            while not enough.is_set():
                answer = refresh(own, token)
                codes.append(answer.status_code)
                token = answer.json().get("refresh_token", token)
                if pepper_of(token) != pepper_of(first):
                    return codes
                time.sleep(0.05)
        raise AssertionError("it stayed under the old pepper")

    with ThreadPoolExecutor() as pool:
        busy = [pool.submit(keep_refreshing, token) for token in (first, *(login(client)["refresh_token"] for _ in range(3)))]
        number = int(stagedoor("peppers", "rotate", "--announce", "2s", data=service.data))
        try:
            codes = [code for each in busy for code in each.result(PATIENCE)]
        finally:
            enough.set()
    assert set(codes) == {200}
    woken = refresh(client, sleeping)
    assert woken.status_code == 200, woken.text
    assert pepper_of(woken.json()["refresh_token"]) == number == pepper_of(sleeping) + 1


def test_a_retired_pepper_ends_its_sessions(client: httpx2.Client, service: ServiceProcess) -> None:
    """Whose refresh token was made under it logs in again, and then has a token of another."""
    old = login(client)["refresh_token"]
    stagedoor("peppers", "retire", str(pepper_of(old)), data=service.data)
    within(NOTICED, lambda: refresh(client, old).status_code == 400)
    new = login(client)["refresh_token"]
    assert pepper_of(new) != pepper_of(old)
    assert refresh(client, new).status_code == 200


def test_another_master_key_stops_no_running_service(client: httpx2.Client, service: ServiceProcess) -> None:
    """What a running service knows stays, where somebody seals the keys under a master key that it has not got, and it says so once."""
    pair = login(client)
    text = f"{MasterKey.generate_text()},{Path(service.data / 'master.key').read_text().strip()}"
    stagedoor("migrate", data=service.data, MASTER_KEY=text)
    within(NOTICED, lambda: "cannot be looked after" in service.log)
    time.sleep(1.5)
    assert me(client, pair) == 200
    assert refresh(client, pair["refresh_token"]).status_code == 200
    assert service.log.count("the vault's keys cannot be looked after") == 1
