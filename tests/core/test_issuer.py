"""Issuer and SyncIssuer: issue, refresh, revoke, sessions; every test with and without await."""

import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stagedoor import Event, Issuer, KeySet, Peppers, Scope, SyncIssuer, errors, jws
from stagedoor.access_token import RESERVED
from stagedoor.encoding import decode, encode
from stagedoor.event import log
from stagedoor.stores.memory import SyncMemoryStore
from stagedoor.testing.clock import FixedClock

from .issuers import AnyIssuer, build, settle
from .material import NOW, SECRET, key
from .own_clock import AUDIENCE


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture(params=["async", "sync"])
def make(request: pytest.FixtureRequest, clock: FixedClock, events: list[Event]) -> Callable[..., AnyIssuer]:
    def maker(**changes: Any) -> AnyIssuer:
        return build(request.param, clock, **{"events": events.append} | changes)

    return maker


@pytest.fixture
def issuer(make: Callable[..., AnyIssuer]) -> AnyIssuer:
    return make()


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


async def refused(call: Callable[[], Any], error: type[errors.AuthError]) -> errors.AuthError:
    with pytest.raises(error) as caught:
        await settle(call())
    assert type(caught.value) is error
    return caught.value


async def alive(issuer: AnyIssuer, pair: Any) -> bool:
    return pair.session_id in [encode(session.id) for session in await settle(issuer.sessions(pair.subject))]


async def test_issue(issuer: AnyIssuer, events: list[Event]):
    """A pair says what it is, for whom, for how long, and its access token verifies."""
    pair = await settle(issuer.issue("user-42", scope="orders:write orders:read", claims={"username": "ada", "n": [1]}, device="phone"))
    assert (pair.token_type, pair.subject, pair.expires_in, pair.refresh_expires_in) == ("Bearer", "user-42", 900, 30 * 86_400)
    assert pair.scope == {"orders:read", "orders:write"}
    token = issuer.verifier().verify(pair.access_token)
    assert (token.subject, token.session_id, token.client_id, token.auth_time) == ("user-42", pair.session_id, AUDIENCE, NOW)
    assert token.scope == pair.scope
    assert (token.claims["username"], token.claims["n"]) == ("ada", [1])
    (session,) = await settle(issuer.sessions("user-42"))
    assert (encode(session.id), session.device, session.scope) == (pair.session_id, "phone", "orders:read orders:write")
    assert names(events) == ["session_opened"]


async def test_refresh(issuer: AnyIssuer, clock: FixedClock, events: list[Event]):
    """A refresh gives a successor and a new access token with the same scope, claims and time of login."""
    pair = await settle(issuer.issue("user", scope="a", claims={"username": "ada"}))
    clock.forward(3600)
    fresh = await settle(issuer.refresh(pair.refresh_token))
    assert fresh.refresh_token != pair.refresh_token
    assert fresh.session_id == pair.session_id
    old, new = jws.read_unverified(pair.access_token)[1], issuer.verifier().verify(fresh.access_token)
    assert new.id != old["jti"]
    assert (new.auth_time, new.issued_at, new.scope, new.claims["username"]) == (NOW, NOW + 3600, {"a"}, "ada")
    assert names(events) == ["session_opened", "refresh_rotated"]


async def test_a_lost_reply(issuer: AnyIssuer, clock: FixedClock, events: list[Event]):
    """Within the retry window the same call gets the same refresh token; the session does not rotate twice in one window."""
    pair = await settle(issuer.issue("user"))
    clock.forward(100)
    first = await settle(issuer.refresh(pair.refresh_token))
    clock.forward(59)
    again = await settle(issuer.refresh(pair.refresh_token))
    kept = await settle(issuer.refresh(first.refresh_token))
    assert first.refresh_token == again.refresh_token == kept.refresh_token
    assert len({first.access_token, again.access_token, kept.access_token}) == 3
    assert names(events)[1:] == ["refresh_rotated", "refresh_replayed", "refresh_kept"]


