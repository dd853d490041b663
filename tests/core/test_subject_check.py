"""The subject check and narrower scope at a refresh; every test with and without await, and with a check of either kind."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stagedoor import Event, Grant, Issuer, KeySet, Peppers, Session, SyncIssuer, errors
from stagedoor.session import Answer, Outcome, Presented
from stagedoor.stores.memory import MemoryStore, SyncMemoryStore
from stagedoor.testing.clock import FixedClock

from .material import NOW, SECRET

WINDOW = 60
DAY = 86_400
AnyIssuer = Issuer | SyncIssuer


async def settle(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


class Application:
    """What the application says of its subjects: `answer` is returned, or raised; `asked` are the sessions it was shown."""

    def __init__(self) -> None:
        self.answer: Any = Grant()
        self.asked: list[Session] = []
        self.threads: list[threading.Thread] = []

    def check(self, session: Session) -> Any:
        self.asked.append(session)
        self.threads.append(threading.current_thread())
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def check_async(self, session: Session) -> Any:
        await asyncio.sleep(0)
        return self.check(session)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def calls() -> list[str]:
    """What the store was asked for, in order."""
    return []


@pytest.fixture(params=["async", "async, plain check", "sync"])
def make(
    request: pytest.FixtureRequest, clock: FixedClock, application: Application, events: list[Event], calls: list[str]
) -> Callable[..., AnyIssuer]:
    kind: Any = SyncIssuer if request.param == "sync" else Issuer
    base: Any = SyncMemoryStore if request.param == "sync" else MemoryStore

    class Store(base):
        def __getattribute__(self, name: str) -> Any:
            if name in ("get", "rotate", "settle", "revoke"):
                calls.append(name)
            return super().__getattribute__(name)

    def maker(**changes: Any) -> AnyIssuer:
        known: dict[str, Any] = {
            "audience": "https://api.example",
            "store": Store(),
            "keys": KeySet.from_secret(SECRET, clock=clock),
            "peppers": Peppers(SECRET[:32], clock=clock),
            "subject_check": application.check_async if request.param == "async" else application.check,
            "events": events.append,
            "clock": clock,
        }
        made: AnyIssuer = kind("https://auth.example", **(known | changes))
        calls.clear()
        return made

    return maker


@pytest.fixture
def issuer(make: Callable[..., AnyIssuer]) -> AnyIssuer:
    return make()


async def login(issuer: AnyIssuer, **more: Any) -> Any:
    return await settle(issuer.issue("user", scope="orders:read orders:write", claims={"tier": "free"}, **more))


async def refresh(issuer: AnyIssuer, token: str, **more: Any) -> Any:
    return await settle(issuer.refresh(token, **more))


def read(issuer: AnyIssuer, pair: Any) -> Any:
    return issuer.verifier().verify(pair.access_token)


async def refused(error: type[errors.AuthError], issuer: AnyIssuer, token: str, **more: Any) -> None:
    with pytest.raises(error) as caught:
        await refresh(issuer, token, **more)
    assert type(caught.value) is error


async def test_as_before(issuer: AnyIssuer, application: Application, clock: FixedClock):
    """`Grant()` leaves scope and claims as they were; the check sees the session, and is asked at each refresh, not at the login."""
    pair = await login(issuer)
    assert application.asked == []
    for number in range(1, 4):
        clock.forward(WINDOW)
        pair = await refresh(issuer, pair.refresh_token)
        assert [session.subject for session in application.asked] == ["user"] * number
        token = read(issuer, pair)
        assert (token.scope, token.claims["tier"]) == ({"orders:read", "orders:write"}, "free")
        assert pair.expires_in == 900


async def test_what_it_has_now(issuer: AnyIssuer, application: Application, clock: FixedClock):
    """The next access token carries the claims and the scope that the application says; scope that the login did not grant stays out."""
    pair = await login(issuer)
    application.answer = Grant(scope="orders:read admin", claims={"tier": "gold"})
    clock.forward(WINDOW)
    pair = await refresh(issuer, pair.refresh_token)
    token = read(issuer, pair)
    assert (token.scope, pair.scope, token.claims["tier"]) == ({"orders:read"}, {"orders:read"}, "gold")
    application.answer = Grant()
    clock.forward(WINDOW)
    assert read(issuer, await refresh(issuer, pair.refresh_token)).scope == {"orders:read", "orders:write"}


async def test_no_longer(issuer: AnyIssuer, application: Application, clock: FixedClock, events: list[Event]):
    """None ends the session, its access tokens too, with the reason in the event; the subject's other sessions are asked for themselves."""
    pair, other = await login(issuer), await login(issuer)
    application.answer = None
    await refused(errors.SessionRevoked, issuer, pair.refresh_token)
    assert (events[-1].name, events[-1].detail) == ("session_revoked", "subject_refused")
    application.answer = Grant()
    await refused(errors.SessionRevoked, issuer, pair.refresh_token)
    with pytest.raises(errors.TokenRevoked):
        read(issuer, pair)
    assert await refresh(issuer, other.refresh_token)


