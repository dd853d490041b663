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
    before = time.perf_counter()
    with pytest.raises(MalformedToken):
        decode_object(data)
    assert time.perf_counter() - before < 2
