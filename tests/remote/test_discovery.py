"""Where the keys are, asked of the issuer itself: OpenID Connect Discovery, then RFC 8414."""

from __future__ import annotations

import time
from typing import Any

import pytest

from remote.material import FIRST, SECOND, code_of, token, until, verifier
from remote.server import LONG, KeyServer, says_nothing
from stagedoor.jwks import RemoteKeySet, SyncRemoteKeySet
from stagedoor.testing.clock import FixedClock

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


@pytest.fixture
def metadata(server: KeyServer) -> dict[str, Any]:
    """What the issuer at the server's origin says of itself, with the content type that it has."""
    server.headers["Content-Type"] = "application/json"
    return {"issuer": server.origin, "jwks_uri": server.url, "scopes_supported": ["openid"]}


def asked(server: KeyServer) -> list[str]:
    return [path for path, _ in server.requests]


async def code(keys: Any) -> str:
    return await code_of(verifier(keys).verify_async(token()))


async def test_openid_discovery(server: KeyServer, metadata: dict[str, Any]) -> None:
    """One request for the metadata, one for the keys, none at construction; the address is remembered for later fetches."""
    server.documents[OPENID] = metadata
    clock = FixedClock()
    keys = RemoteKeySet.discover(server.origin, clock=clock)
    assert server.count() == 0
    assert await code(keys) == "ok"
    assert asked(server) == [OPENID, "/jwks.json"]
    server.publish(FIRST, SECOND)
    clock.forward(10)
    assert await code_of(verifier(keys).verify_async(token(SECOND))) == "ok"
    assert asked(server)[2:] == ["/jwks.json"]


async def test_rfc_8414_comes_second(server: KeyServer, metadata: dict[str, Any]) -> None:
    """Where there is no OpenID document, or a page of HTML, the one of RFC 8414 is asked for."""
    server.documents[OAUTH] = metadata
    assert await code(RemoteKeySet.discover(server.origin)) == "ok"
    assert asked(server) == [OPENID, OAUTH, "/jwks.json"]
    server.documents[OPENID] = b"<!doctype html>"
    assert await code(RemoteKeySet.discover(server.origin)) == "ok"


@pytest.mark.parametrize(
    ("path", "openid", "oauth"),
    [
        ("", OPENID, OAUTH),
        ("/", OPENID, OAUTH),
        ("/realms/one", f"/realms/one{OPENID}", f"{OAUTH}/realms/one"),
        ("/realms/one/", f"/realms/one{OPENID}", f"{OAUTH}/realms/one"),
    ],
)
async def test_issuers_with_a_path(server: KeyServer, metadata: dict[str, Any], path: str, openid: str, oauth: str) -> None:
    """OpenID Connect appends to the issuer's path, RFC 8414 inserts before it; a slash at the end belongs to the name alone."""
    metadata["issuer"] = server.origin + path
    server.documents[oauth] = metadata
    assert await code(RemoteKeySet.discover(server.origin + path)) == "ok"
    assert asked(server) == [openid, oauth, "/jwks.json"]


