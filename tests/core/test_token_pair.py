"""TokenPair and Grant: which texts can be kept, and what the next access token may say."""

import pytest

from stagedoor import Scope
from stagedoor.encoding import encode
from stagedoor.errors import InvalidScope, SessionUnreadable
from stagedoor.session import Session
from stagedoor.token_pair import Grant, check_text, granted


def session(scope: str = "a b") -> Session:
    return Session(bytes(range(16)), "user", "web", scope, {"plan": "free"})


@pytest.mark.parametrize("text", ["", "ada", "x" * 1024, "é" * 512, "\x01\x7f", "\ud7ff\ue000", "\U0001f600"])
def test_texts_that_every_store_keeps(text: str):
    """Up to 1,024 bytes of whole characters."""
    check_text("subject", text)


@pytest.mark.parametrize(
    "text", ["x" * 1025, "é" * 513, "\0", "a\0b", *map(chr, (0xD800, 0xDBFF, 0xDC00, 0xDFFF)), None, 1, b"ada", ["a"]], ids=ascii
)
def test_texts_that_not_every_store_keeps(text: object):
    """A byte more, a NUL, half a character, or no text: ValueError."""
    with pytest.raises(ValueError):
        check_text("subject", text)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [str, Scope.parse])
def test_never_more_than_was_granted_at_login(kind: type[str] | type[Scope]):
    """A grant narrows the session's scope as text or as Scope, and so does what is asked for; more is asked for in vain."""
    assert granted(Grant(), session()) == (Scope(["a", "b"]), {"plan": "free"})
    assert granted(Grant(scope=kind("b c"), claims={"n": 1}), session()) == (Scope(["b"]), {"n": 1})
    assert granted(Grant(), session(), kind("a"))[0] == Scope(["a"])
    with pytest.raises(InvalidScope):
        granted(Grant(scope=kind("b")), session(), kind("a"))


def test_a_scope_that_is_none():
    """One in the request is refused; one in the session's row is told with the session's id."""
    with pytest.raises(InvalidScope):
        granted(Grant(), session(), "a  b")
    with pytest.raises(SessionUnreadable) as caught:
        granted(Grant(), session("a\tb"))
    assert caught.value.session_id == encode(bytes(range(16)))
