"""KeySet: the JWKS, and tokens of other kinds."""

import contextlib
import gc
import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedoor import errors, jws
from stagedoor.encoding import encode
from stagedoor.errors import KeyRejected
from stagedoor.keys import Key
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers
from stagedoor.testing.clock import FixedClock

from .material import ASYMMETRIC, NOW, SECRET, forge, header, key, private_key, private_pem, public_half


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def keys(clock: FixedClock) -> KeySet:
    return KeySet(key("ES256"), clock=clock)


def test_the_jwks_holds_public_parts_only():
    """Whatever the keys are, what is published has kid, alg and use, and nothing private."""
    document = KeySet(*(key(name) for name in ("RS256", "ES256", "ES384", "ES512", "Ed25519"))).jwks(NOW)
    assert [jwk["alg"] for jwk in document["keys"]] == ["RS256", "ES256", "ES384", "ES512", "Ed25519"]
    for jwk in document["keys"]:
        assert set(jwk) <= {"kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"}
        assert jwk["use"] == "sig"


def test_shared_secrets_are_never_published():
    """The JWKS of a shared secret is empty."""
    assert KeySet.from_secret(SECRET).jwks(NOW) == {"keys": []}


def test_the_jwks_over_a_rotation(keys: KeySet, clock: FixedClock):
    """Announced and retiring keys are published, gone ones are not."""
    first = keys.signing(NOW).kid
    second = keys.rotate(keep=900, announce=300).kid

    def published(now: float) -> set[str]:
        return {jwk["kid"] for jwk in keys.jwks(now)["keys"]}

    assert published(NOW) == published(NOW + 1199) == {first, second}
    assert published(NOW + 1200) == {second}


def test_a_token_lives_over_a_rotation(keys: KeySet, clock: FixedClock):
    """What the old key signed verifies until its own end, and the new key signs once it was announced long enough."""
    old = keys.sign({}, typ="x", expires="1h")
    fresh = keys.rotate(keep="1h", announce=300)
    clock.forward(299)
    assert keys.signing(clock.now).kid != fresh.kid
    clock.forward(1)
    assert keys.signing(clock.now) is fresh
    assert keys.verify(old, typ="x")
    assert keys.verify(keys.sign({}, typ="x", expires=9), typ="x")


def test_a_key_that_is_gone_verifies_nothing(keys: KeySet, clock: FixedClock):
    """A token that outlives its key is refused."""
    token = keys.sign({}, typ="x", expires="7d")
    keys.rotate(keep="1h", announce=300)
    clock.forward(3900)
    with pytest.raises(errors.UnknownKey):
        keys.verify(token, typ="x")


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_from_jwks(name: str, clock: FixedClock):
    """A verifier that has the published document alone verifies what the issuer signs."""
    document = json.loads(json.dumps(KeySet(key(name)).jwks(NOW)))
    token = KeySet(key(name), clock=clock).sign({"a": 1}, typ="x", expires=60)
    assert KeySet.from_jwks(document, clock=clock).verify(token, typ="x")["a"] == 1


@pytest.mark.parametrize(
    ("kty", "alg"), [("RS256", "RS256"), ("ES256", "ES256"), ("ES384", "ES384"), ("ES512", "ES512"), ("EdDSA", "Ed25519")]
)
def test_a_jwk_without_alg_has_the_usual_one(kty: str, alg: str):
    """A3: a published key without `alg` gets the one that belongs to its type and curve, whatever a header says."""
    jwk = {name: value for name, value in key(kty).jwk().items() if name != "alg"}
    assert [entry.value.algorithm.name for entry in KeySet.from_jwks({"keys": [jwk]}).entries()] == [alg]


@pytest.mark.parametrize(
    "other",
    [
        {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": "EC", "crv": ["P-256"]},
        {"kty": "EC", "crv": {}},
        {"kty": ["EC"], "crv": "P-256"},
        {"kty": None},
        {},
    ],
    ids=str,
)
def test_other_keys_of_a_jwks_are_passed_over(other: dict[str, Any]):
    """RFC 7517 section 5: kinds and uses that are not ours do not hinder the keys beside them."""
    found = KeySet.from_jwks({"keys": [other, key("ES256").jwk()]})
    assert [entry.id for entry in found.entries()] == [key("ES256").kid]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, "key_malformed"),
        ({"keys": None}, "key_malformed"),
        ({"keys": {}}, "key_malformed"),
        ({"keys": "x"}, "key_malformed"),
        ({"keys": [1]}, "key_malformed"),
        ({"keys": [None]}, "key_malformed"),
        ({"keys": [[]]}, "key_malformed"),
        ({"keys": [{"kty": "oct", "k": encode(SECRET), "alg": "HS256"}]}, "key_private_in_jwks"),
        ({"keys": [{"kty": "oct", "k": ""}]}, "key_private_in_jwks"),
        ({"keys": [{"kty": "other", "d": None}]}, "key_private_in_jwks"),
        ({"keys": [{"kty": "RSA", "use": "enc", "p": "AQAB"}]}, "key_private_in_jwks"),
        ({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256"}]}, "key_malformed"),
        ({"keys": [{"kty": "EC", "crv": "P-256", "alg": "HS256"}]}, "key_algorithm_misfit"),
        ({"keys": [{"kty": "EC", "crv": "P-256", "alg": "none"}]}, "key_algorithm_unknown"),
        ({"keys": [{"kty": "EC", "crv": "P-256", "alg": ["ES256"]}]}, "key_algorithm_unknown"),
        ({"keys": [key("ES256").jwk(private=True)]}, "key_private_in_jwks"),
        ({"keys": [key("RS256").jwk(private=True)]}, "key_private_in_jwks"),
        ({"keys": [key("ES256").jwk(), key("ES256").jwk()]}, "key_duplicate_kid"),
        ({"keys": [key("ES256").jwk(), {**key("ES384").jwk(), "kid": key("ES256").kid}]}, "key_duplicate_kid"),
    ],
)
def test_refused_jwks(document: dict[str, Any], code: str):
    """Private parts anywhere, broken keys, one kid for two keys: the set is refused, and with its code."""
    with pytest.raises(errors.KeyRejected) as caught:
        KeySet.from_jwks(document)
    assert caught.value.code == code


