"""What somebody does wrong on the first day: the error names what belongs there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stagedoor import Issuer, Key, KeySet, MasterKey, Peppers, Revocations, TrustedIssuer, Verifier
from stagedoor.errors import KeyRejected
from stagedoor.stores.memory import MemoryStore, SyncMemoryStore

from .material import SECRET

KEYS = KeySet.from_secret(SECRET[:32])
PEM = "-----BEGIN PUBLIC KEY-----"


def issuer(tmp_path: Path, keys: str | None = None, peppers: str | None = None) -> Issuer:
    made = KeySet.open(tmp_path / "keys.json", keep=keys), Peppers.open(tmp_path / "peppers.json", keep=peppers)
    for ring in made:
        ring.close()
    return Issuer("https://a.example", audience="b", store=MemoryStore(), keys=made[0], peppers=made[1])


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: TrustedIssuer("https://a.example", audience=None, keys=KEYS), TypeError, "audience: .*ABSENT"),
        (lambda: TrustedIssuer("https://a.example", audience="b", keys=KEYS, typ=None), TypeError, "typ: .*ABSENT"),
        (lambda: TrustedIssuer("https://a.example", audience=[], keys=KEYS), ValueError, "audience: .*ABSENT"),
        (lambda: Verifier("https://a.example", audience=None, keys=KEYS, revocations=Revocations()), TypeError, "audience"),
        (
            lambda: Verifier("https://a.example", audience="b", keys="http://a.example", revocations=Revocations()),
            TypeError,
            "RemoteKeySet",
        ),
        (lambda: KeySet.open(SyncMemoryStore()), TypeError, "a path or a Vault"),
        (lambda: Peppers.open(SyncMemoryStore().documents), TypeError, "a path or a Vault"),
        (lambda: Key.from_pem(PEM, "ES256"), TypeError, "encode"),
        (lambda: KeySet.from_pem(PEM, "ES256"), TypeError, "encode"),
        (lambda: Key.from_der(PEM, "ES256"), TypeError, "bytes"),
        (lambda: KEYS.verify(None, typ="reset+jwt"), TypeError, "text"),
        (lambda: KEYS.verify(b"a.b.c", typ="reset+jwt"), TypeError, "text"),
        (lambda: KEYS.sign("user-42", typ="reset+jwt", expires="1h"), TypeError, "mapping"),
        (lambda: MasterKey.parse("short"), KeyRejected, "master-key"),
        (lambda: MasterKey(b"short"), KeyRejected, "master-key"),
    ],
)
def test_the_error_says_what_belongs_there(call: Callable[[], Any], error: type[Exception], said: str):
    """A wrong argument is an error of the right type, with the right word in it."""
    with pytest.raises(error, match=said):
        call()


@pytest.mark.parametrize("open_", [MasterKey.open, KeySet.open, Peppers.open])
def test_a_folder_that_is_missing_is_named(tmp_path: Path, open_: Callable[[Path], Any]):
    """Not the lock file that would lie in it."""
    with pytest.raises(FileNotFoundError) as missing:
        open_(tmp_path / "nodir" / "file")
    assert missing.value.filename == str(tmp_path / "nodir")
    assert "lock" not in str(missing.value)


def test_the_algorithm_of_a_key_has_one_name():
    """Key and KeySet call it alike."""
    pem = Key.generate(algorithm="ES256")
    assert Key.from_jwk(pem.jwk(), algorithm="ES256").kid == pem.kid
    assert Key.from_secret(SECRET[:64], algorithm="HS512").algorithm.name == "HS512"


@pytest.mark.parametrize(
    ("keep", "said"), [({"keys": "14m"}, "keys: .*840.*access.*900"), ({"peppers": "89d"}, "peppers: .*refresh_absolute")]
)
def test_what_is_kept_too_short_is_named(tmp_path: Path, keep: dict[str, str], said: str):
    """Which of the two, and both spans."""
    with pytest.raises(ValueError, match=said):
        issuer(tmp_path, **keep)
