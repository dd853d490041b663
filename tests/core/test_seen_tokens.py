"""Tokens that were seen: a second look costs no signature check, and never outlives the token or what was revoked."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict

import msgspec
import pytest

from stagedoor import Claims, KeySet, Revocations, TrustedIssuer, Verifier, errors, seen_tokens
from stagedoor.keys import Key
from stagedoor.revocation import Record
from stagedoor.seen_tokens import SeenTokens
from stagedoor.testing.clock import FixedClock

from .material import NOW, SECRET, public_half
from .scripted import ScriptedFeed, moments
from .seen import AUD, ISS, A, B, Checks, refused, seen, token, verifier
from .test_several_issuers import Remote


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    return Checks(monkeypatch)


# what a second look costs, and what it answers

FINDERS: dict[str, Callable[[], Any]] = {
    "a KeySet": lambda: verifier(KeySet(A)),
    "two keys": lambda: verifier(KeySet(B, A)),
    "keys that are fetched": lambda: verifier(Remote(A)),
    "several issuers": lambda: Verifier.of(
        TrustedIssuer("https://other.example", audience=AUD, keys=KeySet(public_half("ES256"))),
        TrustedIssuer(ISS, audience=AUD, keys=KeySet(A)),
        revocations=Revocations(),
        clock=FixedClock(NOW),
    ),
}


@pytest.mark.parametrize("finder", FINDERS)
def test_a_second_look_costs_no_signature_check(checks: Checks, finder: str):
    """The first look at a token checks its signature, no other does, and each gives the same."""
    looks = FINDERS[finder]()
    text = token(tenant="t")
    assert checks.of(looks, text) == 1
    first = looks.verify(text)
    assert checks.of(looks, text) == 0
    assert looks.verify(text) == FINDERS[finder]().verify(text) == first
    assert dict(looks.verify(text).claims) == dict(FINDERS[finder]().verify(text).claims)


@pytest.mark.parametrize("kind", [KeySet, Remote])
def test_tokens_are_remembered_beside_each_other(checks: Checks, kind: Callable[..., Any]):
    """No token takes the place of another one, be it of the same key or of another."""
    looks = verifier(kind(A, B))
    texts = [token(signer, jti=jti) for jti in ("1", "2") for signer in (A, B)]
    for text in texts:
        looks.verify(text)
    assert [checks.of(looks, text) for text in texts * 2] == [0] * 8


def test_a_token_is_its_whole_text(checks: Checks):
    """With one character changed, anywhere, it is another token, and nobody has seen it."""
    looks, text = verifier(KeySet(A)), token()
    seen(checks, looks, text)
    for place in range(len(text)):
        for other in {"A", "B", "."} - {text[place]}:
            assert refused(looks, text[:place] + other + text[place + 1 :])
    for other in (f"{text}=", f"{text} ", text[:-1], f" {text}", text.upper(), f"{text}\x00", ""):
        assert refused(looks, other)
    assert checks.of(looks, text) == 0


class Alike(str):
    """A text that is like any other, and has the hash of the token that was seen."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(token())


@pytest.mark.parametrize("given", [None, 1, [], {}, b"x", token().encode()])
def test_what_is_no_text_was_never_seen(given: Any):
    """A token is a text: its bytes are none, though they have been seen as text; and what calls itself equal to it is looked at."""
    looks = verifier(KeySet(A))
    looks.verify(token())
    with pytest.raises(TypeError, match="as text"):
        looks.verify(given)
    assert refused(looks, Alike("x")) == "token_malformed"


def test_what_is_far_too_long_costs_nothing():
    """A text of many megabytes is refused for its length, before so much as its hash is taken."""
    looks = verifier(KeySet(A))
    took = []
    for number in range(5):
        text = f"{number}" * 20_000_000
        before = time.thread_time()
        assert refused(looks, text) == "token_malformed"
        took.append(time.thread_time() - before)
    assert min(took) < 0.001


def test_a_refused_token_is_never_remembered(checks: Checks):
    """What was refused is looked at again from its signature on, each time."""
    looks = verifier(KeySet(A))
    for text in (token(exp=NOW), token(iss="x"), token(nbf=NOW + 60), token(B), token(cnf={}), token(sid=None)):
        assert [refused(looks, text), refused(looks, text)][0]
    assert checks.count == 12


class Struct(msgspec.Struct):
    """An application's claims that can be altered."""

    roles: list[str]


@dataclass
class Data:
    """The same, as a dataclass."""

    roles: list[str]


class Typed(TypedDict):
    """The same, as a dict."""

    roles: list[str]


