"""Desk: people change their password over HTTP, administrators change accounts; on the service's own application, in process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from stagedoor.jws import read_unverified
from stagedoor.service.app import create_app
from stagedoor.service.passwords import Passwords
from stagedoor.service.settings import Settings

from .conftest import Transcript
from .test_cli import inside

PASSWORDS = {"ada": "a password of ada", "ben": "a password of ben", "ruth": "a password of ruth"}
NEW = "battery staple"
JSON = {"Content-Type": "application/json"}
ADMIN = [
    ("POST", "users/ada/disable", None),
    ("POST", "users/ada/enable", None),
    ("DELETE", "users/ada", None),
    ("PUT", "users/ada/password", {"password": NEW}),
    ("PUT", "users/ada/scope", {"scope": "b"}),
]
each_change = pytest.mark.parametrize(("method", "path", "body"), ADMIN, ids=lambda value: str(value).rpartition("/")[2])


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A service with ada, ben and the administrator ruth."""
    monkeypatch.chdir(tmp_path)
    cheap = {"time_cost": 1, "memory_cost": 8}
    monkeypatch.setattr("stagedoor.service.composition.Passwords", lambda threads: Passwords(threads=threads, **cheap))

    async def add(house: Any) -> None:
        for name, password in PASSWORDS.items():
            await house.accounts.add(name, password, "stagedoor:admin" if name == "ruth" else "a b")

    inside(add)
    with TestClient(create_app(Settings.load({}, data="data")), base_url="http://localhost:8000") as made:
        yield made


def login(client: TestClient, name: str = "ada", password: str | None = None, **body: str) -> httpx2.Response:
    sent = {"username": name, "password": password or PASSWORDS[name], **body}
    return client.post("/auth/login", json=sent, headers={"Sec-Fetch-Site": "same-origin"})


def tokens(client: TestClient, name: str = "ada") -> dict[str, Any]:
    answer = login(client, name)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def bearer(pair: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {pair['access_token']}"}


def call(client: TestClient, pair: dict[str, Any], method: str, path: str, body: Any = None) -> httpx2.Response:
    return client.request(method, f"/auth/admin/{path}", headers=bearer(pair), **({} if body is None else {"json": body}))


def change(client: TestClient, pair: dict[str, Any], old: str = PASSWORDS["ada"], new: str = NEW) -> httpx2.Response:
    return client.post("/auth/password", json={"old_password": old, "new_password": new}, headers=bearer(pair))


def me(client: TestClient, pair: dict[str, Any]) -> int:
    return client.get("/auth/me", headers=bearer(pair)).status_code


def refused(answer: httpx2.Response, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"error", "error_description"}
    found: str = answer.json()["error"]
    return found


def test_the_own_password(client: TestClient):
    """Who knows the old password changes it and goes on; the other sessions are refused at once, and only the new password logs in."""
    here, there, of_ben = tokens(client), tokens(client), tokens(client, "ben")
    answer = change(client, here)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (me(client, here), me(client, there), me(client, of_ben)) == (200, 401, 200)
    assert refused(client.post("/auth/refresh", json={"refresh_token": there["refresh_token"]})) == "invalid_grant"
    assert client.post("/auth/refresh", json={"refresh_token": here["refresh_token"]}).status_code == 200
    assert refused(login(client)) == "invalid_grant"
    assert login(client, password=NEW).status_code == 200
    assert change(client, here, NEW, NEW).status_code == 204


def test_the_own_password_refused(client: TestClient, caplog: pytest.LogCaptureFixture):
    """Without a token, with a wrong old password, or a new one that is no good, nothing changes and nothing is repeated."""
    caplog.set_level(logging.DEBUG)
    here, there = tokens(client), tokens(client)
    body = {"old_password": PASSWORDS["ada"], "new_password": NEW}
    assert refused(client.post("/auth/password", json=body), 401) == "token_missing"
    assert refused(change(client, here, "a wrong password")) == "invalid_grant"
    for new in ("short", "password", "a" * 1025, "a\x00bcdefgh", ""):
        assert refused(change(client, here, new=new)) == "invalid_request"
    surrogate = {"content": b'{"old_password": "x", "new_password": "\\ud800abcdefgh"}', "headers": bearer(here) | JSON}
    assert refused(client.post("/auth/password", **surrogate)) == "invalid_request"
    for sent in ({}, {"old_password": "x"}, {"old_password": 1, "new_password": NEW}, [], {"old_password": None, "new_password": None}):
        assert refused(client.post("/auth/password", json=sent, headers=bearer(here))) == "invalid_request"
    assert refused(client.post("/auth/password", content=b"x", headers=bearer(here)), 415) == "wrong_media_type"
    assert refused(client.get("/auth/password", headers=bearer(here)), 405) == "method_not_allowed"
    assert (me(client, here), me(client, there), login(client).status_code) == (200, 200, 200)
    assert not [line for line in caplog.records if NEW in line.getMessage() or PASSWORDS["ada"] in line.getMessage()]


def test_the_own_password_is_guessed_no_faster_than_at_the_login(client: TestClient):
    """Wrong old passwords count with failed logins; bad new ones do not, and tell nothing of the old one."""
    pair = tokens(client)
    for _ in range(12):
        assert refused(change(client, pair, "wrong", "short")) == "invalid_request"
    assert [change(client, pair, "a wrong password").status_code for _ in range(5)] == [400] * 5
    assert [login(client, password="another wrong one").status_code for _ in range(5)] == [400] * 5
    answer = change(client, pair)
    assert refused(answer, 429) == "too_many_attempts"
    assert int(answer.headers["retry-after"]) > 0
    assert refused(login(client), 429) == "too_many_attempts"
    assert me(client, pair) == 200


def test_the_own_password_by_cookie(client: TestClient):
    """The access cookie changes it from an own page, never from another's."""
    answer = login(client, transport="cookie_only")
    pairs = "; ".join(line.partition(";")[0] for line in answer.headers.get_list("set-cookie"))
    client.cookies.clear()
    body = {"old_password": PASSWORDS["ada"], "new_password": NEW}
    for headers in ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, {"Origin": "null"}):
        assert refused(client.post("/auth/password", json=body, headers={"Cookie": pairs, **headers}), 403) == "cross_site_refused"
    own = {"Cookie": pairs, "Sec-Fetch-Site": "same-origin"}
    assert client.post("/auth/password", json=body, headers=own).status_code == 204
    assert client.get("/auth/me", headers=own).status_code == 200


