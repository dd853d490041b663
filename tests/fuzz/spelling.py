"""How a token is spelled: JSON texts, base64url and the three parts, each as it should be and as it should not.

Never knows claims, keys or a verdict.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from random import Random

from fuzz.material import b64
from fuzz.members import Members
from fuzz.values import pick

_BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_BLANKS = (" ", "\t", "\n", "\r", "\r\n", "  ", "", "", "\f", "\v", "\u00a0", "\ufeff", "/**/", "\0")


def write(members: Members) -> bytes:
    """The JSON object of these members."""
    return ("{" + ",".join([f"{name}:{value}" for name, value in members]) + "}").encode("utf-8", "surrogatepass")


def spaced(rng: Random, members: Members) -> bytes:
    """The JSON object with blanks, or with what looks like blanks, somewhere."""
    blank = pick(rng, _BLANKS)
    joints = ["{", ",", "}", ":"]
    at = int(rng.random() * 4)
    joints[at] = blank + joints[at] if rng.random() < 0.5 else joints[at] + blank
    return (joints[0] + joints[1].join([f"{name}{joints[3]}{value}" for name, value in members]) + joints[2]).encode("utf-8")


def _cut(rng: Random, data: bytes) -> bytes:
    return data[: int(rng.random() * len(data))]


def _flipped(rng: Random, data: bytes) -> bytes:
    at = int(rng.random() * len(data))
    return data[:at] + bytes([data[at] ^ (1 << int(rng.random() * 8))]) + data[at + 1 :]


def _planted(rng: Random, data: bytes) -> bytes:
    """Bytes that are no UTF-8, or control characters, before the last quote: inside a text, as a rule."""
    bad = pick(
        rng,
        (
            b"\xff",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\x80",
            b"\xe2\x82",
            b"\0",
            b"\n",
            b"\x1f",
            b"\x7f",
            b"\xc3\xa9",
            b"\xf0\x9f\x98\x80",
        ),
    )
    at = data.rfind(b'"')
    return data[:at] + bad + data[at:] if at >= 0 else data + bad


def _encoded(rng: Random, data: bytes) -> bytes:
    form = pick(rng, ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig", "latin-1", "utf-7"))
    return data.decode("utf-8", "replace").encode(form, "replace")


JSON_CHANGES: dict[str, Callable[[Random, bytes], bytes]] = {
    "cut": _cut,
    "flipped": _flipped,
    "bytes planted": _planted,
    "bytes planted, again": _planted,
    "encoding": _encoded,
    "encoding, again": _encoded,
    "comma too many": lambda rng, data: data[:-1] + b",}",
    "garbage behind": lambda rng, data: data + pick(rng, (b"x", b"{}", b"\0", b"null", b",", b"}", b" ")),
    "in an array": lambda rng, data: b"[" + data + b"]",
    "in a text": lambda rng, data: b'"' + data.replace(b'"', b'\\"') + b'"',
    "something else": lambda rng, data: pick(
        rng, (b"", b"null", b"[]", b"{}", b"5", b'"x"', b"NaN", b"{", b"[" * 5000, b'{"a":' * 1200, b" ", b"\xef\xbb\xbf{}")
    ),
    "single quotes": lambda rng, data: data.replace(b'"', b"'"),
    "names without quotes": lambda rng, data: data.replace(b'{"', b"{", 1).replace(b'":', b":", 1),
    "solidus escaped": lambda rng, data: data.replace(b"/", b"\\/"),
    "a comment": lambda rng, data: data[:-1] + b"/*x*/}",
}


def padded(rng: Random, part: str) -> str:
    """With padding, enough or too much."""
    return part + pick(rng, ("=" * (-len(part) % 4), "=", "==", "===", "====", "%3D"))


def slack(rng: Random, part: str) -> str:
    """Another text for the same bytes: the bits that are left over are set."""
    left = len(part) % 4
    if left < 2:
        return part + pick(rng, ("A", "AA", "=", ""))
    used = {2: 16, 3: 4}[left]
    return (
        part[:-1] + _BASE64URL[_BASE64URL.index(part[-1]) // used * used + 1 + int(rng.random() * (used - 1))]
        if part[-1] in _BASE64URL
        else part
    )


def standard(rng: Random, part: str) -> str:
    """In the alphabet of plain base64."""
    return part.replace("-", "+").replace("_", "/") if rng.random() < 0.7 else part[:5] + "+/" + part[5:]


def foreign(rng: Random, part: str) -> str:
    """With characters that base64url does not have."""
    at = int(rng.random() * (len(part) + 1))
    mark = pick(
        rng,
        (
            " ",
            "\n",
            "\t",
            "\r\n",
            "\0",
            "!",
            "*",
            "~",
            "=",
            "==",
            ".",
            "%",
            "é",
            "\uff21",
            "\u200b",
            "\ud800",
            "\x7f",
            ",",
            "'",
            '"',
            "\x1c",
        ),
    )
    return part[:at] + mark + part[at:]


def shortened(rng: Random, part: str) -> str:
    """Cut, by one character or many."""
    return part[:-1] if rng.random() < 0.5 else part[: int(rng.random() * len(part))]


def hexadecimal(rng: Random, part: str) -> str:
    """Other codes for the same bytes."""
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) if len(part) % 4 != 1 else part.encode()
    return pick(
        rng, (data.hex, lambda: base64.b32encode(data).decode(), lambda: base64.b85encode(data).decode(), lambda: b64(data) + "AA")
    )()


PART_CHANGES: dict[str, Callable[[Random, str], str]] = {
    "padding": padded,
    "padding, again": padded,
    "slack bits": slack,
    "slack bits, again": slack,
    "plain base64": standard,
    "foreign characters": foreign,
    "foreign characters, again": foreign,
    "shortened": shortened,
    "another code": hexadecimal,
    "empty": lambda rng, part: "",
}


def _swapped(rng: Random, parts: list[str]) -> str:
    rng.shuffle(parts)
    return ".".join(parts)


def _serialised(rng: Random, parts: list[str]) -> str:
    """RFC 7515 section 7.2: the same token in the JSON serialisation, or something of both."""
    flat = f'{{"protected":"{parts[0]}","payload":"{parts[1]}","signature":"{parts[2]}"}}'
    return pick(rng, (flat, f'{{"payload":"{parts[1]}","signatures":[{flat}]}}', f'{{"a.{".".join(parts)}.b":1}}', b64(flat.encode())))


def _flipped_text(rng: Random, parts: list[str]) -> str:
    token = ".".join(parts)
    at = int(rng.random() * len(token))
    return token[:at] + pick(rng, _BASE64URL) + token[at + 1 :]


FORM_CHANGES: dict[str, Callable[[Random, list[str]], str]] = {
    "dot behind": lambda rng, parts: ".".join(parts) + ".",
    "dot before": lambda rng, parts: "." + ".".join(parts),
    "a part more": lambda rng, parts: ".".join([*parts, pick(rng, parts)]),
    "a part less": lambda rng, parts: ".".join(parts[:2]),
    "five parts": lambda rng, parts: ".".join([*parts, "", "x"]),
    "dots": lambda rng, parts: "." * pick(rng, (1, 2, 3, 100, 8000)),
    "parts swapped": _swapped,
    "JSON serialisation": _serialised,
    "blanks around": lambda rng, parts: pick(rng, (" ", "\n", "\t", "Bearer ", "\ufeff")) + ".".join(parts) + pick(rng, ("", " ", "\n")),
    "blank behind": lambda rng, parts: ".".join(parts) + pick(rng, (" ", "\n", "\r\n", "\0", "\u2028")),
    "a character flipped": _flipped_text,
    "a character flipped, again": _flipped_text,
    "a case flipped": lambda rng, parts: ".".join(parts).swapcase(),
    "nothing": lambda rng, parts: pick(rng, ("", " ", "null", "undefined", "{}", "a.b.c", "e30.e30.")),
    "another dot": lambda rng, parts: pick(rng, ("\uff0e", "\u3002", "%2E", ",", ":")).join(parts),
}
