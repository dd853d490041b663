"""Rule: one way in which Stagedoor differs from others, and why.

Never knows a case by number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fuzz.facts import Facts
from fuzz.judges import Verdict

PYJWT, JOSERFC = "PyJWT", "joserfc"


@dataclass(frozen=True, slots=True)
class Rule:
    """With codes: we refuse with one of them what the others accept. Without: we accept what they refuse."""

    name: str
    others: tuple[str, ...]
    holds: Callable[[Facts], bool]
    reason: str
    codes: tuple[str, ...] = ()
    law: bool = False
    """Where it holds we must refuse, whatever the others say."""

    def explains(self, facts: Facts, other: str, ours: Verdict) -> bool:
        """Whether this is why we and that other differ on this case."""
        if other not in self.others or (ours.why not in self.codes if self.codes else not ours.accepted):
            return False
        return self.holds(facts)
