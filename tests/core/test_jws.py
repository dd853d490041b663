"""Compact JWS: round trips, and what differs by algorithm or form. RFC examples: test_vectors; attacks: tests/attacks."""

import contextlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedoor import jws
from stagedoor.algorithms import ALGORITHMS
from stagedoor.encoding import MAX_TOKEN, decode, decode_object, encode
from stagedoor.errors import AlgorithmNotAllowed, BadSignature, ClaimRejected, MalformedToken, TokenError, UnknownKey
from stagedoor.keys import Key
from stagedoor.keyset import KeySet

from .material import ASYMMETRIC, NOW, SECRET, forge, header, key, private_key, public_half

PROPERTY = settings(max_examples=200, deadline=None)
PAYLOAD = {"sub": "user", "n": 1}


def verify(token: str, *keys: Key) -> jws.Signed:
    return jws.verify(token, KeySet(*keys), NOW)


def refused(token: str, *keys: Key) -> str:
    with pytest.raises(TokenError) as caught:
        verify(token, *keys)
    return caught.value.code


@pytest.mark.parametrize("name", ALGORITHMS)
def test_round_trip(name: str):
    """Every algorithm of the table signs what its verifying half verifies."""
    token = jws.sign(key(name), "test+jwt", PAYLOAD)
    signed = verify(token, key(name) if name.startswith("HS") else public_half(name))
    assert (signed.key.kid, signed.header.typ, signed.payload, signed.header.kid) == (key(name).kid, "test+jwt", PAYLOAD, key(name).kid)
    assert decode_object(signed.text) == PAYLOAD
    assert jws.read_unverified(token) == (header(key(name)), PAYLOAD)


@PROPERTY
@given(st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20), max_size=5))
def test_what_is_signed_can_be_read(payload: dict[str, Any]):
    """Any payload of ordinary values comes back as it was."""
    assert verify(jws.sign(key("HS256"), "t", payload), key("HS256")).payload == payload


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a4_the_algorithm_is_the_keys(name: str):
    """A4, A5: each `alg` of the table is refused for a key of another one, though the key's own signature holds."""
    for other in ALGORITHMS:
        token = forge(header(key(name)) | {"alg": other}, PAYLOAD, key(name))
        if other in key(name).algorithm.names:
            assert verify(token, key(name))
        else:
            assert refused(token, key(name)) == "algorithm_not_allowed"


@pytest.mark.parametrize(("signs", "verifies"), [("PS256", "RS256"), ("RS256", "PS256"), ("RS256", "RS512"), ("PS256", "PS384")])
def test_a5_one_rsa_key_in_two_roles(signs: str, verifies: str):
    """A5: a signature of one scheme is none of another, though it is the same RSA key."""
    token = forge(header(key(verifies)), PAYLOAD, key(signs))
    assert refused(token, key(verifies)) == "signature_invalid"


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.SECP384R1(), ec.SECP521R1()])
def test_a5_a_signature_of_another_curve(curve: ec.EllipticCurve):
    """A5: a signature made on another curve is refused under an ES256 header."""
    signed = f"{encode(json.dumps(header(key('ES256'))).encode())}.{encode(json.dumps(PAYLOAD).encode())}"
    r, s = utils.decode_dss_signature(ec.generate_private_key(curve).sign(signed.encode(), ec.ECDSA(SHA256())))
    width = max(32, (max(r, s).bit_length() + 7) // 8)
    assert refused(f"{signed}.{encode(r.to_bytes(width, 'big') + s.to_bytes(width, 'big'))}", key("ES256")) == "signature_invalid"


def test_the_name_of_another_key():
    """A token that names one of two keys is checked with that one only."""
    token = forge(header(key("ES256")) | {"kid": key("ES384").kid, "alg": "ES384"}, PAYLOAD, key("ES256"))
    assert refused(token, key("ES256"), key("ES384")) == "signature_invalid"


ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "ES512": (2**261 - 1 << 260) + 0xA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
}
WIDTHS = {"ES256": 32, "ES384": 48, "ES512": 66}


@pytest.mark.parametrize("name", ORDERS)
def test_a14_signatures_of_nothing(name: str):
    """A14: zero, one, the order and beyond are no r and no s."""
    width, order = WIDTHS[name], ORDERS[name]
    numbers = [0, 1, order - 1, order, order + 1, (1 << 8 * width) - 1]
    for r in numbers:
        for s in numbers:
            signature = r.to_bytes(width, "big") + s.to_bytes(width, "big")
            assert refused(forge(header(key(name)), PAYLOAD, signature=signature), key(name)) == "signature_invalid"


