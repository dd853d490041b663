"""Key: policy on every way in, round trips, names."""

import hashlib
import hmac
import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from stagedoor.algorithms import ALGORITHMS
from stagedoor.encoding import decode, encode
from stagedoor.errors import KeyRejected, MalformedToken
from stagedoor.keys import Key
from stagedoor.keyset import KeySet

from .defects import bits, integer, octets, sequence, tagged
from .material import (
    ASYMMETRIC,
    SECRET,
    key,
    private_der,
    private_key,
    private_pem,
    public_der,
    public_half,
    public_pem,
    public_ssh,
    rsa_key,
)


def refused(make: Callable[[], object]) -> str:
    with pytest.raises(KeyRejected) as caught:
        make()
    return caught.value.code


@pytest.mark.parametrize("name", ALGORITHMS)
def test_generate(name: str):
    """A generated key signs, verifies, and is one of the algorithm that was asked for; RSA has 3072 bits."""
    made = Key.generate(name) if not name.startswith(("RS", "PS")) or name == "RS256" else key(name)
    assert made.algorithm.name == name
    assert made.can_sign
    assert made.verify(b"data", made.sign(b"data"))
    assert not made.verify(b"other", made.sign(b"data"))
    if name == "RS256":
        assert len(decode(made.jwk()["n"])) * 8 == 3072


def test_generated_secrets_are_never_refused():
    """No random secret is taken for the text of a key, whichever byte it begins with."""
    for _ in range(2000):
        Key.generate("HS256")
    for first in (b"{", b" {", b"\x30", b"\n{", b"-----"):
        assert Key.from_secret(first + SECRET)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_jwk_round_trip(name: str):
    """A key written as a private JWK comes back the same and still signs."""
    written = json.loads(json.dumps(key(name).jwk(private=True)))
    back = Key.from_jwk(written)
    assert (back.kid, back.algorithm) == (key(name).kid, key(name).algorithm)
    assert key(name).verify(b"data", back.sign(b"data"))
    assert back.jwk(private=True) == written


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_public_jwk(name: str):
    """The public JWK holds no private member, verifies, and cannot sign."""
    half = public_half(name)
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key(name).jwk())
    assert half.kid == key(name).kid
    assert half.verify(b"data", key(name).sign(b"data"))
    assert not half.can_sign
    with pytest.raises(TypeError):
        half.sign(b"data")
    with pytest.raises(TypeError):
        half.jwk(private=True)


def test_a_secret_has_no_public_form():
    """A shared secret is never written unless its private form is asked for."""
    with pytest.raises(TypeError):
        key("HS256").jwk()


