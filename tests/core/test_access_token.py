"""AccessToken: drafting and reading (RFC 9068)."""

from typing import Any

import pytest

from stagedoor import Claims, KeySet, Revocations, Scope, Verifier, errors, jws
from stagedoor.access_token import RESERVED, check_application_claims, draft
from stagedoor.testing.clock import FixedClock

from .material import ASYMMETRIC, NOW, forge, header, key, public_half

ISSUER, AUDIENCE = "https://auth.example", "https://api.example"
REQUIRED = ["iss", "aud", "sub", "client_id", "iat", "exp", "jti", "sid", "auth_time"]


def minted(name: str = "ES256", **changes: Any) -> str:
    known: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "client_id": "client",
        "subject": "user",
        "session_id": "sid",
        "token_id": "jti",
        "scope": Scope(["b", "a"]),
        "issued_at": NOW,
        "expires_at": NOW + 900,
        "auth_time": NOW - 60,
        "claims": {},
    }
    text = draft(key(name), **(known | changes))
    return jws.complete(text, key(name).sign(text.encode()))


def verifier(name: str = "ES256", now: float = NOW) -> Verifier:
    keys = KeySet(key(name) if name.startswith("HS") else public_half(name))
    return Verifier(ISSUER, audience=AUDIENCE, keys=keys, revocations=Revocations(), clock=FixedClock(now))


def resigned(payload: Any, typ: str = "at+jwt") -> str:
    return forge(header(key("ES256"), typ), payload, key("ES256"))


def payload() -> dict[str, Any]:
    return jws.read_unverified(minted())[1]


def test_what_is_written():
    """RFC 9068 section 2: header and claims of a minted token are these and no others."""
    head, claims = jws.read_unverified(minted())
    assert head == {"alg": "ES256", "kid": key("ES256").kid, "typ": "at+jwt"}
    assert claims == {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user",
        "client_id": "client",
        "iat": NOW,
        "exp": NOW + 900,
        "jti": "jti",
        "sid": "sid",
        "scope": "a b",
        "auth_time": NOW - 60,
    }


def test_an_empty_scope_is_not_written():
    """RFC 9068 section 2.2.3: no scope, no claim; read back it is the empty scope."""
    token = minted(scope=Scope())
    assert "scope" not in jws.read_unverified(token)[1]
    assert verifier().verify(token).scope == Scope()


@pytest.mark.parametrize("name", ["HS256", *ASYMMETRIC])
def test_what_is_read(name: str):
    """A verified token gives its claims by their names, whatever signed it."""
    token = verifier(name).verify(minted(name, claims={"username": "ada"}))
    assert (token.subject, token.session_id, token.client_id, token.id) == ("user", "sid", "client", "jti")
    assert (token.issued_at, token.expires_at, token.auth_time) == (NOW, NOW + 900, NOW - 60)
    assert (token.issuer, token.audience, token.key_id) == (ISSUER, (AUDIENCE,), key(name).kid)
    assert token.scope == {"a", "b"}
    assert isinstance(token.claims, Claims)
    assert token.claims["username"] == "ada"


def test_a_token_is_frozen():
    """What a route gets cannot be altered."""
    with pytest.raises(AttributeError, match="immutable"):
        verifier().verify(minted()).subject = "root"  # type: ignore[misc]


def test_the_token_itself_is_not_in_its_repr():
    """A logged access token cannot be used: neither its text nor its signature is shown."""
    text = minted()
    shown = repr(verifier().verify(text))
    assert not any(part in shown for part in text.split("."))


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_claims(name: str):
    """An application cannot set what Stagedoor writes, nor what changes the kind of a token."""
    with pytest.raises(ValueError):
        check_application_claims({"fine": 1, name: 1})
    check_application_claims({"fine": 1, name.upper(): 1})


def test_ours_win_over_the_applications():
    """Even past the check an application's claim never replaces one of ours."""
    assert verifier().verify(minted(claims={"sub": "root"})).subject == "user"


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_claim(name: str):
    """RFC 9068 section 2.2: without any one of its claims a token is refused, by that claim's name."""
    claims = payload()
    del claims[name]
    with pytest.raises(errors.ClaimRejected) as caught:
        verifier().verify(resigned(claims))
    assert (caught.value.code, caught.value.claim) == ("claim_rejected", name)


WRONG: dict[str, list[Any]] = {
    **{name: [None, "", 1, True, [], ["user"], {}] for name in ("iss", "sub", "client_id", "jti", "sid")},
    **{name: [None, "", str(NOW), float(NOW), True, -1, [NOW], 2**60] for name in ("exp", "iat", "auth_time", "nbf")},
    "aud": [None, "", 1, [], [1], [AUDIENCE, 1], {AUDIENCE: 1}, [[AUDIENCE]]],
    "scope": [None, 1, True, ["a"], {}, " a", "a  b", "a\nb", 'a"'],
    "cnf": [None, {"jkt": "x"}, {}],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values], ids=repr)
def test_a_claim_of_another_type(name: str, value: Any):
    """A18, A19: each claim has one type, and a sender-bound token is no bearer token (RFC 7800)."""
    with pytest.raises(errors.ClaimRejected) as caught:
        verifier().verify(resigned(payload() | {name: value}))
    assert caught.value.claim == name


@pytest.mark.parametrize("raw", ["1e999", "NaN", "-Infinity", "9" * 5000, "9" * 33, '{"a":' * 60 + "1" + "}" * 60, "1.5e9", "-0.0", "01"])
def test_a18_ends_that_are_none(raw: str):
    """A18: a raw `exp` that Python's json would read, or choke on, ends in a refusal."""
    text = b'{"iat":1,"exp":' + raw.encode() + b"}"
    with pytest.raises(errors.TokenError):
        verifier().verify(resigned(text))


@pytest.mark.parametrize(
    "typ",
    [None, "", "JWT", "jwt", "at", "at+jwt ", "xat+jwt", "at+jwtx", "rt+jwt", "id+jwt", "logout+jwt", "text/at+jwt", "application/jwt"],
)
def test_other_kinds(typ: Any):
    """RFC 9068 section 4: any other `typ` is refused, a missing one too."""
    head = {"alg": "ES256", "kid": key("ES256").kid} | ({} if typ is None else {"typ": typ})
    with pytest.raises(errors.ClaimRejected) as caught:
        verifier().verify(forge(head, payload(), key("ES256")))
    assert caught.value.claim == "typ"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_the_kind_in_its_forms(typ: str):
    """RFC 9068 section 4: `at+jwt` and `application/at+jwt` are the kind of an access token."""
    assert verifier().verify(resigned(payload(), typ)).subject == "user"


def test_the_moment_of_death():
    """At `exp` itself the token is dead; a moment before it lives."""
    token = minted()
    assert verifier(now=NOW + 899.999).verify(token)
    with pytest.raises(errors.TokenExpired):
        verifier(now=NOW + 900).verify(token)


def test_a_token_from_the_future():
    """A clock that is ten seconds ahead is forgiven, eleven are not."""
    token = minted()
    assert verifier(now=NOW - 10).verify(token)
    with pytest.raises(errors.TokenNotYetValid):
        verifier(now=NOW - 11).verify(token)


def test_read_unverified():
    """Looking at a token needs no key, and a token that is none is MalformedToken."""
    head, claims = jws.read_unverified(minted())
    assert head["typ"] == "at+jwt"
    assert claims["sub"] == "user"
    for text in ("", "a.b", "a.b.c", minted() + ".x", minted().replace(".", ".!", 1)):
        with pytest.raises(errors.MalformedToken):
            jws.read_unverified(text)
