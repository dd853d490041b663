"""Shapes: what goes over the wire, as types; the OpenAPI of every mount is made from them.

Never knows a rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from msgspec import UNSET, Meta, Struct, UnsetType

from stagedoor.encoding import encode
from stagedoor.session import Session

Transport = Literal["body", "cookie", "cookie_only"]


class LoginRequest(Struct, frozen=True):
    """What a login sends."""

    username: Annotated[str, Meta(min_length=1, max_length=255)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]
    scope: Annotated[str, Meta(max_length=4096)] | None = None
    transport: Transport = "body"

    def __repr__(self) -> str:
        return "LoginRequest(…)"  # a tracker that keeps local variables must not keep passwords


class LogoutRequest(Struct, frozen=True):
    """What a logout sends; without `refresh_token` it is the cookie's."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=1024)] | UnsetType = UNSET

    def __repr__(self) -> str:
        return "LogoutRequest(…)"


class RefreshRequest(LogoutRequest, frozen=True):
    """What a refresh sends; `scope` may be less than the session has, for this access token alone."""

    scope: Annotated[str, Meta(max_length=4096)] | None = None

    def __repr__(self) -> str:
        return "RefreshRequest(…)"


class TokenResponse(Struct, frozen=True, omit_defaults=True):
    """What a login and a refresh answer (RFC 6749 section 5.1), less what went into cookies."""

    token_type: str
    expires_in: int
    scope: str
    access_token: str | None = None
    refresh_token: str | None = None


class ErrorResponse(Struct, frozen=True):
    """Every refusal (RFC 6749 section 5.2)."""

    error: str
    error_description: str


class SessionView(Struct, frozen=True):
    """A session as its owner sees it. Times in Unix seconds."""

    id: str
    created: int
    last_used: int
    client: str | None
    current: bool


class SessionsResponse(Struct, frozen=True):
    """The live sessions of the account, the latest first."""

    sessions: list[SessionView]

    @classmethod
    def of(cls, sessions: Iterable[Session], current: str) -> Self:
        """These, one of which may be that of the access token that asks."""
        return cls(
            [
                SessionView(
                    id=encode(session.id),
                    created=int(session.created_at),
                    last_used=int(session.last_used_at),
                    client=session.device,
                    current=encode(session.id) == current,
                )
                for session in sessions
            ]
        )


class EverythingRevoked(Struct, frozen=True):
    """All that was issued until this moment, in Unix seconds, is revoked; until it has passed nothing is issued."""

    through: int


class RevocationView(Struct, frozen=True):
    """One thing that was ended. Times in Unix seconds, on the store's clock."""

    kind: Literal["session", "key", "issuer"]
    name: str
    until: float
    written: float
    through: int


class RevocationsResponse(Struct, frozen=True):
    """What was ended after a cursor. `now`: the store's clock, where it was asked; `age`: how many seconds ago that was."""

    cursor: str
    now: float | None
    age: float
    records: list[RevocationView]
