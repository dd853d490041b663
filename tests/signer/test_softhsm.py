"""Signing with keys that a PKCS#11 token keeps: SoftHSM, spoken to by the signer of the guide."""

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pkcs11
import pytest

from stagedoor import KeySet, Revocations, Verifier
from stagedoor.testing.clock import FixedClock

from .boxes import HOW, WINDOW, Signing, issuer


async def settle(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("name", HOW)
async def test_issue_refresh_verify(signing: Signing, kind: str, name: str):
    """Tokens signed in the token are read by whoever has the published JWKS, through logins, refreshes and replays."""
    clock = FixedClock()
    key, _ = signing.key(name)
    house = issuer(kind, key, clock)
    published = KeySet.from_jwks(house.keys.jwks())
    verifier = Verifier(house.name, audience=house.audience, keys=published, revocations=Revocations(), clock=clock)
    pair = await settle(house.issue("ada", scope="orders:read"))
    for _ in range(3):
        clock.forward(WINDOW)
        before, pair = pair, await settle(house.refresh(pair.refresh_token))
        token = verifier.verify(pair.access_token)
        assert (token.subject, token.key_id, token.session_id) == ("ada", key.kid, pair.session_id)
        assert (await settle(house.refresh(before.refresh_token))).refresh_token == pair.refresh_token


@pytest.mark.parametrize("name", HOW)
def test_the_private_part_stays(signing: Signing, name: str):
    """What signs cannot be read out of the token, and no JWK of the key holds it."""
    key, signer = signing.key(name)
    key.sign(b"data")
    inside = pkcs11.Attribute.PRIVATE_EXPONENT if name == "RS256" else pkcs11.Attribute.VALUE
    with pytest.raises(pkcs11.exceptions.PKCS11Error):
        signer.key[inside]
    assert not key.jwk().keys() & {"d", "p", "q", "dp", "dq", "qi", "k"}
    with pytest.raises(TypeError, match="never leaves its signer"):
        key.jwk(private=True)


def test_tokens_of_other_kinds(signing: Signing):
    """Invitations and the like are signed in the token too."""
    keys = KeySet(signing.key()[0])
    assert keys.verify(keys.sign({"sub": "ada"}, typ="invitation+jwt", expires="1h"), typ="invitation+jwt")["sub"] == "ada"


@pytest.mark.parametrize("name", HOW)
def test_many_threads(signing: Signing, name: str):
    """Eight threads on one signer each get the signature of their own data."""
    key, _ = signing.key(name)
    data = [f"data {number}".encode() for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        signatures = list(pool.map(key.sign, data))
    assert all(key.verify(each, signature) for each, signature in zip(data, signatures, strict=True))


async def test_many_refreshes_at_once(signing: Signing):
    """Refreshes side by side, each signed on a thread, keep to their own sessions."""
    house = issuer("async", signing.key()[0], FixedClock())
    pairs = [await house.issue("ada") for _ in range(40)]
    fresh = await asyncio.gather(*(house.refresh(pair.refresh_token) for pair in pairs))
    assert [house.verifier().verify(each.access_token).session_id for each in fresh] == [pair.session_id for pair in pairs]
