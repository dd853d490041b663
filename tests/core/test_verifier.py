"""Verifier: the resource server's half."""

from typing import Any

import msgspec
import pytest

from stagedoor import Issuer, KeySet, Peppers, Revocations, Verifier, errors, jws
from stagedoor.keys import Key
from stagedoor.revocation import Record
from stagedoor.stores.memory import MemoryStore
from stagedoor.testing.clock import FixedClock

from .material import NOW, SECRET, forge, header, key, public_half
from .scripted import ScriptedFeed, moments
from .test_access_token import AUDIENCE, ISSUER, minted, payload, resigned
from .test_jws import twin_of


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


def make(clock: FixedClock, **changes: Any) -> Verifier:
    known = {"audience": AUDIENCE, "keys": KeySet(public_half("ES256")), "revocations": Revocations(), "clock": clock}
    return Verifier(ISSUER, **(known | changes))


def rejected(verifier: Verifier, token: str) -> str:
    with pytest.raises(errors.ClaimRejected) as caught:
        verifier.verify(token)
    return caught.value.claim


@pytest.mark.parametrize(
    "audience",
    [
        "https://api.example/",
        "https://api.exampl",
        "https://api.example.evil",
        "https://api",
        "HTTPS://API.EXAMPLE",
        "api.example",
        "https",
    ],
)
def test_other_audiences(clock: FixedClock, audience: str):
    """RFC 9068 section 4: a prefix, a part and a longer name are other audiences, alone and in a list, on both sides."""
    assert rejected(make(clock), resigned(payload() | {"aud": audience})) == "aud"
    assert rejected(make(clock), resigned(payload() | {"aud": [audience, "x"]})) == "aud"
    assert rejected(make(clock, audience=audience), minted()) == "aud"


def test_audiences_in_lists(clock: FixedClock):
    """One common name is enough, and all that the token names arrive."""
    token = resigned(payload() | {"aud": ["x", AUDIENCE]})
    assert make(clock).verify(token).audience == ("x", AUDIENCE)
    assert make(clock, audience=["y", "x"]).verify(token).audience == ("x", AUDIENCE)
    assert rejected(make(clock, audience=["y", "z"]), token) == "aud"


@pytest.mark.parametrize("issuer", [f"{ISSUER}/", ISSUER[:-1], f"{ISSUER}.evil", "auth.example", [ISSUER], [ISSUER, "x"], ISSUER.upper()])
def test_a17_other_issuers(clock: FixedClock, issuer: Any):
    """A17: `iss` is this issuer to the letter; parts, longer names and lists are another."""
    assert rejected(make(clock), resigned(payload() | {"iss": issuer})) == "iss"


def test_another_issuers_key(clock: FixedClock):
    """RFC 8725 section 3.8: a token that says our issuer but was signed elsewhere is refused."""
    mallory = Key.generate("ES256")
    own = forge(header(mallory, "at+jwt"), payload(), mallory)
    ours = forge(header(mallory, "at+jwt") | {"kid": key("ES256").kid}, payload(), mallory)
    with pytest.raises(errors.UnknownKey):
        make(clock).verify(own)
    with pytest.raises(errors.BadSignature):
        make(clock).verify(ours)


def test_signature_before_claims(clock: FixedClock):
    """A forged token is told BadSignature whatever its claims say: nothing of the payload is looked at before."""
    for claims in (b"{", payload() | {"exp": 0}, payload() | {"iss": "x"}):
        with pytest.raises(errors.BadSignature):
            make(clock).verify(forge(header(key("ES256"), "at+jwt"), claims, signature=b"\1" * 64))


def test_typ_and_claims_before_revocation(clock: FixedClock):
    """An expired token of a revoked session is expired."""
    revocations = Revocations()
    revocations.add(Record("session", "sid", NOW + 10_000, NOW), now=NOW)
    clock.forward(900)
    with pytest.raises(errors.TokenExpired):
        make(clock, revocations=revocations).verify(minted())


