"""What the members of headers and claims are changed into: raw JSON texts, so that what no JSON writer writes comes up too.

Never knows a signature, a verdict or what is right. A member is a pair of JSON texts, its name and its value.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

from fuzz.material import AUDIENCE, ISSUER, NOW, SIGNERS
from fuzz.values import ALGS, AUDIENCES, CRITS, ISSUERS, ODD, SCOPES, TEXTS, TIMES, TYPS, escaped, pick, text

Members = list[list[str]]
Change = Callable[[Random, Members], str]
"""Changes the members in place and says what it did."""


def find(members: Members, name: str) -> list[str] | None:
    """The member of this name."""
    wanted = f'"{name}"'
    for member in members:
        if member[0] == wanted:
            return member
    return None


def put(members: Members, name: str, value: str | None) -> None:
    """Give the member this JSON text, add it, or take it away (None)."""
    member = find(members, name)
    if value is None:
        if member is not None:
            members.remove(member)
    elif member is None:
        members.append([f'"{name}"', value])
    else:
        member[1] = value


_NAMES = ("sub", "client_id", "jti", "sid", "scope", "auth_time", "exp", "iat", "iss", "aud")


def change_time(rng: Random, members: Members) -> str:
    """A time claim becomes another one."""
    name = pick(rng, ("exp", "exp", "nbf", "nbf", "iat", "iat", "auth_time"))
    put(members, name, pick(rng, TIMES))
    return name


def change_audience(rng: Random, members: Members) -> str:
    """`aud` becomes another one."""
    put(members, "aud", pick(rng, AUDIENCES))
    return "aud"


def change_issuer(rng: Random, members: Members) -> str:
    """`iss` becomes another one."""
    put(members, "iss", pick(rng, ISSUERS))
    return "iss"


def change_text(rng: Random, members: Members) -> str:
    """A claim that is a text becomes another text."""
    name = pick(rng, ("sub", "client_id", "jti", "sid"))
    put(members, name, pick(rng, TEXTS))
    return name


def change_scope(rng: Random, members: Members) -> str:
    """`scope` becomes another one."""
    put(members, "scope", pick(rng, SCOPES))
    return "scope"


def change_type(rng: Random, members: Members) -> str:
    """A claim becomes something of another type."""
    name = pick(rng, _NAMES)
    put(members, name, pick(rng, ODD))
    return f"type of {name}"


def drop(rng: Random, members: Members) -> str:
    """A member goes."""
    if not members:
        return "nothing to drop"
    member = pick(rng, members)
    members.remove(member)
    return f"no {member[0]}"


def add_binding(rng: Random, members: Members) -> str:
    """The claims of RFC 7800 and RFC 8693."""
    name = pick(rng, ("cnf", "cnf", "act", "may_act"))
    put(members, name, pick(rng, ('{"jkt":"abc"}', "{}", "null", '{"sub":"x"}', '"x"')))
    return name


def nested(rng: Random) -> str:
    """Arrays and objects in each other, about as deep as we allow, or far deeper."""
    depth = pick(rng, (1, 2, 5, 13, 14, 15, 16, 17, 18, 30, 200, 900))
    opening = "".join(pick(rng, ("[", '{"a":')) for _ in range(min(depth, 30)))
    opening += "[" * (depth - 30)
    inner = pick(rng, ("", "1", '"[[[[["')) if opening.endswith("[") else "1"
    return opening + inner + "".join("]" if mark == "[" else "}" for mark in reversed(opening.replace('"a":', "")))


def add_claim(rng: Random, members: Members) -> str:
    """A claim of an application."""
    kind = int(rng.random() * 5)
    if kind == 0:
        value = nested(rng)
    elif kind == 1:
        value = pick(rng, TIMES)
    elif kind == 2:
        value = pick(rng, TEXTS)
    elif kind == 3:
        value = pick(
            rng,
            (
                "01",
                "+1",
                ".5",
                "1.",
                "1e",
                "0x10",
                "1_000",
                "--1",
                "True",
                "None",
                "undefined",
                "-",
                "1e5",
                "-0.0",
                "9" * 32,
                "9" * 33,
                "0." + "1" * 40,
            ),
        )
    else:
        value = pick(rng, ODD)
    members.insert(
        int(rng.random() * (len(members) + 1)),
        [pick(rng, ('"role"', '"x"', '"username"', '""', '"é"', '"__proto__"', '"azp"', '"nonce"')), value],
    )
    return "a claim more"


def duplicate(rng: Random, members: Members) -> str:
    """A name stands twice, with one value or two, in one spelling or two."""
    if not members:
        return "nothing to duplicate"
    name, value = pick(rng, members)
    spelling = pick(rng, (name, name, name, escaped(name.strip('"')), name.upper()))
    other = pick(rng, (value, value, "null", '"x"', str(NOW + 9999), '"none"', text(AUDIENCE)))
    members.insert(int(rng.random() * (len(members) + 1)), [spelling, other])
    return f"{name} twice"


def reorder(rng: Random, members: Members) -> str:
    """Another order."""
    rng.shuffle(members)
    return "order"


def respell(rng: Random, members: Members) -> str:
    """One name in another spelling of the same."""
    if members:
        member = pick(rng, members)
        member[0] = escaped(member[0].strip('"'))
    return "spelling of a name"


def change_alg(rng: Random, members: Members) -> str:
    """`alg` becomes another one."""
    put(members, "alg", pick(rng, ALGS) if rng.random() < 0.9 else pick(rng, ODD))
    return "alg"


def change_typ(rng: Random, members: Members) -> str:
    """`typ` becomes another one."""
    put(members, "typ", pick(rng, TYPS) if rng.random() < 0.9 else pick(rng, ODD))
    return "typ"


def change_kid(rng: Random, members: Members) -> str:
    """`kid` becomes another one."""
    member = find(members, "kid")
    kid = json.loads(member[1]) if member else "kid"
    kid = kid if isinstance(kid, str) else "kid"
    near = (
        kid[:-1],
        kid + "x",
        kid.upper(),
        "",
        " " + kid,
        kid + " ",
        "k" * 255,
        "k" * 256,
        "../../../dev/null",
        "x' UNION SELECT 'a",
        "kid-rs256",
        "kid-hs256",
        "constructor",
    )
    put(
        members,
        "kid",
        pick(rng, (*map(text, near), escaped(kid), text([kid]), '"\\u0000"', '"\\ud800"')) if rng.random() < 0.8 else pick(rng, ODD),
    )
    return "kid"


def add_crit(rng: Random, members: Members) -> str:
    """`crit`, with or without what it names."""
    if rng.random() < 0.75:
        put(members, "crit", pick(rng, CRITS))
    if rng.random() < 0.5:
        put(members, "b64", pick(rng, ("true", "true", "false", "null", '"true"', "0", "1")))
    return "crit"


def add_header(rng: Random, members: Members) -> str:
    """A header parameter that is of no use to us."""
    jwk = text(SIGNERS["ES256"].jwk)
    name, values = pick(
        rng,
        (
            ("jku", ('"https://evil.example/jwks.json"', '"http://127.0.0.1/"', '"file:///etc/passwd"', "5", "null", '""')),
            ("x5u", ('"https://evil.example/c.pem"', '"x"', "[]")),
            ("jwk", (jwk, '{"kty":"oct","k":""}', '"x"', "null", "{}")),
            ("x5c", ('["MIIB"]', '"MIIB"', "[]", "[1]")),
            ("x5t", ('"abc"', "5")),
            ("x5t#S256", ('"abc"', "null")),
            ("cty", ('"JWT"', '"at+jwt"', "5", "null")),
            ("zip", ('"DEF"',)),
            ("enc", ('"A256GCM"',)),
            ("p2c", ("2147483647",)),
            ("iss", (text(ISSUER), "5")),
            ("x", ("1", '"' + "a" * 300 + '"', "NaN", "[[[]]]", "9" * 40, '"\\ud800"')),
            ("", ("1",)),
            ("__proto__", ('{"alg":"none"}',)),
        ),
    )
    put(members, name, pick(rng, values))
    return f"header {name}"


def add_deep_header(rng: Random, members: Members) -> str:
    """A header parameter as deep as can be."""
    put(members, "x", nested(rng))
    return "deep header"


CLAIM_CHANGES: tuple[Change, ...] = (
    *(change_time,) * 6,
    *(change_audience,) * 3,
    *(change_issuer,) * 3,
    *(change_text,) * 2,
    *(drop,) * 2,
    *(duplicate,) * 2,
    *(add_claim,) * 3,
    *(change_scope, change_type, change_type, add_binding, reorder, respell),
)
HEADER_CHANGES: tuple[Change, ...] = (
    *(change_alg,) * 3,
    *(change_typ,) * 3,
    *(change_kid,) * 3,
    *(add_crit,) * 3,
    *(add_header,) * 3,
    *(duplicate,) * 2,
    *(drop, reorder, respell, add_deep_header),
)
