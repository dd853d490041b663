"""Values for members of headers and claims: right, nearly right and wrong, as raw JSON texts.

Never knows who changes what into them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from fuzz.material import AUDIENCE, ISSUER, NOW, SIGNERS


def pick(rng: Random, options: Sequence[Any]) -> Any:
    """One of these; quicker than rng.choice."""
    return options[int(rng.random() * len(options))]


def text(value: Any) -> str:
    """Plain JSON."""
    return json.dumps(value)


def escaped(value: str) -> str:
    """The same text with its first character escaped: another spelling of the same value."""
    return f'"\\u{ord(value[0]):04x}{value[1:]}"' if value else '""'


ODD = (
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    '""',
    '" "',
    "[]",
    "{}",
    "[[]]",
    '[""]',
    "[null]",
    "1.5",
    '"\\u0000"',
    "1e2",
    '{"a":1}',
    "NaN",
)
"""Values that are wrong nearly everywhere."""
ALGS = (
    *(text(each) for each in SIGNERS),
    *(
        text(each)
        for each in ("none", "None", "NONE", "nOnE", "", "hs256", "es256", "HS256 ", "ES256K", "ES521", "ECDSA", "Ed448", "dir", "RSA1_5")
    ),
    '["HS256"]',
    '"HS256\\u0000"',
    "null",
)
TYPS = (
    *(
        text(each)
        for each in ("AT+JWT", "at+JWT", "application/at+jwt", "Application/AT+JWT", "JWT", "jwt", "at+jwt ", " at+jwt", "at", "", "+jwt")
    ),
    *(
        text(each)
        for each in (
            "application/application/at+jwt",
            "test+jwt",
            "application/test+jwt",
            "TEST+JWT",
            "refresh+jwt",
            "dpop+jwt",
            "text/at+jwt",
        )
    ),
    '"at+jwt\\u0000"',
    '"\\u0061t+jwt"',
    '"at+jwt;v=1"',
    '["at+jwt"]',
)
TIMES = (
    *(str(NOW + step) for step in (-86400, -61, -60, -11, -10, -9, -2, -1, 0, 1, 2, 9, 10, 11, 12, 60, 3600, 10**9)),
    *(str(NOW + step) + ending for step in (-20, -1, 0, 1, 20, 900) for ending in (".0", ".5", ".999999")),
    *(f'"{NOW + step}{ending}"' for step in (-900, 900) for ending in ("", ".0", " ", "s")),
    *(
        "-1",
        "-0",
        "0",
        "0.0",
        "1",
        "1e10",
        "1.75e9",
        "1e16",
        "1E400",
        "-1E400",
        "1e308",
        "NaN",
        "Infinity",
        "-Infinity",
        '"NaN"',
        '"inf"',
        '"1_850_000_000"',
    ),
    *(str(2**53 + step) for step in (-1, 0, 1)),
    *(str(value) for value in (2**31, 2**32, 2**63, 2**64, 10**30, 10**31, 10**32, 10**40, 10**400)),
    "1" + "0" * 4400,
    *(
        '"' + "".join(chr(0xFF10 + int(digit)) for digit in "1850000000") + '"',
        '"0x7fffffff"',
        '"2030-01-01T00:00:00Z"',
        '["1850000000"]',
        '{"value":1850000000}',
        "[1850000000]",
        "true",
        "null",
        '""',
    ),
)


def _around(right: str) -> tuple[str, ...]:
    """Texts that are nearly this one."""
    near = (
        right[:-1],
        right + "/",
        right + ".evil.example",
        right.upper(),
        right.title(),
        " " + right,
        right + " ",
        right[1:],
        "",
        "*",
        right[:8],
        right + "\n",
    )
    other = "https://other.example"
    lists = (
        [right],
        [right, other],
        [other, right],
        [other],
        [[right]],
        [right, 5],
        [5, right],
        [right, None],
        [None],
        [],
        [right, right],
        [""],
        ["", right],
    )
    return (
        *(text(each) for each in near),
        *(text(each) for each in lists),
        *(text([each]) for each in near),
        text({right: 1}),
        text({"aud": right}),
        text([right + "x", "x" + right]),
        escaped(right),
        f"[{escaped(right)}]",
        text(list(right)),
        text(right[:-1] + "\u0435"),
    )


AUDIENCES, ISSUERS = _around(AUDIENCE), _around(ISSUER)
SCOPES = (
    *(
        text(each)
        for each in ("", "a", "a b", "a  b", " a", "a ", "a\tb", "a\nb", "é", 'a"b', "a\\b", "a,b", "\x7f", "x" * 300, "a a", "!", "~")
    ),
    *('["a"]', "null", "5", "{}", '"\\u0000"', '"a\\u0020b"', '"\\ud800"'),
)
TEXTS = (
    *(
        text(each)
        for each in (
            "",
            " ",
            "0",
            "é",
            "日本",
            "a" * 255,
            "a" * 300,
            "../../etc/passwd",
            "' OR 1=1 --",
            "\x00",
            "a\x00b",
            "null",
            "\U0001f600",
        )
    ),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u00e9"', '"\\/"', '"\\x41"', '"\t"', '"\\', "'a'"),
)
CRITS = (
    "[]",
    '["exp"]',
    '["b64"]',
    '["alg"]',
    '["b64","b64"]',
    '"b64"',
    "null",
    "[1]",
    '{"b64":true}',
    '["crit"]',
    '[""]',
    '["kid","typ"]',
    '["x"]',
    "true",
    '""',
)
