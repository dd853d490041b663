"""A7 to A11: forgeries by what a header may name: keys, addresses, certificates, names of keys, critical parameters.

Never knows who verifies them.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from .forgery import (
    ALGORITHM,
    KEY,
    MALFORMED,
    MARK,
    MISSING,
    SIGNATURE,
    Forgeries,
    Given,
    as_json,
    attack,
    b64,
    by_stranger,
    forged,
    mac,
    public_jwk,
    stranger,
    token,
)
from .sinkhole import STRANGER

SIGNERS = ("ES256", "RS256", "Ed25519")
CRITICAL: tuple[dict[str, Any], ...] = (
    {"crit": ["exp"], "exp": 1},
    {"crit": []},
    {"crit": ["alg"]},
    {"crit": ["b64", "b64"], "b64": True},
    {"crit": ["b64"], "b64": False},
    {"crit": ["b64"]},
    {"crit": "b64", "b64": False},
    {"crit": None},
    {"crit": [None]},
    {"crit": {"b64": True}, "b64": True},
    {"crit": ["http://example.com/UNDEFINED"], "http://example.com/UNDEFINED": True},
    {"crit": ["bork"], "bork": "x"},
    {"b64": False},
    {"b64": True},
    {"b64": None},
)


def code_of(given: Given, alg: str, kid: Any) -> str:
    """What refuses a stranger's signature under this name of a key."""
    if kid != given.kid:
        return KEY
    return SIGNATURE if alg == given.alg else ALGORITHM


def kids(given: Given) -> dict[str, Any]:
    return {"our kid": given.kid, "his kid": STRANGER, "no kid": MISSING}


@attack
def a7(given: Given) -> Forgeries:
    for alg in (*SIGNERS, "HS256"):
        own = stranger(alg)
        public = own if isinstance(own, bytes) else own.public_key()
        for name, kid in kids(given).items():
            jwk = public_jwk(public, kid=given.kid if kid is MISSING else kid, alg=alg, use="sig")
            head = given.named(alg=alg, kid=kid)
            code = code_of(given, alg, kid)
            yield forged(f"{alg}, {name}", token(head | {"jwk": jwk}, given.admin, by_stranger(alg)), code)
            yield forged(f"{alg}, {name}, a JWKS", token(head | {"jwk": {"keys": [jwk]}}, given.admin, by_stranger(alg)), code)
            yield forged(f"{alg}, {name}, as jwks", token(head | {"jwks": {"keys": [jwk]}}, given.admin, by_stranger(alg)), code)
            yield forged(f"{alg}, {name}, as kid", token(head | {"kid": jwk}, given.admin, by_stranger(alg)), KEY)


def addresses(given: Given) -> dict[str, str]:
    """Addresses that lead to the attacker's server or to where nothing should ask, in the forms that get past lists of good hosts."""
    found: dict[str, str] = {}
    good = str(given.payload["iss"]).partition("://")[2].partition("/")[0]
    for url in given.sinkholes:
        place = url.partition("://")[2]
        found |= {
            f"{place}": f"{url}/jwks.json",
            f"{place}, good host as a user": f"http://{good}@{place}/jwks.json",
            f"{place}, good host as a user and password": f"http://{good}:80@{place}/jwks.json",
            f"{place}, good host behind #": f"{url}/jwks.json#{good}/.well-known/jwks.json",
            f"{place}, good host behind ?": f"{url}/jwks.json?{good}/.well-known/jwks.json",
            f"{place}, good host in the path": f"{url}/{good}/.well-known/jwks.json",
            f"{place}, backslash": f"http:\\\\{place}\\jwks.json",
            f"{place}, no scheme": f"//{place}/jwks.json",
            f"{place}, upper case": f"HTTP://{place}/jwks.json",
            f"{place}, blanks": f" \t{url}/jwks.json\n",
            f"{place}, an open redirect": f"{given.payload['iss']}/login?next={url}/jwks.json",
            f"{place}, a path upwards": f"{given.payload['iss']}/../..//{place}/jwks.json",
        }
    port = given.sinkholes[0].rpartition(":")[2]
    for host in ("127.1", "2130706433", "0x7f000001", "017700000001", "[::ffff:127.0.0.1]", "0", "localhost.", "127.0.0.1.nip.io"):
        found[f"{host}, as loopback"] = f"http://{host}:{port}/jwks.json"
    for url in (
        "https://evil.example/jwks.json",
        f"https://{good}@evil.example/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/latest/",
        "http://metadata.google.internal/",
    ):
        found[url] = url
    for url in (
        "file:///etc/passwd",
        "file:///dev/null",
        f"gopher://127.0.0.1:{port}/_GET",
        f"ftp://127.0.0.1:{port}/",
        "data:,{}",
        "jar:x",
    ):
        found[url] = url
    return found


@attack
def a8(given: Given) -> Forgeries:
    for place, url in addresses(given).items():
        for member in ("jku", "x5u"):
            for name, kid in kids(given).items():
                head = given.named(alg="ES256", kid=kid, **{member: url})
                yield forged(f"{member}, {name}, {place}", token(head, given.admin, by_stranger("ES256")), code_of(given, "ES256", kid))
    url = f"{given.sinkholes[0]}/jwks.json"
    issued = given.admin | {"iss": given.sinkholes[0]}
    for member in ("jku", "x5u", "jwk", "jwks", "jwks_uri", "x5c", "x5t", "url", "iss", "cty", "typ", "zip", "enc", "epk", "apu", "kid"):
        for form, value in {"text": url, "list": [url], "object": {"url": url, "kid": STRANGER}}.items():
            code = KEY if member == "kid" else code_of(given, "RS256", given.kid)
            head = given.named(alg="RS256", **{member: value})
            yield forged(f"{member} as {form}", token(head, issued, by_stranger("RS256")), code)
    yield forged("iss in the payload alone", token(given.named(kid=STRANGER), issued, by_stranger(given.alg)), KEY)


