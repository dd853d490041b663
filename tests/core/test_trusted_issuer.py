"""TrustedIssuer: what one entry expects of other people's tokens, and what it may not be told."""

import copy
import pickle
from typing import Any

import msgspec
import pytest

from stagedoor import ABSENT, AccessToken, Issuer, KeySet, Peppers, Revocations, TrustedIssuer, Verifier, errors
from stagedoor.revocation import Record
from stagedoor.stores.memory import MemoryStore
from stagedoor.testing.clock import FixedClock

from .material import NOW, SECRET, forge, key, public_half

SSO, API = "https://sso.example/realms/a", "orders"
PLAIN: dict[str, Any] = {"iss": SSO, "aud": API, "sub": "user-1", "exp": NOW + 900}
MISSING = object()
"""Stands for a claim or a header parameter that is not there; None is a JSON null, which is."""


def entry(**changes: Any) -> TrustedIssuer:
    known: dict[str, Any] = {"issuer": SSO, "audience": API, "typ": "JWT", "keys": KeySet(public_half("ES256"))} | changes
    return TrustedIssuer(known.pop("issuer"), **known)


def verify(trusted: TrustedIssuer, text: str, *, now: float = NOW, revocations: Revocations | None = None) -> AccessToken:
    return Verifier.of(trusted, revocations=revocations or Revocations.until_expiry(), clock=FixedClock(now)).verify(text)


def foreign(typ: Any = "JWT", **claims: Any) -> str:
    """A token of this issuer with these claims changed."""
    head = {"alg": "ES256", "kid": key("ES256").kid, "typ": typ}
    return forge(present(head), present(PLAIN | claims), key("ES256"))


def present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not MISSING}


def refused(trusted: TrustedIssuer, text: str, **more: Any) -> str:
    """The claim for which a token is refused, or else the code."""
    with pytest.raises(errors.TokenError) as caught:
        verify(trusted, text, **more)
    return getattr(caught.value, "claim", caught.value.code)


# iss, aud, typ: each expectation against each form of token


@pytest.mark.parametrize("value", [MISSING, None, "", 1, True, [SSO], {"a": SSO}, f"{SSO}/", SSO[:-1], SSO.upper(), "https://evil.example"])
def test_an_issuer_is_expected(value: Any):
    """`iss` is this text, to the letter; missing, another or of another type it is refused."""
    assert verify(entry(), foreign()).issuer == SSO
    assert refused(entry(), foreign(iss=value)) == "iss"


@pytest.mark.parametrize("value", [None, "", 1, False, [], {}, SSO, "https://evil.example"])
def test_no_issuer_is_expected(value: Any):
    """`iss` must not be there; whatever it says, null too, it is refused."""
    trusted = entry(issuer=ABSENT)
    assert verify(trusted, foreign(iss=MISSING)).issuer == ""
    assert refused(trusted, foreign(iss=value)) == "iss"


@pytest.mark.parametrize("value", [MISSING, None, "", 1, True, [], {}, [1], [API, 1], [[API]], {API: 1}, "order", "orders2", ["a"]])
def test_an_audience_is_expected(value: Any):
    """`aud` names this application; missing, another or of another type it is refused."""
    assert verify(entry(), foreign()).audience == (API,)
    assert verify(entry(), foreign(aud=["x", API])).audience == ("x", API)
    assert verify(entry(audience=["y", API]), foreign()).audience == (API,)
    assert refused(entry(), foreign(aud=value)) == "aud"
    assert refused(entry(audience={"y", API}), foreign(aud=value)) == "aud"


@pytest.mark.parametrize("value", [None, "", 0, False, [], {}, API, [API], ["x"]])
def test_no_audience_is_expected(value: Any):
    """`aud` must not be there; whatever it names, null and nobody too, it is refused."""
    trusted = entry(audience=ABSENT)
    assert verify(trusted, foreign(aud=MISSING)).audience == ()
    assert refused(trusted, foreign(aud=value)) == "aud"


@pytest.mark.parametrize("expected", ["JWT", "jwt", "application/jwt", "APPLICATION/JWT", ["other", "JWT"]])
@pytest.mark.parametrize("typ", ["JWT", "jwt", "Jwt", "application/jwt", "Application/JWT"])
def test_a_kind_is_expected(expected: Any, typ: str):
    """RFC 8725 section 3.11: `typ` is this kind, or one of these, in any case, with or without its prefix."""
    assert verify(entry(typ=expected), foreign(typ)).subject == "user-1"


@pytest.mark.parametrize("typ", [MISSING, "", "at+jwt", "JW", "JWTS", " JWT", "JWT ", "text/jwt", "application/application/jwt"])
def test_another_kind(typ: Any):
    """A missing `typ` and any other kind is refused; so is the expected kind of another entry."""
    for trusted in (entry(), entry(typ=("JWT", "other"))):
        assert refused(trusted, foreign(typ)) == "typ"


