"""What must type-check: the sample of the design, and what types promise. Read by mypy, never run."""

from typing import Annotated, Any, assert_type

import msgspec
from fastapi import FastAPI
from starlette.websockets import WebSocket

from stagedoor import (
    ABSENT,
    AccessToken,
    Claims,
    Issuer,
    Key,
    KeySet,
    Peppers,
    Revocations,
    SyncIssuer,
    TokenPair,
    TrustedIssuer,
    Verifier,
    errors,
)
from stagedoor.guards.fastapi import Guard, GuardedSocket
from stagedoor.guards.starlette import Guard as StarletteGuard
from stagedoor.stores.sql import SQLStore, SyncSQLStore

app = FastAPI()


class MyClaims(msgspec.Struct, frozen=True):
    """A payload of the application's own."""

    username: str
    sub: str


async def issuing() -> None:
    """The issuer's half: everything that does I/O is awaited."""
    store = SQLStore("sqlite:///auth.db")
    issuer = Issuer(
        "https://auth.example",
        audience="https://api.example",
        store=store,
        keys=KeySet.open("keys.json"),
        peppers=Peppers.open("peppers.json"),
        access="15m",
        refresh_idle="30d",
        refresh_absolute="90d",
    )
    await store.migrate()
    pair = await issuer.issue("user-42", scope="orders:read", claims={"username": "ada"})
    pair = await issuer.refresh(pair.refresh_token)
    assert_type(pair, TokenPair)
    assert_type(pair.access_token, str)
    await issuer.revoke(pair.refresh_token)
    assert_type(issuer.verifier().verify(pair.access_token), AccessToken[Claims])
    assert_type(issuer.verifier(claims=MyClaims).verify(pair.access_token), AccessToken[MyClaims])


class Box:
    """A signer for both issuers."""

    def sign(self, data: bytes) -> bytes:
        """The signature."""
        return data


class AsyncBox:
    """A signer for Issuer."""

    async def sign(self, data: bytes) -> bytes:
        """The signature."""
        return data


def keys_in_a_box(pem: bytes) -> None:
    """A signer needs no base class, with await or without."""
    assert_type(Key.from_signer(Box(), pem, "ES256"), Key)
    assert_type(Key.from_signer(AsyncBox(), {"kty": "EC"}, "ES256", kid="box"), Key)


def issuing_without_a_loop() -> None:
    """SyncIssuer and SyncSQLStore carry the same words."""
    store = SyncSQLStore("sqlite:///auth.db")
    issuer = SyncIssuer(
        "https://auth.example",
        audience="https://api.example",
        store=store,
        keys=KeySet.open("keys.json"),
        peppers=Peppers.open("peppers.json"),
        access=900,  # a bare number is seconds
    )
    store.migrate()
    pair = issuer.issue("user-42", scope="orders:read", claims={"username": "ada"})
    pair = issuer.refresh(pair.refresh_token)
    assert_type(pair, TokenPair)
    issuer.revoke(pair.refresh_token)
    assert_type(issuer.verifier().verify(pair.access_token), AccessToken[Claims])


def verifying(text: str) -> None:
    """The resource server's half: no store, and the parameter of AccessToken defaults to Claims."""
    verifier = Verifier(
        "https://auth.example",
        audience="https://api.example",
        keys=KeySet.generate(),
        revocations=Revocations.until_expiry(),
    )
    try:
        token: AccessToken = verifier.verify(text)
    except (errors.TokenExpired, errors.BadSignature) as error:
        assert_type(error.code, str)
        return
    assert_type(token.subject, str)
    assert_type(token.claims, Claims)
    assert_type(token.claims["username"], Any)


def typed_verifier() -> Verifier[MyClaims]:
    """A verifier that knows the application's claims."""
    return Verifier(
        "https://auth.example",
        audience="https://api.example",
        keys=KeySet.generate(),
        revocations=Revocations.until_expiry(),
        claims=MyClaims,
    )


def verifying_several(keys: KeySet, text: str) -> None:
    """Several issuers: each expectation is a text or ABSENT, and the claims are typed as elsewhere."""
    nest = TrustedIssuer(ABSENT, audience=ABSENT, typ="JWT", keys=keys, kid=ABSENT, numeric_subject=True)
    sso = TrustedIssuer("https://sso.example", audience=["orders", "stock"], typ=("JWT", "at+jwt"), keys=keys)
    plain = Verifier.of(sso, nest, revocations=Revocations.until_expiry())
    assert_type(plain, Verifier[Claims])
    assert_type(plain.verify(text), AccessToken[Claims])
    typed = Verifier.of(sso, revocations=Revocations.until_expiry(), claims=MyClaims)
    assert_type(typed.verify(text).claims.username, str)
    assert_type(Guard(typed), Guard[MyClaims])


guard = Guard(typed_verifier())
assert_type(guard, Guard[MyClaims])


@app.get("/orders")
async def orders(token: Annotated[AccessToken[MyClaims], guard("orders:read")]) -> str:
    """The Annotated form: mypy reads the type, and cannot compare it with the guard's."""
    assert_type(token.claims, MyClaims)
    return token.claims.username


@app.get("/me")
async def me(token: AccessToken[MyClaims] = guard()) -> str:
    """The default-value form: mypy checks the type against the guard."""
    return token.claims.username


@app.websocket("/live")
async def live(socket: Annotated[GuardedSocket[MyClaims], guard.websocket("orders:read")]) -> None:
    """A guarded WebSocket is a WebSocket, and has its token."""
    await socket.accept()
    assert_type(socket.token, AccessToken[MyClaims])


@app.websocket("/checked")
async def checked(socket: GuardedSocket[MyClaims] = guard.websocket(max_age="12h")) -> None:
    """The default-value form: mypy checks the type against the guard."""
    await socket.send_text(socket.token.claims.username)


starlette_guard = StarletteGuard(typed_verifier())


@starlette_guard.websocket("orders:read", strict=True)
async def ticker(socket: WebSocket) -> None:
    """In Starlette the guard has the token."""
    assert_type(starlette_guard.token(socket), AccessToken[MyClaims])


def other_tokens(keys: KeySet) -> None:
    """A token that is not an access token has a typ of its own."""
    invitation = keys.sign({"sub": "user-42"}, typ="invitation+jwt", expires="7d")
    assert_type(invitation, str)
    keys.verify(invitation, typ="invitation+jwt")
