"""The JWKS: public members only, and how caches keep it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from endpoints.house import House
from stagedoor import KeySet, Revocations, Verifier
from stagedoor.keyset import JWKS_MAX_AGE

PATH = "/.well-known/jwks.json"
PUBLIC = {"EC": {"kty", "crv", "x", "y"}, "RSA": {"kty", "n", "e"}, "OKP": {"kty", "crv", "x"}}
Build = Callable[..., House]


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "Ed25519"])
def test_public_members_only(build: Build, algorithm: str):
    """The JWKS holds what verifies, and not one member more of a key."""
    house = build(keys=KeySet.generate(algorithm))
    answer = house.client.get(PATH)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.json().keys() == {"keys"}
    (key,) = answer.json()["keys"]
    assert key.keys() == PUBLIC[key["kty"]] | {"kid", "alg", "use"}


def test_a_stranger_verifies_with_it(build: Build):
    """A verifier with nothing but the JWKS accepts this issuer's tokens."""
    house = build(keys=KeySet.generate("ES256"))
    keys = KeySet.from_jwks(house.client.get(PATH).json())
    name = house.issuer.name
    verifier = Verifier(name, audience=name, keys=keys, revocations=Revocations.until_expiry(), clock=house.clock)
    assert verifier.verify(house.tokens()["access_token"]).subject == "user-ada"


def test_a_shared_secret_is_not_published(house: House):
    """A set of shared secrets publishes an empty list."""
    assert house.client.get(PATH).json() == {"keys": []}


def test_caching(build: Build):
    """Caches may keep the JWKS for its max-age, and ask for it again with its ETag."""
    house = build(keys=KeySet.generate("ES256"))
    answer = house.client.get(PATH)
    assert answer.headers["cache-control"] == f"public, max-age={JWKS_MAX_AGE}"
    tag = answer.headers["etag"]
    assert house.client.get(PATH).headers["etag"] == tag
    for known in (tag, f"W/{tag}", f'"other", {tag}', f'W/"other" , W/{tag}', "*"):
        again = house.client.get(PATH, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == answer.headers["cache-control"]
        assert "content-length" not in again.headers


@pytest.mark.parametrize("known", ["", '"other"', "other", b"\xff", "," * 1000, "W/"])
def test_another_tag(build: Build, known: Any):
    """Who knows another state, or sends what is no tag, gets the keys."""
    house = build(keys=KeySet.generate("ES256"))
    assert house.client.get(PATH, headers={"If-None-Match": known}).status_code == 200


def test_a_new_key_changes_the_tag(build: Build, tmp_path: Path):
    """A key that is announced shows at once, under another tag."""
    keys = KeySet.open(tmp_path / "keys.json")
    house = build(keys=keys)
    tag = house.client.get(PATH).headers["etag"]
    keys.rotate(keep="1h")
    answer = house.client.get(PATH, headers={"If-None-Match": tag})
    assert (answer.status_code, len(answer.json()["keys"])) == (200, 2)


def test_the_life_of_a_copy_follows_the_announcement(build: Build, tmp_path: Path):
    """Nobody may keep the JWKS for longer than a new key is announced before it signs."""
    for announce, max_age in (("30s", 15), ("6m", JWKS_MAX_AGE), ("1h", JWKS_MAX_AGE)):
        keys = KeySet.open(tmp_path / announce, announce=announce)
        assert build(keys=keys).client.get(PATH).headers["cache-control"] == f"public, max-age={max_age}"
        keys.close()


def test_head(build: Build):
    """HEAD is answered as GET, without the keys."""
    house = build(keys=KeySet.generate("ES256"))
    answer = house.client.head(PATH)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"] == house.client.get(PATH).headers["etag"]
