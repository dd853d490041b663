"""Strict base64url and strict JSON objects: one text for one value, or MalformedToken.

Never knows what the bytes mean.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, NoReturn

import msgspec
from pybase64 import b64decode, b64encode_as_string

from stagedoor.errors import MalformedToken

MAX_TOKEN = 8 * 1024
"""Bytes a token may have; longer ones are refused before anything is parsed."""
MAX_DEPTH = 16
"""How deep arrays and objects may be nested."""
MAX_DIGITS = 32
"""How many characters a number may have."""

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST = (frozenset(_ALPHABET), frozenset[str](), frozenset(_ALPHABET[::16]), frozenset(_ALPHABET[::4]))
"""How a text may end, by its length modulo 4: the bits that are left over are 0."""
_PADDING = ("", "", "==", "=")
# No float: each one from about 1e299 on costs msgspec as much as a signature, and a header of them comes before any.
_Scalar = str | Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)] | bool | None
_Innermost = _Scalar | list[_Scalar] | dict[str, _Scalar]
_Inner = _Scalar | list[_Innermost] | dict[str, _Innermost]
Member = _Scalar | list[_Inner] | dict[str, _Inner]
"""The type of what nearly all members of JSON objects are, far inside of all limits."""
_PLAIN = msgspec.json.Decoder(dict[str, Member])
_write = msgspec.json.Encoder().encode
# A string that is never closed is taken to its end all the same: looked at again from each quote in it, 8 KiB would cost 70 ms.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_ONE_KIND_OF_BRACKET = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def encode(data: bytes) -> str:
    """Bytes as base64url without padding (RFC 7515 section 2)."""
    return b64encode_as_string(data, b"-_").rstrip("=")


def decode(text: str) -> bytes:
    """The bytes of canonical base64url: no padding, no foreign character, no slack bits; else MalformedToken."""
    # The library takes the standard alphabet too, and padding, and lets slack bits pass: several texts for one value.
    beyond = len(text) & 3
    if (text and text[-1] not in _LAST[beyond]) or "+" in text or "/" in text:
        raise MalformedToken("base64url that is not canonical")
    try:
        return b64decode(text + _PADDING[beyond] if beyond else text, b"-_", True)
    except ValueError:  # binascii.Error is one
        raise MalformedToken("not base64url") from None


def decode_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`: UTF-8, no duplicate names, no NaN, bounded depth and digits; else MalformedToken."""
    try:
        plain: dict[str, Any] = _PLAIN.decode(data)
        # What is written again to the very same bytes has one reading: no name stands twice in it, no mark is written in two ways.
        if _write(plain) == data:
            return plain
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    return _decode_strictly(data)


def _decode_strictly(data: bytes) -> dict[str, Any]:
    """What is not plain, whoever has written it; and the reason why something is none."""
    _check_depth(data)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_int=_integer,
            parse_float=_real,
            parse_constant=_no_constant,
        )
        # A lone surrogate can be escaped into a JSON string, but no UTF-8 can carry it (RFC 8259 section 8.2).
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except MalformedToken:
        raise
    except ValueError:  # JSONDecodeError, UnicodeDecodeError and UnicodeEncodeError are ValueErrors
        raise MalformedToken("not JSON in UTF-8") from None
    if type(value) is not dict:
        raise MalformedToken("not a JSON object")
    return value


def _check_depth(data: bytes) -> None:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return  # too few brackets to be deep: the common case costs two counts
    # Nothing but the brackets outside of strings; then the innermost pairs fall away, one level a time. What stays is deeper, or no JSON.
    # Nobody is told which: in Python a loop over the brackets would cost more than all the rest.
    brackets = _STRING.sub(b"", data).translate(_ONE_KIND_OF_BRACKET, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise MalformedToken("JSON nested too deeply, or not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedToken("a JSON name stands twice")
    return members


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise MalformedToken("a JSON number with too many digits")
    return int(text)


def _real(text: str) -> float:
    if len(text) > MAX_DIGITS:
        raise MalformedToken("a JSON number with too many digits")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise MalformedToken("a JSON number out of range")
    return value


def _no_constant(name: str) -> NoReturn:
    raise MalformedToken(f"{name} is not JSON")
