"""Cookies: which one is read, and what is set."""

import pytest

from stagedoor.errors import InvalidRequest
from stagedoor.guards.cookies import ACCESS_COOKIE, REFRESH_COOKIE, clear_cookie, read_cookie, set_cookie
from stagedoor.guards.headers import Headers

NAME = "__Host-token"


def sent(*values: bytes) -> Headers:
    return Headers([(b"cookie", value) for value in values])


@pytest.mark.parametrize(
    "values",
    [
        [b"__Host-token=abc"],
        [b"a=1; __Host-token=abc; b=2"],
        [b"a=1;__Host-token=abc;b=2"],
        [b"a=1;\t __Host-token=abc \t; b=2"],
        [b"a=1", b"__Host-token=abc", b"b=2"],
        [b"__Host-token=abc; __HOST-token=evil; __host-token=evil; __Host-Token=evil"],
        [b"__Host-token=abc; _Host-token=evil; __Host-token2=evil; x__Host-token=evil; __Secure-token=evil"],
        [b"__Host-token =evil; __Host-token=abc"],
        [b"\xa0__Host-token=evil; __Host-token=abc"],
        [b"\x0b__Host-token=evil; __Host-token=abc"],
        [b"x=__Host-token=evil; __Host-token=abc; y"],
        [b"x=1, __Host-token=evil; __Host-token=abc"],
        [b";;; =; __Host-token=abc;;"],
    ],
)
def test_the_cookie_of_exactly_this_name_is_read(values: list[bytes]):
    """One name, to the letter, among whatever else a browser or a neighbour has sent."""
    assert read_cookie(sent(*values), NAME) == "abc"


@pytest.mark.parametrize(
    "values",
    [[], [b""], [b"a=1"], [b"__HOST-token=evil"], [b"__host-token=evil"], [b"__Host-token="], [b"__Host-token"], [b"token=evil"]],
)
def test_no_cookie(values: list[bytes]):
    """Where there is none, or an empty one, nothing is read."""
    assert read_cookie(sent(*values), NAME) is None


@pytest.mark.parametrize(
    "values",
    [
        [b"__Host-token=abc; __Host-token=evil"],
        [b"__Host-token=abc; __Host-token=abc"],
        [b"__Host-token=abc", b"__Host-token=evil"],
        [b"__Host-token=; __Host-token=abc"],
        [b"__Host-token; __Host-token=abc"],
        [b"__Host-token=abc; a=1", b"b=2; __Host-token="],
    ],
)
def test_two_cookies_of_one_name_are_refused(values: list[bytes]):
    """Of two one may be planted: neither is taken, in one header or in several."""
    with pytest.raises(InvalidRequest) as caught:
        read_cookie(sent(*values), NAME)
    assert "abc" not in str(caught.value)


def test_a_value_is_read_to_the_letter():
    """Quotes, equals signs and escapes are part of the value."""
    assert read_cookie(sent(b'__Host-token="a=b%20c"'), NAME) == '"a=b%20c"'
    assert read_cookie(sent(b"__Host-token=\xff\xc3"), NAME) == "\xff\xc3"


@pytest.mark.parametrize("same_site", ["Lax", "Strict"])
def test_what_is_set(same_site: str):
    """A token's cookie is host-only, secure, for the whole site and out of reach of scripts."""
    name, *attributes = set_cookie(NAME, "abc", max_age=900, same_site=same_site).split("; ")
    assert name == "__Host-token=abc"
    assert sorted(attributes) == sorted(["Max-Age=900", "Path=/", "Secure", "HttpOnly", f"SameSite={same_site}"])


def test_what_is_cleared():
    """A cookie is forgotten under the same name, path and prefix rules, or a browser would not take the answer."""
    name, *attributes = clear_cookie(NAME).split("; ")
    assert name == "__Host-token="
    assert {"Max-Age=0", "Path=/", "Secure", "HttpOnly"} <= set(attributes)


def test_the_names():
    """Both cookies carry the prefix that no sibling domain can set (rfc6265bis section 4.1.3)."""
    assert ACCESS_COOKIE.startswith("__Host-")
    assert REFRESH_COOKIE.startswith("__Host-")
    assert ACCESS_COOKIE != REFRESH_COOKIE
