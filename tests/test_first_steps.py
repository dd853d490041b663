"""examples/first_steps does what its text says."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from first_steps import FOLDER, create_app, example, load
from stagedoor.errors import ClaimRejected
from stagedoor.jws import read_unverified

SITE = "https://first.example"
OWN = {"Sec-Fetch-Site": "same-origin"}
ADA = {"username": "ada", "password": "correct horse battery"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(tmp_path, SITE), base_url=SITE, headers=OWN) as made:
        yield made


def access_token(client: TestClient) -> str:
    token: str = client.post("/login", json=ADA).json()["accessToken"]
    return token


def profile(client: TestClient, token: str) -> int:
    return client.get("/profile", headers={"Authorization": f"Bearer {token}"}).status_code


def test_the_tokens_live_as_long_as_the_text_says(client: TestClient) -> None:
    """The access token lives one hour and carries username and sub; the refresh token's cookie lives seven days."""
    answer = client.post("/login", json=ADA)
    _, claims = read_unverified(answer.json()["accessToken"])
    assert claims["exp"] - claims["iat"] == 3600
    assert (claims["username"], claims["sub"]) == ("ada", "user-42")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert abs(int(cookie.split("Max-Age=")[1].split(";")[0]) - 7 * 86_400) <= 2


def test_refresh_takes_the_cookie(client: TestClient) -> None:
    """POST /refresh-token answers {"accessToken": …} for the cookie, and refuses to without it."""
    assert client.post("/refresh-token").status_code == 401
    access_token(client)
    answer = client.post("/refresh-token")
    assert list(answer.json()) == ["accessToken"]
    assert profile(client, answer.json()["accessToken"]) == 200
    assert client.post("/logout").status_code == 204
    assert client.post("/refresh-token").status_code == 401


def test_another_site_cannot_use_the_cookie(client: TestClient) -> None:
    """A page of another site gets 403, whatever cookie the browser sends along."""
    access_token(client)
    assert client.post("/refresh-token", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_the_own_check_guards(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard's own check lets a suspended user's good token pass no more."""
    token = access_token(client)
    assert profile(client, token) == 200
    monkeypatch.setattr(example.USERS["ada"], "suspended", True)
    assert profile(client, token) == 403


@pytest.mark.parametrize("wrong", [{"username": "ada"}, {"username": "eve"}])
def test_wrong_credentials(client: TestClient, wrong: dict[str, str]) -> None:
    """A wrong password and an unknown name get the same refusal."""
    answer = client.post("/login", json=wrong | {"password": "not this one"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_the_plain_jwt_way_runs_and_cannot_be_taken_back() -> None:
    """The tutorial's own refresh token works twice, and an access token does not pass for it."""
    tutorial = load("jwt_refresh")
    tokens = tutorial.login("user-42", "ada")
    for _ in range(2):
        assert set(tutorial.refresh(tokens["refreshToken"])) == {"accessToken", "refreshToken"}
    with pytest.raises(ClaimRejected) as refused:
        tutorial.refresh(tokens["accessToken"])
    assert refused.value.claim == "typ"
    runpy.run_path(str(FOLDER / "jwt_refresh.py"), run_name="__main__")