def test_an_account_from_first_to_last(client: TestClient):
    """An administrator disables, enables, changes and deletes an account; each time its sessions end at once, and nobody else's."""
    admin, of_ben = tokens(client, "ruth"), tokens(client, "ben")

    def after(method: str, path: str, body: Any = None, password: str = PASSWORDS["ada"]) -> None:
        pair = login(client, password=password).json()
        answer = call(client, admin, method, path, body)
        assert (answer.status_code, answer.content) == (204, b"")
        assert me(client, pair) == 401
        assert refused(client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})) == "invalid_grant"

    after("POST", "users/ada/disable")
    assert refused(login(client)) == "invalid_grant"
    assert call(client, admin, "POST", "users/ADA/enable").status_code == 204
    after("PUT", "users/ada/scope", {"scope": "c b"})
    assert tokens(client)["scope"] == "b c"
    after("PUT", "users/ada/password", {"password": NEW})
    assert refused(login(client)) == "invalid_grant"
    after("DELETE", "users/ada", password=NEW)
    assert refused(login(client, password=NEW)) == "invalid_grant"
    assert refused(call(client, admin, "DELETE", "users/ada"), 404) == "not_found"
    assert (me(client, admin), me(client, of_ben)) == (200, 200)


@each_change
def test_administrators_alone(client: TestClient, method: str, path: str, body: Any):
    """Without the scope each operation is refused, in the same bytes whether there is such an account or not."""
    pair = tokens(client)
    assert refused(client.request(method, f"/auth/admin/{path}"), 401) == "token_missing"
    answers = [
        call(client, pair, method, path.replace("ada", name), sent) for name in ("ada", "nobody", "%00") for sent in (body, None, [])
    ]
    assert {refused(answer, 403) for answer in answers} == {"insufficient_scope"}
    assert len({answer.content for answer in answers}) == 1
    assert (me(client, pair), login(client).status_code) == (200, 200)


@each_change
def test_bad_input_of_an_administrator(client: TestClient, method: str, path: str, body: Any):
    """Unknown and impossible names are 404, bad bodies 400, 413 or 415; nothing changes, and never is it an accident."""
    admin, pair = tokens(client, "ruth"), tokens(client)
    for name in ("nobody", "%00", "%FF", "%ED%A0%80", "A" * 300, "A" * 7000, "' OR 1=1 --", "a%20"):
        assert refused(call(client, admin, method, path.replace("ada", name), body), 404) == "not_found"
    if body is not None:
        for sent in ({}, [], {"password": 1, "scope": 1}, {"password": "short", "scope": "a  b"}, {"password": "", "scope": "ä"}):
            assert refused(call(client, admin, method, path, sent)) == "invalid_request"
        address = f"/auth/admin/{path}"
        assert refused(client.request(method, address, headers=bearer(admin), content=b"{}"), 415) == "wrong_media_type"
        assert refused(client.request(method, address, headers=bearer(admin), content=b"x" * 9000), 413) == "too_large"
    assert refused(client.request("PATCH", f"/auth/admin/{path}", headers=bearer(admin)), 405) == "method_not_allowed"
    assert (me(client, pair), login(client).status_code) == (200, 200)