@pytest.mark.parametrize("name", ["ES256", "ES384", "ES512"])
def test_a15_the_twin_of_a_revoked_token(clock: FixedClock, name: str):
    """A15: the twin signature of a revoked session's token is refused as the token is."""
    revocations = Revocations()
    verifier = make(clock, keys=KeySet(public_half(name)), revocations=revocations)
    token = minted(name)
    twin = twin_of(token, name)
    assert verifier.verify(token) == verifier.verify(twin)
    revocations.add(Record("session", "sid", NOW + 960, NOW), now=NOW)
    for text in (token, twin):
        with pytest.raises(errors.TokenRevoked) as caught:
            verifier.verify(text)
        assert caught.value.session_id == "sid"


def test_another_session_lives_on(clock: FixedClock):
    """Revoking one session refuses its tokens only."""
    revocations = Revocations()
    revocations.add(Record("session", "sid", NOW + 960, NOW), now=NOW)
    assert make(clock, revocations=revocations).verify(minted(session_id="other"))


async def test_other_tokens_are_refused(clock: FixedClock):
    """A refresh token, a token of another kind and no token at all are no access tokens."""
    keys = KeySet(key("ES256"), clock=clock)
    issuer = Issuer(ISSUER, audience=AUDIENCE, store=MemoryStore(), keys=keys, peppers=Peppers(SECRET, clock=clock), clock=clock)
    pair = await issuer.issue("user")
    verifier = make(clock)
    assert verifier.verify(pair.access_token).subject == "user"
    for text in (pair.refresh_token, "", "Bearer " + pair.access_token, f" {pair.access_token}", f"{pair.access_token}\n"):
        with pytest.raises(errors.MalformedToken):
            verifier.verify(text)
    own = {name: value for name, value in payload().items() if name not in ("iat", "exp")}
    assert rejected(verifier, keys.sign(own, typ="rt+jwt", expires="7d")) == "typ"


class Mine(msgspec.Struct, frozen=True):
    """An application's claims."""

    sub: str
    username: str
    level: int = 0


def test_typed_claims(clock: FixedClock):
    """The application's own Struct arrives filled, unknown claims aside."""
    token = make(clock, claims=Mine).verify(minted(claims={"username": "ada", "level": 3, "more": [1]}))
    assert token.claims == Mine("user", "ada", 3)


@pytest.mark.parametrize(
    "claims", [{}, {"username": 1}, {"username": None}, {"username": "ada", "level": "3"}, {"username": "ada", "level": 1.5}]
)
def test_claims_that_do_not_fit_the_type(clock: FixedClock, claims: dict[str, Any]):
    """A claim that is missing or of another type refuses the token."""
    assert rejected(make(clock, claims=Mine), minted(claims=claims)) == "claims"


class Plain:
    """A class that says of none of its members what they are."""


def test_claims_of_no_type_that_can_be_read(clock: FixedClock):
    """What claims cannot be read into is said when the verifier is made, and not by its first token."""
    with pytest.raises(TypeError, match="claims"):
        make(clock, claims=Plain)


def test_revocations_must_be_said(clock: FixedClock):
    """Without `revocations`, or with something else in its place, there is no verifier."""
    with pytest.raises(TypeError):
        Verifier(ISSUER, audience=AUDIENCE, keys=KeySet(key("ES256")))  # type: ignore[call-arg]
    for odd in (None, False, object(), []):
        with pytest.raises(TypeError):
            make(clock, revocations=odd)


@pytest.mark.parametrize("audience", ["", [], (), [""], ["a", ""], [None], [1], b"x"])
def test_an_audience_must_be_said(clock: FixedClock, audience: Any):
    """A verifier without a name of its own would take everybody's tokens."""
    with pytest.raises(ValueError):
        make(clock, audience=audience)


@pytest.mark.parametrize("keys", [None, {}, [], b"secret", "https://auth.example/jwks.json"])
def test_a7_keys_must_be_said(clock: FixedClock, keys: Any):
    """A7: an application that passes no keys is told at once; the token's own are never used instead."""
    with pytest.raises(TypeError):
        make(clock, keys=keys)


