"""The examples of the RFCs: what holds there holds here, and what we refuse of theirs is refused on purpose."""

import json
from typing import Any

import pytest

from stagedoor import Revocations, Verifier, errors, jws
from stagedoor.encoding import decode, encode
from stagedoor.keys import Key
from stagedoor.keyset import KeySet

from .material import NOW, forge, private_der, rsa_key
from .vectors import (
    BILBO,
    BILBO_EC,
    DETACHED,
    DPOP_PROOF,
    DPOP_THUMBPRINT,
    FRODO,
    NONE,
    NOT_COMPACT,
    RFC_7515,
    RFC_7520,
    RFC_7638,
    RFC_8037,
    RFC_9068_CLAIMS,
    RFC_9068_HEADER,
    SHARED,
    UNKNOWN_CRITICAL,
)

VECTORS = {**RFC_7515, **RFC_7520}


def refused(token: str, *keys: Key) -> str:
    with pytest.raises(errors.TokenError) as caught:
        jws.verify(token, KeySet(*keys), NOW)
    return caught.value.code


@pytest.mark.parametrize("vector", VECTORS)
def test_signatures(vector: str):
    """RFC 7515 A.1 to A.4, RFC 7520 4.1 to 4.4, RFC 8037 A.4: they hold under their keys, and under no other text."""
    jwk, name, text, signature = VECTORS[vector]
    signer = Key.from_jwk(jwk, name)
    assert signer.verify(text.encode(), decode(signature))
    assert not signer.verify(text.encode() + b"0", decode(signature))
    assert not signer.can_sign or signer.verify(text.encode(), signer.sign(text.encode()))


@pytest.mark.parametrize("vector", ["RFC 7515 A.1", "RFC 7520 4.1", "RFC 7520 4.4", "RFC 8037 A.4"])
def test_signatures_without_chance(vector: str):
    """HMAC, RSASSA-PKCS1-v1_5 and Ed25519 make the very signature of the RFC."""
    jwk, name, text, signature = VECTORS[vector]
    assert encode(Key.from_jwk(jwk, name).sign(text.encode())) == signature


@pytest.mark.parametrize("vector", RFC_7520)
def test_tokens_of_rfc_7520(vector: str):
    """RFC 7520 4.1 to 4.4: key, header and signature are taken, and only then is it seen that the payload is prose."""
    jwk, name, text, signature = VECTORS[vector]
    public = {member: value for member, value in jwk.items() if member in ("kty", "kid", "use", "n", "e", "crv", "x", "y", "k")}
    reader = Key.from_jwk(public, name)
    assert refused(f"{text}.{signature}", reader) == "token_malformed"
    assert refused(f"{text}.{signature[:-6]}AAAAAA", reader) == "signature_invalid"
    assert decode(FRODO).decode().startswith("It\u2019s a dangerous business, Frodo")


@pytest.mark.parametrize("vector", ["RFC 7515 A.1", "RFC 7515 A.3", "RFC 7515 A.4", "RFC 8037 A.4"])
def test_a_token_without_kid_has_no_key(vector: str):
    """The tokens of RFC 7515 and 8037 name no key and are refused: a key is found by its name alone."""
    jwk, name, text, signature = VECTORS[vector]
    assert refused(f"{text}.{signature}", Key.from_jwk(jwk, name)) == "key_unknown"


def test_no_signature():
    """RFC 7515 A.5: a token of the algorithm `none` is refused, whichever keys there are."""
    assert refused(NONE) == "algorithm_not_allowed"
    assert refused(NONE, Key.from_jwk(BILBO, "RS256")) == "algorithm_not_allowed"
    assert jws.read_unverified(NONE)[0] == {"alg": "none"}  # it is the one of the RFC


def test_an_unknown_critical_parameter():
    """RFC 7515 appendix E."""
    assert refused(UNKNOWN_CRITICAL, Key.from_jwk(BILBO, "RS256")) == "token_malformed"


