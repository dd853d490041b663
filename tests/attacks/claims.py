"""A17 to A19, and the kinds of tokens: what the issuer's own key must not be able to say either. All are signed rightly.

Never knows who verifies them.
"""

from __future__ import annotations

import time
from typing import Any

from .forgery import (
    ALGORITHM,
    CLAIM,
    EARLY,
    EXPIRED,
    GENERIC,
    KEY,
    MALFORMED,
    MISSING,
    SIGNATURE,
    Forgeries,
    Given,
    as_json,
    attack,
    forged,
    token,
)

TEXTS = ("iss", "sub", "client_id", "jti", "sid")
TIMES = ("exp", "iat", "auth_time")
WRONG_TIMES: tuple[Any, ...] = (
    None,
    "",
    "1",
    "9999999999",
    "never",
    True,
    False,
    [],
    [9999999999],
    {},
    9999999999.0,
    9999999999.5,
    -1,
    2**60,
)
RAW_TIMES = {
    "1e999": MALFORMED,
    "-1e999": MALFORMED,
    "NaN": MALFORMED,
    "Infinity": MALFORMED,
    "-Infinity": MALFORMED,
    "9" * 5000: MALFORMED,
    "9" * 33: MALFORMED,
    "9" * 31: CLAIM,
    "9e9": CLAIM,
    "9.9e9": CLAIM,
    "01": MALFORMED,
    "+1": MALFORMED,
    "0x7fffffff": MALFORMED,
    "9999999999,": MALFORMED,
    "'9999999999'": MALFORMED,
    "[" * 1000 + "]" * 1000: MALFORMED,
    '{"a":' * 60 + "1" + "}" * 60: MALFORMED,
    "18446744073709551616": CLAIM,
    "-0.0": CLAIM,
    "undefined": MALFORMED,
}

KINDS: tuple[Any, ...] = (
    *("", "JWT", "jwt", "at", "at+jwt ", " at+jwt", "xat+jwt", "at+jwtx", "rt+jwt", "id+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt"),
    *("invitation+jwt", "application/jwt", "text/at+jwt", "application/application/at+jwt", "at+jwt;v=1", MISSING),
)


@attack
def a17(given: Given) -> Forgeries:
    ours = given.payload["iss"]
    scheme, _, rest = ours.partition("://")
    others: tuple[Any, ...] = (
        *(
            f"{ours}/",
            ours[:-1],
            ours[1:],
            f"{ours}.evil.example",
            f"{ours}@evil.example",
            f"{ours}:80",
            f"{ours}#",
            f"{ours}?",
            f"{ours}/x",
        ),
        *(ours.upper(), f" {ours}", f"{ours} ", f"{ours}\n", f"{ours}\0", f"{scheme}://evil.example/{rest}"),
        *(rest, scheme, "", "h", f"{ours},{ours}", f"{ours} https://evil.example", ours.replace("h", "\u04bb"), ours.replace("/", "%2f")),
        *([ours], [ours, "https://evil.example"], ["https://evil.example", ours], [], [[ours]], {ours: ours}, {"0": ours}),
        *(None, True, False, 0, 1, 1.5, MISSING, "null", "https://evil.example"),
    )
    for iss in others:
        yield forged(f"{'missing' if iss is MISSING else repr(iss)}", given.signed(given.claims(iss=iss)), CLAIM)
    twice = as_json(given.payload).replace(b'"iss":', b'"iss":"https://evil.example","iss":', 1)
    yield forged("twice", given.signed(twice), MALFORMED)


