"""Verifier.of: whose a token is, the name of its key says; no issuer's key signs for another."""

from collections.abc import Callable
from typing import Any

import pytest

from stagedoor import ABSENT, KeySet, Revocations, TrustedIssuer, Verifier, errors
from stagedoor.jws import VerifyingKey
from stagedoor.keys import Key
from stagedoor.testing.clock import FixedClock

from .material import NOW, SECRET, forge, key, private_key, public_der, public_half, public_pem

OWN = TrustedIssuer("https://auth.example", audience="https://api.example", keys=KeySet(public_half("ES256")))
SSO = TrustedIssuer("https://sso.example/realms/a", audience="orders", typ="JWT", keys=KeySet(public_half("RS256")))
NEST_KEYS = KeySet(key("HS256"))
NEST = TrustedIssuer(ABSENT, audience=ABSENT, typ="JWT", keys=NEST_KEYS, kid=ABSENT, numeric_subject=True)
ISSUERS = {"own": OWN, "sso": SSO, "nest": NEST}

SIGNERS = {"own": key("ES256"), "sso": key("RS256"), "nest": key("HS256")}
TYPES = {"own": "at+jwt", "sso": "JWT", "nest": "JWT"}
CLAIMS: dict[str, dict[str, Any]] = {
    "own": {"iss": OWN.issuer, "aud": "https://api.example", "sub": "user-1"},
    "sso": {"iss": SSO.issuer, "aud": ["orders", "account"], "sub": "user-1"},
    "nest": {"username": "ada", "sub": 1, "iat": NOW},
}


class Remote:
    """Keys that are known later, or never: what a set that is fetched looks like to a verifier."""

    def __init__(self, *keys: Key, down: bool = False, learns: Callable[[Any], Any] | None = None, knows: bool | None = None) -> None:
        self.keys = {known.kid: known for known in keys}
        self.down = down
        self.asked: list[object] = []
        if learns is not None:
            self.learn = learns
        if knows is not None:
            self.knows = lambda id_: id_ in self.keys

    def find(self, id_: object, now: float) -> VerifyingKey | None:
        self.asked.append(id_)
        if self.down:
            raise errors.KeySetUnavailable("down", retry_after=7)
        return self.keys.get(id_)


def token(signer: str, claims: str, *, kid: Any = "its own", **header: Any) -> str:
    """A token with one issuer's key and another's claims."""
    named = {} if signer == "nest" else {"kid": SIGNERS[signer].kid}
    named = named if kid == "its own" else {} if kid is None else {"kid": kid}
    head = {"alg": SIGNERS[signer].algorithm.name, "typ": TYPES[claims]} | named | header
    return forge(head, CLAIMS[claims] | {"exp": NOW + 900}, SIGNERS[signer])


def of(*issuers: TrustedIssuer, now: float = NOW) -> Verifier:
    return Verifier.of(*issuers, revocations=Revocations.until_expiry(), clock=FixedClock(now))


def refused(verifier: Verifier, text: str) -> str:
    """The claim for which a token is refused, or else the code."""
    with pytest.raises((errors.TokenError, errors.KeySetUnavailable)) as caught:
        verifier.verify(text)
    return str(getattr(caught.value, "claim", caught.value.code))


ALL = of(*ISSUERS.values())


@pytest.mark.parametrize("name", ISSUERS)
def test_each_issuers_token(name: str):
    """Each issuer's token is read as its own, whatever the order of the entries; alone, each entry reads its own only."""
    for verifier in (ALL, of(*reversed(ISSUERS.values()))):
        read = verifier.verify(token(name, name))
        assert read.issuer == CLAIMS[name].get("iss", "")
        assert read.key_id == SIGNERS[name].kid
        assert read.subject == ("1" if name == "nest" else "user-1")
    for other, trusted in ISSUERS.items():
        if other == name:
            assert of(trusted).verify(token(name, name)).expires_at == NOW + 900
        else:
            assert refused(of(trusted), token(name, name)) == "key_unknown"


@pytest.mark.parametrize("claims", ISSUERS)
@pytest.mark.parametrize("signer", ISSUERS)
def test_a_key_of_one_issuer_signs_for_no_other(signer: str, claims: str):
    """RFC 8725 section 3.8: of all keys against all claims, only an issuer's own with its own are accepted."""
    text = token(signer, claims)
    if signer == claims:
        assert ALL.verify(text)
    else:
        assert refused(ALL, text) in {"iss", "typ"}


