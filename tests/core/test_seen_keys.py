"""Tokens that were seen: what was verified with a key is accepted for as long as that very key is."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from remote.server import KeyServer
from stagedoor import ABSENT, KeySet, Revocations, TrustedIssuer, Verifier, errors, jws
from stagedoor.jwks import RemoteKeySet
from stagedoor.keys import Key
from stagedoor.stores.memory import SyncMemoryStore
from stagedoor.testing.clock import FixedClock
from stagedoor.vault import MasterKey, Vault

from .material import NOW, SECRET, forge, key
from .seen import AUD, ISS, A, B, Checks, refused, seen, token, verifier
from .test_several_issuers import Remote


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    return Checks(monkeypatch)


def test_a_key_that_is_retired(checks: Checks):
    """From `retire` on no token of the key is accepted; those of the other key are, and are remembered anew."""
    keys = KeySet(A, B)
    looks = verifier(keys)
    for signer in (A, B):
        seen(checks, looks, token(signer))
    keys.retire(A.kid)
    assert refused(looks, token(A)) == "key_unknown"
    seen(checks, looks, token(B))
    assert refused(looks, token(A)) == "key_unknown"


def test_a_key_that_ends(checks: Checks):
    """After a rotation the old key's tokens are accepted, and cost nothing, until the key's end and not longer."""
    clock = FixedClock(NOW)
    keys = KeySet(A, clock=clock)
    keys.rotate(keep="10m", announce="1m")
    looks, new = verifier(keys, clock), keys.entries()[0].value
    for signer in (A, new):
        seen(checks, looks, token(signer))
    clock.forward(659)
    assert checks.of(looks, token(A)) == 0
    clock.forward(1)
    assert refused(looks, token(A)) == "key_unknown"
    seen(checks, looks, token(new))


@pytest.mark.parametrize("ahead", [140, 3])
def test_a_key_that_has_ended_and_a_clock_that_is_set_back(checks: Checks, ahead: int):
    """What is seen while the clock is wrong, by much or by little, ends when its key does, by the same clock."""
    clock = FixedClock(NOW + 660 + ahead)
    keys = KeySet(A, clock=FixedClock(NOW))
    keys.rotate(keep="10m", announce="1m")
    looks, new = verifier(keys, clock), keys.entries()[0].value
    seen(checks, looks, token(new))
    clock.now = NOW + 658
    seen(checks, looks, token(A))
    clock.now = NOW + 660
    assert refused(looks, token(A)) == "key_unknown"


def test_another_process_retires_a_key(checks: Checks, tmp_path: Path):
    """When the file is read again, what another process retired there is accepted no more."""
    keys = KeySet.open(tmp_path / "keys.json")
    signer = keys.signing(NOW * 2)
    looks, text = verifier(keys), token(signer)
    seen(checks, looks, text)
    code = "import sys; from stagedoor import KeySet; KeySet.open(sys.argv[1]).retire(sys.argv[2])"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "keys.json"), signer.kid], check=True)
    keys.reload()
    assert refused(looks, text) == "key_unknown"
    keys.close()


def test_another_worker_retires_a_key_in_the_vault(checks: Checks):
    """When the vault is read again, what another worker retired there is accepted no more."""
    documents = SyncMemoryStore().documents
    ours, theirs = (KeySet.open(Vault(documents, MasterKey(SECRET[:32]))) for _ in range(2))
    signer = ours.signing(NOW * 2)
    looks, text = verifier(ours), token(signer)
    seen(checks, looks, text)
    theirs.retire(signer.kid)
    ours.reload()
    assert refused(looks, text) == "key_unknown"
    for keys in (ours, theirs):
        keys.close()


def test_another_key_of_the_same_name(checks: Checks):
    """Where the name of a key means another key from now on, what the first one signed is refused, though the second one was seen too."""
    one, two = (Key.from_secret(secret, kid="k") for secret in (SECRET, SECRET[::-1]))
    keys = Remote(one)
    looks = verifier(keys)
    seen(checks, looks, token(one))
    keys.keys["k"] = two
    assert refused(looks, token(one)) == "signature_invalid"
    seen(checks, looks, token(two))
    assert refused(looks, token(one)) == "signature_invalid"
    assert checks.of(looks, token(two)) == 0
    keys.keys["k"] = one
    assert refused(looks, token(two)) == "signature_invalid"
    del keys.keys["k"]
    assert refused(looks, token(one)) == "key_unknown"


def test_keys_that_cannot_be_had(checks: Checks):
    """A token that was seen is a 503 too, where its key cannot be said to be accepted still."""
    keys = Remote(A)
    looks = verifier(keys)
    seen(checks, looks, token())
    keys.down = True
    assert refused(looks, token()) == "keys_unavailable"
    keys.down = False
    assert checks.of(looks, token()) == 0


async def test_keys_that_are_fetched_anew(checks: Checks):
    """A RemoteKeySet that fetches another key under the same name, or none, ends what the first one signed."""
    clock, name = FixedClock(), "k"
    one = key("ES256")
    first, second = one.jwk() | {"kid": name}, Key.generate("ES256").jwk() | {"kid": name}
    text = token(one)
    text = forge({"alg": "ES256", "kid": name, "typ": "at+jwt"}, jws.read_unverified(text)[1], one)
    with KeyServer() as server:
        server.publish(first)
        looks = verifier(RemoteKeySet(server.url, timeout=60, clock=clock))
        await looks.verify_async(text)
        assert checks.of(looks, text) == 0
        server.publish(second)
        clock.forward(301)
        with pytest.raises(errors.BadSignature):
            await looks.verify_async(text)
        server.publish()
        clock.forward(301)
        with pytest.raises(errors.UnknownKey):
            await looks.verify_async(text)


def test_keys_of_several_issuers(checks: Checks):
    """A key that is retired by one of several issuers ends that issuer's tokens, and a key that moves to another issuer its own."""
    first, second = KeySet(A), Remote(B)
    looks = Verifier.of(
        TrustedIssuer(ISS, audience=AUD, keys=first),
        TrustedIssuer("https://b.example", audience=AUD, keys=second),
        revocations=Revocations(),
        clock=FixedClock(NOW),
    )
    theirs = token(B, iss="https://b.example")
    seen(checks, looks, token(A))
    seen(checks, looks, theirs)
    first.retire(A.kid)
    assert refused(looks, token(A)) == "key_unknown"
    assert checks.of(looks, theirs) == 0
    # Now the very same key is found, and it is another's: what was expected of the token is not expected any more.
    second.keys[A.kid] = A
    assert refused(looks, token(A)) == "claim_rejected"
    del second.keys[B.kid]
    assert refused(looks, theirs) == "key_unknown"


