"""Tokens that a NestJS application signs with @nestjs/jwt, through our Verifier."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from interop.nest import Nest, code_of_the_docs
from stagedoor import ABSENT, Issuer, Key, KeySet, Peppers, Revocations, TrustedIssuer, Verifier
from stagedoor.errors import (
    AlgorithmNotAllowed,
    BadSignature,
    ClaimRejected,
    KeyRejected,
    TokenError,
    TokenExpired,
    TokenNotYetValid,
    UnknownKey,
)
from stagedoor.stores.memory import MemoryStore

pytestmark = pytest.mark.interop

NEST, AUDIENCE, KID = "https://nest.example", "orders", "nest-1"
NAMES = {"issuer": NEST, "audience": AUDIENCE, "keyid": KID}
UNTIL_EXPIRY = Revocations.until_expiry()


@dataclass(frozen=True)
class Pair:
    """An RSA key as NestJS applications have it: two texts."""

    private: str
    public: str

    @classmethod
    def new(cls) -> Pair:
        key = rsa.generate_private_key(65537, 2048)
        plain, pem = serialization.NoEncryption(), serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
        return cls(private.decode(), public.decode())


SECRET, ANOTHER_SECRET = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
PAIR, ANOTHER_PAIR = Pair.new(), Pair.new()
HOUR = {"expiresIn": "1h"}
RS256 = {"algorithm": "RS256", "expiresIn": "60s"}
MODULES: dict[str, dict[str, Any]] = {
    "plain": {"secret": SECRET, "signOptions": HOUR},
    "rsa": {"privateKey": PAIR.private, "signOptions": RS256},
    "named": {"privateKey": PAIR.private, "signOptions": RS256 | NAMES},
    "endless": {"secret": SECRET},
    "another-secret": {"secret": ANOTHER_SECRET, "signOptions": HOUR},
    "another-key": {"privateKey": ANOTHER_PAIR.private, "signOptions": RS256 | NAMES},
    "public-key-as-secret": {"secret": PAIR.public, "signOptions": HOUR},
    "public-key-as-named-secret": {"secret": PAIR.public, "signOptions": HOUR | NAMES},
    "unsigned": {"signOptions": HOUR},
    "unsigned-named": {"signOptions": HOUR | NAMES},
}


def plain(**other: Any) -> TrustedIssuer:
    return TrustedIssuer(
        **{"issuer": ABSENT, "audience": ABSENT, "typ": "JWT", "keys": KeySet.from_secret(SECRET.encode())} | NUMBERED | other
    )


def bare_rsa(**other: Any) -> TrustedIssuer:
    keys = KeySet.from_pem(PAIR.public.encode(), "RS256")
    return TrustedIssuer(**{"issuer": ABSENT, "audience": ABSENT, "typ": "JWT", "keys": keys} | NUMBERED | other)


def named(**other: Any) -> TrustedIssuer:
    keys = KeySet(Key.from_pem(PAIR.public.encode(), "RS256", kid=KID))
    return TrustedIssuer(**{"issuer": NEST, "audience": AUDIENCE, "typ": "JWT", "keys": keys} | other)


NUMBERED = {"kid": ABSENT, "numeric_subject": True}
ENTRIES: dict[str, Callable[..., TrustedIssuer]] = {"plain": plain, "rsa": bare_rsa, "named": named}
SUBJECTS = {"plain": "1", "rsa": "1", "named": "user-1"}


@pytest.fixture(scope="module")
def nest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nest]:
    with Nest(tmp_path_factory.mktemp("issuing"), "issuing.mjs", {"modules": MODULES}) as running:
        yield running


def login(nest: Nest, module: str, user_id: int | str | None = None, **options: Any) -> str:
    """A token from this module of the application; `options` are those of one call, which win over the module's."""
    named_ones = ("named", "another-key", "public-key-as-named-secret", "unsigned-named")
    known = "user-1" if module in named_ones else 1
    body = {
        "username": "ada",
        "userId": known if user_id is None else user_id,
        "signOptions": options,
        "unsigned": module.startswith("unsigned"),
    }
    answer = httpx2.post(f"{nest.url}/{module}/login", json=body, timeout=30)
    assert answer.status_code == 201, answer.text + nest.tail
    return str(answer.json()["access_token"])


def refusal(verifier: Verifier, token: str) -> TokenError:
    with pytest.raises(TokenError) as caught:
        verifier.verify(token)
    return caught.value