@pytest.mark.parametrize("error", [RuntimeError("down"), TimeoutError(), LookupError("no such row"), ValueError("?")])
async def test_a_check_that_fails(issuer: AnyIssuer, application: Application, clock: FixedClock, calls: list[str], error: Exception):
    """What it raises is 503 and changes nothing, however long it lasts: nobody is logged out, and the same token goes on afterwards."""
    pair = await login(issuer)
    application.answer = error
    for late in (0, WINDOW, DAY):
        clock.forward(late)
        calls.clear()
        await refused(errors.SubjectCheckFailed, issuer, pair.refresh_token, attempt="attempt-0123456789")
        assert calls == ["get"]
    application.answer = Grant()
    assert await refresh(issuer, pair.refresh_token, attempt="attempt-0123456789")
    assert errors.SubjectCheckFailed().status == 503


async def test_a_refusal_of_the_applications_own(issuer: AnyIssuer, application: Application):
    """An error of ours that the check raises is passed on as it is."""
    pair = await login(issuer)
    application.answer = errors.TooManyAttempts(30)
    await refused(errors.TooManyAttempts, issuer, pair.refresh_token)


@pytest.mark.parametrize("answer", [True, {"scope": "orders:read"}, "orders:read"])
async def test_not_a_grant(issuer: AnyIssuer, application: Application, calls: list[str], answer: Any):
    """Anything but a Grant or None is the programmer's mistake, told before anything is written."""
    pair = await login(issuer)
    application.answer = answer
    calls.clear()
    with pytest.raises(TypeError, match="Grant"):
        await refresh(issuer, pair.refresh_token)
    assert calls == ["get"]


@pytest.mark.parametrize("grant", [Grant(claims={"sub": "another"}), Grant(scope='"'), Grant(claims={"x": "y" * 9_000})])
async def test_a_grant_that_no_token_can_carry(
    issuer: AnyIssuer, application: Application, clock: FixedClock, calls: list[str], grant: Grant
):
    """Our own claims, foreign scope and a token too large to be read are found before the rotation."""
    pair = await login(issuer)
    application.answer = grant
    calls.clear()
    with pytest.raises(ValueError):
        await refresh(issuer, pair.refresh_token)
    assert calls == ["get"]
    application.answer = Grant()
    clock.forward(DAY)
    assert await refresh(issuer, pair.refresh_token)


async def test_before_the_rotation(issuer: AnyIssuer, calls: list[str]):
    """The row is read, the check asked and the token minted, and the rotation comes last."""
    pair = await login(issuer)
    calls.clear()
    await refresh(issuer, pair.refresh_token)
    assert calls == ["get", "rotate"]


async def test_one_call_without_a_check(make: Callable[..., AnyIssuer], calls: list[str]):
    """Where there is no check and no scope is asked for, a refresh is one call of the store."""
    issuer = make(subject_check=None)
    pair = await login(issuer)
    calls.clear()
    await refresh(issuer, pair.refresh_token)
    assert calls == ["rotate"]


async def test_whoever_may_not_have_an_answer_is_not_asked_for(
    issuer: AnyIssuer, application: Application, clock: FixedClock, events: list[Event]
):
    """Tokens that are refused anyway (revoked, reused, forged) ask nothing of the application, and reuse is still caught."""
    first = await login(issuer)
    second = await refresh(issuer, first.refresh_token)
    clock.forward(WINDOW)
    third = await refresh(issuer, second.refresh_token)
    clock.forward(WINDOW)
    application.asked.clear()
    await refused(errors.RefreshTokenReused, issuer, first.refresh_token)
    assert events[-1].detail == "stale_lineage"
    await refused(errors.SessionRevoked, issuer, third.refresh_token)
    assert application.asked == []


async def test_the_verdict_of_a_reuse(issuer: AnyIssuer, clock: FixedClock, events: list[Event]):
    """The event tells a retry that came too late, without an attempt id, from a token of long ago."""
    first = await login(issuer)
    await refresh(issuer, first.refresh_token)
    clock.forward(WINDOW)
    await refused(errors.RefreshTokenReused, issuer, first.refresh_token)
    assert (events[-1].name, events[-1].alarm, events[-1].detail) == ("refresh_token_reused", True, "late_retry")


