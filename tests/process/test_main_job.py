"""The main job, end to end, on a real process over real HTTP: log in, call, refresh, log out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service_process import PATIENCE, ServiceProcess, stagedoor, start
from stagedoor.jws import read_unverified

LIFE = 60
"""Seconds of an access token, and of the window for retries: a test that does not wait for their end never meets it."""
SOON, WINDOW = 4, 1
"""The same for tests that wait."""
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
ATTEMPT = {"Idempotency-Key": "attempt-0123456789"}
PASSWORDS = {"amy": "a long password of amy", "ben": "a long password of ben", "eve": "a long password of eve"}


def add(data: Path, name: str) -> None:
    stagedoor("users", "add", name, "--password-stdin", "--scope", "orders:read orders:write", data=data, stdin=PASSWORDS[name] + "\n")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    data = tmp_path_factory.mktemp("service") / "data"
    for name in PASSWORDS:
        add(data, name)
    stagedoor("users", "disable", "eve", data=data)
    # The sample API comes with the demo: what a guarded route of somebody's application looks like.
    running = start("demo", data, ACCESS=f"{LIFE}s", RETRY_WINDOW=f"{LIFE}s")
    yield running
    running.stop(*PASSWORDS.values())


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[httpx2.Client]:
    with service.client() as made:
        yield made


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of a service of short lifetimes."""
    data = tmp_path_factory.mktemp("hasty") / "data"
    add(data, "ben")
    running = start("serve", data, ACCESS=f"{SOON}s", RETRY_WINDOW=f"{WINDOW}s")
    with running.client() as made:
        yield made
    running.stop(PASSWORDS["ben"])


def login(client: httpx2.Client, name: str = "ben", **body: str) -> httpx2.Response:
    return client.post("/auth/login", json={"username": name, "password": PASSWORDS[name], **body}, headers=SAME_ORIGIN)


