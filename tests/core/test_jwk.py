"""JWK: what its members may say, in one way only."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedoor.encoding import decode, encode
from stagedoor.errors import KeyRejected
from stagedoor.keys import Key

from .defects import ed25519_jwk, number, private_jwk, public_jwk, sound
from .material import SECRET

OCT = {"kty": "oct", "alg": "HS256", "k": encode(SECRET)}
JWKS: dict[str, Callable[[], dict[str, Any]]] = {
    "oct": lambda: OCT,
    "RSA": lambda: public_jwk(sound("RS256")),
    "RSA private": lambda: private_jwk(sound("RS256")),
    "EC": lambda: public_jwk(sound("ES256")),
    "EC private": lambda: private_jwk(sound("ES256")),
    "P-521": lambda: public_jwk(sound("ES512")),
    "OKP": lambda: public_jwk(sound("Ed25519")),
    "OKP private": ed25519_jwk,
}


def code_of(jwk: Any, name: str | None = None) -> str:
    with pytest.raises(KeyRejected) as caught:
        Key.from_jwk(jwk, name)
    return caught.value.code


@pytest.mark.parametrize("kind", JWKS)
def test_what_is_sound_passes(kind: str):
    """A sound JWK is taken, with members beside that mean nothing to us (RFC 7517 section 4)."""
    more = {"use": "sig", "kid": "k\u00e9", "x5t": "AA", "x5c": ["AA"], "iat": 1, "ext": True}
    assert Key.from_jwk({**JWKS[kind](), **more}).kid == "k\u00e9"


@pytest.mark.parametrize("kind", JWKS)
@pytest.mark.parametrize("use", ["enc", "", "SIG", "sig ", None, ["sig"], {"sig": 1}, 1, True], ids=repr)
def test_another_use(kind: str, use: Any):
    """RFC 7517 section 4.2: one key, one use, and ours is `sig`."""
    assert code_of({**JWKS[kind](), "use": use}) == "key_wrong_use"


@pytest.mark.parametrize("kind", JWKS)
def test_key_operations(kind: str):
    """RFC 7517 section 4.3: `key_ops` says just what is done with the key, each once; everything else is refused."""
    right = {"oct": ["sign", "verify"]}.get(kind, ["sign"] if "private" in kind else ["verify"])
    assert Key.from_jwk({**JWKS[kind](), "key_ops": right})
    assert Key.from_jwk({**JWKS[kind](), "key_ops": ["verify", "sign"]})
    missing: list[Any] = [["verify"] if right == ["sign"] else ["sign"]]
    for wrong in [*missing, [], ["encrypt"], [*right, "deriveKey"], right + right, "sign", None, {}, [["sign"]], ["Sign"], [1], [None], 1]:
        assert code_of({**JWKS[kind](), "key_ops": wrong}) == "key_wrong_operations", wrong


@pytest.mark.parametrize(
    ("kind", "member"),
    [(kind, member) for kind, jwk in JWKS.items() for member in jwk() if member not in ("kty", "crv", "alg")],
)
@pytest.mark.parametrize("value", [None, 1, True, [], {}, "!", "AAAA=", "A", "AB", "AAA\n", " AAAA", "\u00e9", "\ud800"], ids=ascii)
def test_members_that_are_no_base64url(kind: str, member: str, value: Any):
    """Each member of a key is canonical base64url; other types and other texts are no key."""
    assert code_of({**JWKS[kind](), member: value}) == "key_malformed"


@pytest.mark.parametrize(
    ("kind", "member"),
    [(kind, member) for kind, jwk in JWKS.items() for member in jwk() if member not in ("kty", "crv", "alg", "k")],
)
def test_numbers_in_their_one_way(kind: str, member: str):
    """RFC 7518 sections 6.2.1.2 and 6.3.1.1: a zero byte more in front means the same number, and is refused; so is a byte less."""
    data = decode(JWKS[kind]()[member])
    others = [b"\0" + data, b""] if kind.startswith("RSA") else [b"\0" + data, data[1:], data + b"\0", b""]
    for other in others:
        assert code_of({**JWKS[kind](), member: encode(other)}) == "key_not_canonical"


RSA_PRIVATE = ("d", "p", "q", "dp", "dq", "qi")


@pytest.mark.parametrize("member", RSA_PRIVATE)
def test_rsa_without_one_of_its_private_members(member: str):
    """RFC 7518 section 6.3.2: all of them or none; `d` alone, which the RFC would allow, is not taken."""
    full = private_jwk(sound("RS256"))
    assert code_of({name: value for name, value in full.items() if name != member}) == "key_private_members"
    assert code_of({**public_jwk(sound("RS256")), member: full[member]}) == "key_private_members"


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("RSA private", {"oth": []}),
        ("RSA", {"oth": [{"r": "Aw", "d": "Aw", "t": "Aw"}]}),
        ("RSA private", {"k": encode(SECRET)}),
        ("EC", {"k": encode(SECRET)}),
        ("EC private", {"p": "Aw"}),
        ("OKP", {"q": "Aw"}),
        ("oct", {"d": "Aw"}),
    ],
)
def test_private_members_of_another_type(kind: str, more: dict[str, Any]):
    """What makes another type of key private has no place in this one, nor has a third prime."""
    assert code_of({**JWKS[kind](), **more}) == "key_private_members"


def test_a_secret_without_k():
    """A shared secret has its `k`."""
    assert code_of({"kty": "oct", "alg": "HS256"}) == "key_malformed"


def test_parts_of_two_okp_keys():
    """The private part is the public one's own."""
    assert code_of({**ed25519_jwk(), "d": encode(b"\1" * 32)}) == "key_private_misfit"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"alg": "ES384"}, "key_curve_misfit"),
        ({"crv": "P-384"}, "key_curve_misfit"),
        ({"crv": "secp256k1"}, "key_curve_misfit"),
        ({"crv": "p-256"}, "key_curve_misfit"),
        ({"crv": {}}, "key_curve_misfit"),
        ({"crv": None}, "key_curve_misfit"),
        ({"alg": "RS256"}, "key_algorithm_misfit"),
        ({"alg": "HS256"}, "key_algorithm_misfit"),
        ({"kty": "RSA"}, "key_algorithm_misfit"),
        ({"kty": "ec"}, "key_algorithm_misfit"),
        ({"kty": ["EC"]}, "key_algorithm_misfit"),
        ({"kty": None}, "key_algorithm_misfit"),
        ({"kty": "oct", "k": encode(SECRET)}, "key_algorithm_misfit"),
        ({"alg": "none"}, "key_algorithm_unknown"),
        ({"alg": "ES256K"}, "key_algorithm_unknown"),
        ({"alg": None}, "key_algorithm_unknown"),
        ({"alg": ["ES256"]}, "key_algorithm_unknown"),
        ({"kid": ""}, "key_malformed"),
        ({"kid": "k" * 256}, "key_malformed"),
        ({"kid": "\ud800"}, "key_malformed"),
        ({"kid": 7}, "key_malformed"),
        ({"kid": ["a"]}, "key_malformed"),
    ],
    ids=ascii,
)
def test_types_curves_algorithms_and_names(change: dict[str, Any], code: str):
    """Type, curve and algorithm belong together, and a name is a text that a token can carry."""
    assert code_of({**public_jwk(sound("ES256")), **change}) == code