def test_a_key_without_a_name(checks: Checks):
    """A token that names no key is looked at each time, and ends when its issuer's key does."""
    keys = KeySet(A)
    trusted = TrustedIssuer(ISS, audience=AUD, keys=keys, kid=ABSENT)
    looks = Verifier.of(trusted, revocations=Revocations(), clock=FixedClock(NOW))
    text = token(named=False)
    assert [checks.of(looks, text), checks.of(looks, text)] == [1, 1]
    keys.retire(A.kid)
    assert refused(looks, text) == "signature_invalid"  # a fresh key took over


class Fresh:
    """A finder of the user's own, which makes a key each time it is asked."""

    def __init__(self) -> None:
        self.secret = SECRET

    def find(self, id_: object, now: float) -> Key:
        return Key.from_secret(self.secret, kid=A.kid)


class Never(KeySet):
    """A KeySet of the user's own, which is asked for a reason."""

    lets = True

    def find(self, id_: object, now: float) -> Key | None:
        return super().find(id_, now) if self.lets else None


def test_finders_of_the_users_own(checks: Checks):
    """One that makes a key each time is right, if never quick; one that finds no more what it has found is obeyed."""
    fresh = Fresh()
    looks = verifier(fresh)
    assert [checks.of(looks, token()), checks.of(looks, token())] == [1, 1]
    fresh.secret = SECRET[::-1]
    assert refused(looks, token()) == "signature_invalid"
    never = Never(A)
    looks = verifier(never)
    seen(checks, looks, token())
    never.lets = False
    assert refused(looks, token()) == "key_unknown"


@dataclass
class Named:
    """A key of the user's own, which is like any other of its name."""

    kid: str
    algorithm: Any
    holds: Callable[[bytes, str], bool] = field(compare=False)


def test_keys_that_call_themselves_equal(checks: Checks):
    """Whatever a key says of its likeness to another one: what it has not signed is refused."""
    one, two = (Key.from_secret(secret, kid="k") for secret in (SECRET, SECRET[::-1]))
    keys: Any = Remote(Named("k", one.algorithm, one.holds))
    for looks in (
        verifier(keys),
        Verifier.of(TrustedIssuer(ISS, audience=AUD, keys=keys), revocations=Revocations(), clock=FixedClock(NOW)),
    ):
        keys.keys["k"] = Named("k", one.algorithm, one.holds)
        seen(checks, looks, token(one))
        keys.keys["k"] = Named("k", two.algorithm, two.holds)
        assert refused(looks, token(one)) == "signature_invalid"
        seen(checks, looks, token(two))
        assert refused(looks, token(one)) == "signature_invalid"


def test_a_key_that_is_retired_while_a_token_is_verified(checks: Checks):
    """The token whose signature was found good just before may pass once; it is not accepted again."""
    for before in (token(B), token(A, jti="other")):
        keys = KeySet(B, A)
        looks = verifier(keys)
        looks.verify(before)
        checks.meanwhile = lambda keys=keys: keys.retire(A.kid)
        looks.verify(token(A))
        assert refused(looks, token(A)) == "key_unknown"
        seen(checks, looks, token(B))
        assert refused(looks, token(A)) == "key_unknown"


def test_a_key_that_is_changed_while_a_token_is_verified(checks: Checks):
    """With keys that are asked each time too: what the old key signed passes once at the most."""
    one, two = (Key.from_secret(secret, kid="k") for secret in (SECRET, SECRET[::-1]))
    keys = Remote(one)
    looks = verifier(keys)
    checks.meanwhile = lambda: keys.keys.update(k=two)
    looks.verify(token(one))
    for _ in range(2):
        assert refused(looks, token(one)) == "signature_invalid"
        seen(checks, looks, token(two))
