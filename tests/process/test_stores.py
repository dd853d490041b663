"""The service on PostgreSQL, Redis and Redis Cluster: two processes on one store, the command line beside them, and a store that dies."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2
import pytest

from awake import Awake
from servers import SYNCED, Cluster, Postgres, Redis
from service_process import PATIENCE, ServiceProcess, stagedoor, start
from stagedoor import cli
from stagedoor.jws import read_unverified

PASSWORD = "a long password of ada"
WINDOW = 1
HEARD = 1.5
"""Seconds after which a service lets nobody in whom another process ended."""
ATTEMPT = {"Idempotency-Key": "attempt-0123456789"}
PLACES = ("postgres", "redis", "cluster")


@dataclass
class Place:
    """Where sessions live, and two services on it: two machines, each with a copy of the data folder."""

    server: Postgres | Redis | Cluster
    settings: dict[str, str]
    services: list[ServiceProcess]
    patient: bool = True

    def login(self, name: str = "ada") -> dict[str, Any]:
        answer = self.call(0, "login", username=name, password=PASSWORD)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refresh(self, service: int, token: str, **headers: str) -> httpx2.Response:
        return self.call(service, "refresh", headers, refresh_token=token)

    def call(self, service: int, operation: str, headers: Mapping[str, str] = MappingProxyType({}), **body: str) -> httpx2.Response:
        with self.services[service].client(patient=self.patient) as client:
            return client.post(f"/auth/{operation}", json=body, headers=headers)

    def me(self, token: str, service: int = 1) -> httpx2.Response:
        with self.services[service].client(patient=self.patient) as client:
            return client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module")
def data(own_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two accounts, on PostgreSQL wherever sessions live, and the keys that all machines share."""
    folder = tmp_path_factory.mktemp("machine") / "data"
    for name in ("ada", "eve"):
        stagedoor("users", "add", name, "--password-stdin", data=folder, stdin=PASSWORD, DATABASE=own_postgres.url)
    return folder


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest, own_postgres: Postgres, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp(request.param)
    makers: dict[str, Callable[[], Any]] = {
        "postgres": lambda: own_postgres,
        "redis": lambda: Redis(folder / "redis", settings=SYNCED).start(),
        "cluster": lambda: Cluster(folder / "cluster", replicas=0, settings=SYNCED | {"cluster-node-timeout": "30000"}).start(),
    }
    server = makers[request.param]()
    settings = {"DATABASE": own_postgres.url, "ISSUER": "http://auth.localhost", "RETRY_WINDOW": f"{WINDOW}s"}
    if server is not own_postgres:
        settings["SESSIONS"] = server.url
    copies = [shutil.copytree(data, folder / name) for name in ("here", "there")]
    with ThreadPoolExecutor() as pool:
        services = list(pool.map(lambda copy: start("serve", copy, **settings), copies))
    with ExitStack() as ends:
        if server is not own_postgres:
            ends.callback(server.stop)
        for service in services:
            ends.callback(service.stop, PASSWORD)
        yield Place(server, settings, services)