def test_the_service_ends_sessions_of_others(client: TestClient):
    """The operations on sessions are there as well, for whoever has the scope stagedoor:admin."""
    admin, pair = tokens(client, "ruth"), tokens(client)
    payload = read_unverified(pair["access_token"])[1]
    (found,) = call(client, admin, "GET", f"subjects/{payload['sub']}/sessions").json()["sessions"]
    assert found["id"] == payload["sid"]
    assert call(client, admin, "DELETE", f"sessions/{found['id']}").status_code == 204
    assert me(client, pair) == 401


OVER_HTTP: dict[str, tuple[str, str, Callable[[TestClient, dict[str, Any], dict[str, Any]], httpx2.Response]]] = {
    "disabled": ("account_disabled", "ruth", lambda client, admin, ada: call(client, admin, "POST", "users/ada/disable")),
    "enabled": ("account_enabled", "ruth", lambda client, admin, ada: call(client, admin, "POST", "users/ada/enable")),
    "deleted": ("account_deleted", "ruth", lambda client, admin, ada: call(client, admin, "DELETE", "users/ada")),
    "password": ("password_changed", "ruth", lambda client, admin, ada: call(client, admin, *ADMIN[3])),
    "own password": ("password_changed", "ada", lambda client, admin, ada: change(client, ada)),
    "scope": ("scope_changed", "ruth", lambda client, admin, ada: call(client, admin, *ADMIN[4])),
}
BESIDE = {"session_revoked", "subject_revoked"}


@pytest.mark.parametrize(("name", "by", "way"), OVER_HTTP.values(), ids=OVER_HTTP)
def test_one_event_each_over_http(
    client: TestClient, caplog: pytest.LogCaptureFixture, name: str, by: str, way: Callable[..., httpx2.Response]
):
    """Each operation tells one event of its own, which says who asked, beside those of the sessions that ended."""
    pairs = {each: tokens(client, each) for each in ("ruth", "ada")}
    tokens(client)
    caplog.set_level(logging.INFO, "stagedoor.events")
    caplog.clear()
    assert way(client, pairs["ruth"], pairs["ada"]).status_code == 204
    assert told(caplog, name) == [f"by {read_unverified(pairs[by]['access_token'])[1]['sub']}"]


BY_COMMAND = {
    "disabled": ("account_disabled", "stagedoor users disable ada"),
    "enabled": ("account_enabled", "stagedoor users enable ada"),
    "deleted": ("account_deleted", "stagedoor users delete ada --yes"),
    "password": ("password_changed", "echo 'battery staple' | stagedoor users password ada --password-stdin"),
    "scope": ("scope_changed", "stagedoor users scope ada b"),
    "everything": ("everything_revoked", "stagedoor sessions revoke --everything --yes"),
    "sessions": ("subject_revoked", "stagedoor sessions revoke --user ada"),
    "session": ("session_revoked", "stagedoor sessions revoke {sid}"),
    "key": ("key_revoked", "stagedoor keys retire {kid}"),
}


@pytest.mark.parametrize(("name", "line"), BY_COMMAND.values(), ids=BY_COMMAND)
def test_one_event_each_by_command(client: TestClient, transcript: Transcript, caplog: pytest.LogCaptureFixture, name: str, line: str):
    """Each command tells one event of its own, beside those of the sessions that ended."""
    header, payload = read_unverified(tokens(client)["access_token"])
    caplog.set_level(logging.INFO, "stagedoor.events")
    caplog.clear()
    transcript("$ {line} --data data\n…", line=line.format(sid=payload["sid"], kid=header["kid"]))
    (detail,) = told(caplog, name)
    assert detail == "by the command line" or not name.startswith(("account", "password", "scope"))


def told(caplog: pytest.LogCaptureFixture, name: str) -> list[Any]:
    """The details of the events of this name; there are no others, but those of the sessions that ended."""
    events: list[Any] = [line.args for line in caplog.records if line.name == "stagedoor.events"]
    assert {event[0] for event in events} <= {name, *BESIDE}
    return [event[3] for event in events if event[0] == name]
