"""Signer: keys that are kept elsewhere, and how their signatures are taken."""

from collections.abc import Iterator
from typing import Any

import pytest

from stagedoor import Key, KeySet, errors
from stagedoor.errors import KeyRejected

from .boxes import AsyncBox, Box, LateBox, as_der
from .material import ASYMMETRIC, NOW, SECRET, private_der, private_key, private_pem, public_der, public_pem, rsa_key

DATA = b"header.payload"


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_signs_as_a_key_does(name: str):
    """The signature of a signer's key holds under the key whose private part is here, for each algorithm with a public half."""
    box = Box(name)
    here = Key.from_der(private_der(private_key(name)), name)
    assert here.verify(DATA, box.key.sign(DATA))
    assert (box.key.kid, box.key.jwk()) == (here.kid, here.jwk())
    assert (box.key.can_sign, box.key.is_secret, box.key.signer) == (True, False, box)
    assert box.asked == [DATA]


@pytest.mark.parametrize("name", [name for name in ASYMMETRIC if name.startswith("ES")])
def test_der_is_taken_too(name: str):
    """ECDSA in DER, as a KMS says it, is handed out in the form of RFC 7518 section 3.4."""
    box = Box(name)
    raw = box._inside.sign(DATA)
    box.says = as_der(raw)
    assert box.says != raw
    assert box.key.sign(DATA) == raw
    box.says = bytearray(raw)
    assert box.key.sign(DATA) == raw


def garbage() -> Iterator[Any]:
    raw = Box()._inside.sign(DATA)
    other = Box("ES384")._inside.sign(DATA)
    yield from (None, True, 5, "text", raw.hex(), [raw], (raw[:32], raw[32:]))
    yield from (b"", b"\0" * 64, b"\xff" * 64, raw[:-1], raw + b"\0", raw[32:] + raw[:32], other, as_der(other), as_der(raw) + b"\0")
    yield from (as_der(b"\0" * 64), as_der(b"\xff" * 200), b"0\x06\x02\x01\xff\x02\x01\x01", b"0\x80", b"0" * 5000)
    yield Box()._inside.sign(b"other data")


@pytest.mark.parametrize("answer", list(garbage()), ids=lambda answer: type(answer).__name__)
def test_what_is_no_signature(answer: Any):
    """What is no signature of this data by this key is SigningFailed, whatever it is, and never handed out."""
    box = Box()
    box.says = answer
    with pytest.raises(errors.SigningFailed) as caught:
        box.key.sign(DATA)
    assert caught.value.status == 503


@pytest.mark.parametrize("name", ["RS256", "PS256", "Ed25519"])
def test_another_keys_signature(name: str):
    """For RSA and Ed25519, too, the public half decides."""
    box = Box(name)
    good = box._inside.sign(DATA)
    box.says = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(errors.SigningFailed):
        box.key.sign(DATA)


@pytest.mark.parametrize("raised", [OSError("pin 1234 is wrong"), TimeoutError(), KeyError("x"), TypeError(), errors.StoreError("down")])
def test_what_a_signer_raises(raised: Exception):
    """Whatever a signer raises is SigningFailed with its cause, without what it said; an error of ours passes as it is."""
    box = Box()
    box.says = raised
    with pytest.raises(errors.AuthError) as caught:
        box.key.sign(DATA)
    if isinstance(raised, errors.AuthError):
        assert caught.value is raised
    else:
        assert type(caught.value) is errors.SigningFailed
        assert caught.value.__cause__ is raised
        assert str(caught.value) == f"the signer raised {type(raised).__name__}"


def test_the_public_half_in_every_form():
    """PEM, DER and a JWK name the same key; a name of one's own wins over that of the JWK."""
    box, public = Box(), private_key("ES256").public_key()
    jwk = {key: value for key, value in box.key.jwk().items() if key in ("kty", "crv", "x", "y")}
    for form in (public_pem(public), b"\n" + public_pem(public), public_der(public), jwk, jwk | {"alg": "ES256", "use": "sig"}):
        assert Key.from_signer(box, form, "ES256").kid == box.key.kid
        assert Key.from_signer(box, form, "ES256", kid="alias/stagedoor").kid == "alias/stagedoor"
    assert Key.from_signer(box, jwk | {"kid": "theirs"}, "ES256").kid == "theirs"
    assert Key.from_signer(box, jwk | {"kid": "theirs"}, "ES256", kid="ours").kid == "ours"