def test_a_refused_jwks_leaves_nothing_behind():
    """However often a JWKS is refused, memory stays as it is: a broken server may be asked for years."""

    def refuse(times: int) -> int:
        for _ in range(times):
            with contextlib.suppress(KeyRejected):
                KeySet.from_jwks({"keys": [{"kty": "RSA"}]})
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = refuse(100)
        assert refuse(1000) - before < 10_000
    finally:
        tracemalloc.stop()


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["EC", "RSA", "OKP", "P-256", "Ed25519", "sig", "ES256"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "key_ops", "kid"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(MEMBERS, ODD, max_size=6) | ODD, max_size=3))
def test_any_jwks_is_taken_or_refused(members: list[Any]):
    """No document raises anything but KeyRejected."""
    with contextlib.suppress(errors.KeyRejected):
        assert isinstance(KeySet.from_jwks({"keys": members}), KeySet)


def test_mixed_sets():
    """Shared secrets and public keys do not go into one set: who may verify could sign."""
    with pytest.raises(errors.KeyRejected) as caught:
        KeySet(key("HS256"), key("ES256"))
    assert caught.value.code == "key_mixed_symmetry"


@pytest.mark.parametrize(
    ("again", "code"),
    [
        (public_half("ES256"), "key_duplicate_kid"),
        (Key.from_jwk({**key("ES256").jwk(), "kid": "another"}), "key_in_two_roles"),
    ],
)
def test_one_key_twice(again: Key, code: str):
    """A key stands once in a set, whatever it is called."""
    with pytest.raises(errors.KeyRejected) as caught:
        KeySet(key("ES256"), again)
    assert caught.value.code == code


def test_sign_and_verify(keys: KeySet):
    """An invitation says what was put into it, and when it was made and ends."""
    claims = keys.verify(
        keys.sign({"email": "ada@example.org", "n": [1, {"a": None}]}, typ="invitation+jwt", expires="7d"), typ="invitation+jwt"
    )
    assert dict(claims) == {"email": "ada@example.org", "n": [1, {"a": None}], "iat": NOW, "exp": NOW + 604_800}


def test_sign_leaves_the_claims_alone(keys: KeySet):
    """What the caller passed in is never altered."""
    claims = {"a": 1}
    keys.sign(claims, typ="x", expires=60)
    assert claims == {"a": 1}


def test_a_token_ends_to_the_second(keys: KeySet, clock: FixedClock):
    """At `exp` itself it is dead."""
    token = keys.sign({}, typ="x", expires=60)
    clock.forward(59.999)
    assert keys.verify(token, typ="x")
    clock.forward(0.001)
    with pytest.raises(errors.TokenExpired):
        keys.verify(token, typ="x")


@pytest.mark.parametrize("claims", [{"exp": 1}, {"iat": 1}, {"exp": None}, {"exp": NOW + 5, "iat": NOW}])
def test_exp_and_iat_come_from_the_clock(keys: KeySet, claims: dict[str, Any]):
    """Claims that bring `iat` or `exp` along are a ValueError: which one would count?"""
    with pytest.raises(ValueError):
        keys.sign(claims, typ="x", expires=60)


@pytest.mark.parametrize("expires", [None, 0, -1, "", "60", 1.5, True])
def test_every_token_expires(keys: KeySet, expires: Any):
    """There is no token without an end: `expires_at=0` is not "never"."""
    with pytest.raises((TypeError, ValueError)):
        keys.sign({}, typ="x", expires=expires)


@pytest.mark.parametrize("name", ["iss", "sub", "jti"])
@pytest.mark.parametrize("value", [5, None, True, "", [], ["x"], {}, 1.5])
def test_claims_that_are_no_texts(keys: KeySet, name: str, value: Any):
    """RFC 7519 section 4.1: an issuer, a subject and an id that are no texts are neither signed nor taken."""
    with pytest.raises(ValueError):
        keys.sign({name: value}, typ="test+jwt", expires=60)
    forged = jws.sign(keys.signing(NOW), "test+jwt", {name: value, "iat": int(NOW), "exp": int(NOW) + 60})
    with pytest.raises(errors.ClaimRejected) as caught:
        keys.verify(forged, typ="test+jwt")
    assert caught.value.claim == name


