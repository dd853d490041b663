"""Refresh: the way the token came, lost replies, reuse, and refusals that tell nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from endpoints.house import (
    ACCESS_COOKIE,
    ATTEMPT,
    EVIL,
    REFRESH_COOKIE,
    SAME_ORIGIN,
    WINDOW,
    House,
    bearer,
    cookies,
    error,
    sent_back,
)
from stagedoor.stores.memory import MemoryStore

OTHER_ATTEMPT = {"Idempotency-Key": "attempt-9876543210"}
Build = Callable[..., House]


def test_body(house: House):
    """A token in the body is answered in the body, and no cookie is set."""
    first = house.tokens()
    answer = house.refresh(first["refresh_token"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == first.keys()
    assert answer.json()["refresh_token"] != first["refresh_token"]
    assert answer.json()["access_token"] != first["access_token"]
    assert answer.json()["scope"] == first["scope"]
    assert cookies(answer) == {}
    assert house.me(answer.json()["access_token"]).status_code == 200


def test_less_scope(house: House):
    """`scope` in the body is for that access token alone; more than the session has is invalid_scope and changes nothing."""
    token = house.tokens(scope="orders:read")["refresh_token"]
    before = house.rows()
    for sent in ("orders:write", "orders:read orders:write", 'orders:"read"'):
        answer = house.client.post("/auth/refresh", json={"refresh_token": token, "scope": sent})
        assert (answer.status_code, error(answer)) == (400, "invalid_scope")
    for wrong in (1, ["orders:read"], "x" * 4097):
        answer = house.client.post("/auth/refresh", json={"refresh_token": token, "scope": wrong})
        assert (answer.status_code, error(answer)) == (400, "invalid_request")
    assert house.rows() == before
    answer = house.client.post("/auth/refresh", json={"refresh_token": token, "scope": ""})
    assert answer.json()["scope"] == ""
    answer = house.client.post("/auth/refresh", json={"refresh_token": token, "scope": None})
    assert answer.json()["scope"] == "orders:read"


def test_less_scope_with_the_cookie(house: House):
    """The body may hold the scope alone; the token is the cookie's."""
    login = house.login(transport="cookie")
    answer = house.client.post("/auth/refresh", json={"scope": "orders:read"}, headers=sent_back(login))
    assert answer.json()["scope"] == "orders:read"


@pytest.mark.parametrize("transport", ["cookie", "cookie_only"])
@pytest.mark.parametrize("body", [None, {}, {"something": "else"}])
def test_cookie(house: House, transport: str, body: Any):
    """A token in the cookie is answered as the login was, each time; it never appears in a body, whatever the request's body holds."""
    answer = house.login(transport=transport)
    for _ in range(3):
        house.clock.forward(WINDOW)
        first, answer = answer, house.client.post("/auth/refresh", json=body, headers=sent_back(answer))
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json().keys() == first.json().keys()
        assert "sdr_" not in answer.text
        before, after = cookies(first), cookies(answer)
        assert after.keys() == before.keys()
        assert after[REFRESH_COOKIE][0] != before[REFRESH_COOKIE][0]
        assert after[REFRESH_COOKIE][1] == before[REFRESH_COOKIE][1]
    assert (ACCESS_COOKIE in cookies(answer)) is (transport == "cookie_only")


@pytest.mark.parametrize("transport", ["cookie", "cookie_only"])
def test_body_wins_over_the_cookie(house: House, transport: str):
    """A token in the body is the one that counts, is answered in the body, and leaves the cookies alone."""
    in_cookie, in_body = house.login("ben", transport=transport), house.tokens()
    answer = house.client.post("/auth/refresh", json={"refresh_token": in_body["refresh_token"]}, headers=sent_back(in_cookie))
    assert answer.json().keys() == in_body.keys()
    assert cookies(answer) == {}
    assert house.issuer.verifier().verify(answer.json()["access_token"]).subject == "user-ada"
    assert error(house.client.post("/auth/refresh", json={"refresh_token": "garbage"}, headers=sent_back(in_cookie))) == "invalid_grant"


def test_a_token_in_the_body_may_come_from_anywhere(house: House):
    """A refresh token in the body is no matter of origins."""
    assert house.refresh(house.tokens()["refresh_token"], EVIL).status_code == 200


