"""Claims and their check."""

from typing import Any

import msgspec
import pytest

from stagedoor.claims import FUTURE_LEEWAY, Claims, check_audience, check_issuer, check_times, text_claim, time_claim
from stagedoor.errors import ClaimRejected, TokenExpired, TokenNotYetValid

from .material import NOW

WRONG_TIMES = [None, "1750000060", "", 1750000060.0, 1e300, True, False, -1, [NOW], {}, 2**53 + 1, 10**30, float("inf"), float("nan")]
WRONG_TEXTS = [None, "", 0, 42, 1.5, True, [], ["user"], {}, {"a": 1}]


def test_claims_are_a_mapping():
    """Claims read like a dict, and show their names only."""
    claims = Claims({"sub": "ada", "n": 1})
    assert dict(claims) == {"sub": "ada", "n": 1}
    assert claims["n"] == 1
    assert claims.get("other") is None
    assert [name in claims for name in ("sub", "n", "other", 1, None)] == [True, True, False, False, False]
    assert len(claims) == 2
    assert "ada" not in repr(claims) + str(claims)
    with pytest.raises(KeyError):
        claims["other"]


def test_claims_are_read_only():
    """Nothing can be set, and what they were made from does not reach them."""
    members = {"a": 1}
    claims = Claims(members)
    members["a"] = 2
    assert claims["a"] == 1
    with pytest.raises(TypeError):
        claims["a"] = 3  # type: ignore[index]
    with pytest.raises(AttributeError):
        claims.other = 1  # type: ignore[attr-defined]


def test_claims_are_compared_as_a_mapping():
    """They equal any mapping of the same members, and nothing else; neither the one nor the other is told by identity."""
    claims, same = Claims({"a": [1]}), Claims(b'{"a":[1]}')
    for other in (same, {"a": [1]}, claims):
        assert (claims == other, claims != other, other == claims, other != claims) == (True, False, True, False)
    for other in (Claims({"a": [2]}), {"a": [1], "b": 1}, {}, None, [("a", [1])], "a"):
        assert (claims == other, claims != other, other == claims, other != claims) == (False, True, False, True)


def test_claims_are_nobodys_to_alter():
    """What somebody does to a list or an object in them does not reach them, however deep it is."""
    said: dict[str, Any] = {"a": [1, {"b": [2]}], "c": {"d": [3]}}
    claims = Claims(msgspec.json.encode(said))
    claims["a"].append("x")
    claims["a"][1]["b"].clear()
    claims["c"]["e"] = "x"
    for value in claims.values():
        value.clear()
    dict(claims)["c"]["d"].append("x")
    assert claims == said


def test_claims_show_their_names_only_however_they_are_shown():
    """What rich prints, in a traceback too, tells no values."""
    assert list(Claims({"sub": "ada", "n": 1}).__rich_repr__()) == [("sub", ...), ("n", ...)]


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", WRONG_TIMES, ids=repr)
def test_times_of_another_type(name: str, value: Any):
    """A18: a time is a whole JSON number of seconds; text, float, bool, negative and absurd ones are refused by their claim's name."""
    with pytest.raises(ClaimRejected) as caught:
        check_times({"exp": NOW + 60, "iat": NOW} | {name: value}, NOW)
    assert (caught.value.code, caught.value.claim) == ("claim_rejected", name)


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_missing_times(name: str):
    """There is no token without end or beginning."""
    payload = {"exp": NOW + 60, "iat": NOW}
    del payload[name]
    with pytest.raises(ClaimRejected) as caught:
        check_times(payload, NOW)
    assert caught.value.claim == name


@pytest.mark.parametrize("now", [NOW + 60, NOW + 60.0, NOW + 60.001, NOW + 10**9])
def test_dead_at_exp(now: float):
    """RFC 7519 section 4.1.4: at `exp` itself the token is dead, without leeway."""
    with pytest.raises(TokenExpired) as caught:
        check_times({"exp": NOW + 60, "iat": NOW}, now)
    assert (caught.value.code, caught.value.claim) == ("token_expired", "exp")


