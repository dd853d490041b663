"""A PKCS#11 token that is away, forgets its sessions or refuses the PIN: 503, nothing has changed, and the same refresh token goes on."""

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import pkcs11
import pytest

from servers.softhsm import PIN, WRONG_PIN
from stagedoor import errors, jws
from stagedoor.testing.clock import FixedClock

from .boxes import WINDOW, Signing, issuer

DAY = 86_400
ATTEMPT = "attempt-0123456789"


async def settle(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


class Trouble:
    """What is wrong with the box, and how it is mended."""

    def __init__(self, begins: Callable[[], Any], ends: Callable[[], Any]) -> None:
        self.begins, self.ends = begins, ends


def wrong_pin(signing: Signing, signer: Any, pin: str) -> None:
    signer.pin = pin
    signing.hsm.forget_sessions()


def another_key(signing: Signing, signer: Any, label: str) -> None:
    signer.label, signer.key = label, None


@pytest.fixture
def box(signing: Signing) -> tuple[Any, Any]:
    return signing.key()


@pytest.fixture(params=["pulled out", "wrong pin", "key deleted", "another key"])
def trouble(request: pytest.FixtureRequest, signing: Signing, box: tuple[Any, Any]) -> Trouble:
    _, signer = box
    hsm = signing.hsm
    return {
        "pulled out": Trouble(hsm.pull_out, hsm.put_back),
        "wrong pin": Trouble(lambda: wrong_pin(signing, signer, WRONG_PIN), lambda: wrong_pin(signing, signer, PIN)),
        "key deleted": Trouble(lambda: another_key(signing, signer, "gone"), lambda: another_key(signing, signer, "signing ES256")),
        "another key": Trouble(lambda: another_key(signing, signer, "another"), lambda: another_key(signing, signer, "signing ES256")),
    }[request.param]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_nobody_is_logged_out(kind: str, box: tuple[Any, Any], trouble: Trouble):
    """While the box cannot sign, logins and refreshes are SigningFailed, however late; the row stays, and then the token goes on."""
    clock = FixedClock()
    house = issuer(kind, box[0], clock)
    pair = await settle(house.issue("ada"))
    pair = await settle(house.refresh(pair.refresh_token))
    (row,) = await settle(house.sessions("ada"))
    trouble.begins()
    try:
        for late in (0, WINDOW, DAY):
            clock.forward(late)
            with pytest.raises(errors.SigningFailed) as caught:
                await settle(house.refresh(pair.refresh_token, attempt=ATTEMPT))
            assert PIN not in str(caught.value)
            with pytest.raises(errors.SigningFailed):
                await settle(house.issue("ben"))
        assert await settle(house.sessions("ada")) == [row]
        assert await settle(house.sessions("ben")) == []
    finally:
        trouble.ends()
    fresh = await settle(house.refresh(pair.refresh_token, attempt=ATTEMPT))
    assert fresh.refresh_token != pair.refresh_token
    assert house.verifier().verify(fresh.access_token).session_id == pair.session_id


async def test_sessions_closed_in_the_middle(box: tuple[Any, Any]):
    """A session of the box that ends again and again under refreshes costs 503s that a retry mends, and nobody's session."""
    clock, (key, signer) = FixedClock(), box
    house = issuer("async", key, clock)
    pairs = [await house.issue(f"user-{number}") for number in range(6)]
    refused = 0

    async def refreshes(pair: Any) -> None:
        nonlocal refused
        for number in range(30):
            if number == 10:
                await asyncio.to_thread(close)  # once at least: the troubling task may come to it too late
            clock.forward(WINDOW)
            for _ in range(20):
                try:
                    fresh = await house.refresh(pair.refresh_token)
                    break
                except errors.SigningFailed:
                    refused += 1
            else:
                pytest.fail("twenty tries, and no signature")
            # Not by a verifier: while this one waited for the box, the others have moved the clock on.
            assert jws.verify(fresh.access_token, house.keys, clock()).payload["sid"] == pair.session_id
            pair = fresh

    def close() -> None:
        with signer.lock:  # a box may end a session at any time, but not in the middle of a call
            if signer.key is not None:
                with contextlib.suppress(pkcs11.exceptions.PKCS11Error):
                    signer.key.session.close()

    async def trouble() -> None:
        while True:
            await asyncio.to_thread(close)
            await asyncio.sleep(0.005)

    troubling = asyncio.create_task(trouble())
    try:
        await asyncio.gather(*map(refreshes, pairs))
    finally:
        troubling.cancel()
        await asyncio.gather(troubling, return_exceptions=True)
    assert refused
