"""Planted: a place with a broken store in memory, and the server that it stands for; several store objects share its rows.

Never knows the fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from broken_stores.base import Intact


@dataclass
class Planted:
    """Given to a test of the suite as its servers: every store that it asks for is of this class."""

    broken: type[Intact]
    kind: str = "planted"
    rows: dict[bytes, Any] = field(default_factory=dict)

    def place(self, _kind: str, **_: Any) -> Planted:
        """Itself."""
        return self

    def store(self, **_: Any) -> Intact:
        """A store object, as after a restart: what is not in a row is gone."""
        store = self.broken()
        store.rows = self.rows
        return store
