"""Access tokens of a running Stagedoor service, through the guards of a NestJS application: passport-jwt, with keys by jwks-rsa."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from interop.nest import Nest
from service_process import PATIENCE, ServiceProcess, stagedoor, start
from stagedoor.jws import read_unverified

pytestmark = pytest.mark.interop

PASSWORD = "a long password of ada"
AUDIENCE = "https://orders.example"
SCOPE = "orders:read orders:write"
ALGORITHMS = ("RS256", "ES256", "Ed25519")
HALF_AN_HOUR = 1800
SHORT_CACHE = 1


@dataclass(frozen=True)
class House:
    """A service of ours for each algorithm, and the NestJS application that accepts the tokens of both."""

    services: Mapping[str, ServiceProcess]
    nest: Nest
    _tokens: dict[str, str] = field(default_factory=dict)

    def token(self, algorithm: str) -> str:
        """A token of this service's first key: the same again, because a login is slow on purpose."""
        if algorithm not in self._tokens:
            self._tokens[algorithm] = self.login(algorithm)
        return self._tokens[algorithm]

    def login(self, algorithm: str) -> str:
        """A new token."""
        with self.services[algorithm].client() as client:
            answer = client.post("/auth/login", json={"username": "ada", "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def published(self, algorithm: str) -> list[dict[str, str]]:
        with self.services[algorithm].client() as client:
            found: list[dict[str, str]] = client.get("/.well-known/jwks.json").json()["keys"]
        return found

    def ask(self, strategy: str, token: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx2.get(f"{self.nest.url}/{strategy}/profile", headers=headers, timeout=PATIENCE)

    def refusal(self, strategy: str, token: str) -> str:
        """Why passport-jwt refuses: the reason that the guard hands on."""
        answer = self.ask(strategy, token)
        assert answer.status_code == 401, answer.text
        return str(answer.json()["message"])


def strategies(services: Mapping[str, ServiceProcess]) -> dict[str, dict[str, Any]]:
    """One that expects what is so for each algorithm, and some that expect one thing that is not."""
    right = {
        algorithm: {
            "jwksUri": f"{service.url}/.well-known/jwks.json",
            "issuer": service.url,
            "audience": AUDIENCE,
            "algorithms": [algorithm],
        }
        for algorithm, service in services.items()
    }
    without_audience = {name: value for name, value in right["RS256"].items() if name != "audience"}
    later = {"jsonWebTokenOptions": {"clockTimestamp": int(time.time()) + HALF_AN_HOUR}}
    return {
        **right,
        "ES256-short-cache": right["ES256"] | {"cacheMaxAge": SHORT_CACHE * 1000},
        "Ed25519-by-its-old-name": right["Ed25519"] | {"algorithms": ["EdDSA"]},
        "RS256-later": right["RS256"] | later,
        "ES256-later": right["ES256"] | later,
        "another-issuer": right["RS256"] | {"issuer": "https://another.example"},
        "another-audience": right["RS256"] | {"audience": "https://invoices.example"},
        "another-algorithm": right["RS256"] | {"algorithms": ["ES256"]},
        "another-services-keys": right["RS256"] | {"jwksUri": right["ES256"]["jwksUri"]},
        "misplaced-audience": without_audience | {"jsonWebTokenOptions": {"audience": "https://invoices.example"}},
    }


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folders = [tmp_path_factory.mktemp(algorithm) for algorithm in ALGORITHMS]
    with ThreadPoolExecutor() as pool:
        services = dict(zip(ALGORITHMS, pool.map(serve, ALGORITHMS, folders), strict=True))
    documented = {"AUTH_ISSUER": services["ES256"].url, "AUTH_AUDIENCE": AUDIENCE}
    with Nest(tmp_path_factory.mktemp("accepting"), "accepting.mjs", {"strategies": strategies(services)}, **documented) as nest:
        yield House(services, nest)
    for service in services.values():
        service.stop(PASSWORD)


def serve(algorithm: str, folder: Path) -> ServiceProcess:
    """A service that signs with this algorithm and has one account."""
    data, told = folder / "data", {"ALGORITHM": algorithm, "AUDIENCE": AUDIENCE}
    stagedoor("users", "add", "ada", "--password-stdin", "--scope", SCOPE, data=data, stdin=PASSWORD + "\n", **told)
    return start("serve", data, **told)


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_nest_accepts_our_tokens(house: House, algorithm: str) -> None:
    """A token of a login passes a guard that knows only issuer, audience, algorithm and where the keys are published."""
    token = house.token(algorithm)
    header, claims = read_unverified(token)
    answer = house.ask(algorithm, token)
    assert (answer.status_code, header["alg"]) == (200, algorithm), answer.text
    assert answer.json() == {"userId": claims["sub"]}


def test_the_strategy_of_the_docs_accepts_our_tokens(house: House) -> None:
    """What the page for NestJS shows is a strategy that accepts the service's tokens and hands on who it is."""
    token = house.token("ES256")
    claims = read_unverified(token)[1]
    expected = {"userId": claims["sub"], "sessionId": claims["sid"], "scope": SCOPE.split()}
    assert house.ask("jwt", token).json() == expected
    assert house.refusal("jwt", house.token("RS256")) == "secret or public key must be provided"


def test_the_strategy_of_the_docs_checks_the_audience(house: House, tmp_path: Path) -> None:
    """Started for another audience, it refuses the same token."""
    environment = {"AUTH_ISSUER": house.services["ES256"].url, "AUTH_AUDIENCE": "https://invoices.example"}
    with Nest(tmp_path / "nest", "accepting.mjs", {"strategies": {}}, **environment) as nest:
        refused = House(house.services, nest).refusal("jwt", house.login("ES256"))
    assert refused == "jwt audience invalid. expected: https://invoices.example"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_an_expired_token_is_refused(house: House, algorithm: str) -> None:
    """What passes now is refused by the same expectations half an hour later."""
    token = house.token(algorithm)
    assert house.ask(algorithm, token).status_code == 200
    assert house.refusal(f"{algorithm}-later", token) == "jwt expired"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_changed_token_is_refused(house: House, algorithm: str) -> None:
    """Another subject in the payload, or another token's signature, is no valid signature."""
    header, payload, signature = house.token(algorithm).split(".")
    claims = read_unverified(f"{header}.{payload}.{signature}")[1]
    another = encoded(json.dumps(claims | {"sub": "somebody-else"}).encode())
    assert house.refusal(algorithm, f"{header}.{another}.{signature}") == "invalid signature"
    borrowed = house.login(algorithm).rpartition(".")[2]
    assert house.refusal(algorithm, f"{header}.{payload}.{borrowed}") == "invalid signature"


def test_our_public_key_is_no_secret_of_theirs(house: House) -> None:
    """A token signed under HS256 with the text of the published key is refused."""
    token = house.token("RS256")
    (jwk,) = house.published("RS256")
    header = {"alg": "HS256", "typ": "at+jwt", "kid": jwk["kid"]}
    signed = f"{encoded(json.dumps(header).encode())}.{token.split('.')[1]}"
    for secret in (pem_of(jwk), pem_of(jwk).strip()):
        forged = f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"
        assert house.refusal("RS256", forged) == "secret or public key must be provided"


def pem_of(jwk: Mapping[str, str]) -> bytes:
    """The published RSA key as text, as jwks-rsa hands it to passport-jwt."""
    n, e = (int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "==")) for name in ("n", "e"))
    key = rsa.RSAPublicNumbers(e, n).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        ("another-issuer", "jwt issuer invalid. expected: https://another.example"),
        ("another-audience", "jwt audience invalid. expected: https://invoices.example"),
        ("another-algorithm", "invalid algorithm"),
        ("another-services-keys", "secret or public key must be provided"),
    ],
)
def test_a_strategy_that_expects_something_else_refuses(house: House, strategy: str, reason: str) -> None:
    """A good token is refused as soon as one expectation of the NestJS application is another one."""
    token = house.token("RS256")
    assert house.ask("RS256", token).status_code == 200
    assert house.refusal(strategy, token) == reason


