"""FixedClock: the moment, as a test says it.

Never knows the real time.
"""

from __future__ import annotations


class FixedClock:
    """A clock that stands still until it is moved; given wherever Stagedoor takes `clock=`."""

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The moment."""
        return self.now

    def forward(self, seconds: float) -> None:
        """Move on by so many seconds; a negative number is a clock that jumped back."""
        self.now += seconds