@pytest.mark.parametrize("operation", ["refresh", "logout"])
@pytest.mark.parametrize("headers", [EVIL, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}, {"Origin": "https://["}, {}])
def test_cookie_from_another_site(house: House, operation: str, headers: dict[str, str]):
    """The cookie is not accepted from a page of another site: nothing is rotated, ended or cleared."""
    login = house.login(transport="cookie_only")
    before = house.rows()
    cookie = {"Cookie": sent_back(login)["Cookie"]}
    answer = house.client.post(f"/auth/{operation}", headers=cookie | headers)
    assert error(answer, 403) == "cross_site_refused"
    assert cookies(answer) == {}
    assert house.rows() == before


def test_cookie_without_headers_needs_json(house: House):
    """A browser that says nothing of where it comes from refreshes with a JSON body, which no form can send."""
    cookie = {"Cookie": sent_back(house.login(transport="cookie"))["Cookie"]}
    assert house.client.post("/auth/refresh", json={}, headers=cookie).status_code == 200
    form = house.client.post("/auth/refresh", content=b"{}", headers=cookie | {"Content-Type": "text/plain"})
    assert error(form, 415) == "wrong_media_type"


@pytest.mark.parametrize("operation", ["refresh", "logout"])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_no_token_at_all(house: House, operation: str, body: bytes):
    """Without a token in the body or the cookie the request is refused, and says what to send."""
    answer = house.client.post(f"/auth/{operation}", content=body, headers=SAME_ORIGIN | {"Content-Type": "application/json"})
    assert error(answer) == "invalid_request"
    assert "refresh_token" in answer.json()["error_description"]


@pytest.mark.parametrize("operation", ["refresh", "logout"])
def test_two_cookies_of_one_name(house: House, operation: str):
    """Two refresh cookies are refused, whichever comes first; a look-alike is nobody's."""
    sent = sent_back(house.login(transport="cookie"))
    genuine = sent["Cookie"]
    for both in (f"{genuine}; {REFRESH_COOKIE}=evil", f"{REFRESH_COOKIE}=evil; {genuine}", f"{genuine}; {genuine}"):
        assert error(house.client.post(f"/auth/{operation}", headers=sent | {"Cookie": both})) == "invalid_request"
    lookalike = {"Cookie": f"{genuine}; {REFRESH_COOKIE.upper()}=evil; __host-stagedoor_refresh=evil"}
    assert house.client.post(f"/auth/{operation}", headers=sent | lookalike).status_code in (200, 204)


def test_lost_reply(house: House):
    """The retry after a lost reply gets the same refresh token again, and a fresh access token."""
    first = house.tokens()["refresh_token"]
    lost, retried = house.refresh(first).json(), house.refresh(first).json()
    assert retried["refresh_token"] == lost["refresh_token"]
    assert retried["access_token"] != lost["access_token"]
    assert house.rotated(retried["refresh_token"]) != retried["refresh_token"]


def test_lost_reply_in_cookies(house: House):
    """A lost reply in cookies is repeated in the same cookies."""
    sent = sent_back(house.login(transport="cookie_only"))
    lost, retried = (cookies(house.client.post("/auth/refresh", headers=sent)) for _ in range(2))
    assert retried[REFRESH_COOKIE] == lost[REFRESH_COOKIE]


def test_lost_reply_with_an_attempt_id(house: House):
    """With the same attempt id the reply is repeated at any later time; with another, or none, it is a reuse."""
    first = house.tokens()["refresh_token"]
    lost = house.refreshed(first, ATTEMPT)
    house.clock.forward(7 * 86_400)
    assert house.refreshed(first, ATTEMPT) == lost
    house.clock.forward(WINDOW)
    assert error(house.refresh(first, OTHER_ATTEMPT)) == "invalid_grant"
    assert error(house.refresh(lost)) == "invalid_grant"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "short",
        "x" * 15,
        "x" * 256,
        "attempt 0123456789",
        "attempt\t0123456789",
        b"attempt-\xc3\xa40123456789",
        b"attempt-\xff0123456789",
    ],
)
def test_a_bad_attempt_id(house: House, value: Any):
    """An Idempotency-Key is 16 to 255 visible ASCII characters; with any other nothing is rotated."""
    token = house.tokens()["refresh_token"]
    before = house.rows()
    assert error(house.refresh(token, {"Idempotency-Key": value})) == "invalid_request"
    assert house.rows() == before