@pytest.mark.parametrize("signer", ["own", "sso"])
def test_no_issuer_borrows_another_issuers_name(signer: str):
    """RFC 8725 section 3.8: with all else in order, the `iss` of another entry, or of none, is refused."""
    trusted = ISSUERS[signer]
    for issuer in [other.issuer for other in ISSUERS.values() if other is not trusted and other.issuer is not ABSENT] + [
        "https://evil.example"
    ]:
        head = {"alg": SIGNERS[signer].algorithm.name, "typ": TYPES[signer], "kid": SIGNERS[signer].kid}
        text = forge(head, CLAIMS[signer] | {"exp": NOW + 900, "iss": issuer}, SIGNERS[signer])
        assert refused(ALL, text) == "iss"


# how the entry is found


@pytest.mark.parametrize("name", ISSUERS)
def test_a_kid_of_nobody(name: str):
    """A `kid` that no issuer has is refused, and never tried against the issuer whose tokens have none."""
    assert refused(ALL, token(name, name, kid="nobody")) == "key_unknown"


def test_the_name_of_a_key_that_is_not_named():
    """The issuer with `kid=ABSENT` is never found by a `kid`, not even by that of its key."""
    assert refused(ALL, token("nest", "nest", kid=key("HS256").kid)) == "key_unknown"
    assert refused(of(NEST), token("nest", "nest", kid=key("HS256").kid)) == "key_unknown"


@pytest.mark.parametrize("kid", [None, "", 0, [], "x" * 256])
def test_a_kid_that_is_none(kid: Any):
    """A `kid` that is there and no name, null too, is not a missing one."""
    head = {"alg": "HS256", "typ": "JWT", "kid": kid}
    assert refused(ALL, forge(head, CLAIMS["nest"] | {"exp": NOW + 900}, key("HS256"))) == "key_unknown"


@pytest.mark.parametrize("name", ["own", "sso"])
def test_a_token_without_a_kid(name: str):
    """Only where an entry says so may a `kid` be missing, and then it is that entry's token."""
    assert refused(of(OWN, SSO), token(name, name, kid=None)) == "key_unknown"
    assert refused(ALL, token(name, name, kid=None)) == "algorithm_not_allowed"


def test_one_issuer_alone_needs_a_kid():
    """Verifier(issuer, …) refuses a token without `kid`, though it has one key only."""
    verifier = Verifier(
        "https://auth.example", audience="https://api.example", keys=KeySet(public_half("ES256")), revocations=Revocations()
    )
    assert refused(verifier, token("own", "own", kid=None)) == "key_unknown"


# what cannot be told apart is not built


def test_two_issuers_with_one_kid():
    """Two KeySets with a key of one name could not be told apart; that of an issuer whose tokens name none cannot be mistaken."""
    one, two = (KeySet(Key.from_secret(secret, kid="1")) for secret in (SECRET, SECRET[::-1]))
    first = TrustedIssuer("https://a.example", audience="a", keys=one)
    for issuers in ((first, TrustedIssuer("https://b.example", audience="a", keys=two)), (first, first), (OWN, first, SSO, OWN)):
        with pytest.raises(ValueError, match="kid"):
            of(*issuers)
    assert of(first, TrustedIssuer(ABSENT, audience=ABSENT, keys=two, kid=ABSENT))


def test_two_issuers_without_a_kid():
    """A token that names no key could be of either."""
    other = TrustedIssuer("https://b.example", audience="b", keys=KeySet(public_half("ES384")), kid=ABSENT)
    with pytest.raises(ValueError, match="kid=ABSENT"):
        of(NEST, OWN, other)


def test_an_issuer_without_a_kid_has_one_key():
    """With no key, or with two, it could not be said which key is meant; and what is no KeySet does not say how many it has."""
    for keys in (KeySet(), KeySet(key("HS256"), Key.from_secret(SECRET[::-1]))):
        with pytest.raises(ValueError, match="exactly one"):
            of(TrustedIssuer(ABSENT, audience=ABSENT, keys=keys, kid=ABSENT))
    with pytest.raises(TypeError):
        TrustedIssuer(ABSENT, audience=ABSENT, keys=Remote(), kid=ABSENT)


