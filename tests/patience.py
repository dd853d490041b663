"""Patience: followers that wait for longer than a machine with much to do stands still.

Never knows what is followed.
"""

from __future__ import annotations

from stagedoor.revocation import Revocations

PATIENCE = 60.0
"""Seconds."""


def patient(revocations: Revocations) -> Revocations:
    """The same; what they know may be as old as PATIENCE, whoever asks waits for as long, and they read as often as before."""
    follower = revocations._follower
    if follower is not None:
        follower.bound = follower._patience = PATIENCE
    return revocations
