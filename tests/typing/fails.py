"""What must not type-check: mypy (warn_unused_ignores) complains where an error has gone away. Never run."""

from typing import Annotated

import msgspec
from fastapi import FastAPI

from stagedoor import AccessToken, Issuer, KeySet, Peppers, Revocations, SyncIssuer, TokenPair, TrustedIssuer, Verifier
from stagedoor.guards.fastapi import Guard, GuardedSocket
from stagedoor.stores.sql import SQLStore, SyncSQLStore

app = FastAPI()
NAME, API = "https://auth.example", "https://api.example"


class MyClaims(msgspec.Struct, frozen=True):
    """A payload of the application's own."""

    username: str


class OtherClaims(msgspec.Struct, frozen=True):
    """Another one."""

    tenant: str


def constructions(keys: KeySet, peppers: Peppers, store: SQLStore, sync_store: SyncSQLStore) -> None:
    """What has to be said cannot be left out, and a text is no key."""
    never = Revocations.until_expiry()
    Verifier(NAME, audience=API, keys=keys)  # type: ignore[call-arg]
    Verifier(NAME, keys=keys, revocations=never)  # type: ignore[call-arg]
    Verifier(NAME, audience=API, keys="secret", revocations=never)  # type: ignore[arg-type]
    Verifier(NAME, audience=API, keys=keys, revocations=None)  # type: ignore[arg-type]
    Issuer(NAME, audience=API, keys=keys, peppers=peppers)  # type: ignore[call-arg]
    Issuer(NAME, store=store, keys=keys, peppers=peppers)  # type: ignore[call-arg]
    Issuer(NAME, audience=API, store=store, keys="secret", peppers=peppers)  # type: ignore[arg-type]
    # an issuer takes a store of its own kind
    Issuer(NAME, audience=API, store=sync_store, keys=keys, peppers=peppers)  # type: ignore[arg-type]
    SyncIssuer(NAME, audience=API, store=store, keys=keys, peppers=peppers)  # type: ignore[arg-type]


def several(keys: KeySet, sso: TrustedIssuer, text: str) -> None:
    """An expectation is said, and never None; entries and revocations are handed over; an entry is frozen."""
    TrustedIssuer(NAME, keys=keys)  # type: ignore[call-arg]
    TrustedIssuer(NAME, audience=API)  # type: ignore[call-arg]
    TrustedIssuer(None, audience=API, keys=keys)  # type: ignore[arg-type]
    TrustedIssuer(NAME, audience=None, keys=keys)  # type: ignore[arg-type]
    TrustedIssuer(NAME, audience=API, keys=keys, typ=None)  # type: ignore[arg-type]
    TrustedIssuer(NAME, audience=API, keys=keys, kid="k")  # type: ignore[arg-type]
    TrustedIssuer(NAME, audience=API, keys="secret")  # type: ignore[arg-type]
    sso.issuer = NAME  # type: ignore[misc]
    Verifier.of(sso)  # type: ignore[call-arg]
    Verifier.of(keys, revocations=Revocations())  # type: ignore[arg-type]
    typed = Verifier.of(sso, revocations=Revocations(), claims=MyClaims)
    _other: AccessToken[OtherClaims] = typed.verify(text)  # type: ignore[assignment]


async def issuing(issuer: Issuer, pair: TokenPair) -> None:
    """A call that was not awaited gives no tokens; a pair is not a token; a subject is a text."""
    issuer.issue("user-42").access_token  # type: ignore[attr-defined]
    await issuer.issue(42)  # type: ignore[arg-type]
    await issuer.refresh(pair)  # type: ignore[arg-type]
    await issuer.refresh(pair.refresh_token.encode())  # type: ignore[arg-type]
    pair.refresh_token = ""  # type: ignore[misc]


async def issuing_without_a_loop(issuer: SyncIssuer) -> None:
    """The sync issuer is not awaited."""
    await issuer.issue("user-42")  # type: ignore[misc]


def verifying(verifier: Verifier[MyClaims], plain: Verifier, text: str) -> None:
    """What was verified is frozen, and its claims are of the type that was asked for."""
    verifier.verify(text.encode())  # type: ignore[arg-type]
    token = verifier.verify(text)
    token.subject = "user-43"  # type: ignore[misc]
    token.claims.usrname  # type: ignore[attr-defined]
    _other: AccessToken[OtherClaims] = token  # type: ignore[assignment]
    plain.verify(text).claims.username  # type: ignore[attr-defined]
    plain.verify(text).claims["username"] = "ada"  # type: ignore[index]


def other_tokens(keys: KeySet, text: str) -> None:
    """A token that is not an access token says what it is and when it ends."""
    keys.sign({"sub": "user-42"}, expires="7d")  # type: ignore[call-arg]
    keys.sign({"sub": "user-42"}, typ="invitation+jwt")  # type: ignore[call-arg]
    keys.verify(text)  # type: ignore[call-arg]


def guards(guard: Guard[MyClaims]) -> None:
    """The default-value form is checked against the guard's verifier; the Annotated form cannot be."""

    @app.get("/wrong")
    async def wrong(token: AccessToken[OtherClaims] = guard()) -> None:  # type: ignore[assignment]
        """The guard gives AccessToken[MyClaims]."""

    @app.get("/plain")
    async def plain(token: AccessToken = guard("orders:read")) -> None:  # type: ignore[assignment]
        """Without a parameter it is AccessToken[Claims]."""

    @app.get("/unchecked")
    async def unchecked(token: Annotated[AccessToken[OtherClaims], guard()]) -> None:
        """No error here: this is the limit that the docs state."""

    @app.websocket("/wrong")
    async def wrong_socket(socket: GuardedSocket[OtherClaims] = guard.websocket()) -> None:  # type: ignore[assignment]
        """The guard gives GuardedSocket[MyClaims]."""

    guard(42)  # type: ignore[arg-type]
    Guard("secret")  # type: ignore[arg-type]