def test_the_one_key_changes():
    """While a second key is accepted a token without `kid` has no key; when the first has ended, the second is it."""
    clock = FixedClock(NOW)
    keys = KeySet(key("HS256"), clock=clock)
    trusted = TrustedIssuer(ABSENT, audience=ABSENT, typ="JWT", keys=keys, kid=ABSENT)
    verifier = Verifier.of(trusted, revocations=Revocations.until_expiry(), clock=clock)

    def text(signer: Key) -> str:
        return forge({"alg": "HS256", "typ": "JWT"}, {"sub": "u", "exp": NOW + 900}, signer)

    assert verifier.verify(text(key("HS256")))
    fresh = keys.rotate(announce=10, keep=20)
    for signer in (key("HS256"), fresh):
        assert refused(verifier, text(signer)) == "key_unknown"
    clock.forward(31)
    assert verifier.verify(text(fresh)).key_id == fresh.kid
    assert refused(verifier, text(key("HS256"))) == "signature_invalid"


@pytest.mark.parametrize("odd", [None, "https://auth.example", KeySet(key("HS256")), TrustedIssuer, {}])
def test_only_entries(odd: Any):
    """Verifier.of takes entries, at least one of them, and revocations must be said."""
    with pytest.raises(TypeError):
        of(OWN, odd)
    with pytest.raises(ValueError):
        of()
    for revocations in ({}, {"revocations": None}):
        with pytest.raises(TypeError):
            Verifier.of(OWN, **revocations)  # type: ignore[arg-type]


# algorithm confusion between entries


@pytest.mark.parametrize("name", ["own", "sso"])
def test_a2_a_public_key_is_no_secret_of_another_entry(name: str):
    """A2: HS256 under the public key's text, or under the other entry's real secret, is refused by the key's own algorithm."""
    public = private_key("ES256" if name == "own" else "RS256").public_key()
    head = {"alg": "HS256", "typ": TYPES[name], "kid": SIGNERS[name].kid}
    claims = CLAIMS[name] | {"exp": NOW + 900}
    unsigned = forge(head, claims).rpartition(".")[0].encode()
    row = key("HS256").algorithm
    for secret in (public_pem(public), public_der(public), SECRET):
        assert refused(ALL, forge(head, claims, signature=row.sign(row.prepare(secret), unsigned))) == "algorithm_not_allowed"


def test_a3_a_secret_is_no_public_key():
    """A3: without a `kid`, under any name of an algorithm but its own, the shared secret verifies nothing."""
    for alg in ("RS256", "ES256", "HS384", "HS512", "none", "EdDSA"):
        head = {"alg": alg, "typ": "JWT"}
        assert refused(ALL, forge(head, CLAIMS["nest"] | {"exp": NOW + 900}, key("HS256"))) == "algorithm_not_allowed"
    assert refused(ALL, token("sso", "nest", kid=None)) == "algorithm_not_allowed"
    assert refused(ALL, token("sso", "nest", kid=None, alg="HS256")) == "signature_invalid"


@pytest.mark.parametrize("header", [{"alg": "HS256"}, {"alg": "ES256"}, {"alg": "none"}])
def test_the_algorithm_is_that_of_the_entrys_key(header: dict[str, str]):
    """A4: an algorithm that another entry has is none of this entry's."""
    assert refused(ALL, token("sso", "sso", **header)) == "algorithm_not_allowed"


def test_exactly_one_key_by_the_clock():
    """An issuer whose tokens name no key may have one that has ended, besides the one that is meant."""
    clock = FixedClock(NOW)
    keys = KeySet(key("HS256"), clock=clock)
    fresh = keys.rotate(keep=60, announce=1)
    nest = TrustedIssuer(ABSENT, audience=ABSENT, typ="JWT", keys=keys, kid=ABSENT, numeric_subject=True)
    with pytest.raises(ValueError, match="exactly one key"):
        of(nest, now=NOW + 60)
    verifier = of(nest, now=NOW + 61)
    text = forge({"alg": "HS256", "typ": "JWT"}, CLAIMS["nest"] | {"exp": NOW + 900}, fresh)
    assert verifier.verify(text).subject == "1"
    assert refused(verifier, token("nest", "nest")) == "signature_invalid"