def test_the_docs_accept_a_login_of_nest(nest: Nest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page for NestJS says accepts the plain token, with a number for a subject, and the one with names."""
    monkeypatch.setenv("JWT_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    Path("nest-public.pem").write_text(PAIR.public, "utf-8")
    namespace: dict[str, Any] = {}
    exec(compile(code_of_the_docs("python"), "nestjs.md", "exec"), namespace)
    verifier: Verifier = namespace["verifier"]
    token = verifier.verify(login(nest, "plain"))
    assert set(token.claims) == {"username", "sub", "iat", "exp"}
    assert (token.subject, token.claims["sub"], token.claims["username"]) == ("1", 1, "ada")
    assert (token.issuer, token.audience, token.expires_at - token.issued_at) == ("", (), 3600)
    token = verifier.verify(login(nest, "named"))
    assert (token.subject, token.issuer, token.audience, token.key_id) == ("user-1", NEST, (AUDIENCE,), KID)
    assert token.expires_at - token.issued_at == 60


def test_rs256_without_any_name(nest: Nest) -> None:
    """RS256 with nothing but username and sub is accepted by the entry that expects just that."""
    token = Verifier.of(bare_rsa(), revocations=UNTIL_EXPIRY).verify(login(nest, "rsa"))
    assert (token.subject, token.issuer, token.audience, token.claims["username"]) == ("1", "", (), "ada")


async def test_one_verifier_takes_theirs_and_ours(nest: Nest) -> None:
    """A verifier of several issuers accepts both of Nest's and our own, each as what it is."""
    keys = KeySet.generate()
    issuer = Issuer("https://auth.example", audience="https://api.example", store=MemoryStore(), keys=keys, peppers=Peppers.generate())
    ours = TrustedIssuer("https://auth.example", audience="https://api.example", keys=keys)
    verifier = Verifier.of(ours, plain(), named(), revocations=UNTIL_EXPIRY)
    pair = await issuer.issue("user-42")
    texts = [pair.access_token, login(nest, "plain"), login(nest, "named")]
    assert [verifier.verify(text).issuer for text in texts] == ["https://auth.example", "", NEST]
    assert [bool(verifier.verify(text).session_id) for text in texts] == [True, False, False]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("module", ENTRIES)
def test_each_entry_accepts_its_own_tokens_only(nest: Nest, entry: str, module: str) -> None:
    """Of three kinds of tokens each entry alone accepts exactly one."""
    verifier, token = Verifier.of(ENTRIES[entry](), revocations=UNTIL_EXPIRY), login(nest, module)
    if entry == module:
        assert verifier.verify(token).subject == SUBJECTS[module]
    else:  # with and without a kid, or the key of another algorithm
        named_differs = "named" in (entry, module)
        assert type(refusal(verifier, token)) is (UnknownKey if named_differs else AlgorithmNotAllowed)


@pytest.mark.parametrize(
    ("module", "options", "error", "claim"),
    [
        pytest.param("plain", {"expiresIn": -1}, TokenExpired, "exp", id="expired"),
        pytest.param("named", {"expiresIn": -1}, TokenExpired, "exp", id="expired, with names"),
        pytest.param("plain", {"expiresIn": "120"}, TokenExpired, "exp", id="120 milliseconds, from a number written as text"),
        pytest.param("endless", {}, ClaimRejected, "exp", id="without an end"),
        pytest.param("plain", {"notBefore": "1h"}, TokenNotYetValid, "nbf", id="of the future"),
        pytest.param("another-secret", {}, BadSignature, None, id="wrong secret"),
        pytest.param("another-key", {}, BadSignature, None, id="wrong key under the right name"),
        pytest.param("public-key-as-secret", {}, BadSignature, None, id="public key as a secret, where a secret is expected"),
        pytest.param("public-key-as-named-secret", {}, AlgorithmNotAllowed, None, id="public key as a secret"),
        pytest.param("unsigned", {}, AlgorithmNotAllowed, None, id="alg none"),
        pytest.param("unsigned-named", {}, AlgorithmNotAllowed, None, id="alg none, with names"),
        pytest.param("plain", {"algorithm": "HS512"}, AlgorithmNotAllowed, None, id="another HMAC"),
        pytest.param("named", {"algorithm": "PS256"}, AlgorithmNotAllowed, None, id="another RSA"),
        pytest.param("named", {"issuer": "https://another.example"}, ClaimRejected, "iss", id="another issuer"),
        pytest.param("named", {"audience": "invoices"}, ClaimRejected, "aud", id="another audience"),
        pytest.param("named", {"keyid": "nest-2"}, UnknownKey, None, id="unknown key"),
        pytest.param("plain", {"keyid": KID}, AlgorithmNotAllowed, None, id="secret under the name of a key"),
        pytest.param("plain", {"keyid": "nest-2"}, UnknownKey, None, id="a kid where none is expected"),
        pytest.param("plain", {"issuer": NEST}, ClaimRejected, "iss", id="an issuer where none is expected"),
        pytest.param("plain", {"audience": AUDIENCE}, ClaimRejected, "aud", id="an audience where none is expected"),
        pytest.param("plain", {"user_id": "1"}, ClaimRejected, "sub", id="a text where a number is expected"),
        pytest.param("named", {"user_id": 1}, ClaimRejected, "sub", id="a number where a text is expected"),
        pytest.param("plain", {"header": {"typ": "at+jwt"}}, ClaimRejected, "typ", id="posing as an access token of ours"),
        pytest.param("named", {"header": {"typ": "at+jwt"}}, ClaimRejected, "typ", id="posing as ours, with names"),
    ],
)
def test_what_nest_can_sign_and_nobody_may_accept(
    nest: Nest, module: str, options: dict[str, Any], error: type[TokenError], claim: str | None
) -> None:
    """Real tokens of @nestjs/jwt that differ in one thing from what is expected are refused for that thing."""
    verifier = Verifier.of(plain(), named(), revocations=UNTIL_EXPIRY)
    refused = refusal(verifier, login(nest, module, **options))
    assert (type(refused), getattr(refused, "claim", None)) == (error, claim)


@pytest.mark.parametrize(
    ("entry", "told", "error", "claim"),
    [
        ("plain", {"keys": KeySet.from_secret(ANOTHER_SECRET.encode())}, BadSignature, None),
        ("plain", {"typ": "at+jwt"}, ClaimRejected, "typ"),
        ("plain", {"typ": ABSENT}, ClaimRejected, "typ"),
        ("plain", {"issuer": NEST}, ClaimRejected, "iss"),
        ("plain", {"audience": AUDIENCE}, ClaimRejected, "aud"),
        ("plain", {"numeric_subject": False}, ClaimRejected, "sub"),
        ("rsa", {"keys": KeySet.from_pem(ANOTHER_PAIR.public.encode(), "RS256")}, BadSignature, None),
        ("named", {"typ": "at+jwt"}, ClaimRejected, "typ"),
        ("named", {"issuer": ABSENT}, ClaimRejected, "iss"),
        ("named", {"audience": ABSENT}, ClaimRejected, "aud"),
        ("named", {"numeric_subject": True}, ClaimRejected, "sub"),
        ("named", {"keys": KeySet(Key.from_pem(PAIR.public.encode(), "RS256"))}, UnknownKey, None),
    ],
)
def test_an_entry_that_says_something_else_refuses(
    nest: Nest, entry: str, told: dict[str, Any], error: type[TokenError], claim: str | None
) -> None:
    """A good token is refused as soon as one expectation of its entry is another one."""
    token = login(nest, entry)
    Verifier.of(ENTRIES[entry](), revocations=UNTIL_EXPIRY).verify(token)
    refused = refusal(Verifier.of(ENTRIES[entry](**told), revocations=UNTIL_EXPIRY), token)
    assert (type(refused), getattr(refused, "claim", None)) == (error, claim)


def test_a_verifier_of_our_own_tokens_takes_none_of_theirs(nest: Nest) -> None:
    """An ordinary Verifier with Nest's own key and names refuses what Nest signs: it is of another kind."""
    keys = KeySet(Key.from_pem(PAIR.public.encode(), "RS256", kid=KID))
    refused = refusal(Verifier(NEST, audience=AUDIENCE, keys=keys, revocations=UNTIL_EXPIRY), login(nest, "named"))
    assert isinstance(refused, ClaimRejected)
    assert refused.claim == "typ"


@pytest.mark.parametrize(
    ("secret", "code"), [("secretKey", "key_too_small"), (SECRET[:31], "key_too_small"), ("a" * 64, "key_secret_weak")]
)
def test_a_secret_that_can_be_guessed_is_refused(secret: str, code: str) -> None:
    """The short secrets that tutorials show never become a key."""
    with pytest.raises(KeyRejected) as caught:
        plain(keys=KeySet.from_secret(secret.encode()))
    assert caught.value.code == code
