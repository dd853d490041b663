"""What ends what, on a running service: by an administrator over HTTP, and by a command beside it."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from awake import Awake
from service_process import PATIENCE, ServiceProcess, start
from stagedoor import cli
from stagedoor.jws import read_unverified
from stagedoor.service.composition import compose
from stagedoor.service.settings import Settings

ISSUER = "http://auth.localhost"
PASSWORDS = {"ada": "a long password of ada", "ben": "a long password of ben", "ruth": "a long password of ruth"}
NEW = "another long password"
HEARD = 1.5
"""Seconds after which the service lets nobody in whom a command ended."""
PAUSE = 10.0
"""Seconds that logins are refused after everything was revoked, at the most."""
PAUSED = 6
"""The same, at the least."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    data = tmp_path_factory.mktemp("service") / "data"
    house = compose(Settings.load({}, data=data))

    async def add() -> None:
        await house.migrate()
        for name, password in PASSWORDS.items():
            await house.accounts.add(name, password, "stagedoor:admin" if name == "ruth" else "orders:read")
        await house.close()

    asyncio.run(add())
    running = start("serve", data, ISSUER=ISSUER)
    yield running
    running.stop(*PASSWORDS.values(), NEW)


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[httpx2.Client]:
    with service.client() as made:
        yield made


@pytest.fixture
def command(service: ServiceProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command in this process, which is not the service's; what it printed."""
    monkeypatch.setenv("STAGEDOOR_ISSUER", ISSUER)

    def run(*words: str, typed: str = "") -> str:
        with monkeypatch.context() as here:
            here.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
            assert cli.run([*words, "--data", str(service.data)]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def login(client: httpx2.Client, name: str = "ada", password: str = "") -> httpx2.Response:
    return client.post("/auth/login", json={"username": name, "password": password or PASSWORDS[name]})


def tokens(client: httpx2.Client, name: str = "ada", password: str = "") -> dict[str, Any]:
    answer = login(client, name, password)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def bearer(pair: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {pair['access_token']}"}


def me(client: httpx2.Client, pair: dict[str, Any]) -> int:
    return client.get("/auth/me", headers=bearer(pair)).status_code


def refresh(client: httpx2.Client, pair: dict[str, Any]) -> int:
    return client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]}).status_code


def ended_access(client: httpx2.Client, pair: dict[str, Any], within: float = 0.0) -> bool:
    """Whether the access token is refused wherever it is sent so many seconds from now, or later."""
    with Awake() as awake:
        late = within == 0.0
        while me(client, pair) != 401:
            if late:
                return False
            time.sleep(0.02)
            late = awake.seconds >= within
    return True


def ended(client: httpx2.Client, pair: dict[str, Any], within: float = 0.0) -> bool:
    """Whether both tokens are refused, the refresh token at once and the access token so many seconds from now."""
    return ended_access(client, pair, within) and refresh(client, pair) == 400


def test_by_an_administrator(client: httpx2.Client) -> None:
    """A session is ended, its account disabled, enabled, changed and deleted, and each time its tokens are refused with the next call."""
    admin, of_ben = tokens(client, "ruth"), tokens(client, "ben")

    def call(method: str, path: str, **body: str) -> None:
        answer = client.request(method, f"/auth/admin/{path}", headers=bearer(admin), json=body or None)
        assert answer.status_code == 204, answer.text

    pair, other = tokens(client), tokens(client)
    call("DELETE", f"sessions/{read_unverified(pair['access_token'])[1]['sid']}")
    assert ended(client, pair)
    assert me(client, other) == 200
    call("POST", "users/ada/disable")
    assert ended(client, other)
    assert login(client).status_code == 400
    call("POST", "users/ada/enable")
    pair, other = tokens(client), tokens(client)
    own = client.post("/auth/password", headers=bearer(pair), json={"old_password": PASSWORDS["ada"], "new_password": NEW})
    assert own.status_code == 204
    assert ended(client, other)
    assert (me(client, pair), login(client).status_code) == (200, 400)
    call("PUT", "users/ada/password", password=PASSWORDS["ada"])
    assert ended(client, pair)
    pair = tokens(client)
    call("PUT", "users/ada/scope", scope="orders:write")
    assert ended(client, pair)
    pair = tokens(client)
    assert pair["scope"] == "orders:write"
    call("DELETE", "users/ada")
    assert ended(client, pair)
    assert login(client).status_code == 400
    assert (me(client, of_ben), me(client, admin)) == (200, 200)


