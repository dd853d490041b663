"""Strict base64url and strict JSON."""

import contextlib
import json
import time
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedoor.encoding import MAX_DEPTH, MAX_DIGITS, decode, decode_object, encode
from stagedoor.errors import MalformedToken

PROPERTY = settings(max_examples=200, deadline=None)
JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@PROPERTY
@given(st.binary(max_size=200))
def test_decode_undoes_encode(data: bytes):
    """What was encoded comes back, and the text has no padding."""
    assert decode(encode(data)) == data
    assert encode(data) == urlsafe_b64encode(data).decode().rstrip("=")


@PROPERTY
@given(st.text(max_size=60))
def test_any_text_is_canonical_or_refused(text: str):
    """A text is the one encoding of its bytes, or MalformedToken."""
    try:
        data = decode(text)
    except MalformedToken:
        return
    assert encode(data) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"foob", "Zm9vYg"), (b"\x03\xec\xff\xe0\xc1", "A-z_4ME")],
)
def test_vectors(data: bytes, text: str):
    """RFC 4648 section 10 and RFC 7515 appendix C."""
    assert encode(data) == text
    assert decode(text) == data


@pytest.mark.parametrize(
    "text",
    [
        "Zg=", "Zg==", "Zh", "Zm9", "Z", "Zm9vY", "+z_4ME", "A/z_4ME", "Zm 9v", " Zm9v", "Zm9v ", "Zm9v\n", "\tZm9v", "Zm9v\r\n",
        "Zm!9v", "Zm*9v", "Zm9v\x00", "Zm9v.", "\uff3am9v", "Zm9\uff56", "Zm9v\u200b", "é", "=", "====", "-", "_",
        "!!!!Zm9v", "    Zm9v", "\r\n\r\nZm9v", "Zm\n\n\n\n9v", "!!!!Zg", "Z****g", "....Zm8", "Zg==Zm9v", "Zm8=Zg", "====Zm9v",
    ],
)  # fmt: skip
def test_other_texts_for_the_same_bytes_are_refused(text: str):
    """A16: padding, slack bits, the standard alphabet, blanks, foreign characters and half bytes are refused."""
    with pytest.raises(MalformedToken):
        decode(text)


@PROPERTY
@given(st.dictionaries(st.text(), JSON_VALUE, max_size=5))
def test_an_object_comes_back(value: dict):
    """Any JSON object within the limits is read as json reads it, escaped or not."""
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        assert decode_object(text) == value


@PROPERTY
@given(st.binary(max_size=80) | st.text(alphabet='{}[]",:\\0123456789.eE+-u dtrufalsn\ud800', max_size=60))
def test_any_bytes_are_an_object_or_refused(data: bytes | str):
    """Whatever comes in ends in a dict or in MalformedToken."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    with contextlib.suppress(MalformedToken):
        assert type(decode_object(data)) is dict


@pytest.mark.parametrize(
    "data",
    [
        b"", b" ", b"null", b"true", b"1", b'"text"', b"[]", b"[{}]", b"{", b"}", b"{}{}", b"{} x", b"{'a':1}", b"{a:1}", b'{"a":1,}',
        b'{"a":01}', b'{"a":1.}', b'{"a":.5}', b'{"a":+1}', b'{"a":0x1}', b'{"a":"\n"}', b'{"a":"\\x"}', b"\xff", b'{"a":"\xff"}',
        b'{"\xc0\xaf":1}', b'{"a":"\xed\xa0\x80"}', b'\xef\xbb\xbf{"a":1}', '{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-32-le"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_json_object_in_utf_8(data: bytes):
    """Other values, other syntaxes and other encodings are refused."""
    with pytest.raises(MalformedToken):
        decode_object(data)


@pytest.mark.parametrize(
    "data",
    [b'{"a":1,"a":1}', b'{"alg":"none","alg":"ES256"}', b'{"a":{"b":1,"b":2}}', b'{"a":1,"\\u0061":2}', b'[{"a":1,"a":2}]'],
)
def test_a_name_that_stands_twice(data: bytes):
    """RFC 7515 section 4: duplicate names are refused, also nested, also when one is escaped."""
    with pytest.raises(MalformedToken):
        decode_object(data)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * (MAX_DIGITS + 1), "9" * 5000, "0." + "1" * 5000]
)
def test_numbers_that_are_none(number: str):
    """A18: no NaN, no infinity, no number longer than the limit."""
    with pytest.raises(MalformedToken):
        decode_object(f'{{"exp":{number}}}'.encode())


@pytest.mark.parametrize("text", [b'{"a":"\\ud800"}', b'{"\\udfff":1}', b'{"a":["\\ud83d"]}'])
def test_lone_surrogates(text: bytes):
    """RFC 8725 section 3.7: what no UTF-8 can carry is refused, in names and in values."""
    with pytest.raises(MalformedToken):
        decode_object(text)


def test_an_escaped_pair_of_surrogates_is_one_character():
    """A full pair is an ordinary character."""
    assert decode_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth(opening: bytes, closing: bytes):
    """Nesting up to the limit is read, one more is refused, a hundred thousand raise nothing foreign."""
    inner = MAX_DEPTH - 1  # the outer object is the first
    assert decode_object(b'{"a":' + opening * inner + b"1" + closing * inner + b"}")
    for deep in (inner + 1, 100_000):
        with pytest.raises(MalformedToken):
            decode_object(b'{"a":' + opening * deep + b"1" + closing * deep + b"}")


def test_brackets_in_strings_are_not_depth():
    """Only real nesting counts, whatever strings hold."""
    value = {"a": "[{" * 50, "[" * 20: '"[\\"' * 20, "b": [[]]}
    assert decode_object(json.dumps(value).encode()) == value


@pytest.mark.parametrize("mark", [b'\\"', b'"', b"\\\\", b'\\"['])
def test_an_open_string_costs_no_more_than_its_length(mark: bytes):
    """Reading a string that is never closed takes linear time: 600 kB in well under a second, where squares took minutes."""
    data = b'{"a":"' + b"[" * 17 + b'","b":"' + mark * (600_000 // len(mark))
    before = time.thread_time()
    with pytest.raises(MalformedToken):
        decode_object(data)
    assert time.thread_time() - before < 2


@pytest.mark.parametrize("seed", range(64))
def test_mixed_nesting(seed: int):
    """Arrays in objects in arrays, with brackets in the strings beside them: sixteen deep is read, seventeen is not."""
    for deep in (MAX_DEPTH, MAX_DEPTH + 1):
        text = json.dumps('"]}[{\\')
        for level in range(deep):
            array = level < deep - 1 and seed >> level % 6 & 1
            text = f'["[[", {text}, "]]"]' if array else f'{{"{{[": {text}, "}}}}": 0}}'
        if deep == MAX_DEPTH:
            assert decode_object(text.encode()) == json.loads(text)
        else:
            with pytest.raises(MalformedToken):
                decode_object(text.encode())


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("-0", 0),
        ("-0.0", 0.0),
        ("1E5", 1e5),
        ("1e-400", 0.0),
        ("9" * MAX_DIGITS, int("9" * MAX_DIGITS)),
        ("1.0", 1.0),
        ("0." + "5" * (MAX_DIGITS - 2), 5 / 9),
    ],
)
def test_numbers_within_the_limits(number: str, value: float):
    """What JSON calls a number is read as one, whole ones as int and all others as float: a claim of time takes no float."""
    read = decode_object(f'{{"exp":{number}}}'.encode())["exp"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\r"])
def test_blanks(blank: str):
    """RFC 8259 section 2: four characters may stand between the parts, none of Unicode's others."""
    assert decode_object(f'{blank}{{{blank}"a"{blank}:{blank}1{blank}}}{blank}'.encode()) == {"a": 1}
    for other in ("\x00", "\x0b", "\x0c", "\x1f", "\x85", "\xa0", "\u2003", "\u2028", "\ufeff"):
        for text in (f'{other}{{"a":1}}', f'{{"a":1}}{other}', f'{{"a"{other}:1}}'):
            with pytest.raises(MalformedToken):
                decode_object(text.encode())


