"""Administration: whoever has the scope ends others' sessions, keys and everything; nobody else learns what there is."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from endpoints.house import EVIL, NAME, House, authenticate, bearer, error, sent_back
from endpoints.test_sessions import session_id
from stagedoor import Issuer, KeySet, Peppers, Scope
from stagedoor.encoding import decode
from stagedoor.endpoints import Account, Endpoints
from stagedoor.revocation import AHEAD
from stagedoor.stores.memory import MemoryStore
from stagedoor.stores.sql import SyncSQLStore

ADMIN = "stagedoor:admin"
OPERATIONS = [
    ("GET", "/auth/admin/subjects/user-ada/sessions"),
    ("DELETE", "/auth/admin/subjects/user-ada/sessions"),
    ("DELETE", "/auth/admin/sessions/x"),
    ("DELETE", "/auth/admin/keys/x"),
    ("POST", "/auth/admin/revoke-everything"),
]


def with_admin(username: str, password: str) -> Account | None:
    if (username, password) == ("ruth", "the password of ruth"):
        return Account("user-ruth", Scope([ADMIN]), {"username": "ruth"})
    return authenticate(username, password)


@pytest.fixture
def house(build: Callable[..., House], folder: Path | None) -> House:
    return build(folder, authenticate=with_admin, admin_scope=ADMIN)


def call(house: House, method: str, path: str, token: dict[str, Any], **request: Any) -> httpx2.Response:
    return house.client.request(method, f"/auth/admin/{path}", headers=bearer(token["access_token"]), **request)


def ruth(house: House) -> dict[str, Any]:
    found: dict[str, Any] = house.login("ruth", password="the password of ruth").json()
    return found


def test_sessions_of_a_subject(house: House):
    """An administrator sees anybody's live sessions, and none of who is unknown; a glance ends none."""
    admin, first, second = ruth(house), house.tokens(), house.tokens()
    answer = call(house, "GET", "subjects/user-ada/sessions", admin)
    assert answer.headers["cache-control"] == "no-store"
    assert {each["id"] for each in answer.json()["sessions"]} == {session_id(first), session_id(second)}
    assert {each["current"] for each in answer.json()["sessions"]} == {False}
    (own,) = call(house, "GET", "subjects/user-ruth/sessions", admin).json()["sessions"]
    assert (own["id"], own["current"]) == (session_id(admin), True)
    assert call(house, "GET", "subjects/nobody/sessions", admin).json() == {"sessions": []}


def test_end_a_session(house: House):
    """One session of another ends, at once, and no other; who ended it stands in the store."""
    admin, first, second = ruth(house), house.tokens(), house.tokens()
    assert call(house, "DELETE", f"sessions/{session_id(first)}", admin).status_code == 204
    assert error(house.me(first["access_token"]), 401) == "invalid_token"
    assert error(house.refresh(first["refresh_token"])) == "invalid_grant"
    assert house.me(second["access_token"]).status_code == 200
    assert error(call(house, "DELETE", f"sessions/{session_id(first)}", admin), 404) == "not_found"
    assert "ended_by_administrator user-ruth" in str(house.rows())


def test_end_all_of_a_subject(house: House):
    """All sessions of one subject end, and may be ended again; the others go on."""
    admin, first, second, of_ben = ruth(house), house.tokens(), house.tokens(), house.tokens("ben")
    for _ in range(2):
        assert call(house, "DELETE", "subjects/user-ada/sessions", admin).status_code == 204
    for found in (first, second):
        assert error(house.me(found["access_token"]), 401) == "invalid_token"
        assert error(house.refresh(found["refresh_token"])) == "invalid_grant"
    assert house.me(of_ben["access_token"]).status_code == 200
    assert call(house, "DELETE", "subjects/nobody/sessions", admin).status_code == 204


def test_retire_a_key(build: Callable[..., House]):
    """Nothing that the key has signed is accepted any more, the administrator's own token either; sessions go on under the next key."""
    house = build(authenticate=with_admin, admin_scope=ADMIN, keys=KeySet.generate())
    admin, found = ruth(house), house.tokens()
    assert error(call(house, "DELETE", "keys/no-such-key", admin), 404) == "not_found"
    kid = house.issuer.verifier().verify(found["access_token"]).key_id
    assert call(house, "DELETE", f"keys/{kid}", admin).status_code == 204
    assert kid not in [key["kid"] for key in house.client.get("/.well-known/jwks.json").json()["keys"]]
    for token in (admin, found):
        assert error(house.me(token["access_token"]), 401) == "invalid_token"
        assert house.me(house.refresh(token["refresh_token"]).json()["access_token"]).status_code == 200