@pytest.mark.parametrize(
    ("public", "name", "code"),
    [
        (public_pem(rsa_key(1024).public_key()), "RS256", "key_too_small"),
        (public_pem(private_key("ES384").public_key()), "ES256", "key_curve_misfit"),
        (public_pem(private_key("ES256").public_key()), "RS256", "key_algorithm_misfit"),
        (public_pem(private_key("ES256").public_key()), "none", "key_algorithm_unknown"),
        (public_pem(private_key("ES256").public_key()), "HS256", "key_algorithm_misfit"),
        (SECRET, "HS256", "key_algorithm_misfit"),
        ({"kty": "oct", "k": "x" * 64}, "HS256", "key_algorithm_misfit"),
        (b"", "ES256", "key_malformed"),
        (b"garbage", "ES256", "key_malformed"),
        ({"kty": "EC"}, "ES256", "key_curve_misfit"),
        (private_pem(private_key("ES256")), "ES256", "key_private_part"),
        (private_der(private_key("ES256")), "ES256", "key_private_part"),
        (Key.from_der(private_der(private_key("ES256")), "ES256").jwk(private=True), "ES256", "key_private_part"),
    ],
)
def test_the_policy_is_that_of_every_key(public: Any, name: str, code: str):
    """A weak, unfit or secret key is refused with its code; so is a private key that stands where the public half belongs."""
    with pytest.raises(KeyRejected) as caught:
        Key.from_signer(Box(), public, name)
    assert caught.value.code == code


@pytest.mark.parametrize("signer", [None, object(), Box, lambda data: data])
def test_what_is_no_signer(signer: Any):
    """What has no method `sign` is refused at construction; so is a public half that is a text."""
    pem = public_pem(private_key("ES256").public_key())
    with pytest.raises(TypeError, match="sign"):
        Key.from_signer(signer, pem, "ES256")
    with pytest.raises(TypeError, match="PEM"):
        Key.from_signer(Box(), pem.decode(), "ES256")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [AsyncBox, LateBox])
def test_what_must_be_awaited(kind: type[Box]):
    """Signing without await by a signer that wants it is a TypeError, and leaves no coroutine behind."""
    with pytest.raises(TypeError, match="await"):
        kind().key.sign(DATA)


def test_tokens_of_other_kinds():
    """`keys.sign` works with a signer's key, and fails as it does."""
    box = Box()
    keys = KeySet(box.key, clock=lambda: NOW)
    token = keys.sign({"sub": "ada"}, typ="invitation+jwt", expires="1h")
    assert KeySet.from_jwks(keys.jwks(), clock=lambda: NOW).verify(token, typ="invitation+jwt")["sub"] == "ada"
    box.says = OSError()
    with pytest.raises(errors.SigningFailed):
        keys.sign({"sub": "ada"}, typ="invitation+jwt", expires="1h")
    assert keys.verify(token, typ="invitation+jwt")["sub"] == "ada"


def test_no_key_is_made_for_a_box():
    """`rotate` and `retire` do not put a key of this process in the place of one that is in a box: TypeError, and nothing has changed."""
    box = Box()
    keys = KeySet(box.key, Key.generate("ES256"))
    published = keys.jwks()
    with pytest.raises(TypeError, match="signer keeps this key"):
        keys.rotate(keep="1h", announce="1s")
    with pytest.raises(TypeError, match="signer keeps this key"):
        KeySet(box.key).retire(box.key.kid)
    assert keys.jwks() == published
    assert keys.signing(NOW) is box.key


def test_it_is_written_nowhere():
    """No JWK and no repr holds what signs: to write it down, into a file or a store, is a TypeError that says why."""
    box = Box()
    with pytest.raises(TypeError, match="never leaves its signer"):
        box.key.jwk(private=True)
    assert repr(box.key) == f"<Key ES256 {box.key.kid} elsewhere>"
    assert "d" not in KeySet(box.key).jwks()["keys"][0]