@pytest.mark.parametrize("kind", [Claims, Struct, Data, Typed])
def test_what_one_request_alters_reaches_no_other(checks: Checks, kind: type):
    """A route that adds to a list in the claims, or replaces it, changes nothing for who shows the same token next."""

    def roles(claims: Any) -> Any:
        return claims.roles if kind in (Struct, Data) else claims["roles"]

    text = token(roles=["user"])
    looks = Verifier(ISS, audience=AUD, keys=KeySet(A), revocations=Revocations(), claims=kind, clock=FixedClock(NOW))
    for _ in range(3):
        claims = looks.verify(text).claims
        assert type(claims) is (dict if kind is Typed else kind)
        assert roles(claims) == ["user"]
        roles(claims).append("admin")
        if kind is Typed:
            claims["roles"] = ["admin"]
        elif kind is not Claims:
            claims.roles = ["admin"]
    assert checks.count == 1


class Fickle(msgspec.Struct):
    """An application's claims that are right no longer."""

    sub: str
    is_over: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.is_over:
            raise ValueError("over")


def test_claims_that_are_right_no_longer(checks: Checks, monkeypatch: pytest.MonkeyPatch):
    """What an application's type refuses is refused at a second look as at the first."""
    looks = Verifier(ISS, audience=AUD, keys=KeySet(A), revocations=Revocations(), claims=Fickle, clock=FixedClock(NOW))
    seen(checks, looks, token())
    monkeypatch.setattr(Fickle, "is_over", True)
    assert refused(looks, token()) == "claim_rejected"


# the token's own time


def test_it_ends_with_the_token(checks: Checks):
    """At `exp` a token is dead, however often it was seen."""
    clock = FixedClock(NOW)
    looks = verifier(KeySet(A), clock)
    seen(checks, looks, token())
    clock.forward(899)
    assert checks.of(looks, token()) == 0
    for _ in range(2):
        clock.forward(1)
        assert refused(looks, token()) == "token_expired"


@pytest.mark.parametrize("finder", ["a KeySet", "keys that are fetched"])
def test_a_clock_that_is_set_back(checks: Checks, finder: str):
    """Before `iat`, less the leeway, a token is not accepted, though it was seen before the clock was set back."""
    clock = FixedClock(NOW)
    looks = verifier(KeySet(A) if finder == "a KeySet" else Remote(A), clock)
    seen(checks, looks, token())
    clock.forward(-10)
    looks.verify(token())
    clock.forward(-1)
    assert refused(looks, token()) == "token_not_yet_valid"


def test_a_clock_that_is_set_back_again_and_again(checks: Checks):
    """What was verified while the clock was back reaches no token that was verified before that."""
    for keys in (KeySet(A), Remote(A)):
        clock = FixedClock(NOW)
        looks = verifier(keys, clock)
        looks.verify(token())
        for number in range(1, 4):
            clock.forward(-5)
            looks.verify(token(iat=NOW - 60, jti=f"{number}"))
        assert refused(looks, token()) == "token_not_yet_valid"


@pytest.mark.parametrize("finder", ["a KeySet", "keys that are fetched"])
def test_a_clock_that_was_ahead(checks: Checks, finder: str):
    """After one moment in which the clock was an hour ahead tokens are remembered as before."""
    clock = FixedClock(NOW)
    looks = verifier(KeySet(A) if finder == "a KeySet" else Remote(A), clock)
    texts = [token(exp=NOW + 9000, jti=f"{number}") for number in range(2)]
    looks.verify(texts[0])
    clock.forward(3600)
    ahead = token(iat=NOW + 3600, exp=NOW + 9000)
    looks.verify(ahead)
    clock.forward(-3600)
    assert refused(looks, ahead) == "token_not_yet_valid"
    for text in texts:
        looks.verify(text)
    assert [checks.of(looks, text) for text in texts] == [0] * 2


@pytest.mark.parametrize("claims", [{"nbf": NOW + 10}, {"iat": NOW + 10}, {"nbf": NOW - 50, "iat": NOW - 60}])
def test_a_token_that_may_not_be_used_yet(checks: Checks, claims: dict[str, Any]):
    """What is good by its leeway alone, or has a `nbf` later than its `iat`, is refused once the clock is before that."""
    for keys in (KeySet(A), Remote(A)):
        clock = FixedClock(NOW)
        looks = verifier(keys, clock)
        text = token(**claims)
        looks.verify(text)
        looks.verify(text)
        clock.forward(max(claims.values()) - 11 - NOW)
        assert refused(looks, text) == "token_not_yet_valid"


