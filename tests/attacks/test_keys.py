"""A13 and A54: the doors by which keys come in, and what they refuse; A7 and A6 where an application or a helper is to blame."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stagedoor import KeySet, Revocations, Verifier
from stagedoor.algorithms import algorithm
from stagedoor.errors import KeyRejected
from stagedoor.keys import Key

from .algorithms import SECRETS, UNKNOWN, blanks_around, texts_of
from .forgery import b64, public_jwk, stranger
from .signatures import weak_key


def _file(jwk: dict[str, Any], folder: Path) -> KeySet:
    path = folder / "keys.json"
    path.write_text(json.dumps({"entries": [{"id": "k", "value": jwk, "starts": 0.0, "ends": None}]}))
    path.chmod(0o600)
    return KeySet.open(path)


SECRET_DOORS: dict[str, Callable[[bytes, Path], Any]] = {
    "Key.from_secret": lambda secret, _: Key.from_secret(secret),
    "KeySet.from_secret": lambda secret, _: KeySet.from_secret(secret),
    "Key.from_jwk": lambda secret, _: Key.from_jwk({"kty": "oct", "k": b64(secret), "alg": "HS256"}),
    "a file of keys": lambda secret, folder: _file({"kty": "oct", "k": b64(secret), "alg": "HS256", "kid": "k"}, folder),
}
WEAK = [secret for secret in SECRETS if len(secret) < 32 or len(set(secret)) < 8]


@pytest.mark.parametrize("door", SECRET_DOORS)
def test_a13_weak_secrets_have_no_door(door: str, tmp_path: Path):
    """A13: an empty, blank, short or repeated secret is refused at every door, by its own code, and nothing of it is told."""
    for secret in WEAK:
        with pytest.raises(KeyRejected) as caught:
            SECRET_DOORS[door](secret.encode(), tmp_path)
        assert caught.value.code == ("key_secret_empty" if not secret else "key_too_small" if len(secret) < 32 else "key_secret_weak")
        assert len(secret) < 8 or secret not in str(caught.value)


@pytest.mark.parametrize("door", SECRET_DOORS)
@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a2_public_keys_are_no_secrets(door: str, alg: str, tmp_path: Path):
    """A2: the text of a public key is refused as a secret at every door, with whatever blanks around."""
    public = stranger(alg).public_key()
    for form, text in texts_of(public, {"keys": [public_jwk(public)]}).items():
        for secret in blanks_around(text).values():
            if form == "the first number" or form.endswith("DER"):
                continue  # a number by itself is text like any other; DER has a test of its own below
            with pytest.raises(KeyRejected) as caught:
                SECRET_DOORS[door](secret, tmp_path)
            assert caught.value.code == "key_text_as_secret"


@pytest.mark.parametrize("door", SECRET_DOORS)
@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
def test_a2_public_keys_in_der_are_no_secrets(door: str, alg: str, tmp_path: Path):
    """A2: DER is refused as a secret too, with blanks before it and a line's end behind."""
    der = texts_of(stranger(alg).public_key(), {"keys": []})["DER"]
    for secret in (der, b" " + der, b"\n\t" + der, der + b"\n", der + b"\r\n"):
        with pytest.raises(KeyRejected) as caught:
            SECRET_DOORS[door](secret, tmp_path)
        assert caught.value.code == "key_text_as_secret"


def _roca() -> dict[str, Any]:
    """A modulus of the form that a broken library made (CVE-2017-15361): each prime is k * M + (65537 ** a mod M)."""
    primes = [n for n in range(2, 702) if all(n % d for d in range(2, math.isqrt(n) + 1))][:126]
    product = math.prod(primes)
    p, q = ((((3 << 1022) // product + k) * product) + pow(65537, a, product) for k, a in ((12345678, 1111111), (87654321, 2222222)))
    return {"kty": "RSA", "n": b64((p * q).to_bytes((p * q).bit_length() // 8 + 1, "big").lstrip(b"\0")), "e": "AQAB"}


def _rsa(**changes: Any) -> dict[str, Any]:
    return public_jwk(stranger("RS256").public_key()) | changes


WEAK_KEYS: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "1024 bits": (lambda: public_jwk(weak_key("1024 bits").public_key()), "key_too_small"),
    "512 bits": (lambda: _rsa(n=b64(b"\xc5" * 64)), "key_too_small"),
    "e is 1": (lambda: _rsa(e="AQ"), "key_weak_exponent"),
    "e is 3": (lambda: public_jwk(weak_key("e is 3").public_key()), "key_weak_exponent"),
    "e is 2": (lambda: _rsa(e="Ag"), "key_weak_exponent"),
    "e is even": (lambda: _rsa(e="AQAC"), "key_weak_exponent"),
    "ROCA": (_roca, "key_roca"),
}


@pytest.mark.parametrize("alg", [None, "RS256", "PS512"])
@pytest.mark.parametrize("weak", WEAK_KEYS)
def test_a54_weak_keys_in_a_jwks(weak: str, alg: str | None):
    """A54: one weak key refuses the whole JWKS, by its own code, with `alg` and without; a good one beside it changes nothing."""
    make, code = WEAK_KEYS[weak]
    jwk = make() | ({} if alg is None else {"alg": alg})
    for keys in ([jwk], [public_jwk(stranger("ES256").public_key()), jwk]):
        with pytest.raises(KeyRejected) as caught:
            KeySet.from_jwks({"keys": keys})
        assert caught.value.code == code


@pytest.mark.parametrize("weak", WEAK_KEYS)
def test_a54_weak_keys_in_a_file(weak: str, tmp_path: Path):
    """A54: a weak key in a file of keys refuses the file, by the same code."""
    make, code = WEAK_KEYS[weak]
    with pytest.raises(KeyRejected) as caught:
        _file(make() | {"alg": "RS256", "kid": "k"}, tmp_path)
    assert caught.value.code == code


@pytest.mark.parametrize("keys", [None, {}, [], b"secret", "https://auth.example/jwks.json", "secret" * 10])
def test_a7_an_application_without_keys(keys: Any):
    """A7: an application that hands over no keys is told at once: those in a token are never used instead."""
    with pytest.raises(TypeError):
        Verifier("https://auth.example", audience="x", keys=keys, revocations=Revocations())


@pytest.mark.parametrize("name", [*UNKNOWN, "none", "None", "", None, [], 0, True])
def test_a6_unknown_algorithms_at_construction(name: Any):
    """A6: every helper that takes the name of an algorithm fails closed."""
    for use in (algorithm, Key.generate, lambda alg: Key.from_secret(bytes(range(64)), alg), lambda alg: Key.from_pem(b"", alg)):
        with pytest.raises(KeyRejected) as caught:
            use(name)
        assert caught.value.code == "key_algorithm_unknown"
