"""Oracle: calls a target with some bytes, and says what is wrong with what it did: an error, a wrong result, or too much time.

Never knows where the bytes come from.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass

from fuzz.targets import Target

AGAIN = 30
"""How often a slow call is made again: the best of them counts. Time is the processor's, spent in this call, not in what else runs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call."""

    seconds: float
    """Of the processor."""
    wrong: str = ""
    """What is wrong, in one line; empty where nothing is."""


def call(target: Target, data: bytes) -> Outcome | None:
    """What became of it; None where these bytes are no input for this target."""
    argument = target.prepare(data)
    if argument is None:
        return None
    began = time.thread_time()
    try:
        result = target.call(argument)
    except target.refuses:
        return Outcome(time.thread_time() - began)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome(time.thread_time() - began, f"{type(error).__name__} in {place.name}, line {place.lineno}: {error!s:.100}")
    seconds = time.thread_time() - began
    try:
        right = target.check(argument, result)
    except Exception as error:
        return Outcome(seconds, f"its result cannot be used: {type(error).__name__}: {error!s:.100}")
    return Outcome(seconds, "" if right else "its result is wrong")


def timed(target: Target, data: bytes) -> float:
    """Seconds that the call takes, the best of several where it seems slow."""
    outcome = call(target, data)
    best = outcome.seconds if outcome else 0.0
    for _ in range(AGAIN):
        if best <= target.bound:
            break
        again = call(target, data)
        best = min(best, again.seconds if again else best)
    return best
