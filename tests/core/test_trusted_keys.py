"""Several issuers whose keys come and go: whose token it is, and who is asked for a key."""

import asyncio
from typing import Any

import pytest

from stagedoor import ABSENT, KeySet, Revocations, TrustedIssuer, Verifier, errors
from stagedoor.keys import Key
from stagedoor.testing.clock import FixedClock
from stagedoor.trusted_issuer import TrustedKeys

from .material import NOW, SECRET, forge, key, public_half
from .test_several_issuers import CLAIMS, NEST, OWN, SSO, Remote, of, refused, token


def remote(keys: Remote, issuer: str = "https://sso.example/realms/a") -> TrustedIssuer:
    return TrustedIssuer(issuer, audience="orders", typ="JWT", keys=keys)


def named(key_: Key, **claims: Any) -> str:
    head = {"alg": key_.algorithm.name, "typ": "JWT", "kid": key_.kid}
    return forge(head, CLAIMS["sso"] | {"exp": NOW + 900} | claims, key_)


def test_a_kid_that_two_published():
    """Of two fetched sets with one `kid` the first that is listed has it, with its expectations; the other's tokens are refused."""
    one, two = (Key.from_secret(secret, kid="1") for secret in (SECRET, SECRET[::-1]))
    first, second = remote(Remote(one), "https://a.example"), remote(Remote(two), "https://b.example")
    verifier = of(first, second)
    assert verifier.verify(named(one, iss="https://a.example")).issuer == "https://a.example"
    assert refused(verifier, named(one, iss="https://b.example")) == "iss"
    assert refused(verifier, named(two, iss="https://b.example")) == "signature_invalid"
    assert of(second, first).verify(named(two, iss="https://b.example")).issuer == "https://b.example"


def test_a_published_kid_takes_no_token_of_a_static_set():
    """An issuer that publishes the `kid` of an entry before it gets none of its tokens."""
    mallory = Key.from_secret(SECRET, kid=public_half("ES256").kid)
    verifier = of(OWN, remote(Remote(mallory)))
    assert verifier.verify(token("own", "own")).issuer == OWN.issuer
    assert refused(verifier, named(mallory)) == "algorithm_not_allowed"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_issuers_keys_cannot_be_had(place: int):
    """An outage of one issuer is no outage of the others; only what may be its own token is a 503."""
    issuers = [OWN, NEST]
    issuers.insert(place, remote(Remote(down=True)))
    verifier = of(*issuers)
    assert verifier.verify(token("own", "own")).issuer == OWN.issuer
    assert verifier.verify(token("nest", "nest")).subject == "1"
    with pytest.raises(errors.KeySetUnavailable) as caught:
        verifier.verify(token("sso", "sso"))
    assert (caught.value.code, caught.value.status, caught.value.retry_after) == ("keys_unavailable", 503, 7)
    assert refused(of(OWN, remote(Remote()), NEST), token("sso", "sso")) == "key_unknown"


def test_a_token_without_a_kid_asks_nobody():
    """What names no key is looked for in no set that is fetched."""
    keys = Remote(down=True)
    assert refused(of(OWN, remote(keys)), token("own", "own", kid=None)) == "key_unknown"
    assert keys.asked == []


def test_nobody_waits_for_keys_of_another():
    """Sets that know the key are asked before one that would have to fetch it, wherever they are listed."""
    slow, quick = Remote(down=True, knows=False), Remote(key("RS256"), knows=True)
    verifier = of(remote(slow, "https://slow.example"), remote(quick), OWN)
    assert verifier.verify(token("sso", "sso")).issuer == SSO.issuer
    assert verifier.verify(token("own", "own")).issuer == OWN.issuer
    assert slow.asked == []
    assert refused(verifier, token("own", "own", kid="nobody")) == "keys_unavailable"
    assert slow.asked == ["nobody"]


