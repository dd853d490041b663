"""Everything in between is started again: issuers, verifiers, the server; nothing that was revoked comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from patience import PATIENCE, patient
from servers import Postgres
from stagedoor import KeySet, Peppers, Revocations, SyncIssuer, Verifier, errors
from stagedoor.keys import Key
from stagedoor.revocation import AHEAD
from stagedoor.stores.sql import SyncSQLStore
from stagedoor.token_pair import TokenPair

ISSUER, AUDIENCE = "https://auth.example", "https://api.example"
SECRETS = tuple(b"of the restarted, and of nobody else %d" % n for n in range(2))

Place = tuple[str, Callable[[], None]]
"""A store's URL, and how its server is killed and started again."""


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/auth.db", lambda: None
        return
    with Postgres(tmp_path / "postgres") as server:

        def restart() -> None:
            server.kill()
            server.start()

        yield server.database("restarted"), restart


def keys() -> KeySet:
    return KeySet(*(Key.from_secret(secret) for secret in SECRETS))


def issuer_on(store: Any, **more: Any) -> SyncIssuer:
    settings = {"keys": keys(), "peppers": Peppers(SECRETS[0]), "retry_window": 1} | more
    return SyncIssuer(ISSUER, audience=AUDIENCE, store=store, **settings)


def accepted(url: str, pairs: list[TokenPair]) -> list[bool]:
    """By a verifier that starts now, as in another process."""
    store = SyncSQLStore(url)
    revocations = patient(Revocations.following(store), bound=PATIENCE)
    verifier = Verifier(ISSUER, audience=AUDIENCE, keys=keys(), revocations=revocations)
    revocations.hear()
    found = []
    for pair in pairs:
        try:
            verifier.verify(pair.access_token)
            found.append(True)
        except errors.TokenRevoked:
            found.append(False)
    revocations.close()
    store.close()
    return found


def end_in_every_way(issuer: SyncIssuer, key: SyncIssuer) -> list[TokenPair]:
    """Logout, an administrator, all of a subject, reuse and a key."""
    out, one, reused = (issuer.issue("ada") for _ in range(3))
    subject = issuer.issue("eve")
    signed = key.issue("bob")
    issuer.refresh(reused.refresh_token)
    time.sleep(1.1)  # the retry window
    issuer.revoke(out.refresh_token)
    issuer.revoke_session(one.session_id)
    issuer.revoke_subject("eve")
    with pytest.raises(errors.RefreshTokenReused):
        issuer.refresh(reused.refresh_token)
    key.revoke_key(key.keys.signing(0.0).kid)
    return [out, one, reused, subject, signed]


def test_nothing_that_was_revoked_comes_back(place: Place) -> None:
    """Whatever ended a token: after a kill of the server, for processes that start anew, it is refused; what lives is accepted."""
    url, restart = place
    with closing(SyncSQLStore(url)) as store:
        store.migrate()
        issuer = issuer_on(store)
        live = issuer.issue("ada")
        other = issuer_on(store, keys=KeySet(*reversed([Key.from_secret(secret) for secret in SECRETS])))
        revoked = end_in_every_way(issuer, other)
        restart()
        for made in (issuer, other):
            made.revocations.close()
    assert accepted(url, [live, *revoked]) == [True, False, False, False, False, False]
    with closing(SyncSQLStore(url)) as store:
        again = issuer_on(store)
        for pair in revoked[:4]:
            with pytest.raises(errors.SessionRevoked):
                again.refresh(pair.refresh_token)
        assert again.refresh(live.refresh_token).session_id == live.session_id
        again.revocations.close()


def test_everything_stays_revoked(place: Place) -> None:
    """A cut of everything outlives a kill of the server: an issuer that starts anew pauses until it has passed, and keeps to it."""
    url, restart = place
    with closing(SyncSQLStore(url)) as store:
        store.migrate()
        issuer = issuer_on(store)
        before = issuer.issue("ada")
        through = issuer.revoke_everything()
        restart()
        issuer.revocations.close()
    assert accepted(url, [before]) == [False]
    with closing(SyncSQLStore(url)) as store:
        again = issuer_on(store)
        with suppress(errors.IssuingPaused):
            again.issue("ada")
            assert time.time() > through, "it issues before the cut has passed"
        time.sleep(2 + AHEAD)
        after = again.issue("ada")
        with pytest.raises(errors.SessionRevoked):
            again.refresh(before.refresh_token)
        again.revocations.close()
    assert accepted(url, [before, after]) == [False, True]