def test_the_kind_of_an_access_token_unless_said_otherwise():
    """RFC 9068 section 4: an entry that says nothing of `typ` expects `at+jwt`."""
    trusted = TrustedIssuer(SSO, audience=API, keys=KeySet(public_half("ES256")))
    assert verify(trusted, foreign("at+jwt")).subject == "user-1"
    for typ in ("JWT", MISSING):
        assert refused(trusted, foreign(typ)) == "typ"


@pytest.mark.parametrize("typ", ["", "JWT", "at+jwt", "x"])
def test_no_kind_is_expected(typ: str):
    """`typ` must not be there; whatever it says it is refused."""
    trusted = entry(typ=ABSENT)
    assert verify(trusted, foreign(MISSING)).subject == "user-1"
    assert refused(trusted, foreign(typ)) == "typ"


@pytest.mark.parametrize("typ", [None, 1, True, ["JWT"], {}])
@pytest.mark.parametrize("expected", ["JWT", ABSENT])
def test_a_kind_of_another_type(expected: Any, typ: Any):
    """A `typ` that is no text, null among them, is no header of ours: neither the kind nor its absence."""
    assert refused(entry(typ=expected), foreign(typ)) == "token_malformed"


# what other people's tokens may leave out, and may not get wrong

OPTIONAL = {"sid": "session_id", "client_id": "client_id", "jti": "id", "iat": "issued_at", "auth_time": "auth_time"}


def test_what_is_left_out():
    """Claims that RFC 9068 or Stagedoor writes and others do not are empty, and the payload arrives whole."""
    token = verify(entry(), foreign(azp="web", scp=["a"]))
    assert (token.session_id, token.client_id, token.id, token.issued_at, token.auth_time) == ("", "", "", 0, 0)
    assert (token.subject, token.expires_at, token.scope, token.key_id) == ("user-1", NOW + 900, set(), key("ES256").kid)
    assert token.claims == PLAIN | {"azp": "web", "scp": ["a"]}


@pytest.mark.parametrize(("name", "attribute"), OPTIONAL.items())
def test_what_is_not_left_out_arrives(name: str, attribute: str):
    """Where such a claim is there it is read as our own."""
    value: Any = NOW - 5 if name in ("iat", "auth_time") else "text"
    assert getattr(verify(entry(), foreign(**{name: value})), attribute) == value


WRONG: dict[str, list[Any]] = {
    **{name: [None, "", 1, True, [], ["a"], {}] for name in ("sid", "client_id", "jti")},
    **{name: [None, "", str(NOW), float(NOW), True, -1, [NOW], 2**60] for name in ("iat", "auth_time", "nbf")},
    "exp": [MISSING, None, "", str(NOW + 900), NOW + 900.0, NOW + 900.5, True, -1, [NOW + 900], 2**60],
    "sub": [MISSING, None, "", 1, True, [], ["user-1"], {}],
    "scope": [None, 1, True, {}, [], ["a", "b"], " a", "a  b", "a,b\n"],
    "cnf": [None, {}, {"jkt": "x"}],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in WRONG.items() for value in values],
    ids=lambda each: "MISSING" if each is MISSING else repr(each),
)
def test_what_must_not_be_wrong(name: str, value: Any):
    """A18, A19: a claim that is there has its one type; `exp` and `sub` are always there; a bound token is no bearer token."""
    assert refused(entry(), foreign(**{name: value})) == name


def test_the_scope_of_others():
    """RFC 9068 section 2.2.3: one text, which may be empty; `scp` gives no scope."""
    assert verify(entry(), foreign(scope="openid a:b")).scope == {"openid", "a:b"}
    assert verify(entry(), foreign(scope="", scp="admin")).scope == set()


def test_times_of_others():
    """At `exp` itself the token is dead; `iat` and `nbf` may lie ten seconds ahead where they are there."""
    assert verify(entry(), foreign(), now=NOW + 899.9)
    assert refused(entry(), foreign(), now=NOW + 900) == "exp"
    assert verify(entry(), foreign(iat=NOW + 10, nbf=NOW + 10))
    assert refused(entry(), foreign(iat=NOW + 11)) == "iat"
    assert refused(entry(), foreign(nbf=NOW + 11)) == "nbf"


@pytest.mark.parametrize(("number", "subject"), [(0, "0"), (1, "1"), (42, "42"), (2**53 - 1, "9007199254740991")])
def test_a_subject_that_is_a_number(number: int, subject: str):
    """Where users are numbered the subject is the decimal text of the number, and the claim stays the number."""
    token = verify(entry(numeric_subject=True), foreign(sub=number))
    assert (token.subject, token.claims["sub"]) == (subject, number)


@pytest.mark.parametrize("value", [MISSING, None, "1", "", 1.0, 1.5, -1, True, False, 2**53, 10**20, [1], {}, "user-1"])
def test_a_subject_that_is_no_number(value: Any):
    """Where users are numbered a text is nobody, so that 1 and "1" are never two; nor is what JavaScript cannot count."""
    assert refused(entry(numeric_subject=True), foreign(sub=value)) == "sub"


