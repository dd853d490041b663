"""Spans of time."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedoor.lifetime import seconds


@pytest.mark.parametrize(
    ("span", "expected"),
    [("1s", 1), ("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604_800), ("2w", 1_209_600), (1, 1), (900, 900), ("015m", 900)],
)
def test_spans(span: str | int, expected: int):
    """A text with its unit, or a number of seconds."""
    assert seconds(span) == expected


@pytest.mark.parametrize(
    "span",
    [
        "", "15", "900", "m", "15 m", " 15m", "15m ", "15m\n", "15M", "15min", "1h30m",
        "1.5h", "-1h", "+1h", "0s", "0m", 0, -1, "1y", "\uff11\uff15m", "1e3s", "9" * 10 + "s",
    ],
)  # fmt: skip
def test_no_spans(span: str | int):
    """A text without unit, nothing, less than nothing and other ways of writing are ValueErrors."""
    with pytest.raises(ValueError):
        seconds(span)


@pytest.mark.parametrize("span", [None, True, False, 1.5, b"15m", [15], {"minutes": 15}])
def test_other_types(span: object):
    """Anything but str and int is a TypeError; a bool is no number of seconds."""
    with pytest.raises(TypeError):
        seconds(span)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12))
def test_any_text_is_a_span_or_a_value_error(text: str):
    """No text raises anything else."""
    with contextlib.suppress(ValueError):
        assert seconds(text) > 0
