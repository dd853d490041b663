"""Scope."""

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedoor.scope import Scope

TOKEN = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\'), min_size=1, max_size=8)


def test_parse_and_text():
    """A text becomes a set, and the set a sorted text."""
    scope = Scope.parse("orders:write orders:read")
    assert scope == {"orders:read", "orders:write"}
    assert str(scope) == "orders:read orders:write"
    assert repr(scope) == "Scope('orders:read orders:write')"


@settings(max_examples=200, deadline=None)
@given(st.frozensets(TOKEN, max_size=5))
def test_text_and_back(tokens: frozenset[str]):
    """Any set of tokens comes back from its text."""
    assert Scope.parse(str(Scope(tokens))) == tokens


def test_the_empty_scope():
    """No text is no scope, and covers only nothing."""
    assert Scope.parse("") == Scope() == frozenset()
    assert str(Scope()) == ""
    assert Scope().covers(Scope())
    assert not Scope().covers(Scope(["a"]))


@pytest.mark.parametrize(
    ("held", "required", "covered"),
    [
        ("a b", "a", True),
        ("a b", "a b", True),
        ("a", "a b", False),
        ("orders", "orders:read", False),
        ("orders:*", "orders:read", False),
        ("A", "a", False),
    ],
)
def test_covers(held: str, required: str, covered: bool):
    """Each required token must be there to the letter: no prefix, no star, no other case."""
    assert Scope.parse(held).covers(Scope.parse(required)) is covered


@pytest.mark.parametrize("text", [" ", " a", "a ", "a  b", "a\tb", "a\nb", 'a"b', "a\\b", "é", "a\x7fb", "a\x00", "a\u00a0b"])
def test_foreign_characters(text: str):
    """RFC 6749 section 3.3: other characters and other spacing are ValueErrors."""
    with pytest.raises(ValueError):
        Scope.parse(text)


def test_a_text_is_no_set_of_tokens():
    """Scope("abc") would be three tokens: it is a TypeError."""
    with pytest.raises(TypeError):
        Scope("orders:read")


def test_it_travels():
    """A scope can be copied and pickled."""
    scope = Scope(["a", "b"])
    assert pickle.loads(pickle.dumps(scope)) == copy.copy(scope) == scope
    assert hash(scope) == hash(Scope(["b", "a"]))