def tokens(client: httpx2.Client, name: str = "ben", **body: str) -> dict[str, Any]:
    answer = login(client, name, **body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refresh(client: httpx2.Client, token: str, **headers: str) -> httpx2.Response:
    return client.post("/auth/refresh", json={"refresh_token": token}, headers=headers)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookies(answer: httpx2.Response) -> dict[str, str]:
    """Name and value of each cookie set. The client keeps none of them itself: they are Secure, and this is http."""
    return dict(line.split(";")[0].split("=", 1) for line in answer.headers.get_list("set-cookie"))


def cookie_header(found: dict[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in found.items()), **SAME_ORIGIN}


def refused(answer: httpx2.Response) -> bool:
    assert answer.status_code == 400, answer.text
    return answer.json()["error"] == "invalid_grant"


def test_login_call_and_logout(client: httpx2.Client) -> None:
    """Who logs in calls a guarded route, and cannot once logged out."""
    pair = tokens(client)
    assert pair["token_type"] == "Bearer"
    assert pair["expires_in"] == LIFE
    assert pair["scope"] == "orders:read orders:write"
    assert client.get("/api/orders", headers=bearer(pair["access_token"])).status_code == 200
    assert client.post("/auth/logout", json={"refresh_token": pair["refresh_token"]}).status_code == 204
    after = client.get("/api/orders", headers=bearer(pair["access_token"]))
    assert after.status_code == 401
    assert refused(refresh(client, pair["refresh_token"]))


def test_expired_token_is_refreshed(hasty: httpx2.Client) -> None:
    """An expired access token is told so, and a refresh brings one that works, for the same login."""
    pair = tokens(hasty)
    first = read_unverified(pair["access_token"])[1]
    time.sleep(SOON + 1)
    expired = hasty.get("/auth/me", headers=bearer(pair["access_token"]))
    assert expired.status_code == 401
    assert 'error="invalid_token"' in expired.headers["www-authenticate"]
    assert "expired" in expired.json()["error_description"]
    for _ in range(20):  # a busy machine may take longer than the new one lives
        pair = refresh(hasty, pair["refresh_token"]).json()
        called = hasty.get("/auth/me", headers=bearer(pair["access_token"]))
        if called.status_code == 200:
            break
    second = called.json()
    assert (second["sub"], second["sid"], second["auth_time"]) == (first["sub"], first["sid"], first["auth_time"])
    assert second["jti"] != first["jti"]


@pytest.mark.parametrize("transport", ["body", "cookie", "cookie_only"])
def test_refresh_in_every_transport(client: httpx2.Client, transport: str) -> None:
    """A refresh answers the way the login did: what came in a cookie is never in a body."""
    first = login(client, transport=transport)
    held = cookies(first)
    if transport == "body":
        second = refresh(client, first.json()["refresh_token"])
    else:
        second = client.post("/auth/refresh", headers=cookie_header(held))
    assert second.status_code == 200, second.text
    assert set(second.json()) == set(first.json())
    assert set(cookies(second)) == set(held)
    assert ("refresh_token" in second.json()) is (transport == "body")
    assert ("access_token" in second.json()) is (transport != "cookie_only")
    if transport == "cookie_only":
        assert client.get("/auth/me", headers=cookie_header(cookies(second))).status_code == 200


def test_cookies_of_another_site_are_refused(client: httpx2.Client) -> None:
    """A page of another site can neither log in with cookies nor refresh with them."""
    evil = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    body = {"username": "ben", "password": PASSWORDS["ben"], "transport": "cookie"}
    assert client.post("/auth/login", json=body, headers=evil).status_code == 403
    held = cookie_header(cookies(login(client, transport="cookie")))
    answer = client.post("/auth/refresh", headers=held | evil)
    assert (answer.status_code, answer.json()["error"]) == (403, "cross_site_refused")


def test_lost_reply_is_replayed(client: httpx2.Client) -> None:
    """Whoever lost the answer asks again, and gets the same refresh token."""
    pair = tokens(client)
    lost, again = refresh(client, pair["refresh_token"]).json(), refresh(client, pair["refresh_token"]).json()
    assert lost["refresh_token"] == again["refresh_token"] != pair["refresh_token"]
    assert client.get("/auth/me", headers=bearer(again["access_token"])).status_code == 200


def test_lost_reply_is_replayed_long_after_with_the_attempt_id(hasty: httpx2.Client) -> None:
    """With an attempt id the answer can be asked for again at any later time."""
    pair = tokens(hasty)
    lost = refresh(hasty, pair["refresh_token"], **ATTEMPT).json()
    time.sleep(WINDOW + 0.5)
    again = refresh(hasty, pair["refresh_token"], **ATTEMPT)
    assert again.json()["refresh_token"] == lost["refresh_token"]


def test_staggered_tabs_stay_logged_in(client: httpx2.Client) -> None:
    """One tab already uses the successor while another still sends the old token: both go on."""
    pair = tokens(client)
    ahead = refresh(client, pair["refresh_token"]).json()["refresh_token"]
    assert refresh(client, ahead).json()["refresh_token"] == ahead
    assert refresh(client, pair["refresh_token"]).json()["refresh_token"] == ahead
    assert refresh(client, ahead).status_code == 200


def test_reuse_ends_that_session_only(hasty: httpx2.Client) -> None:
    """A stolen older token ends its session when its path parts from the owner's, and no other."""
    stolen, other = tokens(hasty), tokens(hasty)
    current = refresh(hasty, stolen["refresh_token"]).json()
    time.sleep(WINDOW + 0.5)
    assert refused(refresh(hasty, stolen["refresh_token"]))
    assert refused(refresh(hasty, current["refresh_token"]))
    assert hasty.get("/auth/me", headers=bearer(current["access_token"])).status_code == 401
    assert refresh(hasty, other["refresh_token"]).status_code == 200


def test_logout_with_an_old_token(hasty: httpx2.Client) -> None:
    """An old token of the session logs out too, as often as one likes, and ends nothing else."""
    pair, other = tokens(hasty), tokens(hasty)
    current = refresh(hasty, pair["refresh_token"]).json()
    time.sleep(WINDOW + 0.5)
    for _ in range(2):
        assert hasty.post("/auth/logout", json={"refresh_token": pair["refresh_token"]}).status_code == 204
    assert refused(refresh(hasty, current["refresh_token"]))
    assert refresh(hasty, other["refresh_token"]).status_code == 200


def test_logout_all_and_two_users(client: httpx2.Client) -> None:
    """Logging out everywhere ends all sessions of one user; another's are neither seen nor touched."""
    mine, also_mine, hers = tokens(client), tokens(client), tokens(client, "amy")
    listed = client.get("/auth/sessions", headers=bearer(mine["access_token"])).json()["sessions"]
    assert [view["current"] for view in listed].count(True) == 1
    her_own = client.get("/auth/sessions", headers=bearer(hers["access_token"])).json()["sessions"]
    assert not {view["id"] for view in listed} & {view["id"] for view in her_own}
    foreign = client.delete(f"/auth/sessions/{her_own[0]['id']}", headers=bearer(mine["access_token"]))
    assert (foreign.status_code, foreign.json()["error"]) == (404, "not_found")
    assert client.post("/auth/logout-all", headers=bearer(mine["access_token"])).status_code == 204
    for pair in (mine, also_mine):
        assert refused(refresh(client, pair["refresh_token"]))
        assert client.get("/auth/me", headers=bearer(pair["access_token"])).status_code == 401
    assert refresh(client, hers["refresh_token"]).status_code == 200


def test_scope_beyond_the_account(client: httpx2.Client) -> None:
    """More scope than the account has is refused; less is granted, and the guard holds it to that."""
    assert login(client, scope="orders:read admin").json()["error"] == "invalid_scope"
    reader = tokens(client, scope="orders:read")
    assert client.get("/api/orders", headers=bearer(reader["access_token"])).status_code == 200
    answer = client.post("/api/orders", json={"item": "a ticket"}, headers=bearer(reader["access_token"]))
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="orders:write"' in answer.headers["www-authenticate"]


def test_every_refused_login_looks_alike(client: httpx2.Client) -> None:
    """Unknown user, wrong password and disabled user get the same bytes."""
    tries = [("nobody", "a wrong password"), ("ben", "a wrong password"), ("eve", PASSWORDS["eve"])]
    answers = [client.post("/auth/login", json={"username": name, "password": password}) for name, password in tries]
    assert {answer.status_code for answer in answers} == {400}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(pair for pair in answer.headers.multi_items() if pair[0] != "date") for answer in answers}) == 1


