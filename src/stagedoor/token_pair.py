"""TokenPair: what a login or a refresh hands out; Grant: what a subject may have now, as the application says at a refresh.

Never knows how a token is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from stagedoor.access_token import check_application_claims
from stagedoor.encoding import encode
from stagedoor.errors import InvalidScope, SessionUnreadable
from stagedoor.scope import Scope, remembered
from stagedoor.session import Session


@dataclass(frozen=True, slots=True, repr=False)
class TokenPair:
    """What a login or a refresh hands out (RFC 6749 section 5.1)."""

    access_token: str
    refresh_token: str
    expires_in: int
    """Seconds that the access token lives."""
    refresh_expires_in: int
    """Seconds until the session ends if it is not refreshed."""
    scope: Scope
    subject: str
    session_id: str
    token_type: str = "Bearer"

    def __repr__(self) -> str:
        return f"<TokenPair of session {self.session_id}>"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a subject may still have. `Grant()` is all that the session was opened with; scope can only become less than that."""

    scope: Scope | str | None = None
    """None: that of the session. What is in here and was not granted at login is passed over."""
    claims: Mapping[str, Any] | None = None
    """What goes into this access token in place of the session's claims; None: those of the session."""

    def __post_init__(self) -> None:
        if not isinstance(self.scope, Scope | str | None):
            raise TypeError("a Grant's scope is a text or a Scope")
        if not isinstance(self.claims, Mapping | None):
            raise TypeError("a Grant's claims are a mapping")


ALL = Grant()
"""All that the session was opened with."""

SubjectCheck = Callable[[Session], Any]
"""(session) -> Grant, or None where its subject may not refresh any more; sync or async. What it raises is a 503, never a refusal."""


_LONGEST_TEXT = 1024


def check_text(name: str, text: str) -> None:
    """ValueError for what not every store can keep: over 1,024 bytes, a NUL, half a character."""
    if not isinstance(text, str) or "\0" in text or len(text.encode(errors="replace")) > _LONGEST_TEXT or not _is_whole(text):
        raise ValueError(f"a {name} is a text of at most {_LONGEST_TEXT} bytes, without NUL")


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= mark <= "\udfff" for mark in text)


def application_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    """An application's claims as they will be written. TypeError for what no JSON can say, ValueError for a name that is ours."""
    plain: dict[str, Any] = msgspec.to_builtins(dict(claims))
    check_application_claims(plain)  # as they will be written: a name may have been an enum's member before
    return plain


def granted(grant: Grant, session: Session, asked: Scope | str | None = None) -> tuple[Scope, Mapping[str, Any]]:
    """Scope and claims of the next access token: never more scope than the session was opened with, and only what is asked for.

    InvalidScope where more is asked for (RFC 6749 section 6); SessionUnreadable where the session's own scope is none.
    """
    try:
        held = remembered(session.scope)
    except ValueError:
        raise SessionUnreadable("its scope is none", session_id=encode(session.id)) from None
    if grant.scope is not None:
        held = Scope(held & _scope(grant.scope))
    claims = session.claims if grant.claims is None else application_claims(grant.claims)
    if asked is None:
        return held, claims
    try:
        narrowed = _scope(asked)
    except ValueError:
        raise InvalidScope("The scope is not a list of scope tokens, separated by one space.") from None
    if not held.covers(narrowed):
        raise InvalidScope("The session does not have all of this scope.")
    return narrowed, claims


def _scope(scope: Scope | str) -> Scope:
    return Scope.parse(scope) if isinstance(scope, str) else Scope(scope)