@pytest.mark.parametrize("crv", ["Ed448", "X25519", "X448", "P-256", None])
def test_other_curves_of_okp(crv: Any):
    """Of the curves of RFC 8037 there is one."""
    assert code_of({**public_jwk(sound("Ed25519")), "crv": crv}) == "key_curve_misfit"


def test_an_rsa_key_has_no_curve():
    """`crv` in an RSA key says that it is another's."""
    assert code_of({**public_jwk(sound("RS256")), "crv": "P-256"}) == "key_curve_misfit"


@pytest.mark.parametrize("jwk", ["{}", b"{}", None, [], 1, [("kty", "EC")]])
def test_a_jwk_is_a_dict(jwk: Any):
    """Its text, or anything else, is a programmer's mistake."""
    with pytest.raises(TypeError):
        Key.from_jwk(jwk, "ES256")


def test_zero():
    """RFC 7518 section 2: zero is one zero byte, and no number of a key."""
    assert code_of({**public_jwk(sound("RS256")), "e": number(0)}) in ("key_not_canonical", "key_weak_exponent")


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=50) | st.binary(max_size=40).map(encode) | st.just(["sign"])
MEMBERS = st.sampled_from(["kty", "crv", "alg", "use", "key_ops", "kid", "n", "e", "x", "y", "k", "oth", *RSA_PRIVATE])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(JWKS)), st.dictionaries(MEMBERS, VALUES, max_size=4))
def test_any_jwk_is_taken_or_refused(kind: str, change: dict[str, Any]):
    """Whatever is changed in a key, it is taken or refused, and nothing foreign is raised."""
    with contextlib.suppress(KeyRejected):
        assert isinstance(Key.from_jwk({**JWKS[kind](), **change}), Key)
