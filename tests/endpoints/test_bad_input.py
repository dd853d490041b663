"""Bad input: always a 4xx in our shape, never repeated in an answer or a log line, and the store stays as it was."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from endpoints.house import ACCESS_COOKIE, PASSWORDS, REFRESH_COOKIE, SAME_ORIGIN, House, bearer, error

MARK = "mark-of-what-was-sent"
JSON = {"Content-Type": "application/json"}
KIB8 = 8 * 1024
BODIES = ["login", "refresh", "logout"]
"""Operations that read a body."""
OPERATIONS = [
    ("POST", "/auth/login"),
    ("POST", "/auth/refresh"),
    ("POST", "/auth/logout"),
    ("POST", "/auth/logout-all"),
    ("GET", "/auth/sessions"),
    ("DELETE", "/auth/sessions/x"),
    ("GET", "/auth/me"),
]


@pytest.fixture(scope="module", params=["starlette-memory", "starlette-sqlite", "fastapi-memory", "fastapi-sqlite"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the whole table: what is refused leaves no trace in it."""
    mount, store = request.param.split("-")
    house = House(mount, tmp_path_factory.mktemp("house") if store == "sqlite" else None)
    with house.client:
        house.tokens()
        yield house


@pytest.fixture
def refuse(shared: House, caplog: pytest.LogCaptureFixture) -> Callable[..., str]:
    """Send something; the `error` of its refusal, once all that each refusal must keep to is seen to."""
    caplog.set_level(logging.DEBUG)

    def send(method: str, path: str, status: int, **request: Any) -> str:
        before = shared.rows(), shared.counts()
        answer = shared.client.request(method, path, **request)
        told = error(answer, status)
        assert MARK not in answer.text + str(answer.headers)
        assert not [line for line in caplog.records if line.name.startswith("stagedoor") and MARK in line.getMessage()]
        assert not [line for line in caplog.records if line.levelno >= logging.ERROR]
        assert "set-cookie" not in answer.headers
        assert (shared.rows(), shared.counts()) == before
        return told

    return send


def text(**members: Any) -> bytes:
    return json.dumps(members).encode()


UNREADABLE = {
    "cut short": b'{"username": "' + MARK.encode(),
    "an opening bracket": b"{",
    "a blank": b" ",
    "an array": b'["mark-of-what-was-sent"]',
    "a text": b'"mark-of-what-was-sent"',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
    "single quotes": b"{'username': 'mark-of-what-was-sent'}",
    "a comma too many": b'{"username": "mark-of-what-was-sent",}',
    "a comment": b"{/* mark-of-what-was-sent */}",
    "two values": b'{}{"username": "mark-of-what-was-sent"}',
    "something behind": b"{} mark-of-what-was-sent",
    "a byte order mark": b'\xef\xbb\xbf{"username": "mark-of-what-was-sent"}',
    "Latin-1": '{"username": "mark-of-what-was-sent ä"}'.encode("latin-1"),
    "UTF-16": '{"username": "mark-of-what-was-sent"}'.encode("utf-16"),
    "UTF-32": '{"username": "mark-of-what-was-sent"}'.encode("utf-32"),
    "not UTF-8 in a member that nobody reads": b'{"x": "\xff mark-of-what-was-sent"}',
    "an overlong encoding": b'{"username": "\xc0\xaf"}',
    "an encoded surrogate": b'{"username": "\xed\xa0\x80"}',
    "an escaped surrogate": b'{"username": "\\ud800"}',
    "a control character": b'{"username": "a\x00b"}',
    "a bad escape": b'{"username": "\\x41"}',
    "one name twice": b'{"username": "mark-of-what-was-sent", "username": "b"}',
    "one name twice, once escaped": b'{"refresh_token": "mark-of-what-was-sent", "refresh_toke\\u006e": "b"}',
    "one name twice, deeper": b'{"x": {"mark-of-what-was-sent": 1, "mark-of-what-was-sent": 2}}',
    "NaN": b'{"x": NaN}',
    "Infinity": b'{"x": -Infinity}',
    "a number without end": b'{"x": 1e999}',
    "5000 digits": b'{"x": ' + b"1" * 5000 + b"}",
    "5000 digits behind the point": b'{"x": 0.' + b"1" * 5000 + b"}",
    "deep arrays": b'{"x": ' + b"[" * 4000 + b"]" * 4000 + b"}",
    "deep arrays that do not end": b"[" * KIB8,
    "deep objects": b'{"x":' * 1000 + b"1" + b"}" * 1000,
    "17 levels": b'{"x": ' + b"[" * 16 + b"]" * 16 + b"}",
    "quotes without end": b'{"' * 4000,
}


