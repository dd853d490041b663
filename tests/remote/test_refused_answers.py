"""Answers of a key server that are not taken: nothing changes, and the log says why in our own words."""

from __future__ import annotations

import ipaddress
import logging
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from remote import server as misbehaviour
from remote.material import FIRST, SECOND, code_of, token, until, verifier
from remote.server import KeyServer
from stagedoor import Key
from stagedoor.encoding import encode
from stagedoor.jwks import RemoteKeySet, SyncRemoteKeySet
from stagedoor.testing.clock import FixedClock

A, B = FIRST.jwk(), SECOND.jwk()
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key().public_numbers()
WEAK_RSA = {"kty": "RSA", "kid": "weak", "n": encode(WEAK.n.to_bytes(128, "big")), "e": "AQAB"}
EC = Key.generate("ES256").jwk()
TOO_DEEP = b'{"keys": [], "x": ' + b"[" * 40 + b"]" * 40 + b"}"

REFUSED: dict[str, Any] = {
    "private parts": {"keys": [A, SECOND.jwk(private=True)]},
    "private parts of a key that is not even for signatures": {"keys": [A, {**EC, "use": "enc", "d": "AAAA"}]},
    "a shared secret": {"keys": [A, {"kty": "oct", "kid": "s", "alg": "HS256", "k": encode(bytes(range(32)))}]},
    "two keys of one kid": {"keys": [A, {**B, "kid": A["kid"]}]},
    "a kid that is another's thumbprint": {"keys": [{k: v for k, v in A.items() if k != "kid"}, {**B, "kid": A["kid"]}]},
    "over 100 keys": {"keys": [A, *({"kty": "x", "kid": str(n)} for n in range(100))]},
    "no list": {"keys": A},
    "a list of something else": {"keys": [A, "key"]},
    "no keys": {"issuer": "https://auth.example"},
    "a list": b"[]",
    "garbage": b"\x00\xff not JSON",
    "nothing": b"",
    "HTML": b"<!doctype html><p>Log in",
    "a name twice": b'{"keys": [], "keys": []}',
    "NaN": b'{"keys": [], "x": NaN}',
    "not UTF-8": b'{"keys": [], "x": "\xff"}',
    "nested too deeply": TOO_DEEP,
    "a number of 5000 digits": b'{"keys": [], "x": ' + b"1" * 5000 + b"}",
    "a lone surrogate": b'{"keys": [], "x": "\\ud800"}',
}
BEHAVIOURS = {
    "is_huge": "over 262144 bytes",
    "is_endless": "over 262144 bytes",
    "is_a_bomb": "compressed",
    "is_packed": "compressed",
    "says_it_is_packed": "compressed",
    "closes_early": "RemoteProtocolError",
    "closes_at_once": "RemoteProtocolError",
    "is_no_http": "RemoteProtocolError",
    "has_endless_headers": "RemoteProtocolError",
}
SLOW = ["says_nothing", "drips_headers", "drips_body", "informs_for_ever"]


async def good_and_then(
    server: KeyServer, caplog: pytest.LogCaptureFixture, change: Any, timeout: int = 50
) -> tuple[RemoteKeySet, list[str]]:
    """Keys that were fetched once; the server is changed and they are fetched again; what was logged of that."""
    clock = FixedClock()
    keys = RemoteKeySet(server.url + "?hush=hush-hush", timeout=50, clock=clock)
    assert await code_of(verifier(keys).verify_async(token())) == "ok"
    change()
    clock.forward(10)
    keys._timeout = timeout
    assert await code_of(verifier(keys).verify_async(token(SECOND))) == "key_unknown"
    assert await code_of(verifier(keys).verify_async(token())) == "ok"
    until(lambda: keys._flight is None)
    own = [record.getMessage() for record in caplog.records if record.name == "stagedoor.keys"]
    assert "hush" not in "".join(own)
    return keys, own