@attack
def a18(given: Given) -> Forgeries:
    for name in (*TIMES, "nbf"):
        for value in WRONG_TIMES:
            yield forged(f"{name} {value!r}", given.signed(given.claims(**{name: value})), CLAIM)
        if name != "nbf":
            yield forged(f"{name} missing", given.signed(given.claims(**{name: MISSING})), CLAIM)
    for name in ("exp", "nbf"):
        for raw, code in RAW_TIMES.items():
            text = as_json(given.claims(**{name: "HERE"})).replace(b'"HERE"', raw.encode())
            yield forged(f"{name} {raw}", given.signed(text), code)
    now = int(time.time())
    for exp in (0, 1, now - 1, now - 3600):
        yield forged(f"exp is {exp}", given.signed(given.claims(exp=exp)), EXPIRED)
    for name in ("iat", "nbf"):
        yield forged(f"{name} in an hour", given.signed(given.claims(**{name: now + 3600})), EARLY)
    twice = as_json(given.claims(exp=1)).replace(b'"exp":1', b'"exp":1,"exp":9999999999', 1)
    yield forged("exp twice", given.signed(twice), MALFORMED)
    escaped = as_json(given.claims(exp=1)).replace(b'"exp":1', b'"exp":1,"\\u0065xp":9999999999', 1)
    yield forged("exp twice, once escaped", given.signed(escaped), MALFORMED)
    for name, payload in {
        "nothing": b"",
        "null": b"null",
        "a list": b"[]",
        "a text": b'"x"',
        "a number": b"1",
        "cut": as_json(given.payload)[:-1],
        "two objects": as_json(given.payload) * 2,
        "UTF-16": as_json(given.payload).decode().encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + as_json(given.payload),
        "not UTF-8": as_json(given.claims(note="HERE")).replace(b"HERE", b"\xff"),
        "overlong UTF-8": as_json(given.claims(note="HERE")).replace(b"HERE", b"\xc0\xaf"),
        "a lone surrogate": as_json(given.claims(note="HERE")).replace(b"HERE", b"\\ud800"),
        "a comment": as_json(given.payload)[:-1] + b"/**/}",
        "a comma": as_json(given.payload)[:-1] + b",}",
    }.items():
        yield forged(f"the payload is {name}", given.signed(payload), MALFORMED)


@attack
def a19(given: Given) -> Forgeries:
    audience = given.payload["aud"]
    for name in TEXTS:
        for value in (None, "", 1, 0, 1.5, True, False, [], ["user"], [None], {}, {"a": 1}, MISSING):
            yield forged(f"{name} {'missing' if value is MISSING else repr(value)}", given.signed(given.claims(**{name: value})), CLAIM)
    audiences: tuple[Any, ...] = (
        *(None, "", 1, True, [], [1], [None], [audience, 1], [[audience]], {audience: 1}, {"0": audience}, MISSING),
        *(f"{audience}/", audience[:-1], f"{audience},x", f"{audience} x", audience.upper(), [f"{audience}/", "x"], "*", ["*"]),
    )
    for aud in audiences:
        yield forged(f"aud {'missing' if aud is MISSING else repr(aud)}", given.signed(given.claims(aud=aud)), CLAIM)
    for scope in (
        None,
        0,
        1,
        True,
        ["orders:read"],
        {},
        {"orders:read": 1},
        " orders:read",
        "orders:read ",
        "a  b",
        "a\nb",
        'a"',
        "a\\b",
        "\u00e9",
    ):
        yield forged(f"scope {scope!r}", given.signed(given.claims(scope=scope)), CLAIM)
    for cnf in (None, {}, {"jkt": "x"}, {"x5t#S256": "x"}):
        yield forged(f"cnf {cnf!r}", given.signed(given.claims(cnf=cnf)), CLAIM)
    for kind in KINDS:
        yield forged(f"typ {'missing' if kind is MISSING else repr(kind)}", given.signed(given.payload, typ=kind), CLAIM)
    for odd in (1, True, [], ["at+jwt"], {}):
        yield forged(f"typ {odd!r}", given.signed(given.payload, typ=odd), MALFORMED)


INJECTED: dict[str, Any] = {"null": None, "true": True, "false": False, "a text": "jwt_tool", "0": 0}


@attack
def injected(given: Given) -> Forgeries:
    """jwt_tool's error mode: each of five values in each member, under the kept signature and rightly signed."""
    wrong_head = {"alg": {ALGORITHM}, "kid": {KEY}, "typ": {CLAIM, MALFORMED}}
    for name, value in INJECTED.items():
        for member in (*given.header, "crit", "b64", "jwk", "jku"):
            kept = token(given.named(**{member: value}), given.payload, given.signature)
            yield forged(f"{member} is {name}, kept", kept, *GENERIC)
            if member in (*wrong_head, "crit", "b64"):
                codes = wrong_head.get(member, {MALFORMED})
                yield forged(f"{member} is {name}, signed", given.signed(given.payload, **{member: value}), *codes)
        for claim in given.payload:
            yield forged(f"{claim} is {name}, kept", token(given.header, given.claims(**{claim: value}), given.signature), SIGNATURE)
            if not _fine(claim, value):
                yield forged(f"{claim} is {name}, signed", given.signed(given.claims(**{claim: value})), CLAIM, EXPIRED)


def _fine(claim: str, value: Any) -> bool:
    """Whether the issuer may well say this: any text is a subject, and an application's own claims are anything."""
    if claim in ("sub", "jti", "sid", "client_id", "scope"):
        return type(value) is str
    if claim in ("iat", "auth_time"):
        return type(value) is int
    return claim not in ("iss", "aud", "exp")