@pytest.mark.parametrize("name", ORDERS)
def test_a14_other_forms_of_a_signature(name: str):
    """A14, RFC 7518 section 3.4: DER, other widths and numbers beyond the order are no signature, though they mean the same."""
    first = forge(header(key(name)), PAYLOAD, key(name))
    signed, _, text = first.rpartition(".")
    raw, width = decode(text), WIDTHS[name]
    r, s = int.from_bytes(raw[:width], "big"), int.from_bytes(raw[width:], "big")
    forms = [
        utils.encode_dss_signature(r, s),
        private_key(name).sign(signed.encode(), ec.ECDSA(SHA256())),
        raw[:-1],
        raw + b"\0",
        b"\0" + raw,
        b"\0" + raw[:width] + b"\0" + raw[width:],
        raw[:width] + b"\0" + raw[width:],
        raw[:width],
        raw + raw,
        raw[width:] + raw[:width],
        b"",
    ]
    for form in forms:
        assert refused(f"{signed}.{encode(form)}", key(name)) == "signature_invalid"


@pytest.mark.parametrize("name", ORDERS)
def test_a15_the_twin(name: str):
    """A15: r, n-s verifies as r, s does; this is why nothing here is ever remembered by a token's text."""
    token = forge(header(key(name)), PAYLOAD, key(name))
    twin = twin_of(token, name)
    assert twin != token
    assert verify(twin, key(name)) == verify(token, key(name))


def twin_of(token: str, name: str) -> str:
    signed, _, text = token.rpartition(".")
    raw, width = decode(text), WIDTHS[name]
    s = ORDERS[name] - int.from_bytes(raw[width:], "big")
    return f"{signed}.{encode(raw[:width] + s.to_bytes(width, 'big'))}"


def test_ed25519_and_rsa_have_no_twin():
    """s + L under Ed25519 and s + n under RSA are refused: there is one signature text."""
    signed, _, text = forge(header(key("EdDSA")), PAYLOAD, key("EdDSA")).rpartition(".")
    raw = decode(text)
    s = int.from_bytes(raw[32:], "little") + 2**252 + 27742317777372353535851937790883648493
    assert refused(f"{signed}.{encode(raw[:32] + s.to_bytes(32, 'little'))}", key("EdDSA")) == "signature_invalid"
    signed, _, text = forge(header(key("RS256")), PAYLOAD, key("RS256")).rpartition(".")
    n = int.from_bytes(decode(key("RS256").jwk()["n"]), "big")
    s = int.from_bytes(decode(text), "big") + n
    for form in (s.to_bytes(257, "big"), b"\0" + decode(text), s.to_bytes(257, "big")[1:]):
        assert refused(f"{signed}.{encode(form)}", key("RS256")) == "signature_invalid"


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.mark.parametrize("name", ["HS256", "HS384", "RS256", "ES256", "ES512", "EdDSA"])
def test_a16_twins_of_the_text(name: str):
    """A16: padding, slack bits, the standard alphabet and inserted characters are refused in each of the three parts."""
    token = forge(header(key(name)), {"sub": "user?>~", "n": 1}, key(name))
    parts = token.split(".")
    assert verify(token, key(name))
    for place, part in enumerate(parts):
        last = ALPHABET.index(part[-1])
        changed = [part + "=", part + "==", part + "====", part + "A", part + "\n", " " + part, part + " ", part + "\r\n"]
        changed += [part[:5] + odd + part[5:] for odd in ("!", "*", "\n", " ", "\t", "\0", "=", "%", "\u200b", "é", "+", "/")]
        changed += [part.replace("-", "+").replace("_", "/")] if {"-", "_"} & set(part) else []
        changed += [part[:-1] + ALPHABET[last ^ slack] for slack in (1, 2, 3) if len(part) % 4]
        for other in changed:
            twin = ".".join([*parts[:place], other, *parts[place + 1 :]])
            assert refused(twin, key(name)) in {"token_malformed", "signature_invalid"}


def test_no_other_character_anywhere():
    """No token that differs in one character, is shorter or longer is accepted."""
    token = jws.sign(key("HS256"), "t", PAYLOAD)
    keys = KeySet(key("HS256"))
    others = {token[:place] + other + token[place + 1 :] for place in range(len(token)) for other in ALPHABET + "=.+/ "} - {token}
    others |= {token[:length] for length in range(len(token))} | {token + "A" * more for more in range(1, 9)}
    others |= {token[:place] + token[place + 1 :] for place in range(len(token))} - {token}
    for other in others:
        with pytest.raises(TokenError):
            jws.verify(other, keys, NOW)


