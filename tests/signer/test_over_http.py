"""The endpoints on a key that a PKCS#11 token keeps: while it is away, 503 with Retry-After, and nobody is logged out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from endpoints.house import WINDOW, House, cookies, error, sent_back
from stagedoor import KeySet

from .boxes import Signing

ATTEMPT = {"Idempotency-Key": "attempt-0123456789"}


@pytest.fixture(params=["starlette", "fastapi"])
def house(request: pytest.FixtureRequest, signing: Signing, tmp_path: Path) -> Iterator[House]:
    key, _ = signing.key()
    built = House(request.param, tmp_path, keys=KeySet(key))
    with built.client:
        yield built


def unavailable(answer: Any) -> None:
    assert error(answer, 503) == "temporarily_unavailable"
    assert answer.headers["retry-after"] == "1"
    assert cookies(answer) == {}  # none set, and none cleared
    assert "pkcs11" not in answer.text.lower()
    assert "sign" not in answer.text.lower()


@pytest.mark.parametrize("transport", ["body", "cookie", "cookie_only"])
def test_the_box_is_away(house: House, signing: Signing, transport: str):
    """Login and refresh say that nothing is known, the rows do not move, and the refresh goes on when the box is back."""
    login = house.login(transport=transport)
    body = {"refresh_token": login.json()["refresh_token"]} if transport == "body" else None
    house.clock.forward(WINDOW)

    def refresh() -> Any:
        return house.client.post("/auth/refresh", json=body, headers=sent_back(login) | ATTEMPT)

    rows = house.rows()
    signing.hsm.pull_out()
    try:
        unavailable(refresh())
        unavailable(house.login(transport=transport))
        house.clock.forward(10 * WINDOW)
        unavailable(refresh())
        assert house.rows() == rows
    finally:
        signing.hsm.put_back()
    answer = refresh()
    assert answer.status_code == 200, answer.text
    assert house.rows() != rows


def test_what_needs_no_box(house: House, signing: Signing):
    """Guarded routes, the JWKS and the logout go on while the box is away."""
    found = house.tokens()
    signing.hsm.pull_out()
    try:
        unavailable(house.refresh(found["refresh_token"]))
        assert house.me(found["access_token"]).status_code == 200
        published = house.client.get("/.well-known/jwks.json").json()["keys"]
        assert [key.keys() & {"d", "k"} for key in published] == [set()]
        assert house.logout(found["refresh_token"]).status_code == 204
        assert house.me(found["access_token"]).status_code == 401
    finally:
        signing.hsm.put_back()
    assert error(house.refresh(found["refresh_token"])) == "invalid_grant"