def test_an_audience_in_the_wrong_place_is_not_checked(house: House) -> None:
    """passport-jwt looks for no audience where it is written among jsonWebTokenOptions: what the docs warn of is so."""
    assert house.ask("misplaced-audience", house.token("RS256")).status_code == 200


@pytest.mark.parametrize("strategy", ["Ed25519", "Ed25519-by-its-old-name"])
def test_passport_jwt_knows_no_ed25519(house: House, strategy: str) -> None:
    """Tokens under Ed25519 are refused by either name of the algorithm: what the docs say is still so."""
    assert house.refusal(strategy, house.token("Ed25519")) == "secret or public key must be provided"


def test_a_new_key_passes_without_a_restart(house: House) -> None:
    """After a rotation the tokens of the new key pass in the same Nest process, and so do those of the old one."""
    service, process = house.services["ES256"], house.nest.pid
    before = house.token("ES256")
    assert house.ask("ES256", before).status_code == 200
    kid = stagedoor("keys", "rotate", "--announce", "1s", data=service.data).split()[0]
    until = time.monotonic() + PATIENCE
    while read_unverified(after := house.login("ES256"))[0]["kid"] != kid:
        assert time.monotonic() < until, "the service does not sign with the new key"
        time.sleep(0.5)
    assert read_unverified(before)[0]["kid"] != kid
    assert [house.ask("ES256", token).status_code for token in (after, before)] == [200, 200]
    assert (house.nest.pid, house.nest.alive) == (process, True)


def test_a_retired_key_is_refused_when_the_cache_of_nest_ends(house: House) -> None:
    """A key that was retired in an emergency passes for as long as jwks-rsa keeps it, and no longer: the docs shorten that to 5 minutes."""
    token = house.login("ES256")
    kid = read_unverified(token)[0]["kid"]
    assert [house.ask(strategy, token).status_code for strategy in ("ES256", "ES256-short-cache")] == [200, 200]
    stagedoor("keys", "retire", kid, data=house.services["ES256"].data)
    until = time.monotonic() + PATIENCE
    while kid in {jwk["kid"] for jwk in house.published("ES256")}:
        assert time.monotonic() < until, "the service still publishes the retired key"
        time.sleep(0.1)
    time.sleep(SHORT_CACHE)
    assert house.refusal("ES256-short-cache", token) == "secret or public key must be provided"
    assert house.ask("ES256", token).status_code == 200
    assert house.ask("ES256-short-cache", house.login("ES256")).status_code == 200