def test_the_size_limit():
    """A token of exactly the limit is read, one byte more is not."""
    longest = next(
        token
        for kind in ("t", "tt", "ttt")
        for length in range(6_000, 6_144)
        if len(token := jws.sign(key("HS256"), kind, {"a": "x" * length})) == MAX_TOKEN
    )
    assert verify(longest, key("HS256"))
    assert refused(longest + "A" * (MAX_TOKEN + 1 - len(longest)), key("HS256")) == "token_malformed"


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"null", b"[]", b'"x"', b"1", b"{", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}',
        b'{"exp":' + b"9" * 5000 + b"}",
        b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", b'{"a":' * 500 + b"1" + b"}" * 500, b"\xff", '{"a":1}'.encode("utf-16"),
        b'{"a":"\\ud800"}', b'\xef\xbb\xbf{"a":1}',
    ],
    ids=lambda payload: repr(payload)[:30],
)  # fmt: skip
def test_a18_payloads_that_are_none(payload: bytes):
    """A18: a signed payload that is no strict JSON object is refused, and never with a foreign exception."""
    assert refused(forge(header(key("HS256")), payload, key("HS256")), key("HS256")) == "token_malformed"
    with pytest.raises(MalformedToken):
        jws.read_unverified(forge(header(key("HS256")), payload, key("HS256")))


@pytest.mark.parametrize(
    "head",
    [
        b"", b"null", b"[]", b'{"alg":"none","alg":"HS256"}', '{"alg":"HS256"}'.encode("utf-16"), b'{"alg":"HS256","kid":"\\ud800"}',
        b'{"alg":"HS256","a":' + b"[" * 1000, b'{"alg":NaN}', b"\xff",
    ],
    ids=lambda head: repr(head)[:30],
)  # fmt: skip
def test_headers_that_are_none(head: bytes):
    """A header that is no strict JSON object is refused."""
    assert refused(forge(head, PAYLOAD, key("HS256")), key("HS256")) == "token_malformed"


@pytest.mark.parametrize(
    "more", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": True}, {"b64": None}, {"crit": ["b64"], "b64": False}]
)
def test_headers_that_must_be_understood(more: dict[str, Any]):
    """RFC 7515 section 4.1.11, RFC 7797 section 6: whoever sets `crit` or `b64` asks for what we do not do, and is refused."""
    assert refused(forge(header(key("HS256")) | more, PAYLOAD, key("HS256")), key("HS256")) == "token_malformed"


def test_the_length_of_a_kid():
    """A name of 255 characters is found, a longer one is no name."""
    longest = Key.from_secret(SECRET, kid="k" * 255)
    assert verify(jws.sign(longest, "t", {"a": 1}), longest)
    assert refused(forge(header(longest) | {"kid": "k" * 256}, PAYLOAD, longest), longest) == "key_unknown"


@pytest.mark.parametrize("kid", ["", "k" * 256, None, 1, ["k"]])
def test_what_is_no_kid_is_asked_of_no_keys(kid: object):
    """Whoever knows the keys never hears of a name that is none, and is not made to fetch keys for it."""
    with pytest.raises(UnknownKey) as caught:
        jws.verify(forge(header(key("HS256")) | {"kid": kid}, PAYLOAD, key("HS256")), AnyKid(), NOW)
    assert (caught.value.code, caught.value.kid) == ("key_unknown", None)


@pytest.mark.parametrize("parts", [1, 2, 4, 5])
def test_another_number_of_parts(parts: int):
    """What has not three parts is malformed before any key is asked for, though its header be sound and the key have signed it."""
    signed = ".".join([encode(json.dumps(header(key("HS256"))).encode()), *[encode(b"{}")] * 5][: parts - 1])
    token = f"{signed}.{encode(key('HS256').sign(signed.encode()))}" if signed else encode(b"{}")
    with pytest.raises(MalformedToken):
        jws.verify(token, NoKid(), NOW)
    assert refused(token, key("HS256")) == "token_malformed"


class NoKid:
    def find(self, id_: object, now: float) -> Key:
        pytest.fail("a key is asked for")


class AnyKid:
    def find(self, id_: object, now: float) -> Key:
        return key("HS256")