async def test_an_attempt_id_stretches_the_window(issuer: AnyIssuer, clock: FixedClock):
    """With the same attempt id the retry is answered at any later time, with another one it is reuse."""
    pair = await settle(issuer.issue("user"))
    clock.forward(100)
    first = await settle(issuer.refresh(pair.refresh_token, attempt="attempt-1234567890"))
    clock.forward(86_400)
    again = await settle(issuer.refresh(pair.refresh_token, attempt="attempt-1234567890"))
    assert again.refresh_token == first.refresh_token
    clock.forward(86_400)
    await refused(lambda: issuer.refresh(pair.refresh_token, attempt="attempt-0987654321"), errors.RefreshTokenReused)


async def test_reuse_ends_its_own_session_only(issuer: AnyIssuer, clock: FixedClock, events: list[Event]):
    """An older token ends its session with an alarm, its access tokens too, and no other session of the subject."""
    pair, other = await settle(issuer.issue("user")), await settle(issuer.issue("user"))
    clock.forward(100)
    fresh = await settle(issuer.refresh(pair.refresh_token))
    clock.forward(61)
    error = await refused(lambda: issuer.refresh(pair.refresh_token), errors.RefreshTokenReused)
    assert error.session_id == pair.session_id
    assert events[-1].alarm
    assert (events[-1].session_id, events[-1].subject) == (pair.session_id, "user")
    with pytest.raises(errors.TokenRevoked):
        issuer.verifier().verify(fresh.access_token)
    await refused(lambda: issuer.refresh(fresh.refresh_token), errors.SessionRevoked)
    assert await alive(issuer, other)
    assert issuer.verifier().verify(other.access_token)


async def test_an_unknown_token(issuer: AnyIssuer, events: list[Event]):
    """A text that is no token, and a genuine one of a session that never was, are unknown and are told."""
    seedless = issuer.peppers.write(pepper_id=1, session_id=b"s" * 16, generation=0, secret=b"x" * 32, seed=b"y" * 32, now=NOW)
    for text in ("", "sdr_", "x" * 120, seedless):
        await refused(lambda text=text: issuer.refresh(text), errors.RefreshTokenUnknown)
        await refused(lambda text=text: issuer.revoke(text), errors.RefreshTokenUnknown)
    assert names(events) == ["refresh_refused"] * 6 + ["refresh_token_unknown"] * 2


async def test_who_has_the_pepper_alone(issuer: AnyIssuer, clock: FixedClock, events: list[Event]):
    """Tokens made with the pepper but without the row are refused with an alarm; one with the right secret ends the session."""
    pair = await settle(issuer.issue("user"))
    genuine = issuer.peppers.parse(pair.refresh_token, NOW)

    def forged(generation: int, secret: bytes) -> str:
        return issuer.peppers.write(
            pepper_id=1, session_id=genuine.session_id, generation=generation, secret=secret, seed=b"guessed" * 5, now=clock.now
        )

    for generation in (0, 1, 2, 3, 4):
        await refused(lambda g=generation: issuer.refresh(forged(g, b"guessed!" * 4)), errors.RefreshTokenUnknown)
        await refused(lambda g=generation: issuer.revoke(forged(g, b"guessed!" * 4)), errors.RefreshTokenUnknown)
    assert all(event.alarm for event in events[1:])
    assert await alive(issuer, pair)
    await refused(lambda: issuer.refresh(forged(0, genuine.secret)), errors.RefreshTokenUnknown)
    assert events[-1].name == "refresh_forged"
    assert not await alive(issuer, pair)
    with pytest.raises(errors.TokenRevoked):
        issuer.verifier().verify(pair.access_token)


@pytest.mark.parametrize(
    "attempt",
    ["", "short", "x" * 15, "x" * 256, "with a blank in it", "tab\tinsideattempt", "line\nline line\n", "é" * 16, "\x7f" * 16, "\0" * 16],
)
async def test_bad_attempt_ids(issuer: AnyIssuer, attempt: str):
    """An attempt id that is no 16 to 255 visible ASCII characters is refused, and nothing rotates."""
    pair = await settle(issuer.issue("user"))
    await refused(lambda: issuer.refresh(pair.refresh_token, attempt=attempt), errors.InvalidRequest)
    (session,) = await settle(issuer.sessions("user"))
    assert session.generation == 0


@pytest.mark.parametrize("attempt", ["x" * 16, "~" * 255, "!" * 16, "a-uuid-4-like:thing/with=marks"])
async def test_good_attempt_ids(issuer: AnyIssuer, attempt: str):
    """The limits themselves pass."""
    pair = await settle(issuer.issue("user"))
    assert await settle(issuer.refresh(pair.refresh_token, attempt=attempt))