async def test_all_that_can_learn_are_asked_at_one_time():
    """After a `kid` that nobody has, each set that can change is asked at once, with what it said itself; one that learned is enough."""
    told: dict[str, errors.AuthError] = {}
    together = asyncio.Barrier(2)
    down, fresh = Remote(down=True), Remote()

    async def stays_down(error: errors.AuthError) -> bool:
        told["down"] = error
        await asyncio.wait_for(together.wait(), 5)
        return False

    async def learns(error: errors.AuthError) -> bool:
        told["fresh"] = error
        await asyncio.wait_for(together.wait(), 5)
        fresh.keys[key("RS256").kid] = key("RS256")
        return True

    down.learn, fresh.learn = stays_down, learns
    verifier = of(OWN, remote(down, "https://down.example"), NEST, remote(fresh))
    assert (await verifier.verify_async(token("sso", "sso"))).issuer == SSO.issuer
    assert isinstance(told["down"], errors.KeySetUnavailable)
    assert isinstance(told["fresh"], errors.UnknownKey)
    assert told["fresh"].kid == key("RS256").kid


@pytest.mark.parametrize("down", [True, False])
async def test_nobody_learned(down: bool):
    """Where nobody learned anything the refusal stands, and a token without a `kid` teaches nobody."""
    told: list[errors.AuthError] = []

    async def learns_nothing(error: errors.AuthError) -> bool:
        told.append(error)
        return False

    verifier = of(OWN, remote(Remote(down=down, learns=learns_nothing)))
    with pytest.raises(errors.KeySetUnavailable if down else errors.UnknownKey):
        await verifier.verify_async(token("sso", "sso"))
    assert len(told) == 1
    for other in (of(OWN), verifier):
        with pytest.raises(errors.UnknownKey):
            await other.verify_async(token("own", "own", kid=None))
    assert len(told) == 1


async def test_what_learning_answers():
    """That nothing was learned is said: then nobody verifies once more."""
    keys = TrustedKeys([OWN, remote(Remote(learns=asks_nobody))], NOW)
    assert await keys.learn(errors.UnknownKey()) is False
    assert await keys.learn(errors.UnknownKey(kid="k")) is False


async def asks_nobody(error: errors.AuthError) -> bool:
    return False


async def test_keys_that_never_learn():
    """A set of one's own has nobody to ask: the refusal stands."""
    issuer = Verifier("https://auth.example", audience="https://api.example", keys=KeySet(key("RS256")), revocations=Revocations())
    with pytest.raises(errors.UnknownKey):
        await issuer.verify_async(token("own", "own"))


def test_a_nameless_set_while_it_rotates():
    """With two keys it cannot be said which is meant; from the moment on at which the old one ends there is one again."""
    clock = FixedClock(NOW)
    keys = KeySet(key("HS256"), clock=clock)
    keys.rotate(keep="1h", announce="1m")
    issuer = TrustedIssuer("https://auth.example", audience="orders", keys=keys, kid=ABSENT)
    ends = NOW + 60 + 3600
    both = TrustedKeys([issuer], ends)
    assert both.find(None, ends - 1) is None
    found = both.find(None, ends)
    assert found is not None
    assert found.kid == keys.signing(ends).kid


def test_a_key_of_a_set_that_has_names_ends_too():
    """Until the old key's last moment its tokens are taken, and no longer."""
    keys = KeySet(key("ES256"), clock=FixedClock(NOW))
    keys.rotate(keep="1h", announce="1m")
    trusted = TrustedKeys([TrustedIssuer("https://auth.example", audience="orders", keys=keys)], NOW)
    ends = NOW + 60 + 3600
    assert trusted.find(key("ES256").kid, ends - 1) is not None
    assert trusted.find(key("ES256").kid, ends) is None


async def test_one_that_raises_keeps_no_other_from_learning():
    """What a set raises while it learns counts only where no other learned."""
    fresh = Remote()

    async def raises(error: errors.AuthError) -> bool:
        raise errors.KeySetUnavailable("at once")

    async def learns(error: errors.AuthError) -> bool:
        fresh.keys[key("RS256").kid] = key("RS256")
        return True

    fresh.learn = learns
    broken = remote(Remote(learns=raises), "https://down.example")
    assert (await of(broken, remote(fresh)).verify_async(token("sso", "sso"))).subject == "user-1"
    with pytest.raises(errors.KeySetUnavailable):
        await of(broken, OWN).verify_async(token("sso", "sso"))