def test_a_kind_that_looks_like_another():
    """The Kelvin sign is no k, though it becomes one in lower case: a kind is ASCII, or it is none."""
    kind = verify(forge(header(key("HS256"), "KEY+jwt"), PAYLOAD, key("HS256")), key("HS256")).header
    jws.check_typ(kind, "key+jwt")
    other = verify(forge(header(key("HS256"), "\u212aEY+jwt"), PAYLOAD, key("HS256")), key("HS256")).header
    for typ in ("key+jwt", ["key+jwt", "\u212aEY+jwt"]):
        with pytest.raises(ClaimRejected):
            jws.check_typ(other, typ)


def test_nothing_is_read_before_the_signature_holds():
    """The law of the verify road: form, algorithm, key and signature are refused in this order, and the payload is last."""
    broken = b"{not json"
    alg, kid, bad = {"alg": "none"}, {"alg": "HS256", "kid": "other"}, header(key("HS256"))
    assert refused(forge(b"{", broken, signature=b""), key("HS256")) == "token_malformed"
    assert refused(forge(alg, broken, signature=b""), key("HS256")) == "algorithm_not_allowed"
    assert refused(forge(kid, broken, signature=b""), key("HS256")) == "key_unknown"
    assert refused(forge(bad, broken, signature=b"\0" * 32), key("HS256")) == "signature_invalid"
    assert refused(forge(bad | {"typ": 1}, broken, signature=b"\0" * 32), key("HS256")) == "signature_invalid"
    assert refused(forge(bad, broken, key("HS256")), key("HS256")) == "token_malformed"


JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from([*ALGORITHMS, key("HS256").kid]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "zip", "cty"]) | st.text(max_size=5)
HEADERS = st.dictionaries(MEMBERS, JSON_VALUE, max_size=5)


@PROPERTY
@given(st.text(max_size=100) | st.text(alphabet=ALPHABET + ".=", max_size=200))
def test_any_text_is_refused(text: str):
    """Whatever text comes in, it ends in one of our refusals."""
    for read in (lambda: jws.verify(text, KeySet(key("HS256")), NOW), lambda: jws.read_unverified(text)):
        with contextlib.suppress(TokenError):
            read()
            pytest.fail("accepted")


@PROPERTY
@given(HEADERS, JSON_VALUE, st.binary(max_size=70))
def test_any_header_is_refused(head: dict[str, Any], payload: Any, signature: bytes):
    """Whatever JSON a stranger puts together, it ends in one of our refusals."""
    with pytest.raises(TokenError):
        jws.verify(forge(head, payload, signature=signature), KeySet(key("HS256")), NOW)


@PROPERTY
@given(HEADERS, JSON_VALUE)
def test_any_signed_header_is_an_object_or_refused(more: dict[str, Any], payload: Any):
    """Even who has the key cannot make the reader raise anything else."""
    head = {**more, "alg": "HS256", "kid": key("HS256").kid}
    with contextlib.suppress(TokenError):
        assert type(jws.verify(forge(head, payload, key("HS256")), KeySet(key("HS256")), NOW).payload) is dict


def test_errors_hold_nothing_of_the_token():
    """A message repeats neither the token, nor its name of a key, nor its claims."""
    marker = "MARKER-7f3a"
    tokens = [
        marker,
        forge({"alg": marker, "kid": "k"}, {}, signature=b""),
        forge({"alg": "HS256", "kid": marker}, {}, signature=b""),
        forge(header(key("HS256"), typ=marker), {"a": marker}, signature=b"x"),
        forge({**header(key("HS256")), "typ": [marker]}, {"a": marker}, key("HS256")),
        forge(header(key("HS256")), f'{{"{marker}":'.encode(), key("HS256")),
    ]
    for token in tokens:
        with pytest.raises(TokenError) as caught:
            verify(token, key("HS256"))
        assert marker not in str(caught.value) + repr(caught.value) + caught.value.told


def test_the_table_is_closed():
    """The names of the algorithms are these and no others."""
    expected = {f"{family}{bits}" for family in ("HS", "RS", "PS", "ES") for bits in (256, 384, 512)} | {"Ed25519", "EdDSA"}
    assert set(ALGORITHMS) == expected
    assert set(ASYMMETRIC) | {"HS256", "HS384", "HS512"} == expected


@pytest.mark.parametrize("error", [UnknownKey, BadSignature, MalformedToken, AlgorithmNotAllowed])
def test_all_refusals_look_alike(error: type[TokenError]):
    """A stranger cannot tell from the answer which step refused."""
    assert error().told == TokenError.description
    assert (error.status, error.error) == (401, "invalid_token")


def test_secret_length():
    """The secret of these tests is one that every HMAC algorithm takes."""
    assert len(SECRET) == 64