def test_refresh_token_is_no_access_token(client: httpx2.Client) -> None:
    """A refresh token opens no guarded route, and an access token brings no other."""
    pair = tokens(client)
    assert client.get("/api/orders", headers=bearer(pair["refresh_token"])).status_code == 401
    assert refused(refresh(client, pair["access_token"]))


def test_key_change_reaches_the_running_service(client: httpx2.Client, service: ServiceProcess) -> None:
    """A key made by the command line is announced by the running service, which signs with the old one until others know it."""
    before = tokens(client)
    kid = stagedoor("keys", "rotate", data=service.data).split()[0]
    until = time.monotonic() + PATIENCE
    while kid not in (published := {key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]}):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert len(published) == 2
    after = refresh(client, before["refresh_token"]).json()
    for pair in (before, after):
        assert read_unverified(pair["access_token"])[0]["kid"] in published - {kid}
    assert client.get("/api/orders", headers=bearer(after["access_token"])).status_code == 200


def test_disabling_a_user_ends_the_sessions(client: httpx2.Client, service: ServiceProcess) -> None:
    """A user disabled by the command line can neither refresh nor log in; enabled again, a new login works."""
    pair = tokens(client, "amy")
    stagedoor("users", "disable", "amy", data=service.data)
    assert refused(refresh(client, pair["refresh_token"]))
    assert login(client, "amy").json()["error"] == "invalid_grant"
    stagedoor("users", "enable", "amy", data=service.data)
    assert refused(refresh(client, pair["refresh_token"]))
    assert login(client, "amy").status_code == 200


def test_a_restart_loses_nobody(tmp_path: Path) -> None:
    """After kill -9 and a new start every session goes on, and the lost answer is replayed."""
    data = tmp_path / "data"
    stagedoor("users", "add", "ben", "--password-stdin", data=data, stdin=PASSWORDS["ben"] + "\n")
    first = start("serve", data, RETRY_WINDOW="10m")
    with first.client() as client:
        pair = tokens(client)
        lost = refresh(client, pair["refresh_token"]).json()
    first.process.kill()
    first.process.wait()
    second = start("serve", data, RETRY_WINDOW="10m")
    with second.client() as client:
        assert refresh(client, pair["refresh_token"]).json()["refresh_token"] == lost["refresh_token"]
    second.stop()


def test_a_restart_forgets_no_ended_session_where_sessions_are_governed(tmp_path: Path) -> None:
    """After a restart the access token of an ended session can neither list sessions nor end them."""
    data = tmp_path / "data"
    stagedoor("users", "add", "ben", "--password-stdin", data=data, stdin=PASSWORDS["ben"] + "\n")
    first = start("serve", data, ISSUER="http://localhost:1")
    with first.client() as client:
        pair, other = tokens(client), tokens(client)
        assert client.post("/auth/logout", json={"refresh_token": pair["refresh_token"]}).status_code == 204
    first.stop()
    second = start("serve", data, ISSUER="http://localhost:1")
    with second.client() as client:
        assert client.get("/auth/sessions", headers=bearer(pair["access_token"])).status_code == 401
        assert client.post("/auth/logout-all", headers=bearer(pair["access_token"])).status_code == 401
        assert refresh(client, other["refresh_token"]).status_code == 200
    second.stop()
