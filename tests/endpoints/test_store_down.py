"""A store that cannot be asked: 503, and nobody is told that what he asked for is done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from endpoints.house import PASSWORDS, House, authenticate, bearer, cookies, error, sent_back
from stagedoor.endpoints import Throttle
from stagedoor.errors import StoreError

Build = Callable[..., House]


class Down:
    """A store, or counters, whose every call fails. `after`: so many calls are still answered first."""

    def __init__(self, inner: Any = None, after: int = 0) -> None:
        self._inner = inner
        self._left = after

    def __getattr__(self, name: str) -> Any:
        self._left -= 1
        if self._left >= 0:
            return getattr(self._inner, name)

        async def fails(*arguments: Any, **named: Any) -> Any:
            raise StoreError("OperationalError: disk I/O error in /var/lib/auth.db")

        return fails


def assert_unavailable(answer: Any) -> None:
    assert error(answer, 503) == "temporarily_unavailable"
    assert answer.headers["retry-after"] == "1"
    assert cookies(answer) == {}
    assert "auth.db" not in answer.text


@pytest.mark.parametrize("transport", ["body", "cookie", "cookie_only"])
def test_login_refresh_and_logout(build: Build, transport: str):
    """Login, refresh and logout say that nothing is known; no cookie is set or cleared, and the tokens live on."""
    house = build()
    login = house.login(transport=transport)
    body = {"refresh_token": login.json()["refresh_token"]} if transport == "body" else None
    house.issuer.store = Down()
    assert_unavailable(house.login(transport=transport))
    for operation in ("refresh", "logout"):
        assert_unavailable(house.client.post(f"/auth/{operation}", json=body, headers=sent_back(login)))
    house.issuer.store = house.store
    for operation, status in (("refresh", 200), ("logout", 204)):
        assert house.client.post(f"/auth/{operation}", json=body, headers=sent_back(login)).status_code == status


@pytest.mark.parametrize(("method", "path"), [("POST", "/auth/logout-all"), ("GET", "/auth/sessions"), ("DELETE", "/auth/sessions/{}")])
def test_guarded_operations(build: Build, method: str, path: str):
    """What needs the store cannot be answered; what needs only the token still is."""
    house = build()
    found = house.tokens()["access_token"]
    own = path.format(house.issuer.verifier().verify(found).session_id)
    house.issuer.store = Down()
    assert_unavailable(house.client.request(method, own, headers=bearer(found)))
    assert house.me(found).status_code == 200
    assert house.client.get("/.well-known/jwks.json").status_code == 200


def test_a_logout_that_fails_half_way(build: Build):
    """A session that was found and could not be ended is not called ended."""
    house = build()
    found = house.tokens()
    house.issuer.store = Down(house.store, after=1)
    assert_unavailable(house.logout(found["refresh_token"]))
    assert house.me(found["access_token"]).status_code == 200


@pytest.mark.parametrize("token", ["garbage", "sdr_" + "A" * 112])
def test_what_needs_no_store(build: Build, token: str):
    """A token that was never one is refused, and logged out, without the store."""
    house = build()
    house.issuer.store = Down()
    assert error(house.refresh(token)) == "invalid_grant"
    assert house.logout(token).status_code == 204


def test_counters_down(build: Build):
    """Where attempts cannot be counted no password is looked at."""
    looked_at: list[str] = []
    house = build(throttle=Throttle(Down()), authenticate=lambda username, password: looked_at.append(username))
    assert_unavailable(house.login())
    assert looked_at == []


def test_counters_down_half_way(build: Build):
    """An attempt that cannot be forgiven opens no session."""
    house = build()
    house.endpoints._throttle._counters = Down(house.endpoints._throttle._counters, after=2)
    assert_unavailable(house.login())
    assert house.rows() == {}


def test_a_database_that_is_gone(build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """A SQLite file that is no database any more is a 503 on each operation, and mends when it is back."""
    house = build(tmp_path)
    found = house.tokens()
    house.client.portal.call(house.store.close)
    kept = house.file.read_bytes()
    for each in tmp_path.iterdir():
        each.unlink()
    house.file.write_bytes(b"no database" * 1000)
    assert_unavailable(house.refresh(found["refresh_token"]))
    assert_unavailable(house.logout(found["refresh_token"]))
    assert_unavailable(house.login())
    house.client.portal.call(house.store.close)
    house.file.write_bytes(kept)
    assert house.refresh(found["refresh_token"]).status_code == 200
    assert found["refresh_token"] not in caplog.text


def test_tables_that_were_never_made(build: Build, tmp_path: Path):
    """Without the store's migration the answer is 503 too."""
    house = build(tmp_path, authenticate=authenticate)
    other = House("starlette", tmp_path / "missing")
    (tmp_path / "missing").mkdir()
    assert_unavailable(other.client.post("/auth/login", json={"username": "ada", "password": PASSWORDS["ada"]}))
    other.store.database.close()
    assert house.login().status_code == 200