def test_alive_until_exp():
    """The last moment before `exp` is good."""
    check_times({"exp": NOW + 60, "iat": NOW}, NOW + 59.999)


def test_exp_zero_is_long_ago():
    """`exp` 0 is 1970, not "never"."""
    with pytest.raises(TokenExpired):
        check_times({"exp": 0, "iat": 0}, NOW)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_the_leeway(name: str):
    """`iat` and `nbf` may lie 10 seconds ahead, not more."""
    assert FUTURE_LEEWAY == 10
    payload = {"exp": NOW + 3600, "iat": NOW, "nbf": NOW}
    check_times(payload | {name: NOW + 10}, NOW)
    check_times(payload | {name: NOW + 11}, NOW + 1)
    with pytest.raises(TokenNotYetValid) as caught:
        check_times(payload | {name: NOW + 11}, NOW)
    assert (caught.value.code, caught.value.claim) == ("token_not_yet_valid", name)
    with pytest.raises(TokenNotYetValid):
        check_times(payload | {name: NOW + 11}, NOW + 0.999)


@pytest.mark.parametrize(
    ("value", "named"),
    [("a", ("a",)), (["a"], ("a",)), (["x", "a"], ("x", "a")), (["b", "a"], ("b", "a")), (["a", "a"], ("a", "a"))],
)
def test_audiences(value: Any, named: tuple[str, ...]):
    """`aud` is a text or a list of texts with one of ours in it."""
    assert check_audience({"aud": value}, frozenset({"a"})) == named


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "A",
        "a ",
        "ab",
        ["a", ""],
        [""],
        ["a", ["a"]],
        ["a", None],
        ["a", True],
        "a\0",
        1.5,
        False,
        " a",
        "a b",
        "b,a",
        [],
        ["b"],
        ["ab"],
        [["a"]],
        ["a", 1],
        [1, "a"],
        [None],
        {"a": 1},
        1,
        True,
        "missing",
    ],
    ids=repr,
)
def test_other_audiences(value: Any):
    """A19: other names, parts of ours, lists with something else in them and other types are refused."""
    payload = {} if value == "missing" else {"aud": value}
    with pytest.raises(ClaimRejected) as caught:
        check_audience(payload, frozenset({"a"}))
    assert caught.value.claim == "aud"


ISSUER = "https://auth.example"


@pytest.mark.parametrize(
    "value",
    [None, "", "https://auth.example/", "https://auth.exampl", "https://auth.example.evil.org", "HTTPS://auth.example", "http://auth.example",
     "auth.example", "https", "h", [ISSUER], [ISSUER, "https://evil"], {ISSUER: 1}, 1, True, f"{ISSUER} ", f"\u200b{ISSUER}"],
    ids=repr,
)  # fmt: skip
def test_a17_other_issuers(value: Any):
    """A17: `iss` is compared to the letter; parts, longer texts and lists are another issuer."""
    with pytest.raises(ClaimRejected) as caught:
        check_issuer({"iss": value}, ISSUER)
    assert caught.value.claim == "iss"


def test_the_issuer():
    """The very name passes."""
    check_issuer({"iss": ISSUER}, ISSUER)


@pytest.mark.parametrize("value", WRONG_TEXTS, ids=repr)
def test_a19_texts_of_another_type(value: Any):
    """A19: where a text belongs nothing else is taken, an int `sub` neither."""
    for payload in ({"sub": value}, {}):
        with pytest.raises(ClaimRejected) as caught:
            text_claim(payload, "sub")
        assert caught.value.claim == "sub"


def test_exact_types_come_back():
    """What passes is what was there."""
    assert text_claim({"sub": "0"}, "sub") == "0"
    assert time_claim({"exp": 0}, "exp") == 0
    assert time_claim({"exp": 2**53}, "exp") == 2**53


def test_a_rejection_does_not_repeat_the_value():
    """A claim's value is somebody's data: the message names the claim only."""
    for check in (lambda: check_issuer({"iss": "MARKER"}, "x"), lambda: check_audience({"aud": "MARKER"}, frozenset({"x"}))):
        with pytest.raises(ClaimRejected) as caught:
            check()
        assert "MARKER" not in str(caught.value)
