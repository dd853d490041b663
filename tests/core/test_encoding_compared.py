"""Strict base64url and strict JSON, compared: the quick decoders with those of the standard library, made strict."""

import binascii
import itertools
import json
import re
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedoor import encoding
from stagedoor.encoding import MAX_DEPTH, decode, decode_object, encode
from stagedoor.errors import MalformedToken

MANY = settings(max_examples=300, deadline=None)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_TO_STANDARD = str.maketrans("-_", "+/")


def reference(text: str) -> bytes | None:
    """The bytes of canonical base64url, with the standard library alone; None where it is none."""
    if not _BASE64URL.fullmatch(text):
        return None
    try:
        data = binascii.a2b_base64(text.translate(_TO_STANDARD) + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return data if urlsafe_b64encode(data).rstrip(b"=").decode("ascii") == text else None


def decoded(text: str) -> bytes | None:
    try:
        return encoding.decode(text)
    except MalformedToken:
        return None


def short() -> Iterator[str]:
    """All texts of one and two characters of latin-1, of three of our alphabet, and with one of latin-1 among few others in each place."""
    latin = [chr(code) for code in range(256)]
    few = "Aw9-=+"
    yield from latin
    yield from map("".join, itertools.product(latin, latin))
    yield from map("".join, itertools.product(ALPHABET, ALPHABET, ALPHABET))
    for length in (3, 4):
        for place in range(length):
            yield from map("".join, itertools.product(*(latin if each == place else few for each in range(length))))
    yield from map("".join, itertools.product("Ag_=\n", repeat=7))


@pytest.mark.once
def test_short_texts():
    """Of each short text the same bytes, or none; and no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in short():
            assert decoded(text) == reference(text), ascii(text)


TEXTS = (
    st.text(max_size=80)
    | st.text(st.characters(max_codepoint=255), max_size=80)
    | st.text(ALPHABET, max_size=400)
    | st.text(f"{ALPHABET}+/=", max_size=400)
)


@MANY
@given(TEXTS)
def test_any_text(text: str):
    """Of any text the same bytes as the standard library's, or none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decoded(text) == reference(text)


@MANY
@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_canonical_text_with_something_changed(data: bytes, draw: st.DataObject):
    """A text that is canonical but for a character that was changed, put in, left out or added, in any of the library's blocks."""
    text = encode(data)
    place, other = draw.draw(st.integers(0, len(text))), draw.draw(st.sampled_from([*"+/=-_A \n\x00\x7f\x80\xe9\u0141\uff21", "==", ""]))
    for changed in (
        text[:place] + other + text[place + 1 :],
        text[:place] + other + text[place:],
        text[:place] + text[place + 1 :],
        text + other,
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert decoded(changed) == reference(changed)


def test_each_place():
    """A foreign character is found in each place of a text, however many bytes the library takes at one time."""
    for length in (1, 2, 3, 4, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 8190, 8191, 8192):
        text = ("Stage-door_" * 800)[:length]
        assert decoded(text) == reference(text)
        for place in range(0, length, max(1, length // 300)):
            for other in "+/= \n\x00\x80\u0100":
                assert decoded(text[:place] + other + text[place + 1 :]) is None


# JSON

SCALAR: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) - 2, 2**53 + 2)
    | st.integers(-(10**32), 10**32)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [0.0, -0.0, 1e16, 1e22, 1e23, 5e-324, 1.7976931348623157e308, 9007199254740993.0, 0.1, 2**63, 2**64 - 1, 2**64, -(2**63)]
    )
    | st.text(max_size=20)
)
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=8
)
OBJECT = st.dictionaries(st.text(max_size=6) | st.sampled_from(["iss", "aud", "", "_0", "__class__"]), VALUE, max_size=6)


def read(data: bytes, how: Any) -> tuple[type, str]:
    """What `how` reads, types and the order of names with it: as text, where 1, 1.0 and True differ, and 0.0 and -0.0."""
    try:
        return dict, repr(how(data))
    except MalformedToken as error:
        return MalformedToken, str(error)


def same(data: bytes) -> bool:
    quick, strict = read(data, decode_object), read(data, encoding._decode_strictly)
    assert quick == strict, data
    return quick[0] is dict


@MANY
@given(OBJECT)
def test_any_object(value: dict[str, Any]):
    """An object, written by msgspec, compactly by json, or with blanks and escapes, is what the strict reader makes of it."""
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    same(compact)
    same(json.dumps(value).encode())
    plain = {name: each for name, each in value.items() if not isinstance(each, int) or abs(each) < 2**63}
    try:
        same(msgspec.json.encode(plain))
    except (OverflowError, UnicodeEncodeError, TypeError):
        return