def test_detached_content():
    """RFC 7520 4.5: without its payload a token says nothing, though the signature is right for it."""
    reader = Key.from_jwk(SHARED)
    assert refused(DETACHED, reader) == "signature_invalid"
    assert refused(DETACHED.replace("..", f".{FRODO}."), reader) == "token_malformed"  # only the prose is wrong now


@pytest.mark.parametrize("section", NOT_COMPACT)
def test_other_serialisations(section: str):
    """RFC 7520 4.5 to 4.8: the JSON serialisations, flat and general, are refused by their form."""
    written = NOT_COMPACT[section]
    forms = [written] if "signatures" in written else [written, {"payload": FRODO, "signatures": [written]}]
    for form in forms:
        for text in (json.dumps(form), json.dumps(form, separators=(",", ":")), encode(json.dumps(form).encode())):
            assert refused(text, Key.from_jwk(SHARED), Key.from_secret(bytes(range(64)), kid="other")) == "token_malformed"


def test_a_header_that_nobody_signed():
    """RFC 7520 4.6 to 4.8: what the unprotected header says is no key's name, also where the parts are put together as a compact token."""
    four_six = NOT_COMPACT["4.6"]
    assert refused(f"{four_six['protected']}.{FRODO}.{four_six['signature']}", Key.from_jwk(SHARED)) == "key_unknown"
    assert refused(f".{FRODO}.{NOT_COMPACT['4.7']['signature']}", Key.from_jwk(SHARED)) == "token_malformed"
    first, second, _ = NOT_COMPACT["4.8"]["signatures"]
    assert Key.from_jwk(BILBO, "RS256").verify(f"{first['protected']}.{FRODO}".encode(), decode(first["signature"]))
    assert Key.from_jwk(BILBO_EC, "ES512").verify(f".{FRODO}".encode(), decode(second["signature"]))
    assert refused(f"{first['protected']}.{FRODO}.{first['signature']}", Key.from_jwk(BILBO, "RS256")) == "key_unknown"
    assert refused(f".{FRODO}.{second['signature']}", Key.from_jwk(BILBO_EC, "ES512")) == "token_malformed"


def test_the_thumbprint_of_rfc_7638():
    """RFC 7638 section 3.1: the thumbprint depends on the key alone, not on its other members."""
    assert Key.from_jwk(RFC_7638).thumbprint() == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    unnamed = {name: value for name, value in RFC_7638.items() if name != "kid"}
    assert Key.from_jwk(unnamed).kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert Key.from_jwk(RFC_7638).kid == "2011-04-29"


def test_the_keys_of_rfc_8037():
    """RFC 8037 A.1 to A.3: private key, public key and thumbprint belong together."""
    private = Key.from_jwk(RFC_8037, "EdDSA")
    public = Key.from_jwk({name: value for name, value in RFC_8037.items() if name != "d"}, "EdDSA")
    assert (private.can_sign, public.can_sign) == (True, False)
    assert private.kid == public.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert private.jwk(private=True).items() >= RFC_8037.items()


def dpop_key() -> Key:
    return Key.from_jwk(jws.read_unverified(DPOP_PROOF)[0]["jwk"], "ES256")


def test_the_proof_of_rfc_9449():
    """RFC 9449 figures 2 and 9: the proof holds under the key in it, whose thumbprint is the `jkt` of the bound tokens."""
    signed, _, signature = DPOP_PROOF.rpartition(".")
    assert dpop_key().kid == DPOP_THUMBPRINT
    assert dpop_key().verify(signed.encode(), decode(signature))


def verifier(*keys: Key, now: float = RFC_9068_CLAIMS["iat"]) -> Verifier:
    return Verifier(
        RFC_9068_CLAIMS["iss"],
        audience=RFC_9068_CLAIMS["aud"],
        keys=KeySet(*keys),
        revocations=Revocations.until_expiry(),
        clock=lambda: now,
    )