async def test_replays_and_repeats(issuer: AnyIssuer, clock: FixedClock):
    """With a check, a lost reply is still answered with the same refresh token, in the window, and later by its attempt id."""
    pair = await login(issuer)
    first = await refresh(issuer, pair.refresh_token, attempt="attempt-0123456789")
    again = await refresh(issuer, pair.refresh_token)
    kept = await refresh(issuer, first.refresh_token)
    clock.forward(DAY)
    late = await refresh(issuer, pair.refresh_token, attempt="attempt-0123456789")
    assert {each.refresh_token for each in (again, kept, late)} == {first.refresh_token}
    assert late.expires_in == 900


async def test_never_past_the_end_of_the_session(make: Callable[..., AnyIssuer], clock: FixedClock):
    """With a check, too, an access token ends with its session at the latest."""
    issuer = make(access="1h", refresh_idle="2h", refresh_absolute="3h")
    pair = await login(issuer)
    clock.forward(7_100)
    pair = await refresh(issuer, pair.refresh_token)
    assert pair.expires_in == 3_600
    clock.forward(3_000)
    pair = await refresh(issuer, pair.refresh_token)
    assert pair.expires_in == 700
    clock.forward(700)
    await refused(errors.RefreshTokenExpired, issuer, pair.refresh_token)


async def test_less_scope(issuer: AnyIssuer, clock: FixedClock, calls: list[str]):
    """`scope` at a refresh is for that access token alone: the next one has all again (RFC 6749 section 6)."""
    pair = await login(issuer)
    less = await refresh(issuer, pair.refresh_token, scope="orders:read")
    assert (less.scope, read(issuer, less).scope) == ({"orders:read"}, {"orders:read"})
    none = await refresh(issuer, less.refresh_token, scope="")
    assert read(issuer, none).scope == set()
    clock.forward(WINDOW)
    assert (await refresh(issuer, none.refresh_token)).scope == {"orders:read", "orders:write"}


@pytest.mark.parametrize("scope", ["admin", "orders:read admin", 'orders:"read"', "orders:read  orders:write", " "])
async def test_more_scope(make: Callable[..., AnyIssuer], calls: list[str], scope: str):
    """More than the session has is InvalidScope and changes nothing."""
    issuer = make(subject_check=None)
    pair = await login(issuer)
    calls.clear()
    await refused(errors.InvalidScope, issuer, pair.refresh_token, scope=scope)
    assert calls == ["get"]
    assert await refresh(issuer, pair.refresh_token)


async def test_more_scope_than_it_has_now(issuer: AnyIssuer, application: Application):
    """What the login granted and the subject has lost since cannot be asked for."""
    pair = await login(issuer)
    application.answer = Grant(scope="orders:read")
    await refused(errors.InvalidScope, issuer, pair.refresh_token, scope="orders:write")


async def test_a_plain_check_does_not_hold_the_loop(clock: FixedClock, application: Application):
    """An Issuer runs a check that is a plain function on a thread, as frameworks run plain routes."""
    keys = KeySet.from_secret(SECRET, clock=clock)
    issuer = Issuer(
        "https://auth.example",
        audience="https://api.example",
        store=MemoryStore(),
        keys=keys,
        peppers=Peppers.generate(clock=clock),
        subject_check=application.check,
        clock=clock,
    )
    await issuer.refresh((await issuer.issue("user")).refresh_token)
    assert application.threads[0] is not threading.current_thread()


async def test_a_row_that_comes_back_between(clock: FixedClock, application: Application):
    """Where the read says refused and the rotation says yes (a stale read), the check is asked before anything is handed out."""

    class Stale(MemoryStore):
        reads = 0

        async def get(self, session_id: bytes) -> Session | None:
            Stale.reads += 1
            return None if Stale.reads == 1 else await super().get(session_id)

        async def rotate(self, presented: Presented, now: float) -> Answer:
            answer = await super().rotate(presented, now)
            assert answer.outcome in (Outcome.ROTATED, Outcome.REPLAYED)
            return answer

    issuer = Issuer(
        "https://auth.example",
        audience="https://api.example",
        store=Stale(),
        keys=KeySet.from_secret(SECRET, clock=clock),
        peppers=Peppers.generate(clock=clock),
        subject_check=application.check_async,
        clock=clock,
    )
    pair = await issuer.issue("user")
    application.answer = Grant(claims={"tier": "gold"})
    assert read(issuer, await issuer.refresh(pair.refresh_token)).claims["tier"] == "gold"
    assert len(application.asked) == 1


