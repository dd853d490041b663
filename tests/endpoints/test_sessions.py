"""Sessions: the owner sees and ends his own, and me says who that is."""

from typing import Any

import pytest

from endpoints.house import EVIL, SAME_ORIGIN, WINDOW, House, bearer, cookies, error, sent_back
from stagedoor.encoding import encode
from stagedoor.jws import read_unverified

GUARDED = [("POST", "/auth/logout-all"), ("GET", "/auth/sessions"), ("DELETE", "/auth/sessions/x"), ("GET", "/auth/me")]


def listed(house: House, found: dict[str, Any]) -> list[dict[str, Any]]:
    answer = house.client.get("/auth/sessions", headers=bearer(found["access_token"]))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"sessions"}
    sessions: list[dict[str, Any]] = answer.json()["sessions"]
    return sessions


def session_id(found: dict[str, Any]) -> str:
    sid: str = read_unverified(found["access_token"])[1]["sid"]
    return sid


def end(house: House, found: dict[str, Any], id_: str) -> Any:
    return house.client.delete(f"/auth/sessions/{id_}", headers=bearer(found["access_token"]))


def test_list(house: House):
    """The own live sessions, the latest first, the current one marked; nothing of them is a secret."""
    started = int(house.clock.now)
    first = house.tokens()
    house.clock.forward(5)
    second = house.tokens()
    house.tokens("ben")
    house.clock.forward(WINDOW)
    house.refreshed(first["refresh_token"])
    for current in (first, second):
        assert listed(house, current) == [
            {"id": session_id(found), "created": created, "last_used": used, "client": "testclient", "current": found is current}
            for found, created, used in ((second, started + 5, started + 5), (first, started, started + 5 + WINDOW))
        ]


def test_end_another(house: House):
    """Ending another own session leaves this one, and its cookies, alone."""
    here, there = house.tokens(), house.tokens()
    answer = end(house, here, session_id(there))
    assert (answer.status_code, answer.content, cookies(answer)) == (204, b"", {})
    assert error(house.me(there["access_token"]), 401) == "invalid_token"
    assert error(house.refresh(there["refresh_token"])) == "invalid_grant"
    assert [each["id"] for each in listed(house, here)] == [session_id(here)]
    assert error(end(house, here, session_id(there)), 404) == "not_found"


def test_end_the_current_one(house: House):
    """Ending the current session clears the cookies, and the token that did it opens nothing more."""
    here = house.tokens()
    answer = end(house, here, session_id(here))
    assert answer.status_code == 204
    assert {value for value, _ in cookies(answer).values()} == {""}
    assert len(cookies(answer)) == 2
    assert error(end(house, here, session_id(here)), 401) == "invalid_token"


def test_end_with_the_access_cookie(house: House):
    """The access cookie opens the sessions to an own page; to another only to the eyes of the browser."""
    login = house.login(transport="cookie_only")
    sent = sent_back(login)
    (found,) = house.client.get("/auth/sessions", headers=sent).json()["sessions"]
    cookie = {"Cookie": sent["Cookie"]}
    for headers in (EVIL, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}, {}):
        assert error(house.client.delete(f"/auth/sessions/{found['id']}", headers=cookie | headers), 403) == "cross_site_refused"
    assert house.client.get("/auth/sessions", headers=cookie | EVIL).status_code == 200
    assert house.client.delete(f"/auth/sessions/{found['id']}", headers=sent).status_code == 204


def test_anothers_session(house: House):
    """Another's session is not there, byte for byte as one that never was, and lives on."""
    mine, of_ben = house.tokens(), house.tokens("ben")
    before = house.rows()
    answers = [end(house, mine, session_id(of_ben)), end(house, mine, encode(b"?" * 16))]
    assert {error(answer, 404) for answer in answers} == {"not_found"}
    assert answers[0].content == answers[1].content
    assert house.rows() == before
    assert house.me(of_ben["access_token"]).status_code == 200


@pytest.mark.parametrize(
    "id_", ["x", "A" * 21, "A" * 23, "A" * 24, "%00", "%C3%A4", "..%2e", "A" * 7000, "' OR 1=1 --", "%FF", "=", "A" * 21 + "B"]
)
def test_a_malformed_id(house: House, id_: str):
    """What cannot be a session's id is not there either."""
    mine = house.tokens()
    before = house.rows()
    assert error(end(house, mine, id_), 404) == "not_found"
    assert house.rows() == before


@pytest.mark.parametrize("twist", ["{}=", "{}A", "%20{}", "{}%20", "{}%00", "x{}", "%2d{}"])
def test_one_id_one_text(house: House, twist: str):
    """No other text than the id itself names a session."""
    here, there = house.tokens(), house.tokens()
    assert error(end(house, here, twist.format(session_id(there))), 404) == "not_found"
    assert house.me(there["access_token"]).status_code == 200


def test_me(house: House):
    """Me is what the token says."""
    found = house.tokens()
    answer = house.me(found["access_token"])
    assert answer.headers["cache-control"] == "no-store"
    said = answer.json()
    assert (said["sub"], said["username"], said["scope"]) == ("user-ada", "ada", "orders:read orders:write")
    assert said == dict(house.issuer.verifier().verify(found["access_token"]).claims)
    cookie_only = sent_back(house.login("ben", transport="cookie_only"))
    assert house.client.get("/auth/me", headers=cookie_only).json()["sub"] == "user-ben"


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_guarded(house: House, method: str, path: str):
    """Guarded operations refuse whoever brings no access token, or a bad one, with a challenge."""
    answer = house.client.request(method, path)
    assert error(answer, 401) == "token_missing"
    assert answer.headers["www-authenticate"] == 'Bearer realm="stagedoor"'
    for value in ("Bearer garbage", "Bearer\tx", "Bearer", b"Bearer \xff", "Bearer " + "x" * 9000):
        answer = house.client.request(method, path, headers={"Authorization": value})
        assert error(answer, 401) == "invalid_token"
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert "garbage" not in answer.text + str(answer.headers)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_guarded_reads_one_token(house: House, method: str, path: str):
    """Two access tokens of one place are refused, and the header wins over the cookie."""
    found = house.tokens()["access_token"]
    cookie = f"__Host-stagedoor_access={found}"
    two = [("Authorization", f"Bearer {found}"), ("Authorization", f"Bearer {found}")]
    assert error(house.client.request(method, path, headers=two)) == "invalid_request"
    assert error(house.client.request(method, path, headers=SAME_ORIGIN | {"Cookie": f"{cookie}; {cookie}"})) == "invalid_request"
    assert error(house.client.request(method, path, headers={**bearer("garbage"), **SAME_ORIGIN, "Cookie": cookie}), 401) == "invalid_token"


def test_sessions_of_two_users_are_kept_apart(house: House):
    """Whatever one user does, the other sees only his own."""
    mine, of_ben = house.tokens(), house.tokens("ben")
    assert [each["id"] for each in listed(house, mine)] == [session_id(mine)]
    assert [each["id"] for each in listed(house, of_ben)] == [session_id(of_ben)]
    assert house.me(mine["access_token"]).json()["sub"] != house.me(of_ben["access_token"]).json()["sub"]