async def test_logout(issuer: AnyIssuer, clock: FixedClock, events: list[Event]):
    """Logout ends the session and its access tokens at once; a second one changes nothing."""
    pair = await settle(issuer.issue("user"))
    await settle(issuer.revoke(pair.refresh_token))
    assert not await alive(issuer, pair)
    with pytest.raises(errors.TokenRevoked):
        issuer.verifier().verify(pair.access_token)
    await settle(issuer.revoke(pair.refresh_token))
    assert [(event.name, event.detail) for event in events[1:]] == [("session_revoked", "logout")]


async def test_logout_with_an_old_token(issuer: AnyIssuer, clock: FixedClock, events: list[Event]):
    """Any genuine token of the session logs it out, also one of an old generation, as logout and not as reuse."""
    pair = await settle(issuer.issue("user"))
    fresh = pair
    for _ in range(3):
        clock.forward(100)
        fresh = await settle(issuer.refresh(fresh.refresh_token))
    await settle(issuer.revoke(pair.refresh_token))
    assert not await alive(issuer, pair)
    assert (events[-1].name, events[-1].detail, events[-1].alarm) == ("session_revoked", "logout", False)


async def test_a_logged_out_token_replayed(issuer: AnyIssuer, clock: FixedClock, events: list[Event]):
    """It is SessionRevoked, raises no alarm and ends nothing else."""
    pair, other = await settle(issuer.issue("user")), await settle(issuer.issue("user"))
    clock.forward(100)
    fresh = await settle(issuer.refresh(pair.refresh_token))
    await settle(issuer.revoke(fresh.refresh_token))
    for later in (0, 1000):
        clock.forward(later)
        for text in (fresh.refresh_token, pair.refresh_token):
            error = await refused(lambda text=text: issuer.refresh(text), errors.SessionRevoked)
            assert error.session_id == pair.session_id
    assert not any(event.alarm for event in events)
    assert await alive(issuer, other)
    assert await settle(issuer.refresh(other.refresh_token))


async def test_idle_and_absolute_end(make: Callable[..., AnyIssuer], clock: FixedClock):
    """A session that is not refreshed ends after its idle lifetime, one that is after its absolute one, to the second."""
    issuer = make(refresh_idle="1h", refresh_absolute="2h")
    idle, busy = await settle(issuer.issue("user")), await settle(issuer.issue("user"))
    clock.forward(3599)
    busy = await settle(issuer.refresh(busy.refresh_token))
    assert busy.refresh_expires_in == 3600
    clock.forward(1)
    await refused(lambda: issuer.refresh(idle.refresh_token), errors.RefreshTokenExpired)
    clock.forward(3000)
    busy = await settle(issuer.refresh(busy.refresh_token))
    assert busy.refresh_expires_in == 600
    clock.forward(600)
    await refused(lambda: issuer.refresh(busy.refresh_token), errors.RefreshTokenExpired)


@pytest.mark.parametrize("later", [0, 0.5, 1, 1199, 1199.5, 1199.999])
async def test_an_access_token_never_outlives_the_session(make: Callable[..., AnyIssuer], clock: FixedClock, later: float):
    """Whenever it is refreshed, `exp` is at most the absolute end, and the pair says how long that is."""
    issuer = make(access="15m", refresh_idle="20m", refresh_absolute="20m")
    clock.forward(0.75)
    pair = await settle(issuer.issue("user"))
    clock.now = NOW + later if later > 0.75 else clock.now
    pair = await settle(issuer.refresh(pair.refresh_token))
    token = issuer.verifier().verify(pair.access_token)
    assert token.expires_at == min(int(clock.now) + 900, NOW + 1200)
    assert pair.expires_in == token.expires_at - token.issued_at > 0