@pytest.mark.parametrize("wrong", [{"scope": 5}, {"scope": ["orders:read"]}, {"claims": [1]}, {"claims": "tier"}])
def test_what_is_no_grant(wrong: dict[str, Any]):
    """A Grant of the wrong parts is refused where it is made."""
    with pytest.raises(TypeError, match="Grant"):
        Grant(**wrong)


def test_what_is_no_check(make: Callable[..., AnyIssuer]):
    """A subject check that cannot be called is refused at construction."""
    with pytest.raises(TypeError, match="subject_check"):
        make(subject_check="users")


def test_an_async_check_on_a_sync_issuer(clock: FixedClock, application: Application):
    """It would never be awaited: refused at construction."""
    with pytest.raises(TypeError, match="SyncIssuer takes"):
        SyncIssuer(
            "https://auth.example",
            audience="https://api.example",
            store=SyncMemoryStore(),
            keys=KeySet.from_secret(SECRET, clock=clock),
            peppers=Peppers.generate(clock=clock),
            subject_check=application.check_async,
            clock=clock,
        )


class OnItsOwnClock(MemoryStore):
    """A store as several machines share it: the caller's moment counts for nothing."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__()
        self.clock = clock

    async def rotate(self, presented: Presented, now: float) -> Answer:
        return await super().rotate(presented, self.clock())

    async def settle(self, outcome: Outcome, presented: Presented, now: float) -> bool:
        return await super().settle(outcome, presented, self.clock())


@pytest.mark.parametrize("ahead", [-3600, -90, 90, 3600])
@pytest.mark.parametrize("narrower", [None, "orders:read"])
async def test_a_worker_whose_clock_is_wrong(clock: FixedClock, application: Application, ahead: int, narrower: str | None):
    """Whether a token may be a retry the store's clock says: with a check, too, or less scope, a lost reply is answered again."""
    application.answer = Grant()
    wrong = FixedClock(clock.now + ahead)
    issuer = Issuer(
        "https://auth.example",
        audience="https://api.example",
        store=OnItsOwnClock(clock),
        keys=KeySet.from_secret(SECRET, clock=wrong),
        peppers=Peppers(SECRET[:32], clock=wrong),
        subject_check=None if narrower else application.check_async,
        clock=wrong,
    )
    pair = await issuer.issue("user", scope="orders:read orders:write")
    first = await issuer.refresh(pair.refresh_token, scope=narrower)
    for each in (clock, wrong):
        each.forward(WINDOW - 1)
    again = await issuer.refresh(pair.refresh_token, scope=narrower)
    assert again.refresh_token == first.refresh_token
    assert again.expires_in == 900
    for each in (clock, wrong):
        each.forward(2)
    with pytest.raises(errors.RefreshTokenReused):
        await issuer.refresh(pair.refresh_token, scope=narrower)


async def test_a_check_that_takes_longer_than_the_window(issuer: AnyIssuer, application: Application, clock: FixedClock):
    """The rotation counts from when it is written, not from when the check was asked: a retry right after it is a retry."""
    pair = await login(issuer)
    check = application.check

    def slow(session: Session) -> Any:
        clock.forward(10 * WINDOW)
        return check(session)

    issuer._subject_check = slow
    first = await refresh(issuer, pair.refresh_token)
    issuer._subject_check = check
    clock.forward(1)
    assert (await refresh(issuer, pair.refresh_token)).refresh_token == first.refresh_token


@pytest.mark.parametrize("wrong", ["", "a\0b", "\ud800", "x" * 1025, "ä" * 513])
async def test_a_subject_that_not_every_store_can_keep(make: Callable[..., AnyIssuer], calls: list[str], wrong: str):
    """It is refused before anything is written, and so is such a device."""
    issuer = make()
    with pytest.raises(ValueError, match="subject"):
        await settle(issuer.issue(wrong))
    if wrong:
        with pytest.raises(ValueError, match="device"):
            await settle(issuer.issue("user", device=wrong))
    assert await settle(issuer.sessions("user")) == []


async def test_a_check_that_raises_stop_iteration(make: Callable[..., AnyIssuer]):
    """`next()` on nothing, in a plain check or in a `confirm`, is an error like others: nobody waits for ever, or gets None."""

    def nothing(*_: Any) -> Any:
        return next(iter(()))

    issuer = make(subject_check=nothing)
    pair = await login(issuer)
    async with asyncio.timeout(60):
        await refused(errors.SubjectCheckFailed, issuer, pair.refresh_token)
    with pytest.raises((StopIteration, RuntimeError)):
        await login(issuer, confirm=nothing)