def test_a_token_without_iat(checks: Checks):
    """Where another's issuer does not say `iat`, `nbf` holds all the same."""
    clock = FixedClock(NOW)
    looks = Verifier.of(TrustedIssuer(ISS, audience=AUD, keys=KeySet(A)), revocations=Revocations(), clock=clock)
    seen(checks, looks, token(iat=None))
    text = token(iat=None, nbf=NOW)
    looks.verify(text)
    looks.verify(text)
    clock.forward(-11)
    assert refused(looks, text) == "token_not_yet_valid"
    assert checks.of(looks, token(iat=None)) == 0


# what was revoked


def test_a_session_that_is_revoked_after_it_was_seen(checks: Checks):
    """What is revoked is refused at the next look, by its session, its key or its issuer."""
    for record in (
        Record("session", "s", NOW + 960, NOW),
        Record("key", A.kid, NOW + 960, NOW),
        Record("issuer", ISS, NOW + 960, NOW, NOW + 1),
    ):
        revocations = Revocations()
        looks = verifier(KeySet(A), revocations=revocations)
        seen(checks, looks, token())
        revocations.add(record, now=NOW)
        for _ in range(2):
            assert refused(looks, token()) == "token_revoked"


def test_what_is_known_of_revocations_grows_old(checks: Checks):
    """A token that was seen is refused with 503 as any other, while what is known of revocations is too old."""
    with moments() as moment:
        feed = ScriptedFeed()
        revocations = Revocations.following(feed, stale="ask", clock=lambda: moment.wall)
        looks = verifier(KeySet(A), revocations=revocations)
        revocations.hear()
        seen(checks, looks, token())
        feed.fails = OSError()
        moment.passes(5)
        assert refused(looks, token()) == "revocations_stale"
        feed.fails = None
        moment.passes(5)
        feed.end("s")
        revocations.hear()
        assert refused(looks, token()) == "token_revoked"
        feed.close()
        revocations.close()


# how much is remembered


def test_memory_is_bounded(checks: Checks):
    """However many tokens are seen, no more than two generations of characters are kept; what is used goes on being known."""
    length = len(token(jti="0000"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen_tokens, "HALF", 10 * length)
        looks = verifier(KeySet(A))
        used = token(jti="used")
        looks.verify(used)
        for number in range(200):
            looks.verify(token(jti=f"{number:04}"))
            memory = looks._seen._memory
            assert sum(map(len, {*memory.young, *memory.old})) <= 2 * seen_tokens.HALF
            assert checks.of(looks, used) == 0
        assert checks.of(looks, token(jti="0199")) == 0
        assert checks.of(looks, token(jti="0000")) == 1


def test_keys_are_bounded(checks: Checks):
    """A finder that knows a key for each client leaves no more than some of them in memory."""
    keys = [Key.from_secret(number.to_bytes(2, "big") + SECRET[:32]) for number in range(2 * seen_tokens.MOST_KEYS)]
    looks = verifier(Remote(*keys))
    for each in keys:
        looks.verify(token(each))
        assert len(looks._seen._memory.known) <= seen_tokens.MOST_KEYS
    seen(checks, looks, token(keys[-1]))


# many threads


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns in the middle of anything."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_and_a_key_that_comes_and_goes(impatient: None):
    """Eight threads look at tokens while keys are retired: none that began after `retire` returned accepts the key's token."""
    for turn in range(10):
        keys, gone, wrong = KeySet(A, B), threading.Event(), []
        looks = verifier(keys)

        def work(number: int, looks: Any = looks, gone: Any = gone, wrong: list[Any] = wrong) -> None:
            for each in range(150):
                late = gone.is_set()
                try:
                    looks.verify(token(A, jti=f"{number}{each % 3}"))
                except errors.UnknownKey:
                    continue
                if late:
                    wrong.append((number, each))
                assert looks.verify(token(B, jti=f"{each % 3}")).key_id == B.kid

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        while len(looks._seen._memory.young) < 2 + turn and any(thread.is_alive() for thread in threads):
            pass
        keys.retire(A.kid)
        gone.set()
        for thread in threads:
            thread.join()
        assert not wrong


def test_keys_may_be_the_memory_of_nobody():
    """A verifier begins with nothing remembered, whatever another one of the same keys has seen."""
    keys = KeySet(A)
    seen_by_one: SeenTokens[Any] = SeenTokens(keys)
    assert seen_by_one.find(token(), NOW) is None
    one = verifier(keys)
    one.verify(token())
    other = Verifier("https://other.example", audience=AUD, keys=keys, revocations=Revocations(), clock=FixedClock(NOW))
    assert refused(other, token()) == "claim_rejected"
