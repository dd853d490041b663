"""Layouts: the members that the payloads of an issuer have, in their order; by them a payload is read in one typed and strict pass.

Never knows what is expected of a claim: its kind alone. Whatever has no layout is read as `decode_object` reads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from stagedoor.claims import LATEST
from stagedoor.encoding import Member, decode_object

MOST = 16
"""Layouts that are made: each costs as much as a hundred tokens. Issuers have few: with a scope and without, of users and of services."""
_MOST_MEMBERS = 100
"""A layout of more is not made: it would take more memory than it is worth."""

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Moment = Annotated[int, msgspec.Meta(ge=0, le=LATEST)]
_Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_CLAIMS: dict[str, tuple[Any, Any]] = {
    "iss": (_Text, ""),
    "aud": (_Text | Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)], ()),
    "sub": (_Text | _Number, ""),
    "exp": (_Moment, -math.inf),
    "iat": (_Moment, 0),
    "nbf": (_Moment, 0),
    "auth_time": (_Moment, 0),
    "sid": (_Text, ""),
    "client_id": (_Text, ""),
    "jti": (_Text, ""),
    "scope": (str, ""),
}
"""The claims that have a meaning: what each is, and what stands for it where it is not there."""
_COMPLETE = frozenset({"iat", "auth_time", "sid", "client_id", "jti"})
_NOT_THIS = (msgspec.MsgspecError, ValueError)
"""What msgspec raises: its own errors are ValueErrors in its newer versions alone, and what is no UTF-8 is one in each."""
_write = msgspec.json.Encoder().encode


class Said(msgspec.Struct, gc=False):
    """The claims that have a meaning, of one payload. What it says besides is in its text alone."""

    is_complete = False
    """Whether it has all that Stagedoor's own tokens have."""


class Layouts:
    """Those of the tokens that one reader has verified. Frozen, but for what it learns."""

    __slots__ = ("_known", "_left", "_only")

    def __init__(self) -> None:
        self._known: dict[int, Callable[[bytes], Any]] = {}  # by how many commas there are: nearly always one layout to try
        self._only: Callable[[bytes], Any] | None = None  # while there is one alone: then no commas need be counted
        self._left = MOST

    def read(self, text: bytes) -> Any:
        """A Said, with an attribute for each claim that has a meaning; a dict where no layout fits. MalformedToken."""
        decode = self._only or self._known.get(text.count(b","))
        if decode is not None:
            try:
                said = decode(text)
            except _NOT_THIS:
                pass
            else:
                # What is written again to the very same bytes has one reading: no name stands twice in it, no mark is written in two ways.
                if _write(said) == text:
                    return said
        members = decode_object(text)
        if self._left > 0 and text.count(b",") not in self._known:
            self._learn(text, members)
        return members

    def _learn(self, text: bytes, members: dict[str, Any]) -> None:
        """Keep the layout of this payload, if by it the payload is read and written again to the same bytes."""
        if "cnf" in members or len(members) > _MOST_MEMBERS:
            return  # the first is refused: no reason to be quick
        self._left -= 1
        with suppress(*_NOT_THIS):  # msgspec takes no name that must be escaped
            decode = _decoder(tuple(members))
            if _write(decode(text)) == text:
                self._known[text.count(b",")] = decode
                self._only = decode if len(self._known) == 1 else None


@lru_cache(maxsize=256)
def _decoder(names: tuple[str, ...]) -> Callable[[bytes], Any]:
    """Reads the payload that has these members, in this order and no other."""
    fields: list[Any] = []
    for number, name in enumerate(names):
        fields.append((name, _CLAIMS[name][0]) if name in _CLAIMS else (f"_{number}", Member))
    made = msgspec.defstruct(
        "Said",
        [*fields, *((name, *kind) for name, kind in _CLAIMS.items() if name not in names)],
        bases=(Said,),
        namespace={"is_complete": _COMPLETE.issubset(names)},
        rename=dict(zip((field[0] for field in fields), names, strict=True)),
        kw_only=True,
        omit_defaults=True,
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(made).decode