@pytest.mark.parametrize("operation", BODIES)
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_bodies(refuse: Callable[..., str], operation: str, body: bytes):
    """What is not one strict JSON object is refused."""
    assert refuse("POST", f"/auth/{operation}", 400, content=body, headers=JSON) == "invalid_request"


def login(**members: Any) -> bytes:
    """A good login but for these members; None leaves one out."""
    sent = {"username": "ada", "password": PASSWORDS["ada"]} | members
    return text(**{name: value for name, value in sent.items() if value is not ...})


WRONG = [1, 1.5, True, None, [], {}, [MARK], {MARK: MARK}, 10**30, ""]
LOGINS = {
    "nothing": b"",
    "no member": b"{}",
    "no username": login(username=...),
    "no password": login(password=...),
    "another case": text(Username="ada", PASSWORD=MARK),
    **{f"username {value!r:.20}": login(username=value) for value in WRONG},
    **{f"password {value!r:.20}": login(password=value) for value in WRONG},
    **{f"scope {value!r:.20}": login(scope=value) for value in WRONG if value not in (None, "")},
    **{f"transport {value!r:.20}": login(transport=value) for value in (*WRONG, MARK, "Cookie", "body ", "cookie,body")},
    "a long username": login(username=MARK * 20),
    "a long password": login(password=MARK * 100),
    "a long scope": login(scope=f"{MARK} " * 200),
}
TOKENS = {
    **{f"refresh_token {value!r:.20}": text(refresh_token=value) for value in WRONG},
    "a long token": text(refresh_token=MARK * 100),
}


@pytest.mark.parametrize("body", LOGINS.values(), ids=LOGINS)
def test_logins(refuse: Callable[..., str], body: bytes):
    """A login that lacks a member, or has one of a wrong type, size or value, is refused before a password is looked at."""
    assert refuse("POST", "/auth/login", 400, content=body, headers=JSON | SAME_ORIGIN) == "invalid_request"


@pytest.mark.parametrize("operation", ["refresh", "logout"])
@pytest.mark.parametrize("body", TOKENS.values(), ids=TOKENS)
def test_refresh_tokens(refuse: Callable[..., str], operation: str, body: bytes):
    """A refresh token of a wrong type or size is a bad request, also beside a cookie."""
    cookie = {"Cookie": f"{REFRESH_COOKIE}={MARK}"}
    assert refuse("POST", f"/auth/{operation}", 400, content=body, headers=JSON) == "invalid_request"
    assert refuse("POST", f"/auth/{operation}", 400, content=body, headers=JSON | SAME_ORIGIN | cookie) == "invalid_request"


@pytest.mark.parametrize(
    "token",
    [MARK, f"sdr_{MARK}", "ä" + MARK, "\x00", "sdr_" + "A" * 112, "sdr_" + "ä" * 112, "sdr_" + "=" * 112, " " * 116, "😀" * 1024],
)
def test_what_is_no_refresh_token(refuse: Callable[..., str], token: str):
    """A text that is no refresh token is refused as any other."""
    assert refuse("POST", "/auth/refresh", 400, json={"refresh_token": token}) == "invalid_grant"