def test_sessions_of_others():
    """A token without a session is never looked up as one; a session that others name can be revoked."""
    revocations = Revocations()
    for session in ("other", "s"):
        revocations.add(Record("session", session, NOW + 1000, NOW), now=NOW)
    assert verify(entry(), foreign(), revocations=revocations).session_id == ""
    with pytest.raises(errors.TokenRevoked):
        verify(entry(), foreign(sid="s"), revocations=revocations)


class Realm(msgspec.Struct, frozen=True):
    """What Keycloak writes."""

    sub: str
    realm_access: dict[str, list[str]]


def test_typed_claims_of_others():
    """The application's own Struct arrives filled, or the token is refused."""
    verifier = Verifier.of(entry(), revocations=Revocations(), claims=Realm, clock=FixedClock(NOW))
    assert verifier.verify(foreign(realm_access={"roles": ["a"]})).claims.realm_access == {"roles": ["a"]}
    with pytest.raises(errors.ClaimRejected):
        verifier.verify(foreign())


async def test_our_own_by_an_entry():
    """A token of an Issuer of ours is read by an entry as by a verifier of its own."""
    clock = FixedClock(NOW)
    keys, peppers = KeySet(key("ES256"), clock=clock), Peppers(SECRET, clock=clock)
    issuer = Issuer(SSO, audience=API, store=MemoryStore(), keys=keys, peppers=peppers, clock=clock)
    pair = await issuer.issue("user-1", scope="a b")
    own = TrustedIssuer(SSO, audience=API, keys=KeySet(public_half("ES256")))
    assert verify(own, pair.access_token) == issuer.verifier().verify(pair.access_token)


# construction


@pytest.mark.parametrize(
    "changes",
    [{"issuer": odd} for odd in ("", None, b"x", 1, [SSO], True)]
    + [{"audience": odd} for odd in ("", [], (), [""], [API, ""], [None], b"x", [ABSENT], [API, ABSENT])]
    + [{"typ": odd} for odd in ("", [], [""], "text/jwt", "application/", [None], b"x", [ABSENT])],
    ids=repr,
)
def test_what_cannot_be_expected(changes: dict[str, Any]):
    """An expectation is a text with something in it, or ABSENT alone: never nothing, never either of both."""
    with pytest.raises(ValueError):
        entry(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"keys": odd} for odd in (None, {}, [], b"secret", "https://sso.example/jwks", KeySet, SECRET)]
    + [{"kid": odd} for odd in ("k", False, True, 1)]
    + [{"numeric_subject": odd} for odd in (1, None, ABSENT, "yes")]
    + [{"audience": None}, {"typ": None}],
    ids=repr,
)
def test_what_is_of_another_type(changes: dict[str, Any]):
    """A7: keys are keys, `kid` is ABSENT or left out, a yes is True; None is no way to say that something does not matter."""
    with pytest.raises(TypeError):
        entry(**changes)


@pytest.mark.parametrize("left_out", ["audience", "keys"])
def test_what_must_be_said(left_out: str):
    """Without its audience or its keys there is no entry."""
    said: dict[str, Any] = {"audience": API, "keys": KeySet(public_half("ES256"))}
    del said[left_out]
    with pytest.raises(TypeError):
        TrustedIssuer(SSO, **said)


def test_an_entry_is_a_value():
    """An entry cannot be altered, and what it was made of can, without altering it."""
    names = [API]
    trusted = entry(audience=names, typ=iter(["JWT"]))
    names.append("other")
    assert trusted.audience == {API}
    assert verify(trusted, foreign()) == verify(trusted, foreign())
    assert trusted == copy.copy(trusted)
    with pytest.raises(AttributeError):
        trusted.issuer = ABSENT  # type: ignore[misc]


def test_absent_is_one():
    """ABSENT is itself however it is copied, and shows as what it is."""
    for other in (copy.copy(ABSENT), copy.deepcopy(ABSENT), pickle.loads(pickle.dumps(ABSENT))):
        assert other is ABSENT
    assert repr(ABSENT) == "ABSENT"
    assert "issuer=ABSENT" in repr(entry(issuer=ABSENT))


def test_an_entry_does_not_show_its_secret():
    """Neither an entry nor its verifier shows the shared secret."""
    trusted = entry(keys=KeySet.from_secret(b"MARKER-of-a-secret-of-32-bytes-or-more"), kid=ABSENT)
    verifier = Verifier.of(trusted, revocations=Revocations.until_expiry())
    assert "MARKER" not in repr(trusted) + repr(verifier) + str(trusted)


def test_refusals_hold_nothing_of_the_token():
    """A message names the claim, never its value."""
    for claims in ({"iss": "MARKER"}, {"aud": "MARKER"}, {"sub": ["MARKER"]}, {"sid": ["MARKER"]}, {"scope": ["MARKER"]}):
        for trusted in (entry(), entry(issuer=ABSENT, audience=ABSENT)):
            with pytest.raises(errors.TokenError) as caught:
                verify(trusted, foreign(**claims))
            assert "MARKER" not in str(caught.value) + repr(caught.value) + caught.value.told
    assert refused(entry(), foreign("MARKER")) == "typ"