def test_revoke_everything(house: House):
    """Whatever was issued is refused at once, logins are 503 until that is known everywhere, and then people log in again."""
    admin, found = ruth(house), house.tokens()
    answer = call(house, "POST", "revoke-everything", admin)
    assert answer.json() == {"through": int(house.clock.now) + 1 + AHEAD}
    for token in (admin, found):
        assert error(house.me(token["access_token"]), 401) == "invalid_token"
    for refused in (house.login(), house.refresh(found["refresh_token"])):
        assert error(refused, 503) == "temporarily_unavailable"
        assert 1 <= int(refused.headers["retry-after"]) <= AHEAD + 3
    house.clock.forward(int(refused.headers["retry-after"]))
    assert error(house.refresh(found["refresh_token"])) == "invalid_grant"
    fresh = house.tokens()
    assert house.me(fresh["access_token"]).status_code == 200
    (listed,) = call(house, "GET", "subjects/user-ada/sessions", ruth(house)).json()["sessions"]
    assert listed["id"] == session_id(fresh)


def test_nobody_else(house: House):
    """Without the scope nothing is done, nor told whether it could be: what is there and what is not are refused in the same bytes."""
    found, admin = house.tokens(), ruth(house)
    narrowed = house.client.post("/auth/refresh", json={"refresh_token": admin["refresh_token"], "scope": ""}).json()
    names = ("nobody", "user-ada", session_id(found))
    before = house.rows()
    for method, path in OPERATIONS:
        assert error(house.client.request(method, path), 401) == "token_missing"
        for token in (found, narrowed):
            answers = []
            for name in names:
                named = path.replace("user-ada", name).replace("/x", f"/{name}")
                answers.append(house.client.request(method, named, headers=bearer(token["access_token"])))
                assert error(answers[-1], 403) == "insufficient_scope"
                assert f'scope="{ADMIN}"' in answers[-1].headers["www-authenticate"]
            assert len({answer.content for answer in answers}) == 1
    assert house.rows() == before
    assert house.me(found["access_token"]).status_code == 200


def test_another_sites_page(house: House):
    """The administrator's cookie is not accepted from a page of another site, except for looking."""
    cookie = {"Cookie": sent_back(house.login("ruth", password="the password of ruth", transport="cookie_only"))["Cookie"]}
    for method, path in OPERATIONS:
        for headers in (EVIL, {"Origin": "null"}, {}):
            answer = house.client.request(method, path, headers=cookie | headers)
            if method == "GET":
                assert answer.status_code == 200
            else:
                assert error(answer, 403) == "cross_site_refused"


ODD = ["%00", "a%00b", "%FF", "%ED%A0%80", "%C3%A4", "..%2e", "A" * 1025, "A" * 7000, "' OR 1=1 --", "a%2Fb", "=", "{x}"]


def test_odd_names(house: House, caplog: pytest.LogCaptureFixture):
    """Whatever stands in a path names nothing, or somebody who has no session: never an accident."""
    caplog.set_level(logging.DEBUG)
    admin = ruth(house)
    before = house.rows()
    for odd in ODD:
        assert call(house, "GET", f"subjects/{odd}/sessions", admin).status_code in (404, 200)
        assert call(house, "DELETE", f"subjects/{odd}/sessions", admin).status_code in (404, 204)
        for kind in ("sessions", "keys"):
            assert call(house, "DELETE", f"{kind}/{odd}", admin).status_code == 404
    assert house.rows() == before
    assert not [line for line in caplog.records if line.levelno >= logging.ERROR]


def test_a_wrong_method(house: House):
    """A path with two operations names the methods of both."""
    answer = house.client.put("/auth/admin/subjects/user-ada/sessions")
    assert error(answer, 405) == "method_not_allowed"
    assert answer.headers["allow"] == "GET, HEAD, DELETE"
    assert house.client.get("/auth/admin/revoke-everything").headers["allow"] == "POST"


def test_an_ended_administrator(house: House):
    """Who has ended the own session is no administrator any more."""
    admin, found = ruth(house), house.tokens()
    assert call(house, "DELETE", f"sessions/{session_id(admin)}", admin).status_code == 204
    assert error(call(house, "DELETE", f"sessions/{session_id(found)}", admin), 401) == "invalid_token"
    assert house.me(found["access_token"]).status_code == 200


def test_the_store_is_asked(build: Callable[..., House], tmp_path: Path):
    """Whose session another process has ended is refused with the next call, before anybody has heard of it."""
    house = build(tmp_path, authenticate=with_admin, admin_scope=ADMIN)
    admin, found = ruth(house), house.tokens()
    another = SyncSQLStore(f"sqlite:///{house.file}")
    for _ in range(3):
        assert call(house, "GET", "subjects/user-ada/sessions", admin).status_code == 200
        assert another.revoke(decode(session_id(admin)), "logout", house.clock.now)
        assert error(call(house, "DELETE", f"sessions/{session_id(found)}", admin), 401) == "invalid_token"
        admin = ruth(house)
    another.close()
    assert house.me(found["access_token"]).status_code == 200


