"""Claims: what a token says, read-only, and the check of those claims that have a meaning (RFC 7519 section 4.1).

Never knows a clock, a key or a signature: the moment is passed in, and only verified payloads come here.
"""

from __future__ import annotations

import enum
from abc import ABCMeta
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from stagedoor.encoding import decode_object
from stagedoor.errors import ClaimRejected, TokenExpired, TokenNotYetValid

ACCESS_TOKEN_TYP = "at+jwt"
"""The kind of an access token (RFC 9068 section 2.1); no other kind may have it."""
FUTURE_LEEWAY = 10
"""Seconds that `iat` and `nbf` may lie ahead, for clocks that differ. `exp` has none."""
LATEST = 2**53
"""The last Unix second that a claim may name: up to here each JSON reader has the same number (RFC 8259 section 6)."""


class Absent(enum.Enum):
    """The type of ABSENT."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent.ABSENT
"""An expectation of another issuer's tokens: they lack this claim or header parameter. No switch: one that has it is refused."""


class _StructOfMapping(type(msgspec.Struct), ABCMeta):  # type: ignore[misc]
    """What makes a class that is both."""


class Claims(msgspec.Struct, Mapping[str, Any], metaclass=_StructOfMapping, eq=False, gc=False):
    """The claims of one verified token, by name; read-only. From a mapping, or from JSON that is read when the first one is asked for."""

    _members: Mapping[str, Any] | bytes

    def __post_init__(self) -> None:
        if type(self._members) is not bytes:
            self._members = dict(self._members)  # type: ignore[arg-type]

    __eq__, __ne__, __hash__ = Mapping.__eq__, object.__ne__, None  # type: ignore[assignment]

    def __getitem__(self, name: str) -> Any:
        value = self._read()[name]
        # One object may be read by many requests: what one of them does to a list is no other's.
        return _copied(value) if type(value) in (list, dict) else value

    def __contains__(self, name: object) -> bool:
        return name in self._read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return f"Claims({', '.join(self._read())})"  # names only: values are people's data

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, ...) for name in self]  # a struct's own would tell the values

    def _read(self) -> Mapping[str, Any]:
        members = self._members
        if isinstance(members, bytes):
            members = self._members = decode_object(members)
        return members


def _copied(value: Any) -> Any:
    if type(value) is list:
        return [_copied(each) for each in value]
    return {name: _copied(each) for name, each in value.items()} if type(value) is dict else value


def check_times(payload: Mapping[str, Any], now: float, *, iat_required: bool = True) -> None:
    """`exp` must be there, `iat` too unless said otherwise, `nbf` may; TokenExpired at `exp` itself, TokenNotYetValid, ClaimRejected."""
    expires = time_claim(payload, "exp")
    issued = time_claim(payload, "iat") if iat_required or "iat" in payload else 0
    if now >= expires:
        raise TokenExpired
    if issued > now + FUTURE_LEEWAY:
        raise TokenNotYetValid("iat", "in the future")
    if "nbf" in payload and time_claim(payload, "nbf") > now + FUTURE_LEEWAY:
        raise TokenNotYetValid("nbf", "in the future")


def check_issuer(payload: Mapping[str, Any], issuer: str | Absent) -> None:
    """`iss` must be this issuer, to the letter, or not be there; else ClaimRejected."""
    if issuer is ABSENT:
        check_absent(payload, "iss")
    elif text_claim(payload, "iss") != issuer:
        raise ClaimRejected("iss", f"another issuer than {issuer!r}")


def check_audience(payload: Mapping[str, Any], audience: frozenset[str] | Absent) -> tuple[str, ...]:
    """`aud`, a text or a list of texts, must name one of these, or not be there; else ClaimRejected. Returns all that it names."""
    if audience is ABSENT:
        check_absent(payload, "aud")
        return ()
    value = payload.get("aud")
    named = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not named or not all(isinstance(name, str) and name for name in named):
        raise ClaimRejected("aud", "missing" if value is None else "not a text or a list of texts")
    if audience.isdisjoint(named):
        raise ClaimRejected("aud", f"none of {sorted(audience)}")
    return named


def check_absent(payload: Mapping[str, Any], name: str) -> None:
    """This claim must not be there, null neither; else ClaimRejected."""
    if name in payload:
        raise ClaimRejected(name, "there, though this issuer's tokens lack it")


def text_claim(payload: Mapping[str, Any], name: str) -> str:
    """A claim that must be a text with something in it; else ClaimRejected."""
    value = payload.get(name)
    if type(value) is not str or not value:
        raise ClaimRejected(name, "missing" if value is None else "not a text")
    return value


def time_claim(payload: Mapping[str, Any], name: str) -> int:
    """A claim that must be a whole number of Unix seconds; else ClaimRejected."""
    value = payload.get(name)
    if type(value) is not int or not 0 <= value <= LATEST:  # bool is an int, and no time
        raise ClaimRejected(name, "missing" if value is None else "not a whole number of seconds")
    return value
