"""Issuers that are attacked: in this process with each of our algorithms, and in a service process of its own.

Never knows an attack.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from service_process import ServiceProcess, start
from stagedoor import KeySet, Peppers, SyncIssuer, Verifier
from stagedoor.cli.house import settings_of, with_house
from stagedoor.keys import Key
from stagedoor.stores.memory import SyncMemoryStore

from .forgery import Given
from .in_process import InProcess
from .over_http import OverHTTP
from .private_jwk import private_of
from .sinkhole import Sinkhole

ISSUER, AUDIENCE, SCOPE = "https://auth.example", "https://api.example", "orders:read orders:write"
MEANWHILE: dict[str, Any] = {"scope": SCOPE, "claims": {"username": "ada"}}


def in_process(alg: str, sinkhole: Sinkhole) -> InProcess:
    key = Key.generate(alg)
    keys = KeySet(key)
    issuer = SyncIssuer(ISSUER, audience=AUDIENCE, store=SyncMemoryStore(), keys=keys, peppers=Peppers.generate())
    jwks = keys.jwks()
    bare = {"keys": [{name: value for name, value in jwk.items() if name not in ("alg", "use")} for jwk in jwks["keys"]]}
    elsewhere = {"issuer.verifier()": issuer.verifier()}
    for name, published in {"keys": keys, "the JWKS": jwks, "a JWKS without alg": bare}.items():
        if name == "keys" or jwks["keys"]:
            found = published if isinstance(published, KeySet) else KeySet.from_jwks(published)
            elsewhere[f"Verifier with {name}"] = Verifier(ISSUER, audience=AUDIENCE, keys=found, revocations=issuer.revocations)
    sessions: dict[str, str] = {}

    def issue() -> str:
        pair = issuer.issue("user-42", **MEANWHILE)
        sessions[pair.access_token] = pair.session_id
        return pair.access_token

    given = Given(alg, jwks, (issue(), issue()), private_of(key.jwk(private=True)), sinkhole.urls)
    return InProcess(given, sinkhole, elsewhere, issue, lambda text: issuer.revoke_session(sessions[text]))


def issuing_key(data: Path) -> dict[str, Any]:
    """The private JWK that the service of this data folder signs with. The one place that knows where a service keeps it."""
    found: dict[str, Any] = with_house(settings_of(data=data), lambda house: house.keys.signing(time.time()).jwk(private=True))
    return found


@contextmanager
def over_http(data: Path, algorithm: str, sinkhole: Sinkhole) -> Iterator[OverHTTP]:
    """A running demo. Its log is at the finest level, and is looked through once more when it stops."""
    service = start("demo", data, ALGORITHM=algorithm, LOG_LEVEL="debug", ACCESS="2h")
    try:
        password = re.search(r"password\W+([\w-]{16})\b", service.log)
        assert password, service.log
        with httpx2.Client(base_url=service.url, timeout=30) as client:
            yield _target(service, client, password[1], sinkhole)
    finally:
        service.stop()


def _target(service: ServiceProcess, client: httpx2.Client, password: str, sinkhole: Sinkhole) -> OverHTTP:
    refresh_tokens: dict[str, str] = {}

    def login() -> str:
        answer = client.post("/auth/login", json={"username": "ada", "password": password})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        refresh_tokens[body["access_token"]] = body["refresh_token"]
        return str(body["access_token"])

    def log_out(text: str) -> None:
        assert client.post("/auth/logout", json={"refresh_token": refresh_tokens[text]}).status_code == 204

    jwk = issuing_key(service.data)
    given = Given(jwk["alg"], client.get("/.well-known/jwks.json").json(), (login(), login()), private_of(jwk), sinkhole.urls)
    return OverHTTP(given, sinkhole, service, login, log_out)
