"""Patience: followers that wait for longer than a machine with much to do stands still.

Never knows what is followed.
"""

from __future__ import annotations

from stagedoor.revocation import Revocations

PATIENCE = 60.0
"""Seconds."""


def patient(revocations: Revocations, *, bound: float | None = None) -> Revocations:
    """The same, of whom who asks waits for PATIENCE. What they know may be as old as `bound`, and they read as often as before."""
    follower = revocations._follower
    if follower is not None:
        follower._patience = PATIENCE
        follower.bound = bound or follower.bound
    return revocations
