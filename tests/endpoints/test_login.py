"""Login: the three transports, scope, credentials, and where a page may come from."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from endpoints.house import (
    ACCESS_COOKIE,
    ACCOUNTS,
    EVIL,
    NAME,
    PASSWORDS,
    REFRESH_COOKIE,
    SAME_ORIGIN,
    House,
    authenticate,
    bearer,
    cookies,
    error,
)
from stagedoor import Scope
from stagedoor.endpoints import Account
from stagedoor.errors import Overloaded

ALWAYS = {"token_type", "expires_in", "scope"}
ATTRIBUTES = {"Path=/", "Secure", "HttpOnly"}
Build = Callable[..., House]


@pytest.mark.parametrize("asked", [{}, {"transport": "body"}])
def test_body(house: House, asked: dict[str, str]):
    """By default both tokens are in the body, and no cookie is set."""
    answer = house.login(**asked)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == ALWAYS | {"access_token", "refresh_token"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 900)
    assert answer.json()["refresh_token"].startswith("sdr_")
    assert cookies(answer) == {}


def test_cookie(house: House):
    """With transport=cookie the refresh token is in a cookie only, the access token in the body only."""
    answer = house.login(transport="cookie")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == ALWAYS | {"access_token"}
    assert "sdr_" not in answer.text
    value, attributes = cookies(answer).pop(REFRESH_COOKIE)
    assert cookies(answer).keys() == {REFRESH_COOKIE}
    assert value.startswith("sdr_")
    assert attributes == ATTRIBUTES | {"SameSite=Strict", f"Max-Age={30 * 86_400}"}


def test_cookie_only(house: House):
    """With transport=cookie_only both tokens are in cookies only."""
    answer = house.login(transport="cookie_only")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == ALWAYS
    found = cookies(answer)
    assert found.keys() == {ACCESS_COOKIE, REFRESH_COOKIE}
    assert found[ACCESS_COOKIE][1] == ATTRIBUTES | {"SameSite=Lax", "Max-Age=900"}
    assert found[REFRESH_COOKIE][1] == ATTRIBUTES | {"SameSite=Strict", f"Max-Age={30 * 86_400}"}
    assert house.issuer.verifier().verify(found[ACCESS_COOKIE][0]).subject == "user-ada"


def test_the_access_token(house: House):
    """The access token is the account's: subject, scope and claims, and a session that stands in the store."""
    token = house.issuer.verifier().verify(house.tokens()["access_token"])
    assert (token.subject, token.scope, token.claims["username"]) == ("user-ada", Scope(["orders:read", "orders:write"]), "ada")
    assert token.auth_time == house.clock.now
    sessions = house.client.get("/auth/sessions", headers=bearer(house.tokens()["access_token"])).json()["sessions"]
    assert token.session_id in [each["id"] for each in sessions]


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ({}, "orders:read orders:write"),
        ({"scope": None}, "orders:read orders:write"),
        ({"scope": "orders:read"}, "orders:read"),
        ({"scope": "orders:write orders:read"}, "orders:read orders:write"),
        ({"scope": "orders:read orders:read"}, "orders:read"),
        ({"scope": ""}, ""),
    ],
)
def test_scope(house: House, asked: dict[str, Any], granted: str):
    """A login grants the scope asked for, all of the account's if none is asked for."""
    found = house.tokens(**asked)
    assert found["scope"] == granted
    assert str(house.issuer.verifier().verify(found["access_token"]).scope) == granted


@pytest.mark.parametrize(
    "scope", ["orders:delete", "orders:read orders:delete", "orders", "ORDERS:READ", "orders:read  orders:write", " ", 'a"b', "ä"]
)
def test_more_scope(house: House, scope: str):
    """More than the account has, or what is no scope, is refused, and opens no session."""
    before = house.rows()
    assert error(house.login(scope=scope)) == "invalid_scope"
    assert house.rows() == before


def test_refusals_are_one(house: House):
    """An unknown name and a wrong password are answered with the same bytes, and no session is opened."""
    answers = [house.login("eve"), house.login("ada", password="wrong"), house.login("ada", password="wrong", scope="orders:delete")]
    assert {error(answer) for answer in answers} == {"invalid_grant"}
    assert len({(answer.content, tuple(sorted(answer.headers.items()))) for answer in answers}) == 1


@pytest.mark.parametrize("transport", ["body", "cookie", "cookie_only"])
def test_a_refused_login_sets_no_cookie(house: House, transport: str):
    """Whoever is refused keeps the cookies that he has."""
    assert cookies(house.login(password="wrong", transport=transport)) == {}


async def authenticate_async(username: str, password: str) -> Account | None:
    await asyncio.sleep(0)
    return authenticate(username, password)