def test_off_unless_asked_for(build: Callable[..., House]):
    """Without admin_scope there are no such operations, whatever scope an account has."""
    house = build(authenticate=with_admin)
    admin = ruth(house)
    for method, path in OPERATIONS:
        assert house.client.request(method, path, headers=bearer(admin["access_token"])).status_code == 404


@pytest.mark.parametrize(("scope", "mistake"), [("", ValueError), ('"', ValueError), (Scope([ADMIN]), TypeError), (True, TypeError)])
def test_a_mistake_in_the_scope(scope: Any, mistake: type[Exception]):
    """A scope that everybody would have is a mistake at construction."""
    issuer = Issuer(NAME, audience=NAME, store=MemoryStore(), keys=KeySet.generate(), peppers=Peppers.generate())
    with pytest.raises(mistake):
        Endpoints(issuer, authenticate, admin_scope=scope)


EVENTS = {
    "logout": ([("session_revoked", "logout")], lambda h, admin, ada: h.logout(ada["refresh_token"])),
    "logout of all": (
        [("session_revoked", "logout_all"), ("subject_revoked", "logout_all: 1 live")],
        lambda h, admin, ada: h.client.post("/auth/logout-all", headers=bearer(ada["access_token"])),
    ),
    "own session": (
        [("session_revoked", "ended_by_owner")],
        lambda h, admin, ada: h.client.delete(f"/auth/sessions/{session_id(ada)}", headers=bearer(ada["access_token"])),
    ),
    "another's session": (
        [("session_revoked", "ended_by_administrator user-ruth")],
        lambda h, admin, ada: call(h, "DELETE", f"sessions/{session_id(ada)}", admin),
    ),
    "all of another": (
        [("session_revoked", "ended_by_administrator user-ruth"), ("subject_revoked", "ended_by_administrator user-ruth: 1 live")],
        lambda h, admin, ada: call(h, "DELETE", "subjects/user-ada/sessions", admin),
    ),
    "reuse": ([("refresh_token_reused", "stale_lineage")], lambda h, admin, ada: reuse(h, ada)),
    "a key": ([("key_revoked", "…")], lambda h, admin, ada: call(h, "DELETE", f"keys/{h.issuer.keys.signing(h.clock.now).kid}", admin)),
    "everything": ([("everything_revoked", "…")], lambda h, admin, ada: call(h, "POST", "revoke-everything", admin)),
}


def reuse(house: House, pair: dict[str, Any]) -> httpx2.Response:
    house.rotated(house.rotated(pair["refresh_token"]))
    house.clock.forward(60)
    return house.refresh(pair["refresh_token"])


@pytest.mark.parametrize(("told", "way"), EVENTS.values(), ids=EVENTS)
def test_one_event_each(house: House, caplog: pytest.LogCaptureFixture, told: list[tuple[str, str]], way: Callable[..., httpx2.Response]):
    """Each way to end something tells one event of its own, beside one for each session that ended."""
    admin, ada = ruth(house), house.tokens()
    caplog.set_level(logging.INFO, "stagedoor.events")
    caplog.clear()
    assert way(house, admin, ada).status_code in (200, 204, 400)
    events = [line.args for line in caplog.records if line.name == "stagedoor.events"]
    found = [(name, detail) for name, _, _, detail in events if not name.startswith("refresh_rotated")]  # type: ignore[misc, union-attr]
    assert [(name, detail if said == "…" else said) for (name, detail), (_, said) in zip(found, told, strict=True)] == found
    assert [name for name, _ in found] == [name for name, _ in told]


def test_openapi():
    """The operations are documented with their parameters, models and every status; without admin_scope they are not there."""
    paths = House("fastapi", None, admin_scope=ADMIN).app.openapi()["paths"]
    found = {(method, path): row for path, item in paths.items() for method, row in item.items() if path.startswith("/auth/admin")}
    named = {400, 401, 403, 404, 413, 503}
    assert {key: {int(status) for status in row["responses"]} for key, row in found.items()} == {
        ("get", "/auth/admin/subjects/{subject}/sessions"): {200, *named},
        ("delete", "/auth/admin/subjects/{subject}/sessions"): {204, *named},
        ("delete", "/auth/admin/sessions/{id}"): {204, *named},
        ("delete", "/auth/admin/keys/{kid}"): {204, *named},
        ("post", "/auth/admin/revoke-everything"): {200, *named} - {404},
    }
    for (_, path), row in found.items():
        assert row["security"] == [{"AccessToken": []}]
        assert [f"{{{each['name']}}}" for each in row.get("parameters", ())] == [part for part in path.split("/") if part.startswith("{")]
        for status, answer in row["responses"].items():
            model = {"204": None, "200": "SessionsResponse" if "{subject}" in path else "EverythingRevoked"}.get(status, "ErrorResponse")
            reference = answer.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
            assert reference.rpartition("/")[2] == (model or "")
    assert not [path for path in House("fastapi", None).app.openapi()["paths"] if "admin" in path]
