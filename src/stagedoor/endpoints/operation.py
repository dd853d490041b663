"""Operation: one row of the table of endpoints.

Never knows a framework.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stagedoor.endpoints.request import Request
from stagedoor.guards.response import Response


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table."""

    name: str
    method: str
    path: str
    """Below the prefix; parameters in braces."""
    answer: Callable[[Request], Awaitable[Response]]
    summary: str
    request: type | None = None
    response: type | None = None
    guarded: bool = False
    errors: tuple[int, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods that it answers."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters in its path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def status(self) -> int:
        """HTTP status of its success."""
        return 204 if self.response is None else 200
