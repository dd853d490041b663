"""Revocations: what a verifier must remember of ended sessions, until their last access token has expired by itself.

Never knows a store, a feed or a token's text: an ES256 signature has a twin, a session id has none.
"""

from __future__ import annotations

import threading
from typing import Self

from stagedoor.errors import TokenRevoked


class Revocations:
    """The sessions whose access tokens are refused, in memory. One object is shared by the issuer and the verifiers of a process."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._sweep_at = 1024
        self._lock = threading.Lock()

    @classmethod
    def until_expiry(cls) -> Self:
        """Says aloud that access tokens live until they expire, whatever is revoked: nobody tells this object anything."""
        return cls()

    def add(self, session_id: str, *, until: float, now: float) -> None:
        """Refuse the access tokens of this session until `until`, when the last of them has expired (Unix seconds)."""
        with self._lock:
            self._until[session_id] = max(until, self._until.get(session_id, until))  # a clock that jumped back shortens nothing
            if len(self._until) >= self._sweep_at:
                self._until = {known: end for known, end in self._until.items() if end > now}
                self._sweep_at = max(1024, 2 * len(self._until))

    def check(self, session_id: str, now: float) -> None:
        """TokenRevoked where this session was ended."""
        if now < self._until.get(session_id, 0.0):
            raise TokenRevoked(session_id=session_id)

    def __len__(self) -> int:
        return len(self._until)
