"""Logins and refreshes with a signer's key: asked before anything is written, and nothing happens where it fails."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stagedoor import Event, Grant, Issuer, Key, KeySet, Peppers, SyncIssuer, errors, issuer
from stagedoor.stores.memory import MemoryStore, SyncMemoryStore
from stagedoor.testing.clock import FixedClock

from .boxes import TRUTH, AsyncBox, Box, LateBox, as_der, settle
from .material import NOW, SECRET

WINDOW, DAY = 60, 86_400
KINDS: dict[str, tuple[Any, Any, type[Box]]] = {
    "async": (Issuer, MemoryStore, AsyncBox),
    "async, plain signer": (Issuer, MemoryStore, Box),
    "async, late signer": (Issuer, MemoryStore, LateBox),
    "sync": (SyncIssuer, SyncMemoryStore, Box),
}
ATTEMPT = "attempt-0123456789"


class House:
    """An issuer on a signer's key, and what its store was asked for, in order, the box among it."""

    def __init__(self, kind: str, **changes: Any) -> None:
        made, base, box = KINDS[kind]
        self.calls: list[str] = []
        self.events: list[Event] = []
        self.clock = FixedClock(NOW)
        self.box = box()
        calls = self.calls

        class Store(base):  # type: ignore[misc]
            def __getattribute__(self, name: str) -> Any:
                if name in ("open", "get", "rotate", "settle", "revoke"):
                    calls.append(name)
                return super().__getattribute__(name)

        self.store = Store()
        known: dict[str, Any] = {
            "audience": "https://api.example",
            "store": self.store,
            "keys": KeySet(self.box.key, clock=self.clock),
            "peppers": Peppers(SECRET[:32], clock=self.clock),
            "events": self.events.append,
            "clock": self.clock,
        }
        self.issuer: Any = made("https://auth.example", **(known | changes))
        self.calls.clear()

    async def login(self, **more: Any) -> Any:
        pair = await settle(self.issuer.issue("user", scope="orders:read orders:write", claims={"tier": "free"}, **more))
        self.calls.clear()
        return pair

    async def refresh(self, pair: Any, **more: Any) -> Any:
        return await settle(self.issuer.refresh(pair.refresh_token, **more))

    def read(self, pair: Any) -> Any:
        return self.issuer.verifier().verify(pair.access_token)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def house(kind: str) -> House:
    return House(kind)


async def test_the_box_signs(house: House):
    """Tokens of logins and refreshes are read as others are; each refresh asks the box once, between the read and the rotation."""
    pair = await house.login()
    assert house.read(pair).key_id == house.box.key.kid
    for number in (2, 3, 4):
        house.clock.forward(WINDOW)
        house.calls.clear()
        pair = await house.refresh(pair)
        assert house.calls == ["get", "rotate"]
        assert len(house.box.asked) == number
        token = house.read(pair)
        assert (token.subject, token.scope, token.claims["tier"]) == ("user", {"orders:read", "orders:write"}, "free")
        assert pair.expires_in == 900


async def test_der(house: House):
    """A box that says DER, as a KMS does, issues tokens like any other."""
    raw = house.box._inside
    house.box._inside = type("", (), {"sign": staticmethod(lambda data: as_der(raw.sign(data)))})()  # type: ignore[assignment]
    assert house.read(await house.refresh(await house.login())).subject == "user"