def test_an_issuer_must_be_said(clock: FixedClock):
    """An empty issuer is refused."""
    with pytest.raises(ValueError):
        Verifier("", audience=AUDIENCE, keys=KeySet(key("ES256")), revocations=Revocations(), clock=clock)


def test_no_keys_at_all(clock: FixedClock):
    """A verifier with an empty set accepts nothing."""
    with pytest.raises(errors.UnknownKey):
        make(clock, keys=KeySet()).verify(minted())


def test_a27_nothing_is_remembered_by_text(clock: FixedClock):
    """A27: a token that was good is asked again about time and revocation, each time."""
    revocations = Revocations()
    verifier, token = make(clock, revocations=revocations), minted()
    assert verifier.verify(token) == verifier.verify(token)
    with pytest.raises(errors.BadSignature):
        verifier.verify(forge(header(key("ES256"), "at+jwt"), payload() | {"sub": "root"}, signature=b"\0" * 64))
    revocations.add(Record("session", "sid", NOW + 960, NOW), now=NOW)
    with pytest.raises(errors.TokenRevoked):
        verifier.verify(token)


def test_verifying_tells_nothing(clock: FixedClock):
    """Neither a verifier nor an error shows a token or a claim's value."""
    verifier = make(clock)
    for claims in ({"iss": "MARKER"}, {"aud": "MARKER"}, {"sub": ["MARKER"]}, {"scope": 'MARKER"'}):
        with pytest.raises(errors.TokenError) as caught:
            verifier.verify(resigned(payload() | claims))
        assert "MARKER" not in str(caught.value) + repr(caught.value) + caught.value.told
    assert jws.read_unverified(minted())[1]["sub"] not in repr(verifier)


def test_a_verified_token_is_checked_again(clock: FixedClock):
    """For what stays open: time and revocations are looked at again, and it says how long there is left."""
    revocations = Revocations()
    verifier = make(clock, revocations=revocations)
    token = verifier.verify(minted())
    left = verifier.check_again(token)
    assert left == token.expires_at - clock.now
    clock.forward(left - 0.5)
    assert verifier.check_again(token) == 0.5
    clock.forward(0.5)
    with pytest.raises(errors.TokenExpired):
        verifier.check_again(token)
    clock.forward(-1)
    revocations.add(Record("session", token.session_id, clock.now + 960, clock.now), now=clock.now)
    with pytest.raises(errors.TokenRevoked) as caught:
        verifier.check_again(token)
    assert caught.value.session_id == token.session_id


def test_a_login_that_is_recent(clock: FixedClock):
    """At most so many seconds ago, and no further ahead than clocks may differ; else it is said how recent it must be (RFC 9470)."""
    verifier = make(clock)
    token = verifier.verify(minted(auth_time=NOW - 60))
    verifier.check_recent(token, 60)
    for max_age in (59, 0):
        with pytest.raises(errors.StepUpRequired) as caught:
            verifier.check_recent(token, max_age)
        assert caught.value.max_age == max_age
    clock.forward(-70)
    verifier.check_recent(token, 0)
    clock.forward(-0.5)
    with pytest.raises(errors.StepUpRequired):
        verifier.check_recent(token, 3600)


async def test_what_is_asked_of_whoever_knows_of_revocations(clock: FixedClock):
    """`verify_async` has read what is new where what is known is too old, and looks again; `check_strictly` has it read each time."""
    with moments() as moment:
        feed = ScriptedFeed()
        revocations = Revocations.following(feed, clock=clock)
        verifier = make(clock, revocations=revocations)
        with pytest.raises(errors.RevocationsStale):
            verifier.verify(minted())
        token = await verifier.verify_async(minted())
        await verifier.check_strictly(token)
        feed.end("sid", NOW + 60)
        verifier.verify(minted())
        with pytest.raises(errors.TokenRevoked) as caught:
            await verifier.check_strictly(token)
        assert caught.value.session_id == "sid"
        clock.forward(60)
        await verifier.check_strictly(token)
        moment.passes(5)
        feed.end("sid", NOW + 900)
        with pytest.raises(errors.TokenRevoked):
            await verifier.verify_async(minted())
        feed.close()
        revocations.close()