@cache
def certificate(alg: str) -> bytes:
    """A certificate that the attacker made out to himself, in DER."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "auth.example")])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    private = stranger(alg)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin.replace(year=2049))
        .sign(private, None if alg == "Ed25519" else hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.DER)


@attack
def a9(given: Given) -> Forgeries:
    for alg in SIGNERS:
        der = certificate(alg)
        text = base64.b64encode(der).decode()
        prints = {"x5t": b64(hashlib.sha1(der).digest()), "x5t#S256": b64(hashlib.sha256(der).digest())}
        for name, kid in kids(given).items():
            head = given.named(alg=alg, kid=kid, **prints)
            for form, chain in {
                "chain": [text],
                "two": [text, text],
                "text": text,
                "urls": [b64(der)],
                "empty": [],
                "numbers": [1],
                "cut": ["MIIB"],
                "cut text": "MIIB",
            }.items():
                code = code_of(given, alg, kid)
                yield forged(f"{alg}, {name}, {form}", token(head | {"x5c": chain}, given.admin, by_stranger(alg)), code)
        as_kid = token(given.named(alg=alg, kid=prints["x5t#S256"]), given.admin, by_stranger(alg))
        yield forged(f"{alg}, the print as kid", as_kid, KEY)


NAMES: tuple[Any, ...] = (
    *("/dev/null", "../../dev/null", "../../../../../../../dev/null", "file:///dev/null", "..\\..\\nul", "....//....//dev/null"),
    *("%2e%2e%2fdev%2fnull", "/proc/sys/kernel/randomize_va_space", "../../../../../etc/passwd", "keys.json", "/etc/hostname"),
    *("x' UNION SELECT 'secret' -- ", "' OR '1'='1", "1; DROP TABLE stagedoor_sessions"),
    *("x\" UNION SELECT \"secret", "*", "%", "' OR 1=1 LIMIT 1 #"),
    *("key.pem; sleep 10", "key.pem | sleep 10", "| sleep 10 |", "$(sleep 10)", "`sleep 10`", "& ping -c 10 127.0.0.1 &", "\n sleep 10 \n"),
    *("\0", "a\0b", "\n", "\r\nX-Injected: yes", "\x1b[2J", "%00", "%0d%0a", "{{7*7}}", "${jndi:ldap://127.0.0.1:1/a}", "%s%s%n", "\ud800"),
    *("k" * 255, "k" * 256, "k" * 4000, "__proto__", "constructor", "toString", "hasOwnProperty", "__class__", "__init__", "None", "null"),
    *("\u00e9", "\u202e", "\U0001f511", "", " ", None, 0, 1, -1, 1.5, 2**31, True, False, [], [""], {}, {"a": 1}, {"$ne": None}, [[]]),
)  # fmt: skip
CONTENTS = {"empty": b"", "NUL": b"\0", "secret": b"secret", "a known file": b"2\n"}


@attack
def a10(given: Given) -> Forgeries:
    for place, kid in enumerate(NAMES):
        code = MALFORMED if kid == "\ud800" else KEY
        for content, secret in CONTENTS.items():
            text = token(given.named(alg="HS256", kid=kid), given.admin, mac(secret))
            yield forged(f"{place} {kid!r}, {content}", text, code)
    for near in (
        given.kid + "\0",
        given.kid + " ",
        f" {given.kid}",
        given.kid.swapcase(),
        given.kid[:-1],
        f"{given.kid}a",
        f"./{given.kid}",
    ):
        yield forged(f"nearly ours, {near!r}", given.signed(given.payload, kid=near), KEY)
    for form, value in {"a list of ours": [given.kid], "an object of ours": {"kid": given.kid}, "left out": MISSING}.items():
        yield forged(form, given.signed(given.payload, kid=value), KEY)
    yield forged("64 KiB", token(given.named(alg="HS256", kid="k" * 65536), given.admin, mac(b"")), MALFORMED)


@attack
def a11(given: Given) -> Forgeries:
    for place, more in enumerate(CRITICAL):
        yield forged(f"{place} {more}", given.signed(given.payload, **more), MALFORMED)
    # RFC 7797: what is signed is the payload itself. The middle part may then be no base64 at all.
    for form, more in {"critical": {"b64": False, "crit": ["b64"]}, "not critical": {"b64": False}}.items():
        first = b64(as_json(given.named(**more)))
        for payload in (as_json(given.payload), b"$02", MARK.encode()):
            signed = b"%s.%s" % (first.encode(), payload)
            text = f"{signed.decode()}.{b64(given.sign(signed))}"
            yield forged(f"b64 false, {form}, {payload[:8]!r}", text, MALFORMED)
        unsigned = f"{first}.{b64(as_json(given.payload))}"
        raw = given.sign(f"{first}.".encode() + as_json(given.payload))
        yield forged(f"b64 false, {form}, base64 shown", f"{unsigned}.{b64(raw)}", MALFORMED)
    appendix_e = (
        "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRklORUQiOnRydWUNCn0"
        ".RkFJTA."
    )
    yield forged("RFC 7515 appendix E", appendix_e, MALFORMED)
