"""Headers that are known by their text: only of tokens whose signature held, and judged against the key and the expectation each time."""

from typing import Any

import pytest

from stagedoor import errors, jws
from stagedoor.encoding import MAX_TOKEN, encode
from stagedoor.keys import Key

from .material import NOW, SECRET, forge, key, text
from .test_several_issuers import Remote

A = Key.from_secret(SECRET, kid="k")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jws, "_known", {})


def outcome(token: str, keys: Any) -> Any:
    try:
        signed = jws.verify(token, keys, NOW)
    except errors.AuthError as error:
        return error.code, str(error)
    return signed.key.kid, signed.header, signed.payload


KINDS = [{"typ": typ} for typ in ("JWT", "at+jwt", "", "APPLICATION/x", "\u212a", None, 1, [], {}, True)]
HEADERS: list[Any] = [
    {"alg": "HS256", "kid": "k"} | more
    for more in (
        {}, *KINDS, {"crit": []}, {"b64": False}, {"alg": "none"}, {"alg": "HS512"}, {"alg": "RS256"}, {"alg": None}, {"alg": ["HS256"]},
        {"kid": None}, {"kid": ""}, {"kid": 1}, {"kid": "other"}, {"kid": "k" * 256}, {"kid": ["k"]}, {"jwk": {}}, {"jku": "x"},
        {"x": [1.5, {}]},
    )
]  # fmt: skip
HEADERS += [
    {"alg": "HS256"},
    {},
    b"",
    b"[]",
    b'{"alg":"HS256","kid":"k","kid":"k"}',
    b'{"alg":"HS256","kid":"k","x":NaN}',
    b'{"alg":"HS256"}x',
]


@pytest.mark.parametrize("header", HEADERS, ids=repr)
def test_a_known_header_is_judged_as_a_new_one(header: Any):
    """The second token of a header, and the third, end as the first one did; so does one with another's signature."""
    keys, token = Remote(A), forge(header, {"a": 1}, A)
    first = outcome(token, keys)
    assert [outcome(token, keys) for _ in range(2)] == [first] * 2
    assert len(jws._known) == (len(first) == 3)
    forged = forge(header, {"a": 1}, signature=bytes(32))
    before = outcome(forged, keys)
    assert before[0] in ("token_malformed", "algorithm_not_allowed", "key_unknown", "signature_invalid")
    jws._known.clear()
    assert outcome(forged, keys) == before
    assert not jws._known


def test_a_known_header_and_other_keys():
    """The key and its algorithm are asked for each time, whatever was right when the header became known."""
    token = forge({"alg": "HS256", "kid": "k"}, {"a": 1}, A)
    assert len(outcome(token, Remote(A))) == 3
    assert outcome(token, Remote())[0] == "key_unknown"
    assert outcome(token, Remote(Key.from_secret(SECRET, "HS512", kid="k")))[0] == "algorithm_not_allowed"
    assert outcome(token, Remote(Key.from_jwk(key("ES256").jwk() | {"kid": "k"})))[0] == "algorithm_not_allowed"
    assert outcome(token, Remote(Key.from_secret(SECRET[::-1], kid="k")))[0] == "signature_invalid"


def test_a_known_header_of_a_token_that_is_malformed():
    """Another payload under a known header is read as strictly as ever, and a foreign character in it is found."""
    assert len(outcome(forge({"alg": "HS256", "kid": "k"}, {"a": 1}, A), Remote(A))) == 3
    assert outcome(forge({"alg": "HS256", "kid": "k"}, b'{"a":1,"a":1}', A), Remote(A))[0] == "token_malformed"
    head = encode(text({"alg": "HS256", "kid": "k"}))
    for payload in ("e30=", "e31", "e30\n", "e+/0", ""):
        draft = f"{head}.{payload}"
        assert outcome(f"{draft}.{encode(A.sign(draft.encode()))}", Remote(A))[0] == "token_malformed"
        assert outcome(f"{draft}.{encode(A.sign(draft.encode()))}"[len(head) :], Remote(A))[0] == "token_malformed"


def test_no_more_than_some_are_known():
    """An issuer that writes another header each time leaves no more than a thousand of them in memory, each as long as a token at most."""
    for number in range(jws._MOST_KNOWN * 2 + 10):
        assert len(outcome(forge({"alg": "HS256", "kid": "k", "n": number}, {"a": 1}, A), Remote(A))) == 3
        assert len(jws._known) <= jws._MOST_KNOWN
    assert outcome(forge({"alg": "HS256", "kid": "k", "n": "x" * MAX_TOKEN}, {"a": 1}, A), Remote(A))[0] == "token_malformed"
    assert all(len(head) < MAX_TOKEN for head in jws._known)
