"""Headers of one request, as ASGI carries them.

Never knows what a header means.
"""

from __future__ import annotations

from collections.abc import Iterable

from stagedoor.errors import InvalidRequest


class Headers:
    """Read-only; names in lower case, values as bytes that were sent."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs if isinstance(pairs, list | tuple) else list(pairs)

    def all(self, name: bytes) -> list[str]:
        """Every value of this name, as Latin-1 text (RFC 9110 section 5.5)."""
        return [value.decode("latin-1") for key, value in self._pairs if key == name]

    def one(self, name: bytes) -> str | None:
        """The value of this name, or None. InvalidRequest where it was sent twice: two readers could take two of them."""
        found = self.all(name)
        if len(found) > 1:
            raise InvalidRequest(f"The header {name.decode('latin-1')} was sent more than once.")
        return found[0] if found else None

    def size(self) -> int:
        """Bytes of all names and values together."""
        return sum(len(name) + len(value) for name, value in self._pairs)