@pytest.fixture
def command(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command on the second machine, in this process; what it printed."""
    for name, value in place.settings.items():
        monkeypatch.setenv(f"STAGEDOOR_{name}", value)

    def run(*words: str) -> str:
        assert cli.run([*words, "--data", str(place.services[1].data)]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def refused(answer: httpx2.Response) -> bool:
    return (answer.status_code, answer.json().get("error")) == (400, "invalid_grant")


def answered(call: Callable[[], httpx2.Response]) -> httpx2.Response:
    """What is answered once the service has found its store again."""
    with Awake() as awake:
        while (answer := call()).status_code == 503 and awake.seconds < PATIENCE:
            time.sleep(0.05)
    return answer


def test_two_processes_are_one_service(place: Place) -> None:
    """A session that one process opened is called with, refreshed, replayed and ended at the other."""
    for _ in range(20):  # on a busy machine the window may be over before the second
        pair = place.login()
        assert place.me(pair["access_token"]).status_code == 200
        sent = time.monotonic()
        lost, again = place.refresh(1, pair["refresh_token"]).json(), place.refresh(0, pair["refresh_token"]).json()
        if time.monotonic() - sent < WINDOW:
            break
    else:
        pytest.fail("never two refreshes within a window")
    assert lost["refresh_token"] == again["refresh_token"] != pair["refresh_token"]
    assert place.call(0, "logout", refresh_token=pair["refresh_token"]).status_code == 204
    assert refused(place.refresh(1, again["refresh_token"]))


def test_a_stolen_token_ends_its_session_everywhere(place: Place) -> None:
    """Refreshed in turns by both processes, a session lives; its oldest token ends it for both, and no other session."""
    stolen, other = place.login()["refresh_token"], place.login()["refresh_token"]
    first = place.refresh(0, stolen).json()["refresh_token"]
    time.sleep(WINDOW + 0.1)
    second = place.refresh(1, first).json()["refresh_token"]
    assert len({stolen, first, second}) == 3
    assert refused(place.refresh(0, stolen))
    assert refused(place.refresh(1, second))
    assert place.refresh(1, other).status_code == 200


def test_the_command_line_reaches_the_same_sessions(place: Place, command: Callable[..., str]) -> None:
    """From another machine's data folder: sessions are listed, an account is disabled for both processes, and what is dead is deleted."""
    pair = place.login("eve")
    assert place.me(pair["access_token"]).status_code == 200
    assert command("sessions", "list", "--user", "eve").count("eve") == 1
    assert "1 session ended" in command("users", "disable", "eve")
    with Awake() as awake:
        assert refused(place.refresh(0, pair["refresh_token"]))
        late = False
        while place.me(pair["access_token"]).status_code != 401:
            assert not late
            late = awake.seconds >= HEARD
    assert refused(place.call(0, "login", username="eve", password=PASSWORD))
    command("users", "enable", "eve")
    if isinstance(place.server, Postgres):
        place.server.sql("UPDATE stagedoor_sessions SET revoked_at = revoked_at - 90000 WHERE reason = 'account_disabled'")
        assert command("sessions", "purge") == "1 dead session deleted\n"
        assert command("sessions", "purge") == "0 dead sessions deleted\n"
    else:
        assert command("sessions", "purge") == "0 entries of dead sessions deleted from the lists of accounts\n"


def test_a_key_that_is_retired(place: Place, command: Callable[..., str]) -> None:
    """As soon as both services refuse what it has signed, whatever either issues is good at both; none of them was told by hand."""
    pair = place.login()

    def answers() -> list[int]:
        return [place.me(pair["access_token"], service).status_code for service in (0, 1)]

    assert answers() == [200, 200]
    command("keys", "retire", read_unverified(pair["access_token"])[0]["kid"])
    with Awake() as awake:
        while answers() != [401, 401]:
            assert awake.seconds < PATIENCE
    for number in range(10):
        pair = place.refresh(number % 2, pair["refresh_token"]).json()
        assert answers() == [200, 200]


def test_a_store_that_dies_logs_nobody_out(place: Place) -> None:
    """While the store is down everything is 503, guarded calls once what is known is too old; when it is back, every session goes on."""
    pair, other = place.login(), place.login()["refresh_token"]
    lost = place.refresh(0, pair["refresh_token"], **ATTEMPT).json()["refresh_token"]
    place.server.kill()
    dead = replace(place, patient=False)
    for answer in (
        dead.refresh(0, lost),
        dead.refresh(1, other),
        dead.call(0, "logout", refresh_token=other),
        dead.call(1, "login", username="ada", password=PASSWORD),
    ):
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
    with Awake() as awake:
        late = False
        while dead.me(pair["access_token"]).status_code != 503:  # what a guard knows is too old by then
            assert not late
            late = awake.seconds >= HEARD
    place.server.start()
    assert answered(lambda: place.refresh(1, pair["refresh_token"], **ATTEMPT)).json()["refresh_token"] == lost
    assert answered(lambda: place.refresh(0, lost)).status_code == 200
    assert place.refresh(0, other).status_code == 200
    fresh = place.login()["access_token"]
    assert answered(lambda: place.me(fresh)).status_code == 200