class AuthenticateObject:
    async def __call__(self, username: str, password: str) -> Account | None:
        return authenticate(username, password)


@pytest.mark.parametrize("own", [authenticate, authenticate_async, AuthenticateObject()])
def test_authenticate_sync_and_async(build: Build, own: Any):
    """The application's own check of passwords may be sync or async."""
    house = build(authenticate=own)
    assert house.login().status_code == 200
    assert error(house.login(password="wrong")) == "invalid_grant"


@pytest.mark.parametrize(("verdict", "status"), [(True, 200), (False, 400), (None, 400)])
def test_confirm(build: Build, verdict: Any, status: int):
    """An account that changed while its password was checked gets nothing, and its session is ended."""
    house = build(authenticate=lambda username, password: replace(ACCOUNTS["ada"], confirm=lambda: verdict))
    answer = house.login()
    assert answer.status_code == status
    assert [row.reason for row in house.rows().values()] == [None if verdict else "account_changed"]
    assert verdict or error(answer) == "invalid_grant"


def test_overload_is_no_wrong_password(build: Build):
    """Where a password could not be looked at the answer is 503, and the attempt does not count."""

    def busy(username: str, password: str) -> Account:
        raise Overloaded

    house = build(authenticate=busy)
    answers = [house.login() for _ in range(12)]
    assert {error(answer, 503) for answer in answers} == {"temporarily_unavailable"}
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}


@pytest.mark.parametrize("transport", ["cookie", "cookie_only"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (SAME_ORIGIN, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Origin": NAME}, 200),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://app.example"}, 200),
        ({}, 200),
        (EVIL, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "https://["}, 403),
        (SAME_ORIGIN | {"Origin": "null"}, 403),
    ],
)
def test_login_csrf(build: Build, transport: str, headers: dict[str, str], status: int):
    """No page of another site can log a browser in: the password is not even looked at."""
    looked_at: list[str] = []
    house = build(authenticate=lambda username, password: looked_at.append(username) or ACCOUNTS["ada"], origins=["https://app.example"])
    body = {"username": "ada", "password": PASSWORDS["ada"], "transport": transport}
    answer = house.client.post("/auth/login", json=body, headers=headers)
    if status == 200:
        assert answer.status_code == 200
        return
    assert error(answer, 403) == "cross_site_refused"
    assert "evil" not in answer.text + str(answer.headers)
    assert cookies(answer) == {}
    assert looked_at == []


def test_a_login_in_the_body_may_come_from_anywhere(house: House):
    """A login that sets no cookie is no matter of origins."""
    assert house.login(headers=EVIL).status_code == 200


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("http://auth.example", 400),
        ("http://10.0.0.1:8000", 400),
        ("http://localhost.evil.example", 400),
        ("http://localhost:8000", 200),
        ("http://127.0.0.1:8000", 200),
        ("http://[::1]:8000", 200),
        ("https://auth.example", 200),
        ("a name that is no URL", 200),
    ],
)
@pytest.mark.parametrize("transport", ["cookie", "cookie_only"])
def test_cookies_need_https(build: Build, name: str, status: int, transport: str):
    """An issuer on http that is not on this machine refuses a cookie login with the reason, and takes one in the body."""
    house = build(name=name)
    answer = house.login(transport=transport)
    assert answer.status_code == status
    assert status == 200 or (error(answer) == "invalid_request" and "https" in answer.json()["error_description"])
    assert house.login(transport="body").status_code == 200


def test_an_access_token_too_large_for_a_cookie(build: Build):
    """A token that no browser would keep in a cookie is refused at the login, and its session is ended."""
    house = build(authenticate=lambda username, password: replace(ACCOUNTS["ada"], claims={"roles": "x" * 3000}))
    assert error(house.login(transport="cookie_only")) == "invalid_request"
    assert [row.reason for row in house.rows().values()] == ["too_large_for_cookies"]
    assert house.login(transport="cookie").status_code == 200


@pytest.mark.parametrize(
    ("sent", "shown"),
    [("Firefox on Linux", "Firefox on Linux"), ("x" * 300, "x" * 200), (b"a\xff\x01<b>\tc", "a<b>c"), (b"\xff", None), ("", None)],
)
def test_what_a_session_is_known_by(house: House, sent: Any, shown: str | None):
    """A session is known by its user agent, in visible ASCII and cut short."""
    found = house.client.post("/auth/login", json={"username": "ada", "password": PASSWORDS["ada"]}, headers={"User-Agent": sent}).json()
    sessions = house.client.get("/auth/sessions", headers=bearer(found["access_token"])).json()["sessions"]
    assert [each["client"] for each in sessions] == [shown]
