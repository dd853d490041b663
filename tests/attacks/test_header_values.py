"""A20: Authorization headers that are none."""

from __future__ import annotations

from collections.abc import Iterator

from .over_http import OverHTTP
from .targets import HeaderCase, Target

BAD, NONE, TWICE = "token_malformed", "token_missing", "invalid_request"
VALUES = {
    BAD: (
        *("Bearer", "bearer", "Bearer {}", "Bearer  TOKEN", "Bearer\tTOKEN", "Bearer \tTOKEN", "Bearer TOKEN TOKEN", "Bearer TOKEN,TOKEN"),
        *("Bearer TOKEN, Basic dTpw", 'Bearer "TOKEN"', "Bearer 'TOKEN'"),
        *("Bearer <TOKEN>", "Bearer token=TOKEN", "Bearer: TOKEN", "Bearer, TOKEN"),
        *("Bearer Bearer TOKEN", "Bearer TOKEN=", "Bearer TOKEN;", "Bearer TOKEN#"),
        *("Bearer TOKEN\xa0x", "Bearer \xff\xfe", "Bearer \xe9", "Bearer ="),
        *("Bearer ====", "Bearer a/b+c", "Bearer null", "Bearer undefined"),
        *("Bearer [object Object]", "Bearer %s%n", "Bearer .", "Bearer ..", "Bearer *"),
        *("Bearer a.b.c", "Bearer " + "=" * 9000, "Bearer " + "a" * 9000),
        *("Bearer a" + " " * 9000 + "b", "Bearer=TOKEN", "Bearer/TOKEN", "Bearer\xa0TOKEN"),
    ),
    NONE: (
        *("", "TOKEN", "Basic dXNlcjpwYXNzd29yZA==", "Basic", "Digest username=x"),
        *("DPoP TOKEN", "JWT TOKEN", "Token TOKEN", "Negotiate x", "BearerTOKEN"),
        *("Bear TOKEN", "Bearers TOKEN", "_Bearer TOKEN", "\xffBearer TOKEN", '"Bearer" TOKEN', "=", ":", ",", "Basic TOKEN, Bearer TOKEN"),
        *("a" * 9000, "a" * 9000 + " TOKEN", "\xef\xbb\xbfBearer TOKEN", ": Bearer TOKEN"),
    ),
}  # fmt: skip


def cases(token: str) -> Iterator[HeaderCase]:
    genuine = token.encode()
    for code, values in VALUES.items():
        for value in values:
            yield HeaderCase(f"{value[:40]!r}", (b"Authorization: " + value.encode("latin-1").replace(b"TOKEN", genuine),), code)
    for other in (b"Bearer " + genuine, b"Basic dTpw", b""):
        yield HeaderCase(f"with {other[:8]!r}", (b"Authorization: Bearer " + genuine, b"Authorization: " + other), TWICE)


def test_a20_malformed_headers(target: Target):
    """A20: a header of another form is refused as a bad token or as none, two are a bad request; nothing raises."""
    target.refuse_lines(cases(target.given.tokens[0]))
    if isinstance(target, OverHTTP):
        genuine = target.given.tokens[0].encode()
        below = {
            "NUL": b"Bearer\0" + genuine,
            "a bell": b"Bearer \a" + genuine,
            "a line folded": b"Bearer\r\n " + genuine,
            "a bare CR": b"Bearer\r" + genuine,
        }
        target.refuse_lines(HeaderCase(name, (b"Authorization: " + value,), TWICE) for name, value in below.items())