@pytest.mark.parametrize(
    "typ", ["to\u212aen+jwt", "at+jwt", "AT+JWT", "At+jwt", "application/at+jwt", "Invitation+jwt", "", "a/b", None, 1, b"x"]
)
def test_kinds_that_are_none(keys: KeySet, typ: Any):
    """Access tokens are made by the issuer alone; a kind is a text in lower case without the media type's prefix."""
    with pytest.raises(ValueError):
        keys.sign({}, typ=typ, expires=60)
    with pytest.raises(ValueError):
        keys.verify("x", typ=typ)


@pytest.mark.parametrize(
    "typ", [None, 1, True, ["x"], {"x": 1}, "", "X ", " x", "x\x00", "xx", "application/xx", "application/application/x", "text/x"]
)
def test_headers_of_another_typ(keys: KeySet, typ: Any):
    """A missing, odd or other `typ` is refused though the signature holds."""
    payload = {"iat": NOW, "exp": NOW + 60}
    with pytest.raises(errors.TokenError):
        keys.verify(forge({**header(key("ES256")), "typ": typ}, payload, key("ES256")), typ="x")
    bare = {"alg": "ES256", "kid": key("ES256").kid}
    with pytest.raises(errors.ClaimRejected):
        keys.verify(forge(bare, payload, key("ES256")), typ="x")


@pytest.mark.parametrize("typ", ["x", "X", "application/x", "APPLICATION/X"])
def test_headers_of_the_same_typ(keys: KeySet, typ: str):
    """RFC 7515 section 4.1.9: the media type's prefix may stand, and its case means nothing."""
    assert keys.verify(forge(header(key("ES256"), typ), {"iat": NOW, "exp": NOW + 60}, key("ES256")), typ="x")


def test_issuer_and_audience(keys: KeySet):
    """Where they are asked for they must be there and right; an audience that nobody expects is refused."""
    bare = keys.sign({}, typ="x", expires=60)
    full = keys.sign({"iss": "https://i", "aud": ["a", "b"]}, typ="x", expires=60)
    assert keys.verify(full, typ="x", issuer="https://i", audience="b")
    refused = [
        (bare, {"issuer": "https://i"}, "iss"),
        (bare, {"audience": "a"}, "aud"),
        (full, {"issuer": "https://i/", "audience": "a"}, "iss"),
        (full, {"audience": "c"}, "aud"),
        (full, {}, "aud"),
    ]
    for token, expected, claim in refused:
        with pytest.raises(errors.ClaimRejected) as caught:
            keys.verify(token, typ="x", **expected)
        assert caught.value.claim == claim


def test_a_set_that_only_verifies(clock: FixedClock):
    """Public keys sign nothing: TypeError."""
    with pytest.raises(TypeError):
        KeySet(public_half("ES256"), clock=clock).sign({}, typ="x", expires=60)


def test_generate_secret_and_pem(clock: FixedClock):
    """A set of one fresh key, of one shared secret or of one private key signs and verifies by itself, at the moment of its own clock."""
    pem = private_pem(private_key("ES256"), password=b"pass")
    for made in (
        KeySet.generate(clock=clock),
        KeySet.generate("HS512", clock=clock),
        KeySet.from_secret(SECRET, clock=clock),
        KeySet.from_pem(pem, "ES256", password=b"pass", clock=clock),
    ):
        assert made.verify(made.sign({}, typ="x", expires=60), typ="x")["iat"] == NOW
    assert isinstance(KeySet.generate().signing(NOW), Key)


def test_rotating_to_another_algorithm(tmp_path: Path):
    """The next key may be of another algorithm; one that does not go with the others, or is none, changes nothing."""
    keys = KeySet.open(tmp_path / "keys.json", keep="1d")
    kid = keys.signing(time.time()).kid
    for wrong in ("HS256", "none"):
        with pytest.raises(KeyRejected):
            keys.rotate(algorithm=wrong)
    assert [entry.id for entry in KeySet.open(tmp_path / "keys.json").entries()] == [kid]
    made = keys.rotate(algorithm="Ed25519", announce=1)
    assert made.algorithm.name == "Ed25519"
    assert KeySet.open(tmp_path / "keys.json").signing(time.time() + 2).kid == made.kid


def test_a_schedule_with_very_many_keys(tmp_path: Path):
    """A JWKS that many would refuse for its size is a ValueError at opening; as many peppers are no harm."""
    spans = {"rotate_every": "1h", "keep": "7d"}
    with pytest.raises(ValueError, match="at one time"):
        KeySet.open(tmp_path / "keys.json", **spans)
    assert KeySet.open(tmp_path / "keys.json", rotate_every="4h", keep="7d").schedule.together < 50
    assert KeySet.open(tmp_path / "keys.json", rotate_every=1000, announce=900, keep=48_100).schedule.together == 50
    assert Peppers.open(tmp_path / "peppers.json", **spans).schedule.together > 100