@pytest.mark.parametrize("operation", BODIES)
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json-seq",
        b"\xff",
    ],
)
def test_media_types(refuse: Callable[..., str], operation: str, content_type: Any):
    """A body that does not say that it is JSON is refused, whatever it is."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert refuse("POST", f"/auth/{operation}", 415, content=login(refresh_token=MARK), headers=headers) == "wrong_media_type"


def test_two_media_types(refuse: Callable[..., str]):
    """Two content types are refused: two readers could take two of them."""
    headers = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    assert refuse("POST", "/auth/login", 400, content=login(), headers=headers) == "invalid_request"


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 1024):
        yield b"x" * 1024
    yield b"x" * (size % 1024)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("size", [KIB8 + 1, 2**20])
def test_oversized_bodies(refuse: Callable[..., str], method: str, path: str, size: int):
    """A body over 8 KiB is refused by its length, and where it states none, or a lie, by what comes."""
    assert refuse(method, path, 413, content=b"x" * size, headers=JSON) == "too_large"
    assert refuse(method, path, 413, content=chunks(size), headers=JSON) == "too_large"
    for lie in ("1", "0", "-1", "x", "", "0" * 20, b"\xb2"):
        assert refuse(method, path, 413, content=b"x" * size, headers=JSON | {"Content-Length": lie}) == "too_large"


def test_the_largest_body(shared: House):
    """A body of 8 KiB exactly is read."""
    body = login(padding="")
    body = login(padding="x" * (KIB8 - len(body)))
    assert len(body) == KIB8
    assert shared.client.post("/auth/login", content=body, headers=JSON).status_code == 200


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("length", ["8193", "9" * 20, "9" * 5000, "1" + "0" * 30])
def test_a_length_over_the_limit(refuse: Callable[..., str], method: str, path: str, length: str):
    """A body that announces itself as too large is refused before it is read."""
    assert refuse(method, path, 413, content=b"", headers={"Content-Length": length}) == "too_large"


def test_two_lengths(refuse: Callable[..., str]):
    """Two lengths are refused: behind a proxy that took the other, one request would become two."""
    headers = [("Content-Type", "application/json"), ("Content-Length", "2"), ("Content-Length", "3")]
    assert refuse("POST", "/auth/refresh", 400, content=b"{}", headers=headers) == "invalid_request"


@pytest.mark.parametrize(("method", "path"), [*OPERATIONS, ("GET", "/.well-known/jwks.json")])
@pytest.mark.parametrize("name", ["Cookie", "Authorization", "User-Agent", "X-Forwarded-For", "Idempotency-Key", "X-Anything"])
def test_oversized_headers(refuse: Callable[..., str], method: str, path: str, name: str):
    """Headers over 32 KiB together are refused, whichever they are."""
    assert refuse(method, path, 413, headers={name: MARK * 2000}) == "too_large"
    many = [(f"{name}-{number}", MARK * 20) for number in range(100)]
    assert refuse(method, path, 413, headers=many) == "too_large"


ODD = [b"\xff", b"\xc3\xa4", "ä".encode("utf-16"), b"\x00", b"\x7f", b"a\tb", b'"', b"=", b";", b",", b"%00", b"A" * 9000, MARK.encode()]


@pytest.mark.parametrize("operation", ["refresh", "logout"])
@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value[:10]))
def test_odd_cookies(refuse: Callable[..., str], shared: House, operation: str, value: bytes):
    """Whatever stands in the refresh cookie is no token: refused by refresh, cleared by logout, never an accident."""
    headers = {"Cookie": REFRESH_COOKIE.encode() + b"=x" + value, **SAME_ORIGIN}
    if operation == "refresh":
        assert refuse("POST", "/auth/refresh", 400, headers=headers) == "invalid_grant"
    else:
        assert shared.client.post("/auth/logout", headers=headers).status_code == 204


@pytest.mark.parametrize(("method", "path"), OPERATIONS[3:])
@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value[:10]))
def test_odd_access_tokens(refuse: Callable[..., str], method: str, path: str, value: bytes):
    """Whatever stands in the header or the access cookie is no access token."""
    assert refuse(method, path, 401, headers={"Authorization": b"Bearer x" + value}) == "invalid_token"
    assert refuse(method, path, 401, headers={"Cookie": ACCESS_COOKIE.encode() + b"=x" + value, **SAME_ORIGIN}) == "invalid_token"


@pytest.mark.parametrize(
    "name", ["Origin", "Sec-Fetch-Site", "Content-Type", "Host", "User-Agent", "X-Forwarded-For", "If-None-Match", "Accept"]
)
@pytest.mark.parametrize("value", [*ODD, b"https://[", b"http://\xbd", b"//", b"https://a:b:c"], ids=lambda value: repr(value[:10]))
def test_odd_headers_beside_a_cookie(shared: House, caplog: pytest.LogCaptureFixture, name: str, value: bytes):
    """No header, however odd, makes more of a request than a 4xx."""
    caplog.set_level(logging.DEBUG)
    for operation, headers in (("POST", "/auth/refresh"), {"Cookie": f"{REFRESH_COOKIE}={MARK}"}), (("GET", "/auth/me"), bearer(MARK)):
        answer = shared.client.request(*operation, headers={**headers, name: value})
        assert error(answer, answer.status_code)
        assert answer.status_code in (400, 401, 403)
        assert MARK not in answer.text + str(answer.headers)
        assert not [line for line in caplog.records if line.name.startswith("stagedoor") and MARK in line.getMessage()]


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "Origin", "Sec-Fetch-Site"])
def test_a_header_sent_twice(refuse: Callable[..., str], shared: House, name: str):
    """A header that decides something is refused when it is sent twice."""
    twice = [(name, "same-origin"), (name, "same-origin"), ("Cookie", f"{REFRESH_COOKIE}={MARK}"), ("Content-Type", "application/json")]
    method, path = ("GET", "/auth/me") if name == "Authorization" else ("POST", "/auth/refresh")
    if name == "Idempotency-Key":
        twice.append(("Sec-Fetch-Site", "same-origin"))
    assert refuse(method, path, 400, headers=twice) == "invalid_request"