@pytest.mark.parametrize("name", REFUSED)
async def test_a_document_that_is_refused_changes_nothing(server: KeyServer, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """The whole document is refused, whatever good keys are in it; the last good set stays, and one warning is logged."""
    _, logged = await good_and_then(server, caplog, lambda: server.documents.update({"/jwks.json": REFUSED[name]}))
    assert len(logged) == 1
    assert "the last good set is kept" in logged[0]


@pytest.mark.parametrize("name", BEHAVIOURS)
async def test_an_answer_that_is_refused_changes_nothing(server: KeyServer, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """Too large, compressed, cut off or no HTTP: refused long before the time limit, in one warning without a word of the answer."""
    begun = time.perf_counter()
    _, logged = await good_and_then(server, caplog, lambda: setattr(server, "behaviour", getattr(misbehaviour, name)))
    assert len(logged) == 1
    assert f"could not be fetched: {BEHAVIOURS[name]}" in logged[0]
    assert logged[0].endswith("; the last good set is kept")
    assert time.perf_counter() - begun < 30


@pytest.mark.parametrize("name", SLOW)
async def test_the_time_limit_is_over_all(server: KeyServer, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """A server that is silent, or sends one byte now and then, is given up after `timeout`."""
    begun = time.perf_counter()
    _, logged = await good_and_then(server, caplog, lambda: setattr(server, "behaviour", getattr(misbehaviour, name)), timeout=1)
    assert 0.9 < time.perf_counter() - begun < misbehaviour.LONG / 2
    assert "not done within 1 s" in logged[0]


@pytest.mark.parametrize("status", [201, 203, 204, 206, 400, 401, 404, 410, 429, 500, 503])
async def test_only_200_is_taken(server: KeyServer, caplog: pytest.LogCaptureFixture, status: int) -> None:
    """Any other status changes nothing, whatever comes with it."""

    def change() -> None:
        server.publish(SECOND)
        server.status = status

    _, logged = await good_and_then(server, caplog, change)
    assert f"status {status}" in logged[0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(server: KeyServer, caplog: pytest.LogCaptureFixture, status: int) -> None:
    """Where a redirect leads nobody ever comes, not even on the same host."""
    with KeyServer() as sinkhole:
        sinkhole.publish(SECOND)

        def change() -> None:
            server.status = status
            server.headers["Location"] = sinkhole.url

        _, logged = await good_and_then(server, caplog, change)
        assert sinkhole.count() == 0
    assert "redirect" in logged[0]


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/jwk-set+json", True),
        (None, True),
        ("text/html", False),
        ("text/plain", False),
        ("application/octet-stream", False),
        ("application/jsonp", False),
        ("", False),
    ],
)
async def test_content_types(server: KeyServer, kind: str | None, taken: bool) -> None:
    """A JWKS is application/jwk-set+json or application/json, or says nothing of its type."""
    server.headers = {} if kind is None else {"Content-Type": kind}
    assert await code_of(verifier(RemoteKeySet(server.url)).verify_async(token())) == ("ok" if taken else "keys_unavailable")


async def test_keys_that_we_cannot_use_are_passed_over(caplog: pytest.LogCaptureFixture, server: KeyServer) -> None:
    """Encryption keys, unknown curves and kinds, weak keys and misfits leave the others good; each is logged once, not at each fetch."""
    others = [
        {**EC, "kid": "enc", "use": "enc"},
        {"kty": "EC", "crv": "secp256k1", "kid": "curve", "x": "AA", "y": "AA"},
        {"kty": "AKP", "alg": "ML-DSA-44", "kid": "kind", "pub": "AA"},
        WEAK_RSA,
        {**EC, "kid": "misfit", "alg": "ES384"},
        {**EC, "kid": "agreement", "alg": "ECDH-ES"},
        {**EC, "kid": "off the curve", "x": EC["y"]},
        {**EC, "kid": "k" * 5000},
        {"kty": "oct", "kid": "empty secret", "alg": "HS256"},
        {"kty": ["RSA"], "kid": {"not": "a text"}},
        {**EC, "use": "enc", "kid": FIRST.kid},  # RFC 7517 section 4.5: another use, or the very same key twice
    ]
    server.publish(*others, FIRST, FIRST)
    clock = FixedClock()
    keys = RemoteKeySet(server.url, clock=clock)
    for _ in range(3):
        assert await code_of(verifier(keys).verify_async(token())) == "ok"
        clock.forward(300)
        until(lambda: keys._flight is None)
    logged = [record.getMessage() for record in caplog.records if "passed over" in record.getMessage()]
    assert len(logged) == len(others)
    assert max(map(len, logged)) < 300
    assert keys._known is not None
    assert list(keys._known.published.keys) == [FIRST.kid]


async def test_a_set_without_any_key_is_said_aloud(server: KeyServer, caplog: pytest.LogCaptureFixture) -> None:
    """A JWKS of no signature key at all is believed, every token refused, and the log says so."""
    server.publish()
    assert await code_of(verifier(RemoteKeySet(server.url)).verify_async(token())) == "key_unknown"
    assert "no key that signs" in caplog.text


async def test_a_certificate_of_nobody_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https means a certificate that the system, or SSL_CERT_FILE, vouches for, and of this very host."""
    right, wrong = (certificate(tmp_path / name, address) for name, address in (("right", "127.0.0.1"), ("wrong", "127.0.0.2")))
    for made, codes in ((right, ["keys_unavailable", "ok"]), (wrong, ["keys_unavailable", "keys_unavailable"])):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made)
        with KeyServer(tls=context) as server:
            server.publish(FIRST)
            monkeypatch.delenv("SSL_CERT_FILE", raising=False)
            assert await code_of(verifier(RemoteKeySet(server.url)).verify_async(token())) == codes[0]
            assert server.count() == 0
            monkeypatch.setenv("SSL_CERT_FILE", str(made))
            assert await code_of(verifier(RemoteKeySet(server.url)).verify_async(token())) == codes[1]
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


def certificate(place: Path, address: str) -> Path:
    """A self-made certificate for this address, its key behind it."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    key = private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    place.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key)
    return place


@pytest.mark.parametrize("kind", [RemoteKeySet, SyncRemoteKeySet])
@pytest.mark.parametrize(
    "url",
    [
        "",
        "auth.example/jwks",
        "/jwks.json",
        "https://",
        "ftp://auth.example/jwks",
        "file:///etc/passwd",
        "http://auth.example/jwks",
        "http://127.0.0.1.evil.example/jwks",
        "http://localhost.evil.example/jwks",
        "http://127.1/jwks",
        "http://2130706433/jwks",
        "http://0.0.0.0/jwks",
        "http://169.254.169.254/jwks",
        "http://[::ffff:127.0.0.1]/jwks",
        "http://localhost:80@evil.example/jwks",
        "http://localhost\\@evil.example/jwks",
        "https://user:word@auth.example/jwks",
        "https://auth.example/jwks#one",
        "https://auth.example/jwks#",
        "https://auth.example/a b",
        "https://auth.example/\njwks",
        "https://äuth.example/jwks",
        "https://auth.example:port/jwks",
    ],
)
def test_urls_that_are_refused(kind: Any, url: str) -> None:
    """https alone, whole and plain; http for this machine itself, written as itself."""
    with pytest.raises(ValueError, match=r"^url "):
        kind(url)
    with pytest.raises(ValueError, match=r"^issuer "):
        kind.discover(url)


@pytest.mark.parametrize("url", ["http://localhost:8080/jwks", "http://127.0.0.7/jwks", "http://[::1]:80/", "HTTPS://Auth.Example/k?p=1"])
def test_urls_that_are_taken(url: str) -> None:
    """A query belongs to a URL; loopback hosts need no TLS."""
    RemoteKeySet(url)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"max_age": "5s"}, ValueError),
        ({"max_age": "25h"}, ValueError),
        ({"max_age": "300"}, ValueError),
        ({"cool_down": 0}, ValueError),
        ({"cool_down": 0.5}, TypeError),
        ({"timeout": None}, TypeError),
        ({"timeout": "5m"}, ValueError),
        ({"clock": 5.0}, TypeError),
    ],
    ids=str,
)
def test_settings_that_are_refused(settings: dict[str, Any], error: type[Exception]) -> None:
    """A programmer's mistake is told at construction."""
    with pytest.raises(error):
        RemoteKeySet("https://auth.example/jwks", **settings)
    with pytest.raises(error):
        SyncRemoteKeySet.discover("https://auth.example", **settings)


@pytest.mark.parametrize("url", [None, 5, b"https://auth.example/jwks"])
def test_a_url_is_a_text(url: Any) -> None:
    """Anything but a text is a TypeError."""
    with pytest.raises(TypeError, match="is a text"):
        RemoteKeySet(url)


def test_without_its_http_client_it_says_what_to_install() -> None:
    """Where the extra is not installed, importing the module names it."""
    code = "import sys; sys.modules['httpx2'] = None; import stagedoor.jwks"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "stagedoor[remote]"' in done.stderr.splitlines()[-1]


@pytest.fixture(autouse=True)
def _only_warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