@pytest.mark.parametrize("value", ["x" * 16, "x" * 255, "!~" * 8])
def test_a_good_attempt_id(house: House, value: str):
    """The shortest and the longest attempt id are taken."""
    assert house.refresh(house.tokens()["refresh_token"], {"Idempotency-Key": value}).status_code == 200


def test_two_attempt_ids(house: House):
    """An Idempotency-Key that was sent twice is refused, and nothing is rotated."""
    token = house.tokens()["refresh_token"]
    before = house.rows()
    headers = [(name, value) for name, value in (*ATTEMPT.items(), *ATTEMPT.items())]
    assert error(house.client.post("/auth/refresh", json={"refresh_token": token}, headers=headers)) == "invalid_request"
    assert house.rows() == before


def test_reuse_ends_that_session_only(house: House):
    """A genuinely older token ends its own session, access token included, and no other of the account."""
    stolen, other, of_ben = house.tokens(), house.tokens(), house.tokens("ben")
    last = house.rotated(house.refreshed(stolen["refresh_token"]))
    assert error(house.refresh(stolen["refresh_token"])) == "invalid_grant"
    assert error(house.refresh(last)) == "invalid_grant"
    assert error(house.me(stolen["access_token"]), 401) == "invalid_token"
    for untouched in (other, of_ben):
        assert house.me(untouched["access_token"]).status_code == 200
        assert house.refresh(untouched["refresh_token"]).status_code == 200


def test_refusals_are_one(house: House):
    """Unknown, expired, revoked, reused and forged tokens are refused with the same bytes, in body and cookie; cookies stay."""
    reused = house.tokens()["refresh_token"]
    house.rotated(house.refreshed(reused))
    revoked = house.tokens()["refresh_token"]
    house.logout(revoked)
    strangers = house.issuer_on(MemoryStore())

    async def unknown() -> str:
        return (await strangers.issue("user-ada")).refresh_token

    dead = [house.client.portal.call(unknown), revoked, reused]
    genuine = house.tokens()["refresh_token"]
    dead += [
        genuine[:-1],
        genuine + "A",
        genuine[:-2] + ("AA" if genuine[-2:] != "AA" else "BB"),
        "sdr_",
        "garbage",
        house.tokens()["access_token"],
    ]
    answers = [answer for token in dead for answer in both_ways(house, token)]
    house.clock.forward(31 * 86_400)
    answers += both_ways(house, genuine)
    assert {error(answer) for answer in answers} == {"invalid_grant"}
    assert {answer.status_code for answer in answers} == {400}
    assert len({(answer.content, tuple(sorted(answer.headers.items()))) for answer in answers}) == 1
    assert all(cookies(answer) == {} for answer in answers)


def both_ways(house: House, token: str) -> list[Any]:
    in_cookies = [SAME_ORIGIN | {"Cookie": f"{REFRESH_COOKIE}={value}"} for value in (token, token + ".only", token + ".only.only")]
    return [house.refresh(token), *(house.client.post("/auth/refresh", headers=headers) for headers in in_cookies)]


def test_the_mark_of_a_cookie_belongs_to_cookies(house: House):
    """What stands behind the token in a cookie is no part of it: in a body it is no token."""
    login = house.login(transport="cookie_only")
    assert error(house.refresh(cookies(login)[REFRESH_COOKIE][0])) == "invalid_grant"


def test_an_access_token_is_no_refresh_token(house: House):
    """The access token refreshes nothing, and the refresh token opens nothing."""
    found = house.tokens()
    assert error(house.refresh(found["access_token"])) == "invalid_grant"
    assert error(house.me(found["refresh_token"]), 401) == "invalid_token"
    assert error(house.client.post("/auth/refresh", headers=bearer(found["refresh_token"]))) == "invalid_request"


def test_an_expired_access_token_is_refused_and_refreshed(house: House):
    """At its end the access token opens nothing more, and the refresh token brings another."""
    found = house.tokens()
    house.clock.forward(899)
    assert house.me(found["access_token"]).status_code == 200
    house.clock.forward(1)
    answer = house.me(found["access_token"])
    assert error(answer, 401) == "invalid_token"
    assert "expired" in answer.headers["www-authenticate"]
    assert house.me(house.refresh(found["refresh_token"]).json()["access_token"]).status_code == 200