@MANY
@given(OBJECT, st.data())
def test_an_object_with_something_changed(value: dict[str, Any], draw: st.DataObject):
    """With bytes changed, put in or left out anywhere, it is read as the strict reader reads it, or refused for the same reason."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    place = draw.draw(st.integers(0, len(text)))
    other = draw.draw(
        st.binary(max_size=2) | st.sampled_from([b'"', b",", b"\\", b"\\u0061", b"[", b"}", b"0", b"e", b".", b"-", b" ", b"\xed\xa0\x80"])
    )
    same(text[:place] + other + text[place:])
    same(text[:place] + other + text[place + 1 :])


@MANY
@given(st.text(alphabet='{}[]",:\\0123456789.eE+-u dtrufalsn\ud800é\x00\x7f', max_size=40))
def test_anything_in_an_object(text: str):
    """Whatever stands as the value of a member, or beside it."""
    data = text.encode("utf-8", "surrogatepass")
    for around in (b'{"a":%s}', b'{"a":1,%s}', b'{"a":"%s"}', b'{"%s":1}', b'{"a":[%s]}', b"%s"):
        same(around.replace(b"%s", data))


NUMBERS = [
    f"{sign}{whole}{rest}{power}"
    for sign in ("", "-")
    for whole in ("0", "1", "9007199254740992", "9007199254740993", "18446744073709551616", "00", "9" * 32, "9" * 33)
    for rest in ("", ".", ".0", ".5", ".10", ".30000000000000004")
    for power in ("", "e", "e0", "e5", "e+5", "E5", "e-5", "e16", "e22", "e23", "e308", "e309", "e400", "e-400", "e99999999999999999999")
]


def test_numbers():
    """Each way to write a number, of which msgspec has one and JSON has many."""
    accepted = sum(same(f'{{"a":{number}}}'.encode()) + same(f'{{"a":[{number}]}}'.encode()) for number in NUMBERS)
    assert 400 < accepted < 2 * len(NUMBERS)


def test_other_ways_to_write():
    """Names that stand twice, blanks, escapes and what comes after the object, none of which msgspec minds."""
    for text in (
        b'{"a":1,"a":1}', b'{"a":1,"b":2,"a":3}', b'{"a":{"b":1,"b":2}}', b'{"a":[{"b":1,"b":2}]}', b'{"a":1,"\\u0061":2}', b'{"a":-0}',
        b'{"a": 1}', b' {"a":1}', b'{"a":1}\n', b'{"a":"\\u0062"}', b'{"a":"\\/"}', b'{"a":"\\u000a"}', b'{"a":"\\ud800"}', b'{"a":"\x7f"}',
    ):  # fmt: skip
        same(text)


def test_depth():
    """Up to the limit and over it, of arrays and of objects, with what msgspec reads beside what it does not."""
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")):
        found = [same(b'{"b":1,"a":' + opening * deep + b"1" + closing * deep + b"}") for deep in range(MAX_DEPTH + 2)]
        assert found == sorted(found, reverse=True)


class Takes:
    """A writer that writes whatever it was read from."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def lenient(text: str) -> bytes:
    """As a library's base64url often is."""
    try:
        return binascii.a2b_base64(text.translate(_TO_STANDARD) + "=" * (-len(text) % 4))
    except ValueError:
        raise MalformedToken from None


FAULTS: dict[str, tuple[str, Any, Callable[..., Any]]] = {
    "nothing is written again": ("_write", lambda value: Takes(), test_other_ways_to_write),
    "any value is plain": ("_PLAIN", msgspec.json.Decoder(dict[str, Any]), test_depth),
    "slack bits are taken": ("_LAST", (frozenset(ALPHABET),) * 4, test_short_texts),
    "padding is taken": ("_LAST", (frozenset(f"{ALPHABET}="), *encoding._LAST[1:]), test_short_texts),
    "half bytes are taken": ("decode", lambda text: decode(text[:-1] if len(text) % 4 == 1 else text), test_short_texts),
    "the standard alphabet is taken": ("decode", lambda text: decode(text.replace("+", "-").replace("/", "_")), test_each_place),
    "foreign characters are passed over": ("decode", lambda text: lenient(text), test_short_texts),
}


@pytest.mark.once
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch):
    """With a decoder that is more lenient, the comparison fails."""
    name, planted, test = FAULTS[fault]
    monkeypatch.setattr(encoding, name, planted)
    with pytest.raises(AssertionError):
        test()
