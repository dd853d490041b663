"""What a token may be used for (RFC 6749 section 3.3).

Never knows who asks, nor where scopes come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


class Scope(frozenset[str]):
    """A frozen set of scope tokens; as text they stand sorted, separated by one space."""

    __slots__ = ()

    def __new__(cls, tokens: Iterable[str] = ()) -> Scope:
        """The set of these tokens; ValueError for one that RFC 6749 does not allow."""
        if isinstance(tokens, str):
            raise TypeError("Scope takes single tokens; for a text with spaces there is Scope.parse")
        self = super().__new__(cls, tokens)
        for token in self:
            if not _TOKEN.fullmatch(token):
                raise ValueError(f"{token!r} is no scope token")
        return self

    @classmethod
    def parse(cls, text: str) -> Scope:
        """The scope of a text such as "orders:read orders:write"; "" is the empty scope. ValueError for foreign characters."""
        return cls(text.split(" ")) if text else cls()

    def covers(self, required: frozenset[str]) -> bool:
        """Whether each required token is here. No token implies another."""
        return required <= self

    def __str__(self) -> str:
        return " ".join(sorted(self))

    def __repr__(self) -> str:
        return f"Scope({str(self)!r})"


@lru_cache(maxsize=1024)
def remembered(text: str) -> Scope:
    """Scope.parse, once for what many tokens and sessions have. For texts that we have signed, verified or stored: no stranger fills it."""
    return Scope.parse(text)