@pytest.mark.parametrize("code", [*range(0x20)])
def test_control_characters_in_strings(code: int):
    """RFC 8259 section 7: a control character in a string stands escaped."""
    assert decode_object(b'{"a":"\\u%04x"}' % code) == {"a": chr(code)}
    with pytest.raises(MalformedToken):
        decode_object(b'{"a":"%c"}' % code)


def fill(before: bytes, unit: bytes, after: bytes) -> bytes:
    """A payload as long as a token's may be."""
    return before + unit * ((6100 - len(before) - len(after)) // len(unit)) + after


HEAVY = [
    fill(b'{"a":[', unit, b"0]}")
    for unit in (b"0,", b"-0,", b"1e9,", b"{},", b"[],", b'{"":0},', b'"",', b'"\\u0000",', b" 1,", b"9" * 32 + b",", b'{"a":{"a":{}}},')
]
HEAVY += [
    fill(b'{"a":"' + b"[" * 17 + b'","b":"', unit, b'"}') for unit in (b"[", b"[]", b"]", b'\\"', b"\\\\", b"\\u00e9", b"\xe2\x82\xac")
]
HEAVY += [
    fill(b'{"a":[', unit, b'0],"z":"\\u0041"}')
    for unit in (
        b"1e300,",
        b"-3e299,",
        b"1e308,",
        b"1.7976931348623157e308,",
        b"1e23,",
        b"1e-300,",
        b"0.1,",
        b"5e-324,",
        b"[1e300],",
        b'{"a":1e300},',
    )
]
HEAVY += [fill(b'{"a":[', unit, b'"\xc3\xa9"],"z":"\\u0041"}') for unit in (b'"\xc3\xa9",', b'"\\n",', b'"x",')]
HEAVY += [fill(b'{"a":[', unit, b"") for unit in (b"[", b"]", b'"', b"\\", b"{", b'{"":', b" ", b"\xff", b"[{")]
HEAVY += [b"{" + b",".join(b'"%d":0' % n for n in range(700)) + b"}", fill(b"{", b" ", b"}")]


def test_nothing_is_slow():
    """Within the size limit no payload costs a millisecond: the best of some tries, so that a busy machine is not to blame."""
    slowest = max((best_of(data), data[:40]) for data in HEAVY)
    assert slowest[0] < 0.001, slowest


def best_of(data: bytes) -> float:
    """Seconds, the least of up to thirty tries; the first that is fast enough ends it."""
    best = 1.0
    for _ in range(30):
        before = time.thread_time()
        with contextlib.suppress(MalformedToken):
            decode_object(data)
        best = min(best, time.thread_time() - before)
        if best < 0.0005:
            break
    return best


@pytest.mark.parametrize(
    "text", ["\ud800", "\udfff" * 8, "A" * 7 + "\ud800", "\x00" * 8, "\u0660\u0661\u0662\u0663", "\uff21" * 4], ids=ascii
)
def test_texts_that_no_base64_is_made_of(text: str):
    """Lone surrogates, NUL, and the digits and letters of other alphabets are refused as any other foreign character."""
    with pytest.raises(MalformedToken):
        decode(text)