@pytest.mark.parametrize("name", sorted(RESERVED))
async def test_reserved_claims(issuer: AnyIssuer, name: str):
    """An application's claim that is one of ours is a ValueError, and no session opens."""
    with pytest.raises(ValueError):
        await settle(issuer.issue("user", claims={name: "x"}))
    assert await settle(issuer.sessions("user")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"subject": ""},
        {"subject": None},
        {"subject": 42},
        {"subject": "lone \ud800"},
        {"scope": " a"},
        {"scope": 'a"b'},
        {"scope": ["a b"]},
        {"scope": None},
        {"claims": {"big": "x" * 8192}},
        {"claims": {"deep": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}},
        {"claims": {"odd": object()}},
        {"claims": {"lone": "\ud800"}},
    ],
    ids=lambda arguments: str(arguments)[:40].encode("ascii", "replace").decode(),
)
async def test_what_cannot_be_issued(issuer: AnyIssuer, arguments: dict[str, Any]):
    """A subject, scope or claims of which no verifier could read a token are refused before a session opens."""
    with pytest.raises((TypeError, ValueError)):
        await settle(issuer.issue(**({"subject": "user"} | arguments)))
    assert await settle(issuer.sessions("user")) == []


@pytest.mark.parametrize("scope", ["a b", Scope(["a", "b"]), Scope(["a"]) | Scope(["b"]), ["b", "a"], frozenset({"a", "b"})])
async def test_forms_of_a_scope(issuer: AnyIssuer, scope: Any):
    """A scope may come as a text, a Scope, or any set of tokens: two Scopes joined are a plain frozenset."""
    pair = await settle(issuer.issue("user", scope=scope))
    assert issuer.verifier().verify(pair.access_token).scope == {"a", "b"}


async def test_what_is_passed_in_is_not_kept(issuer: AnyIssuer, clock: FixedClock):
    """Claims changed by the caller afterwards do not reach later tokens."""
    claims = {"role": "reader"}
    pair = await settle(issuer.issue("user", claims=claims))
    claims["role"] = "admin"
    clock.forward(100)
    pair = await settle(issuer.refresh(pair.refresh_token))
    assert issuer.verifier().verify(pair.access_token).claims["role"] == "reader"


async def test_the_session_limit_ends_the_oldest(make: Callable[..., AnyIssuer], clock: FixedClock, events: list[Event]):
    """One login more than the limit ends the oldest session of that subject, its access tokens too."""
    issuer = make(session_limit=2)
    stranger = await settle(issuer.issue("other"))
    pairs = []
    for _ in range(3):
        clock.forward(1)
        pairs.append(await settle(issuer.issue("user")))
    assert [await alive(issuer, pair) for pair in pairs] == [False, True, True]
    await refused(lambda: issuer.refresh(pairs[0].refresh_token), errors.SessionRevoked)
    with pytest.raises(errors.TokenRevoked):
        issuer.verifier().verify(pairs[0].access_token)
    assert await alive(issuer, stranger)
    assert [event.session_id for event in events if event.detail == "session_limit"] == [pairs[0].session_id]


@pytest.mark.parametrize("answer", [False, None, 0])
async def test_a_confirmation_that_says_no(issuer: AnyIssuer, events: list[Event], answer: Any):
    """BadCredentials, and the session that had been opened is dead."""
    await refused(lambda: issuer.issue("user", confirm=lambda: answer), errors.BadCredentials)
    assert await settle(issuer.sessions("user")) == []
    assert [(event.name, event.detail) for event in events] == [("session_revoked", "account_changed")]


async def test_a_confirmation_that_says_yes(issuer: AnyIssuer):
    """The login goes on."""
    pair = await settle(issuer.issue("user", confirm=lambda: True))
    assert await alive(issuer, pair)


@pytest.mark.parametrize("answer", [True, False])
async def test_a_confirmation_with_await(clock: FixedClock, answer: bool):
    """Issuer awaits it; SyncIssuer refuses it, for a coroutine is true whatever it would say."""

    async def confirm() -> bool:
        return answer

    issuer = build("async", clock)
    if answer:
        assert await alive(issuer, await settle(issuer.issue("user", confirm=confirm)))
    else:
        await refused(lambda: issuer.issue("user", confirm=confirm), errors.BadCredentials)
    coroutine = confirm()
    with pytest.raises(TypeError):
        build("sync", clock).issue("user", confirm=lambda: coroutine)
    coroutine.close()