@pytest.mark.parametrize("lie", ["{origin}/", "{origin}/x", "https://auth.example", "", None, 5, ["{origin}"], "{ORIGIN}"])
async def test_metadata_that_name_another_issuer_are_refused(
    server: KeyServer, metadata: dict[str, Any], lie: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """`issuer` must be the same to the letter; where it is not, nothing else is asked for."""
    said = lie.format(origin=server.origin, ORIGIN=server.origin.upper()) if isinstance(lie, str) else lie
    server.documents |= {OPENID: {**metadata, "issuer": said}, OAUTH: metadata}
    assert await code(RemoteKeySet.discover(server.origin)) == "keys_unavailable"
    assert asked(server) == [OPENID]
    assert "names another issuer" in caplog.text


@pytest.mark.parametrize(
    "uri",
    [None, 7, "", "/jwks.json", "http://auth.example/jwks", "file:///etc/passwd", "https://u:p@auth.example/", "http://169.254.169.254/"],
    ids=str,
)
async def test_a_jwks_uri_has_the_same_rules(
    server: KeyServer, metadata: dict[str, Any], uri: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What metadata name as the address of the keys is https, or loopback, and a whole URL."""
    server.documents[OPENID] = {**metadata, "jwks_uri": uri}
    assert await code(RemoteKeySet.discover(server.origin)) == "keys_unavailable"
    assert asked(server) == [OPENID]
    assert "jwks_uri" in caplog.text


def test_an_issuer_out_there_cannot_send_us_to_ourselves() -> None:
    """Metadata of an https issuer that name a plain address of this machine are refused."""
    from stagedoor.discovery import Discovery
    from stagedoor.remote_document import DocumentRefused

    said = {"issuer": "https://auth.example", "jwks_uri": "http://127.0.0.1:8080/admin"}
    with pytest.raises(DocumentRefused, match="this very machine"):
        Discovery("https://auth.example")._jwks_uri(said)


async def test_an_address_that_fails_is_asked_for_again(server: KeyServer, metadata: dict[str, Any]) -> None:
    """Keys that moved are found after one failed fetch; known keys verify meanwhile, and the old ETag stays behind."""
    server.documents[OPENID] = metadata
    server.headers["ETag"] = '"same"'
    clock = FixedClock()
    keys = RemoteKeySet.discover(server.origin, clock=clock)
    assert await code(keys) == "ok"
    server.publish(FIRST, SECOND, path="/moved.json")
    server.documents[OPENID] = {**metadata, "jwks_uri": f"{server.origin}/moved.json"}
    del server.documents["/jwks.json"]
    clock.forward(10)
    assert await code_of(verifier(keys).verify_async(token(SECOND))) == "key_unknown"
    assert await code(keys) == "ok"
    clock.forward(10)
    assert await code_of(verifier(keys).verify_async(token(SECOND))) == "ok"
    assert asked(server)[2:] == ["/jwks.json", OPENID, "/moved.json"]


async def test_the_time_limit_holds_for_all_requests_together(server: KeyServer, caplog: pytest.LogCaptureFixture) -> None:
    """A silent server is given up after `timeout`, whichever of its documents was asked for; and asked again a cool-down later."""
    server.behaviour = says_nothing
    keys = RemoteKeySet.discover(server.origin, timeout=1, clock=FixedClock())
    begun = time.perf_counter()
    assert await code(keys) == "keys_unavailable"
    until(lambda: keys._flight is None)  # who waits gives up a second later, and its thread may stand still for longer
    assert 0.9 < time.perf_counter() - begun < LONG / 2
    assert "not done within 1 s" in caplog.text
    assert await code(keys) == "keys_unavailable"
    assert keys._flight is None
    assert asked(server) in ([OPENID], [])  # nobody, where it stood still for that second


async def test_no_redirect_of_metadata_is_followed(server: KeyServer, metadata: dict[str, Any]) -> None:
    """Metadata are fetched under the same rules as keys."""
    with KeyServer() as sinkhole:
        sinkhole.documents[OPENID] = metadata
        server.documents[OPENID] = metadata
        server.status, server.headers["Location"] = 302, sinkhole.origin + OPENID
        assert await code(RemoteKeySet.discover(server.origin)) == "keys_unavailable"
        assert sinkhole.count() == 0


def test_without_an_event_loop(server: KeyServer, metadata: dict[str, Any]) -> None:
    """SyncRemoteKeySet discovers by the same word."""
    server.documents[OPENID] = metadata
    assert verifier(SyncRemoteKeySet.discover(server.origin)).verify(token()).subject == "ada"


@pytest.mark.parametrize("issuer", ["https://auth.example?x=1", "https://auth.example/?", "https://auth.example#a", "http://auth.example"])
def test_issuers_that_are_refused(issuer: str) -> None:
    """An issuer is https, without query and fragment (RFC 8414 section 2)."""
    with pytest.raises(ValueError, match=r"^issuer "):
        RemoteKeySet.discover(issuer)


async def test_an_issuer_that_moves_its_keys(server: KeyServer, metadata: dict[str, Any]) -> None:
    """The metadata are asked for again after an hour, though the old address still answers."""
    server.documents[OPENID] = metadata
    server.documents["/elsewhere"] = {"keys": [SECOND.jwk()]}
    clock = FixedClock()
    keys = RemoteKeySet.discover(server.origin, clock=clock)
    assert await code(keys) == "ok"
    server.documents[OPENID] = {**metadata, "jwks_uri": f"{server.origin}/elsewhere"}
    clock.forward(1800)
    assert await code_of(verifier(keys).verify_async(token(SECOND))) == "key_unknown"
    clock.forward(1800)
    assert await code_of(verifier(keys).verify_async(token(SECOND))) == "ok"
    assert asked(server).count(OPENID) == 2
