"""Logout and logout-all: what is ended, what is cleared, and what never is."""

from typing import Any

import pytest

from endpoints.house import ACCESS_COOKIE, EVIL, REFRESH_COOKIE, SAME_ORIGIN, House, bearer, cookies, error, sent_back

CLEARED = {ACCESS_COOKIE, REFRESH_COOKIE}


def assert_done(answer: Any) -> None:
    """204, no body, no length of one, and both cookies are forgotten."""
    assert answer.status_code == 204
    assert answer.content == b""
    assert "content-length" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    found = cookies(answer)
    assert found.keys() == CLEARED
    assert all(value == "" and {"Max-Age=0", "Path=/", "Secure"} <= attributes for value, attributes in found.values())


def test_body(house: House):
    """Who logs out is out: the refresh token and the access token are refused from then on."""
    found, other = house.tokens(), house.tokens()
    assert_done(house.logout(found["refresh_token"]))
    assert error(house.refresh(found["refresh_token"])) == "invalid_grant"
    answer = house.me(found["access_token"])
    assert error(answer, 401) == "invalid_token"
    assert "revoked" in answer.headers["www-authenticate"]
    assert house.me(other["access_token"]).status_code == 200


@pytest.mark.parametrize("transport", ["cookie", "cookie_only"])
@pytest.mark.parametrize("body", [None, {}])
def test_cookie(house: House, transport: str, body: Any):
    """A logout by cookie ends its session, and the browser forgets both cookies."""
    sent = sent_back(house.login(transport=transport))
    assert_done(house.client.post("/auth/logout", json=body, headers=sent))
    assert error(house.client.post("/auth/refresh", headers=sent)) == "invalid_grant"


def test_an_old_token_logs_out(house: House):
    """A genuine token of an earlier generation ends the session as well."""
    first = house.tokens()["refresh_token"]
    last = house.rotated(house.refreshed(first))
    assert_done(house.logout(first))
    assert error(house.refresh(last)) == "invalid_grant"


def test_twice(house: House):
    """Logging out again is no error: what was asked for is so."""
    token = house.tokens()["refresh_token"]
    assert_done(house.logout(token))
    assert_done(house.logout(token))


@pytest.mark.parametrize("token", ["garbage", "sdr_", "sdr_" + "A" * 112, "ä", "\x00", "x" * 1024])
def test_garbage(house: House, token: str):
    """A token that never was one is answered like a dead one, and ends nothing."""
    house.tokens()
    before = house.rows()
    assert_done(house.logout(token))
    assert house.rows() == before


def test_a_dead_cookie_is_cleared(house: House):
    """A browser with a token that is dead or was never one gets rid of it."""
    for value in ("garbage", "garbage.only", b"\xff\xfe", ".only", '"quoted"'):
        sent = value if isinstance(value, bytes) else value.encode()
        assert_done(house.client.post("/auth/logout", headers={**SAME_ORIGIN, "Cookie": REFRESH_COOKIE.encode() + b"=" + sent}))


def test_a_forged_token_ends_nothing(house: House):
    """Who knows a session's id, and nothing else of it, cannot log it out."""
    found = house.tokens()
    token = found["refresh_token"]
    middle = len(token) // 2
    forged = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    assert_done(house.logout(forged))
    assert house.me(found["access_token"]).status_code == 200


def test_logout_all(house: House):
    """All sessions of the subject end at once, and nobody else's."""
    mine, of_ben = [house.tokens() for _ in range(3)], house.tokens("ben")
    assert_done(house.client.post("/auth/logout-all", headers=bearer(mine[0]["access_token"])))
    for found in mine:
        assert error(house.me(found["access_token"]), 401) == "invalid_token"
        assert error(house.refresh(found["refresh_token"])) == "invalid_grant"
    assert house.me(of_ben["access_token"]).status_code == 200
    assert house.refresh(of_ben["refresh_token"]).status_code == 200


def test_logout_all_by_cookie(house: House):
    """The access cookie opens logout-all for an own page, and for no other."""
    login = house.login(transport="cookie_only")
    cookie = {"Cookie": sent_back(login)["Cookie"]}
    for headers in (EVIL, {"Sec-Fetch-Site": "same-site"}, {}):
        assert error(house.client.post("/auth/logout-all", headers=cookie | headers), 403) == "cross_site_refused"
    assert house.client.get("/auth/me", headers=cookie).status_code == 200
    assert_done(house.client.post("/auth/logout-all", headers=sent_back(login)))
    assert error(house.client.get("/auth/me", headers=cookie), 401) == "invalid_token"


def test_logout_all_takes_no_refresh_token(house: House):
    """Logout-all is guarded: the refresh token does not open it, in no place."""
    found = house.tokens()
    login = house.login(transport="cookie")
    assert error(house.client.post("/auth/logout-all", json={"refresh_token": found["refresh_token"]}), 401) == "token_missing"
    assert error(house.client.post("/auth/logout-all", headers=bearer(found["refresh_token"])), 401) == "invalid_token"
    assert error(house.client.post("/auth/logout-all", headers=sent_back(login)), 401) == "token_missing"
    assert house.me(found["access_token"]).status_code == 200