async def test_revoke_session(issuer: AnyIssuer, events: list[Event]):
    """A session ends by its id, for its own subject only, and once."""
    pair = await settle(issuer.issue("user"))
    for session_id in ("", "!", "AA", encode(b"x" * 16), pair.session_id + "A", "é" * 22):
        await refused(lambda s=session_id: issuer.revoke_session(s), errors.NotFound)
    await refused(lambda: issuer.revoke_session(pair.session_id, subject="other"), errors.NotFound)
    assert await alive(issuer, pair)
    await settle(issuer.revoke_session(pair.session_id, subject="user", reason="by its owner"))
    assert not await alive(issuer, pair)
    assert (events[-1].name, events[-1].detail) == ("session_revoked", "by its owner")
    await refused(lambda: issuer.revoke_session(pair.session_id), errors.NotFound)


async def test_revoke_subject(issuer: AnyIssuer):
    """All sessions of a subject end, and nobody else's."""
    pairs = [await settle(issuer.issue("user")) for _ in range(3)]
    other = await settle(issuer.issue("user2"))
    assert await settle(issuer.revoke_subject("user")) == 3
    assert await settle(issuer.revoke_subject("user")) == 0
    for pair in pairs:
        await refused(lambda pair=pair: issuer.refresh(pair.refresh_token), errors.SessionRevoked)
        with pytest.raises(errors.TokenRevoked):
            issuer.verifier().verify(pair.access_token)
    assert issuer.verifier().verify(other.access_token)