FAILURES = [
    OSError("box down"),
    TimeoutError(),
    StopIteration(),
    errors.StoreError("no network"),
    None,
    "text",
    b"",
    b"\0" * 64,
    Box("ES384")._inside.sign(b""),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
async def test_a_box_that_fails(house: House, failure: Any):
    """While it fails, or says garbage, a refresh is 503 and nothing is written, however long that lasts; then the same token goes on."""
    pair = await house.login()
    before = house.store._rows if hasattr(house.store, "_rows") else house.store._sync._rows
    rows = dict(before)
    house.box.says = failure
    for late in (0, WINDOW, DAY):
        house.clock.forward(late)
        for more in ({}, {"attempt": ATTEMPT}, {"scope": "orders:read"}):
            house.calls.clear()
            with pytest.raises(errors.AuthError) as caught:
                await house.refresh(pair, **more)
            assert caught.value.status == 503
            assert house.calls == ["get"]
    assert dict(before) == rows
    assert {event.name for event in house.events} == {"session_opened"}
    house.box.says = TRUTH
    second = await house.refresh(pair)
    assert second.refresh_token != pair.refresh_token
    assert house.read(second).session_id == pair.session_id


async def test_a_login_that_fails(house: House):
    """No session is opened where its access token cannot be signed."""
    house.box.says = OSError()
    with pytest.raises(errors.SigningFailed):
        await house.login()
    assert house.calls == []


async def test_replays_and_repeats(house: House):
    """A lost reply is answered with the same refresh token, in the window, and later by its attempt id; the end is the session's."""
    pair = await house.login()
    first = await house.refresh(pair, attempt=ATTEMPT)
    again, kept = await house.refresh(pair), await house.refresh(first)
    house.clock.forward(DAY)
    late = await house.refresh(pair, attempt=ATTEMPT)
    assert {each.refresh_token for each in (again, kept, late)} == {first.refresh_token}


async def test_a_box_that_fails_at_a_replay(house: House):
    """A retry whose signature fails may be retried again, and gets the same refresh token."""
    pair = await house.login()
    first = await house.refresh(pair)
    house.box.says = OSError()
    with pytest.raises(errors.SigningFailed):
        await house.refresh(pair)
    house.box.says = TRUTH
    assert (await house.refresh(pair)).refresh_token == first.refresh_token


async def test_whoever_is_refused_anyway(house: House):
    """Tokens that are unknown, reused or revoked are refused without the box, even while it is down."""
    first = await house.login()
    second = await house.refresh(first)
    house.clock.forward(WINDOW)
    third = await house.refresh(second)
    house.clock.forward(WINDOW)
    house.box.says = OSError()
    asked = len(house.box.asked)
    for pair, refusal in ((first, errors.RefreshTokenReused), (third, errors.SessionRevoked), (first, errors.SessionRevoked)):
        with pytest.raises(refusal):
            await house.refresh(pair)
    assert len(house.box.asked) == asked


async def test_logging_out_needs_no_box(house: House):
    """Ending a session works while the box is down, and so does verifying."""
    pair = await house.login()
    house.box.says = OSError()
    assert house.read(pair)
    await settle(house.issuer.revoke(pair.refresh_token))
    with pytest.raises(errors.TokenRevoked):
        house.read(pair)


async def test_with_a_subject_check(kind: str):
    """Where there is a check, it is asked first: its claims and scope are what is signed, and None ends the session without the box."""
    answers: list[Any] = [Grant(scope="orders:read", claims={"tier": "gold"}), None]
    house = House(kind, subject_check=lambda session: answers.pop(0))
    pair = await house.refresh(await house.login())
    assert (house.read(pair).scope, house.read(pair).claims["tier"]) == ({"orders:read"}, "gold")
    asked = len(house.box.asked)
    with pytest.raises(errors.SessionRevoked):
        await house.refresh(pair)
    assert len(house.box.asked) == asked


async def test_claims_that_nobody_would_read(house: House):
    """A token that is too large is found before anything is written."""
    with pytest.raises(ValueError, match="verifier"):
        await settle(house.issuer.issue("user", claims={"x": "y" * 9_000}))
    assert house.calls == []


async def test_a_local_key_costs_what_it_cost(kind: str):
    """With a key that is here a refresh is one call of the store, also where a signer's key stands beside it."""
    house = House(kind)
    local = Key.generate("ES256")
    for keys in (KeySet(local, clock=house.clock), KeySet(local, house.box.key, clock=house.clock)):
        house.issuer.keys = keys
        pair = await house.login()
        assert house.read(await house.refresh(pair)).key_id == local.kid
        assert house.calls == ["rotate"]
    assert house.box.asked == []


async def test_from_a_file_into_the_box_and_back(kind: str):
    """A session outlives the change from a local key to a signer's and back; both verify; the key that signs now decides the road."""
    house = House(kind)
    local, boxed = Key.generate("ES256"), house.box.key
    tokens = []
    house.issuer.keys = KeySet(local, boxed, clock=house.clock)
    pair = await house.login()
    for first, second, road in ((local, boxed, ["rotate"]), (boxed, local, ["get", "rotate"]), (local, boxed, ["rotate"])):
        house.issuer.keys = KeySet(first, second, clock=house.clock)
        house.clock.forward(WINDOW)
        house.calls.clear()
        pair = await house.refresh(pair)
        tokens.append(pair)
        assert (house.calls, house.read(pair).key_id) == (road, first.kid)
    assert {house.read(each).key_id for each in tokens} == {local.kid, boxed.kid}


@pytest.mark.parametrize("kind", ["async", "async, late signer"], indirect=True)
async def test_a_box_that_hangs(house: House, monkeypatch: pytest.MonkeyPatch):
    """Issuer waits for a signer no longer than its bound; then it is SigningFailed, and nothing has changed."""
    assert issuer.SIGNING_SECONDS == 10
    pair = await house.login()
    monkeypatch.setattr(issuer, "SIGNING_SECONDS", 0.05)

    async def sign(data: bytes) -> bytes:
        await asyncio.sleep(60)
        return b""

    house.box.sign = sign  # type: ignore[method-assign]
    with pytest.raises(errors.SigningFailed) as caught:
        await house.refresh(pair)
    assert "did not answer within" in str(caught.value)
    assert house.calls == ["get"]
    del house.box.sign
    monkeypatch.setattr(issuer, "SIGNING_SECONDS", 60.0)
    assert await house.refresh(pair)


async def test_a_plain_box_that_hangs(monkeypatch: pytest.MonkeyPatch):
    """A plain function that hangs keeps its thread, but neither its caller nor the event loop."""
    house = House("async, plain signer")
    pair = await house.login()
    assert house.box.threads[-1] is not threading.current_thread()
    monkeypatch.setattr(issuer, "SIGNING_SECONDS", 0.05)
    released, sign = threading.Event(), house.box.sign
    house.box.sign = lambda data: [released.wait(30), sign(data)][1]  # type: ignore[method-assign]
    try:
        with pytest.raises(errors.SigningFailed):
            await house.refresh(pair)
        assert house.calls == ["get"]
    finally:
        released.set()
    monkeypatch.setattr(issuer, "SIGNING_SECONDS", 60.0)
    assert await house.refresh(pair)


async def test_a_caller_that_goes_away(monkeypatch: pytest.MonkeyPatch):
    """A refresh that is cancelled while the box is asked is cancelled, not SigningFailed, and has rotated nothing."""
    house = House("async")
    pair = await house.login()
    asked = asyncio.Event()

    async def sign(data: bytes) -> bytes:
        asked.set()
        await asyncio.sleep(60)
        return b""

    house.box.sign = sign  # type: ignore[method-assign]
    task = asyncio.create_task(house.refresh(pair))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert house.calls == ["get"]


def sync_issuer(box: Box, *others: Key, make: Callable[..., Any] = SyncIssuer) -> Any:
    keys = KeySet(*others, box.key)
    return make("https://auth.example", audience="a", store=SyncMemoryStore(), keys=keys, peppers=Peppers.generate())


def test_an_async_signer_without_a_loop():
    """SyncIssuer refuses an async signer at construction, whichever key signs now; one that hides it, at the first use."""
    for others in ((), (Key.generate("ES256"),)):
        with pytest.raises(TypeError, match="Issuer awaits"):
            sync_issuer(AsyncBox(), *others)
    hiding = sync_issuer(LateBox())
    with pytest.raises(TypeError, match="await"):
        hiding.issue("user")


async def test_many_at_once(house: House):
    """Refreshes of many sessions side by side each get a token of their own session."""
    pairs = [await house.login() for _ in range(20)]
    if isinstance(house.issuer, Issuer):
        fresh = await asyncio.gather(*(house.refresh(pair) for pair in pairs))
    else:
        fresh = await asyncio.gather(*(asyncio.to_thread(house.issuer.refresh, pair.refresh_token) for pair in pairs))
    assert [house.read(each).session_id for each in fresh] == [pair.session_id for pair in pairs]


async def test_boxes_that_hang_take_no_threads_of_others(monkeypatch: pytest.MonkeyPatch):
    """However many calls hang in a box, the event loop's own threads are free."""
    monkeypatch.setattr(issuer, "SIGNING_SECONDS", 0.3)
    house = House("async, plain signer")
    go_on = threading.Event()
    sign = house.box.sign

    def hanging(data: bytes) -> bytes:
        go_on.wait(60)
        return sign(data)

    house.box.sign = hanging  # type: ignore[method-assign]
    try:
        refused = await asyncio.gather(*(house.login() for _ in range(40)), return_exceptions=True)
        assert {type(each) for each in refused} == {errors.SigningFailed}
        async with asyncio.timeout(30):  # they hang for sixty
            assert await asyncio.to_thread(lambda: 5) == 5
    finally:
        go_on.set()


async def test_sixteen_calls_at_one_time(monkeypatch: pytest.MonkeyPatch):
    """A box is asked for so many at once, on threads that are told by their name."""
    monkeypatch.setattr(issuer, "SIGNING_SECONDS", 60.0)
    house = House("async, plain signer")
    together, sign = threading.Barrier(16), house.box.sign
    house.box.sign = lambda data: [together.wait(issuer.SIGNING_SECONDS), sign(data)][1]  # type: ignore[method-assign]
    pairs = await asyncio.gather(*(house.login() for _ in range(16)))
    assert len({pair.session_id for pair in pairs}) == 16
    assert {thread.name.partition("_")[0] for thread in house.box.threads} == {"stagedoor-signer"}