def test_by_command(client: httpx2.Client, command: Callable[..., str]) -> None:
    """Each command ends tokens at the running service: refresh tokens at once, access tokens as soon as it has heard."""
    bob, of_ben = "a long password of bob", tokens(client, "ben")
    command("users", "add", "bob", "--password-stdin", typed=bob)
    pair, other = tokens(client, "bob", bob), tokens(client, "bob", bob)
    assert command("sessions", "revoke", read_unverified(pair["access_token"])[1]["sid"]) == "1 session ended\n"
    assert ended(client, pair, HEARD)
    assert me(client, other) == 200
    assert command("users", "password", "bob", "--password-stdin", typed=NEW) == "changed the password of bob: 1 session ended\n"
    assert ended(client, other, HEARD)
    pair = tokens(client, "bob", NEW)
    assert command("users", "scope", "bob", "orders:write") == "changed the scope of bob: 1 session ended\n"
    assert ended(client, pair, HEARD)
    pair = tokens(client, "bob", NEW)
    assert command("users", "disable", "bob") == "disabled bob: 1 session ended\n"
    assert ended(client, pair, HEARD)
    command("users", "enable", "bob")
    pair = tokens(client, "bob", NEW)
    assert command("users", "delete", "bob", "--yes") == "deleted bob: 1 session ended\n"
    assert ended(client, pair, HEARD)
    assert login(client, "bob", NEW).status_code == 400
    assert me(client, of_ben) == 200
    kid = read_unverified(of_ben["access_token"])[0]["kid"]
    assert command("keys", "retire", kid).startswith(f"retired {kid}\n")
    assert ended_access(client, of_ben, HEARD)
    assert me(client, tokens(client, "ben")) == 200  # from the moment on that the service refuses what the key has signed
    assert refresh(client, of_ben) == 200


@pytest.mark.parametrize("way", ["http", "command"])
def test_everything(client: httpx2.Client, command: Callable[..., str], way: str) -> None:
    """Every access token is refused, nothing is issued for some seconds (503 with Retry-After), then people log in again."""
    for _ in range(5):  # on a busy machine logins may work again before all is looked at
        pair, admin = tokens(client, "ben"), tokens(client, "ruth")
        asked = time.time()
        if way == "http":
            through = client.post("/auth/admin/revoke-everything", headers=bearer(admin)).json()["through"]
            assert through > asked
        else:
            through = int(asked) + PAUSED
            assert command("sessions", "revoke", "--everything", "--yes").startswith(f"revoked all that {ISSUER} issued until 20")
        with Awake() as awake:
            late = False
            while (answer := login(client, "ben")).status_code != 503 and not late:
                late = awake.seconds >= HEARD
        codes = me(client, pair), me(client, admin), refresh(client, pair)
        if time.time() <= through:
            break
        with Awake() as awake:
            while login(client, "ben").status_code == 503 and awake.seconds < PATIENCE:
                time.sleep(0.1)
    else:
        pytest.fail("never all looked at while logins are refused")
    assert answer.status_code == 503
    assert answer.json()["error"] == "temporarily_unavailable"
    assert codes == (401, 401, 503)
    time.sleep(int(answer.headers["retry-after"]))
    assert int(answer.headers["retry-after"]) < PAUSE
    assert me(client, tokens(client, "ben")) == 200
    assert ended(client, pair)
    assert command("sessions", "list", "--user", "ben").count("ben") == 1
