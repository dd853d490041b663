"""The Authorization header (RFC 6750 section 2.1)."""

import pytest

from stagedoor.errors import InvalidRequest, MalformedToken
from stagedoor.guards.bearer import bearer
from stagedoor.guards.headers import Headers


def sent(*values: bytes) -> Headers:
    return Headers([(b"authorization", value) for value in values])


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"bEaReR"])
@pytest.mark.parametrize("token", ["abc", "a.b.c", "-._~+/", "a==", "sdr_x"])
def test_the_token_is_read(scheme: bytes, token: str):
    """The scheme's name is read without regard to case, the token to the letter."""
    assert bearer(sent(scheme + b" " + token.encode())) == token


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Basic YWRhOnB3",
        b"DPoP abc",
        b"Bearerx abc",
        b"Bearer2",
        b"Bearer-abc",
        b"Bear er",
        b"Beare",
        b"Digest Bearer abc",
        b"\xff Bearer",
    ],
)
def test_another_scheme_is_no_token(value: bytes):
    """What names another scheme, however alike, is no bearer token."""
    assert bearer(sent(value)) is None


def test_no_header_is_no_token():
    """A request without the header carries no bearer token."""
    assert bearer(sent()) is None
    assert bearer(Headers([(b"x-authorization", b"Bearer abc"), (b"proxy-authorization", b"Bearer abc")])) is None


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer",
        b"Bearer ",
        b"Bearer  abc",
        b"Bearer\tabc",
        b"Bearer \tabc",
        b"Bearer\xa0abc",
        b"Bearer\x0babc",
        b"Bearer abc ",
        b"Bearer abc def",
        b"Bearer abc, Bearer def",
        b"Bearer,abc",
        b"Bearer=abc",
        b'Bearer "abc"',
        b"Bearer token=abc;",
        b"Bearer abc\n",
        b"Bearer a=b",
        b"Bearer =",
        b"Bearer a\x00b",
        b"Bearer \xc3\xa4",
        b"Bearer abc\xff",
    ],
)
def test_another_form_is_refused(value: bytes):
    """What names the scheme and has not its form is a malformed token, never none."""
    with pytest.raises(MalformedToken) as caught:
        bearer(sent(value))
    assert caught.value.code == "token_malformed"
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("second", [b"Bearer abc", b"Basic YWRhOnB3", b""])
def test_two_headers_are_refused(second: bytes):
    """A header sent twice is refused: two readers could take two of them."""
    with pytest.raises(InvalidRequest):
        bearer(sent(b"Bearer abc", second))


def test_a_long_value_costs_nothing():
    """A megabyte of blanks or of dots is judged at once."""
    for value in (b"Bearer" + b" " * 2**20, b"Bearer " + b"=" * 2**20):
        with pytest.raises(MalformedToken):
            bearer(sent(value))
    assert bearer(sent(b"Bearer " + b"." * 2**20)) == "." * 2**20