@pytest.mark.parametrize("name", ["RS256", "PS384", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"])
def test_pem_and_der_round_trips(name: str):
    """The same key arrives by PEM (PKCS#8, traditional, encrypted) and DER (PKCS#8, encrypted), private and public."""
    private = private_key(name)
    public = private.public_key()
    forms = [
        Key.from_pem(private_pem(private), name),
        Key.from_pem(private_pem(private, password=b"pass"), name, password=b"pass"),
        Key.from_der(private_der(private), name),
        Key.from_der(private_der(private, b"pass"), name, password=b"pass"),
        Key.from_pem(public_pem(public), name),
        Key.from_der(public_der(public), name),
    ]
    if not name.startswith("Ed"):
        forms.append(Key.from_pem(private_pem(private, serialization.PrivateFormat.TraditionalOpenSSL), name))
    if name.startswith(("RS", "PS")):
        forms.append(Key.from_pem(public_pem(public, serialization.PublicFormat.PKCS1), name))
    assert {form.kid for form in forms} == {forms[0].kid}
    assert all(form.verify(b"data", forms[0].sign(b"data")) for form in forms)
    assert [form.can_sign for form in forms[:6]] == [True, True, True, True, False, False]


@pytest.mark.parametrize(
    "name", ["none", "None", "NONE", "", "hs256", "ES256K", "RSA1_5", "RSA-OAEP", "HS255", "Ed448", "A128KW", None, 1, ["HS256"], b"HS256"]
)
def test_unknown_algorithms(name: Any):
    """A6: what is not in the table does not exist, `none` among it."""
    makers = [
        lambda: Key.generate(name),
        lambda: Key.from_secret(SECRET, name),
        lambda: Key.from_pem(private_pem(private_key("ES256")), name),
        lambda: Key.from_jwk({**key("ES256").jwk(), "alg": name}),
        lambda: KeySet.from_jwks({"keys": [{**key("ES256").jwk(), "alg": name}]}),
    ]
    assert {refused(make) for make in makers} == {"key_algorithm_unknown"}


def key_texts() -> list[bytes]:
    texts = [json.dumps(key("RS256").jwk()).encode(), json.dumps({"keys": [key("ES256").jwk()]}, indent=1).encode()]
    for name in ("RS256", "ES256", "EdDSA"):
        public = private_key(name).public_key()
        texts += [
            public_pem(public),
            public_der(public),
            public_ssh(public),
            private_pem(private_key(name)),
            private_der(private_key(name)),
        ]
    texts.append(public_pem(rsa_key().public_key(), serialization.PublicFormat.PKCS1))
    texts.append(public_der(rsa_key().public_key()))
    return texts


WRAPPED: list[Callable[[bytes], bytes]] = [
    lambda text: text,
    lambda text: text.rstrip(b"\n") if not text.startswith(b"\x30") else text,
    lambda text: text + b"\n",
    lambda text: b" " + text,
    lambda text: b"\t" + text,
    lambda text: b"\n" + text,
    lambda text: b"\r\n" + text,
    lambda text: text + b"\r\n",
    lambda text: b"\xef\xbb\xbf" + text if not text.startswith(b"\x30") else text,
    lambda text: text.replace(b"\n", b"\r\n") if not text.startswith(b"\x30") else text,
    lambda text: b"Bag Attributes\n" + text if text.startswith(b"-----") else text,
    lambda text: text.lower() if text.startswith(b"-----") else text,
]


@pytest.mark.parametrize("wrap", WRAPPED)
def test_the_text_of_a_key_is_no_secret(wrap: Callable[[bytes], bytes]):
    """A2: PEM, DER, JWK and SSH texts are refused as secrets, with blanks before and behind, a byte order mark or a preamble."""
    for text in key_texts():
        jwk = {"kty": "oct", "alg": "HS256", "k": encode(wrap(text))}
        makers = [lambda t=text: Key.from_secret(wrap(t)), lambda j=jwk: Key.from_jwk(j)]
        assert {refused(make) for make in makers} == {"key_text_as_secret"}


UNKNOWN = sequence(tagged(0x06, b"\x2a\x03\x04\x05\x06"))  # an algorithm that nobody has


@pytest.mark.parametrize(
    "der",
    [
        private_der(private_key("ES256"), b"pass"),
        sequence(UNKNOWN, bits(SECRET)),
        sequence(integer(0), UNKNOWN, octets(SECRET)),
    ],
    ids=["behind a password", "public, of an unknown kind", "private, of an unknown kind"],
)
@pytest.mark.parametrize("wrap", [lambda der: der, lambda der: b"\n" + der, lambda der: der + b"\n", lambda der: der + b"\r\n"])
def test_a_key_that_cannot_be_read_is_no_secret(der: bytes, wrap: Callable[[bytes], bytes]):
    """A2: what is a key in DER is refused as a secret, though it stands behind a password or is of a kind that nobody knows."""
    assert refused(lambda: Key.from_secret(wrap(der))) == "key_text_as_secret"


def test_a_secret_is_bytes():
    """A text is no secret: TypeError, and the text is not repeated."""
    with pytest.raises(TypeError) as caught:
        Key.from_secret("my very secret text of some length")
    assert "very secret" not in str(caught.value)


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_a_secret_for_another_algorithm(name: str):
    """Shared secrets sign with HMAC only."""
    assert refused(lambda: Key.from_secret(SECRET, name)) == "key_algorithm_misfit"


def test_a_jwk_without_an_algorithm():
    """A3: a JWK without `alg` needs one from the application, and an odd one beside it is a refusal, nothing foreign."""
    jwk = {name: value for name, value in key("ES256").jwk().items() if name != "alg"}
    assert refused(lambda: Key.from_jwk(jwk)) == "key_algorithm_unknown"
    assert Key.from_jwk(jwk, "ES256").kid == key("ES256").kid
    for odd in ("HS256", ["ES256"], {}, None, 1):
        assert refused(lambda odd=odd: Key.from_jwk({**jwk, "alg": odd}, "ES256")) == "key_algorithm_misfit"


def test_both_names_of_ed25519():
    """RFC 9864: EdDSA and Ed25519 mean one algorithm."""
    jwk = key("Ed25519").jwk()
    assert Key.from_jwk({**jwk, "alg": "EdDSA"}, "Ed25519").kid == jwk["kid"]


@pytest.mark.parametrize(
    "data", [b"", b"nothing", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", b"\x30\x00", b"\xff" * 100], ids=repr
)
def test_what_is_no_key(data: bytes):
    """Bytes that hold no key are refused, nothing foreign is raised."""
    assert refused(lambda: Key.from_pem(data, "ES256")) == "key_malformed"
    assert refused(lambda: Key.from_der(data, "ES256")) == "key_malformed"


def test_wrong_passwords():
    """An encrypted key needs its own password."""
    locked = private_pem(private_key("ES256"), password=b"right")
    for password in (None, b"wrong"):
        assert refused(lambda p=password: Key.from_pem(locked, "ES256", password=p)) == "key_malformed"


@pytest.mark.parametrize("kid", ["", "k" * 256, 7, b"kid"])
def test_a_kid_that_no_verifier_would_take(kid: Any):
    """A name given to a key is a text of 1 to 255 characters, whichever way the key comes."""
    makers = [
        lambda: Key.from_secret(SECRET, kid=kid),
        lambda: Key.from_pem(private_pem(private_key("ES256")), "ES256", kid=kid),
        lambda: Key.from_der(private_der(private_key("ES256")), "ES256", kid=kid),
    ]
    assert {refused(make) for make in makers} == {"key_malformed"}


def test_the_name_of_a_secret_tells_nothing():
    """Two secrets have two names, the same secret has the same, and the name is no plain hash of it."""
    first, second = Key.from_secret(SECRET), Key.from_secret(SECRET[::-1])
    assert first.kid == Key.from_secret(SECRET).kid != second.kid
    assert first.kid == encode(hmac.digest(SECRET, b"stagedoor key id", "sha256")[:16])  # for ever: tokens carry it
    jwk = {"kty": "oct", "k": encode(SECRET)}
    plain = encode(hashlib.sha256(json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()).digest())
    assert not plain.startswith(first.kid)


@pytest.mark.parametrize("name", ["HS256", "ES256"])
def test_a_key_within_what_is_copied(name: str):
    """Settings that hold a key can be copied: the key, which never changes, is the same."""
    assert deepcopy({"keys": [key(name)]}) == {"keys": [key(name)]}


def test_nothing_secret_in_repr():
    """A key shows its algorithm and its name."""
    for name in ALGORITHMS:
        shown = repr(key(name)) + str(key(name))
        private = key(name).jwk(private=True)
        assert name in shown
        assert not any(private[member] in shown for member in ("k", "d", "p", "q") if member in private)


def test_swapped_arguments_do_not_print_the_key():
    """A private key given where the algorithm belongs is not repeated in the message."""
    pem = private_pem(private_key("ES256")).decode()
    with pytest.raises(KeyRejected) as caught:
        Key.from_pem(b"ES256", pem)
    assert pem.splitlines()[1][:16] not in str(caught.value)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_signature_that_is_not_ascii_is_malformed(name: str):
    """Whatever the algorithm, and never a TypeError of what compares in constant time."""
    with pytest.raises(MalformedToken):
        Key.generate(name).holds(b"data", "\u00e9" * 43)
