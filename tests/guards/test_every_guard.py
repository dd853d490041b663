"""One table of cases, run over each guard: the same words everywhere."""

from dataclasses import dataclass, field

import pytest
from starlette.testclient import TestClient

from guards.material import (
    APPS,
    AUDIENCE,
    CHECKS,
    ISSUER,
    KEYS,
    NAME,
    OTHER_KEYS,
    PARTNER,
    Headers,
    bearer,
    client,
    cookie,
    issuer,
    revoked,
    token,
    with_another_signature,
)
from stagedoor.guards.cookies import ACCESS_COOKIE
from stagedoor.testing.clock import FixedClock

GOOD = token()
WRITER = token("orders:read orders:write")
EXPIRED = token(by=issuer(clock=FixedClock(FixedClock().now - 901)))
FUTURE = token(by=issuer(clock=FixedClock(FixedClock().now + 60)))
OTHER_KIND = KEYS.sign({"iss": NAME, "aud": AUDIENCE, "sub": "ada"}, typ="invitation+jwt", expires="1h")
SAME_SITE: Headers = [("Sec-Fetch-Site", "same-site")]
SAME_ORIGIN: Headers = [("Sec-Fetch-Site", "same-origin")]
EVIL: Headers = [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")]


@dataclass
class Case:
    name: str
    headers: Headers
    error: str | None = None
    status: int = 401
    path: str = "/any"
    method: str = "GET"
    challenge: str = field(default="")


INVALID = 'Bearer realm="stagedoor", error="invalid_token", error_description="The access token is not valid."'
NOT_FOR_THIS = 'Bearer realm="stagedoor", error="invalid_token", error_description="The access token is not meant for this use."'
NO_TOKEN = 'Bearer realm="stagedoor"'

CASES = [
    Case("header", bearer(GOOD)),
    Case("scheme in lower case", [("Authorization", f"bearer {GOOD}")]),
    Case("cookie", cookie(GOOD)),
    Case("scope held", bearer(GOOD), path="/read"),
    Case("both scopes held", bearer(WRITER), path="/two"),
    Case("both scopes held, asked in one text", bearer(WRITER), path="/two-in-one"),
    Case("no token", [], "token_missing", challenge=NO_TOKEN),
    Case("another scheme", [("Authorization", "Basic YWRhOnB3")], "token_missing", challenge=NO_TOKEN),
    Case("an empty cookie", cookie(""), "token_missing", challenge=NO_TOKEN),
    Case("a look-alike cookie", [("Cookie", f"__HOST-stagedoor_access={GOOD}")], "token_missing", challenge=NO_TOKEN),
    Case("a token in the query", [], "token_missing", path=f"/any?access_token={GOOD}", challenge=NO_TOKEN),
    Case("garbage", bearer("garbage"), "invalid_token", challenge=INVALID),
    Case("a tab after the scheme", [("Authorization", f"Bearer\t{GOOD}")], "invalid_token", challenge=INVALID),
    Case("no token after the scheme", [("Authorization", "Bearer")], "invalid_token", challenge=INVALID),
    Case("not ASCII", [("Authorization", b"Bearer \xc3\xa4\xff")], "invalid_token", challenge=INVALID),
    Case("a cookie that is not ASCII", [("Cookie", ACCESS_COOKIE.encode() + b"=\xc3\xa4\xff")], "invalid_token", challenge=INVALID),
    Case("oversized", bearer("x" * (8 * 1024 + 1)), "invalid_token", challenge=INVALID),
    Case("another signature", bearer(with_another_signature(GOOD)), "invalid_token", challenge=INVALID),
    Case("another key", bearer(token(by=issuer(keys=OTHER_KEYS))), "invalid_token", challenge=INVALID),
    Case("a refresh token", bearer(ISSUER.issue("ada").refresh_token), "invalid_token", challenge=INVALID),
    Case("another audience", bearer(token(by=issuer(audience="https://other.example"))), "invalid_token", challenge=NOT_FOR_THIS),
    Case("another kind of token", bearer(OTHER_KIND), "invalid_token", challenge=NOT_FOR_THIS),
    Case("expired", bearer(EXPIRED), "invalid_token", challenge=INVALID.replace("is not valid", "has expired")),
    Case("expired, in the cookie", cookie(EXPIRED), "invalid_token", challenge=INVALID.replace("is not valid", "has expired")),
    Case("not valid yet", bearer(FUTURE), "invalid_token", challenge=INVALID.replace("valid.", "valid yet.")),
    Case("revoked", bearer(revoked()), "invalid_token", challenge=INVALID.replace("is not valid", "has been revoked")),
    Case("two headers", bearer(GOOD) + bearer(GOOD), "invalid_request", 400),
    Case("two cookies", cookie(GOOD) + cookie(GOOD), "invalid_request", 400),
    Case("a second cookie, empty", cookie(GOOD) + cookie(""), "invalid_request", 400),
    Case("scope not held", bearer(token("")), "insufficient_scope", 403, "/read", challenge='scope="orders:read"'),
    Case("one scope of two", bearer(GOOD), "insufficient_scope", 403, "/two", challenge='scope="orders:read orders:write"'),
    Case("no scope implies another", bearer(token("orders")), "insufficient_scope", 403, "/read"),
    Case("the header wins over the cookie", bearer(GOOD) + cookie("garbage")),
    Case("a bad header is not mended by a good cookie", bearer("garbage") + cookie(GOOD), "invalid_token"),
    Case("a header from another site's page", bearer(GOOD) + cookie(GOOD) + EVIL, method="POST"),
    Case("a cookie from another site's page, to read", cookie(GOOD) + EVIL),
    Case("a cookie from another site's page, to look", cookie(GOOD) + EVIL, method="HEAD"),
    Case("a cookie from another site's page, to change", cookie(GOOD) + EVIL, "cross_site_refused", 403, method="POST"),
    Case("a cookie from another site's page, to delete", cookie(GOOD) + EVIL, "cross_site_refused", 403, method="DELETE"),
    Case("a cookie from a sibling's page", cookie(GOOD) + SAME_SITE, "cross_site_refused", 403, method="POST"),
    Case("a cookie from nowhere known", cookie(GOOD), "cross_site_refused", 403, method="POST"),
    Case("a cookie from nowhere known, in JSON", [*cookie(GOOD), ("Content-Type", "application/json")], method="POST"),
    Case("a cookie from an own page", cookie(GOOD) + SAME_ORIGIN, method="POST"),
    Case("a cookie from a page on the list", cookie(GOOD) + SAME_SITE + [("Origin", PARTNER)], method="POST"),
    Case("a cookie from a sandbox", [*cookie(GOOD), *SAME_ORIGIN, ("Origin", "null")], "cross_site_refused", 403, method="POST"),
    Case("an Origin that is no origin", [*cookie(GOOD), ("Origin", "https://[")], "cross_site_refused", 403, method="POST"),
    Case("two Origins", [*cookie(GOOD), ("Origin", NAME), ("Origin", NAME)], "invalid_request", 400, method="POST"),
    Case("a guard for headers only, header", bearer(GOOD), path="/header-only"),
    Case("a guard for headers only, cookie", cookie(GOOD), "token_missing", path="/header-only", challenge=NO_TOKEN),
    Case("a guard for headers only, two cookies", cookie(GOOD) + cookie(GOOD), "token_missing", path="/header-only"),
    *(Case(f"own check: {name}", bearer(GOOD), path=f"/check/{name}") for name in CHECKS if name.startswith("yes")),
    *(
        Case(f"own check: {name}", bearer(GOOD), "access_denied", 403, f"/check/{name}")
        for name in ("no", "no-async", "none", "truthy", "one")
    ),
    Case("own check: raising", bearer(GOOD), "insufficient_scope", 403, "/check/raising", challenge='scope="orders:own"'),
    Case("own check: not asked about a bad token", bearer("garbage"), "invalid_token", path="/check/yes"),
]


@pytest.fixture(scope="module")
def clients() -> dict[str, TestClient]:
    return {kind: client(build()) for kind, build in APPS.items()}


@pytest.mark.parametrize("kind", APPS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(clients: dict[str, TestClient], kind: str, case: Case):
    """Each guard lets the request pass, or refuses it with this status, error and challenge."""
    answer = clients[kind].request(case.method, case.path, headers=case.headers)
    if case.error is None:
        assert answer.status_code == 200
        assert case.method == "HEAD" or answer.json() == {"subject": "ada"}
        return
    assert answer.status_code == case.status
    assert answer.json().keys() == {"error", "error_description"}
    assert answer.json()["error"] == case.error
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) is (case.status in (401, 403))
    assert case.challenge in answer.headers.get("www-authenticate", "")
    if case.challenge == NO_TOKEN:
        assert answer.headers["www-authenticate"] == NO_TOKEN


@pytest.mark.parametrize("case", [case for case in CASES if case.error], ids=lambda case: case.name)
def test_refusals_are_the_same_in_every_guard(clients: dict[str, TestClient], case: Case):
    """A refusal is byte for byte the same whichever guard refuses."""
    answers = [each.request(case.method, case.path, headers=case.headers) for each in clients.values()]
    assert len({(answer.status_code, answer.content, tuple(sorted(answer.headers.items()))) for answer in answers}) == 1


@pytest.mark.parametrize("kind", ["starlette", "fastapi"])
@pytest.mark.parametrize(
    ("headers", "subject"),
    [([], None), (cookie(""), None), ([("Authorization", "Basic YWRhOnB3")], None), (bearer(GOOD), "ada"), (cookie(GOOD), "ada")],
    ids=["none", "empty cookie", "another scheme", "header", "cookie"],
)
def test_optional_login(clients: dict[str, TestClient], kind: str, headers: Headers, subject: str | None):
    """Behind an optional guard a request without a token passes as nobody's."""
    answer = clients[kind].get("/optional", headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"subject": subject})