def of_events(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was logged of events: threads that other tests have left may log too."""
    return [record for record in caplog.records if record.name == "stagedoor.events"]


async def test_a_listener_that_raises(make: Callable[..., AnyIssuer], clock: FixedClock, caplog: pytest.LogCaptureFixture):
    """It does not lose the refresh, nor the logout; the accident is logged."""

    def listener(event: Event) -> None:
        raise RuntimeError("the audit log is full")

    issuer = make(events=listener)
    pair = await settle(issuer.issue("user"))
    clock.forward(100)
    pair = await settle(issuer.refresh(pair.refresh_token))
    clock.forward(100)
    pair = await settle(issuer.refresh(pair.refresh_token))
    await settle(issuer.revoke(pair.refresh_token))
    assert not await alive(issuer, pair)
    assert len(of_events(caplog)) == 4


async def test_the_log_holds_no_token(make: Callable[..., AnyIssuer], clock: FixedClock, caplog: pytest.LogCaptureFixture):
    """Without a listener events go to the log: names, sessions and subjects, never a token."""
    caplog.set_level("INFO")
    issuer = make(events=log)
    pair = await settle(issuer.issue("user\nforged line"))
    clock.forward(100)
    fresh = await settle(issuer.refresh(pair.refresh_token))
    clock.forward(100)
    await refused(lambda: issuer.refresh(pair.refresh_token), errors.RefreshTokenReused)
    assert [record.levelname for record in of_events(caplog)] == ["INFO", "INFO", "WARNING"]
    for text in (pair.refresh_token, fresh.refresh_token, pair.access_token):
        assert text[4:24] not in caplog.text
    assert "\nforged line" not in caplog.text


async def test_an_old_pepper_and_key(make: Callable[..., AnyIssuer], clock: FixedClock):
    """Sessions live on over a rotation of keys and of peppers, and their next token is made under the new ones."""
    issuer = make()
    pair = await settle(issuer.issue("user"))
    kid = issuer.keys.rotate(keep="1h").kid
    issuer.peppers.rotate(keep="90d", announce="5m")
    clock.forward(600)
    fresh = await settle(issuer.refresh(pair.refresh_token))
    again = await settle(issuer.refresh(pair.refresh_token))
    assert fresh.refresh_token == again.refresh_token
    assert issuer.peppers.parse(fresh.refresh_token, clock.now).pepper_id == 2
    assert jws.read_unverified(fresh.access_token)[0]["kid"] == kid
    assert issuer.verifier().verify(fresh.access_token)
    assert issuer.verifier().verify(pair.access_token)


async def test_both_drivers_agree(clock: FixedClock):
    """The same script gives the same answers, events and claims with and without await."""

    async def play(driver: str) -> list[Any]:
        clock.now, seen, events = NOW, [], []
        issuer = build(driver, clock, events=events.append)
        pair = await settle(issuer.issue("user", scope="a", claims={"x": 1}))
        texts = [pair.refresh_token]
        for later in (10, 30, 61, 10):
            clock.forward(later)
            pair = await settle(issuer.refresh(texts[-1]))
            texts.append(pair.refresh_token)
            payload = jws.read_unverified(pair.access_token)[1]
            seen.append({name: value for name, value in payload.items() if name not in ("jti", "sid")})
            seen.append((pair.expires_in, pair.refresh_expires_in, str(pair.scope)))
        clock.forward(100)
        for text in (texts[0], texts[-1], "nothing"):
            error = await refused(lambda text=text: issuer.refresh(text), expected(text, texts))
            seen.append(error.code)
        return seen + [(event.name, event.at, event.subject, event.alarm, event.detail) for event in events]

    def expected(text: str, texts: list[str]) -> type[errors.AuthError]:
        return {texts[0]: errors.RefreshTokenReused, texts[-1]: errors.SessionRevoked}.get(text, errors.RefreshTokenUnknown)

    assert await play("async") == await play("sync")


def test_the_same_words():
    """SyncIssuer has the methods and the parameters of Issuer."""
    for name in ("issue", "refresh", "revoke", "revoke_session", "revoke_subject", "sessions", "verifier"):
        ours, theirs = inspect.signature(getattr(Issuer, name)), inspect.signature(getattr(SyncIssuer, name))
        assert list(ours.parameters) == list(theirs.parameters)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"audience": ""}, ValueError),
        ({"keys": None}, TypeError),
        ({"keys": key("ES256")}, TypeError),
        ({"peppers": SECRET}, TypeError),
        ({"session_limit": 0}, ValueError),
        ({"access": "15"}, ValueError),
        ({"access": 0}, ValueError),
        ({"access": None}, TypeError),
        ({"refresh_idle": "never"}, ValueError),
        ({"refresh_absolute": -1}, ValueError),
        ({"retry_window": "30d"}, ValueError),
        ({"retry_window": 0}, ValueError),
    ],
)
def test_mistakes_at_construction(make: Callable[..., AnyIssuer], changes: dict[str, Any], error: type[Exception]):
    """A programmer's mistake is told when the issuer is made."""
    with pytest.raises(error):
        make(**changes)


def test_an_issuer_needs_a_name(clock: FixedClock):
    """The empty name is refused."""
    with pytest.raises(ValueError):
        SyncIssuer("", audience="a", store=SyncMemoryStore(), keys=KeySet(key("ES256")), peppers=Peppers(SECRET))


async def test_nothing_secret_in_repr(issuer: AnyIssuer, clock: FixedClock, events: list[Event]):
    """Pairs, sessions, events, issuers and refusals show neither a token nor what one is made of."""
    pair = await settle(issuer.issue("user"))
    clock.forward(100)
    fresh = await settle(issuer.refresh(pair.refresh_token, attempt="attempt-1234567890"))
    (session,) = await settle(issuer.sessions("user"))
    clock.forward(100)
    error = await refused(lambda: issuer.refresh(pair.refresh_token), errors.RefreshTokenReused)
    shown = " ".join(f"{each!r} {each}" for each in (pair, fresh, session, issuer, error, issuer.keys, issuer.peppers, *events))
    token = issuer.peppers.parse(fresh.refresh_token, clock.now)
    for secret in (token.secret, token.proof, session.seed, SECRET[:32], session.digest):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
        assert encode(secret) not in shown
    for text in (pair.access_token, pair.refresh_token, fresh.refresh_token):
        assert not any(part[4:24] in shown for part in text.split("."))
    assert decode(pair.session_id) == session.id


@pytest.mark.parametrize(
    ("keys_keep", "peppers_keep", "fits"), [("15m", "90d", True), (None, None, True), ("14m", "90d", False), ("1d", "89d", False)]
)
def test_what_is_kept_too_short(keys_keep: str | None, peppers_keep: str | None, fits: bool, tmp_path: Path):
    """Keys that would be gone before the tokens they signed, or peppers before their sessions, are a ValueError at construction."""
    keys = KeySet.open(tmp_path / "keys.json", keep=keys_keep)
    peppers = Peppers.open(tmp_path / "peppers.json", keep=peppers_keep)

    def made() -> SyncIssuer:
        return SyncIssuer("https://auth.example", audience="https://api.example", store=SyncMemoryStore(), keys=keys, peppers=peppers)

    if fits:
        assert made().access == 900
    else:
        with pytest.raises(ValueError, match="keep="):
            made()