def test_a_proof_is_no_access_token():
    """RFC 9449 section 4.1: the key in a proof is never taken from it, and where it is known the proof is still of another kind."""
    with pytest.raises(errors.UnknownKey):
        verifier(dpop_key(), now=1562262616).verify(DPOP_PROOF)
    signer = Key.from_der(private_der(rsa_key()), "RS256", kid="known")
    header, payload = jws.read_unverified(DPOP_PROOF)
    for claims in (payload, {**RFC_9068_CLAIMS, **payload, "sid": "s", "auth_time": 1}):
        with pytest.raises(errors.ClaimRejected) as caught:
            verifier(signer, now=1562262616).verify(forge({**header, "alg": "RS256", "kid": "known"}, claims, signer))
        assert caught.value.claim == "typ"


OURS = {"sid": "session", "auth_time": RFC_9068_CLAIMS["iat"]}
"""What our own access tokens say besides."""


def example(header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None) -> str:
    signer = Key.from_der(private_der(rsa_key()), "RS256", kid=RFC_9068_HEADER["kid"])
    return forge(RFC_9068_HEADER | (header or {}), RFC_9068_CLAIMS | OURS | (claims or {}), signer)


def read_example(token: str, now: float = RFC_9068_CLAIMS["iat"]) -> Any:
    return verifier(Key.from_der(private_der(rsa_key()), "RS256", kid=RFC_9068_HEADER["kid"]), now=now).verify(token)


def test_the_example_of_rfc_9068():
    """RFC 9068 figure 2, signed by us with the session and the login that our own tokens name, is an access token."""
    token = read_example(example())
    assert (token.subject, token.client_id, token.id) == ("5ba552d67", "s6BhdRkqt3", "dbe39bf3a3ba4238a513f51d6e1691c4")
    assert set(token.scope) == {"openid", "profile", "reademail"}
    assert token.key_id == "RjEwOwOA"


@pytest.mark.parametrize("name", ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"])
@pytest.mark.parametrize("how", ["missing", None, "", 0.5, [], {}, True])
def test_required_claims_of_rfc_9068(name: str, how: Any):
    """RFC 9068 section 2.2: each required claim must be there, and of its type."""
    claims = {**RFC_9068_CLAIMS, **OURS, name: how}
    if how == "missing":
        del claims[name]
    signer = Key.from_der(private_der(rsa_key()), "RS256", kid=RFC_9068_HEADER["kid"])
    with pytest.raises(errors.ClaimRejected) as caught:
        read_example(forge(RFC_9068_HEADER, claims, signer))
    assert caught.value.claim == name


@pytest.mark.parametrize(
    ("header", "claims", "now", "code"),
    [
        ({"typ": "JWT"}, {}, 0, "claim_rejected"),
        ({"typ": "dpop+jwt"}, {}, 0, "claim_rejected"),
        ({"typ": "application/at+jwt"}, {}, 0, None),
        ({"typ": "application/application/at+jwt"}, {}, 0, "claim_rejected"),
        ({"typ": None}, {}, 0, "token_malformed"),
        ({"alg": "none"}, {}, 0, "algorithm_not_allowed"),
        ({"alg": "RS512"}, {}, 0, "algorithm_not_allowed"),
        ({}, {"iss": "https://authorization-server.example.com"}, 0, "claim_rejected"),
        ({}, {"aud": "https://rs.example.com"}, 0, "claim_rejected"),
        ({}, {"aud": ["https://other.example", "https://rs.example.com/"]}, 0, None),
        ({}, {"cnf": {"jkt": DPOP_THUMBPRINT}}, 0, "claim_rejected"),
        ({}, {}, RFC_9068_CLAIMS["exp"] - 1, None),
        ({}, {}, RFC_9068_CLAIMS["exp"], "token_expired"),
    ],
    ids=str,
)
def test_rules_of_rfc_9068(header: dict[str, Any], claims: dict[str, Any], now: int, code: str | None):
    """RFC 9068 section 4, and RFC 9449 section 7.2: kind, algorithm, issuer, audience, end and binding."""
    token = example(header, claims)
    if code is None:
        assert read_example(token, now or RFC_9068_CLAIMS["iat"]).subject == RFC_9068_CLAIMS["sub"]
        return
    with pytest.raises(errors.TokenError) as caught:
        read_example(token, now or RFC_9068_CLAIMS["iat"])
    assert (caught.value.code, caught.value.error, caught.value.status) == (code, "invalid_token", 401)
