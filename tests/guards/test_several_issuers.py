"""A guarded route whose verifier trusts several issuers."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from core.material import key
from core.test_several_issuers import NEST, OWN, Remote, of, token
from core.test_trusted_keys import remote
from stagedoor import AccessToken
from stagedoor.guards.fastapi import Guard


@pytest.fixture
def client() -> Iterator[TestClient]:
    guard = Guard(of(OWN, NEST))
    app = FastAPI()

    @app.get("/who")
    async def who(token: Annotated[AccessToken, guard()]) -> list[str]:
        return [token.issuer, token.subject]

    @app.get("/orders", dependencies=[guard("orders:read")])
    async def orders() -> None: ...

    @app.get("/clerks", dependencies=[guard(check=lambda token, request: token.claims.get("username") == "ada")])
    async def clerks() -> None: ...

    with TestClient(app) as made:
        yield made


def bearer(text: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {text}"}}


def test_issuer_and_subject_arrive(client: TestClient) -> None:
    """A route is told whose subject it is: two issuers may have one."""
    assert client.get("/who", **bearer(token("own", "own"))).json() == ["https://auth.example", "user-1"]
    assert client.get("/who", **bearer(token("nest", "nest"))).json() == ["", "1"]


def test_no_scope_covers_nothing(client: TestClient) -> None:
    """Others' tokens without a `scope` are good for routes that ask for none, and for a check of one's own."""
    assert client.get("/orders", **bearer(token("nest", "nest"))).status_code == 403
    assert client.get("/clerks", **bearer(token("nest", "nest"))).status_code == 200
    assert client.get("/clerks", **bearer(token("own", "own"))).status_code == 403


def test_confusions_are_answered_alike(client: TestClient) -> None:
    """What one issuer's key signed in another's name, under no name or under a wrong one, is a 401 `invalid_token`."""
    stolen = [
        token("own", "nest"),
        token("nest", "own"),
        token("sso", "sso"),
        token("own", "own", kid=None),
        token("nest", "nest", kid="x"),
    ]
    for text in [*stolen, token("nest", "nest", kid=key("HS256").kid), token("nest", "nest", alg="none")]:
        answer = client.get("/who", **bearer(text))
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_keys_that_cannot_be_had() -> None:
    """While one issuer's keys cannot be had its tokens are a 503 with Retry-After, and the others' tokens are good."""
    guard = Guard(of(remote(Remote(down=True)), OWN))
    app = FastAPI()
    app.get("/", dependencies=[guard()])(lambda: None)
    with TestClient(app) as client:
        assert client.get("/", **bearer(token("own", "own"))).status_code == 200
        answer = client.get("/", **bearer(token("sso", "sso")))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