@pytest.mark.parametrize("kind", ["starlette", "fastapi"])
@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        (bearer("garbage"), 401, "invalid_token"),
        (bearer(EXPIRED), 401, "invalid_token"),
        (cookie(EXPIRED), 401, "invalid_token"),
        ([("Authorization", "Bearer")], 401, "invalid_token"),
        ([("Authorization", f"Bearer\t{GOOD}")], 401, "invalid_token"),
        (bearer(GOOD) + bearer(GOOD), 400, "invalid_request"),
    ],
    ids=["garbage", "expired", "expired cookie", "no token", "tab", "two headers"],
)
def test_optional_login_refuses_a_bad_token(clients: dict[str, TestClient], kind: str, headers: Headers, status: int, error: str):
    """Behind an optional guard a bad token is refused, never taken for none."""
    answer = clients[kind].get("/optional", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


@pytest.mark.parametrize("kind", ["starlette", "fastapi"])
def test_optional_login_with_a_check(clients: dict[str, TestClient], kind: str):
    """An own check behind an optional guard is asked about tokens only."""
    assert clients[kind].get("/optional/no").json() == {"subject": None}
    assert clients[kind].get("/optional/no", headers=bearer(GOOD)).json()["error"] == "access_denied"


@pytest.mark.parametrize("kind", ["starlette", "fastapi"])
def test_optional_login_by_cookie_needs_the_same_origin(clients: dict[str, TestClient], kind: str):
    """A cookie that another site's page sends along to change something is refused, not taken for none."""
    assert clients[kind].post("/optional", headers=cookie(GOOD) + EVIL).json()["error"] == "cross_site_refused"


@pytest.mark.parametrize("kind", APPS)
def test_a_check_that_breaks_lets_nobody_in(kind: str, monkeypatch: pytest.MonkeyPatch):
    """An own check that raises anything but an AuthError breaks the request: it never passes."""

    def broken(found: object, request: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setitem(CHECKS, "no", broken)
    with pytest.raises(ZeroDivisionError):
        client(APPS[kind]()).get("/check/no", headers=bearer(GOOD))
