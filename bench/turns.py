"""Turns: contestants run one after another, round by round, so that what else the machine does meets them all alike.

Never knows what they do, nor what their figures mean.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

from bench.log import Log

V = TypeVar("V", float, dict[str, float])
"""What a contestant returns of a turn: a figure, or several by name."""


def in_turns(contestants: Mapping[str, Callable[[], V]], rounds: int, log: Log, case: str) -> dict[str, list[V]]:
    """What each reached in each round: A B C, then B C A, then C A B, … What is in the log is not run again."""
    names = list(contestants)
    reached: dict[str, list[V]] = {name: [] for name in names}
    for number in range(rounds):
        found = log.kept(case, number, names)
        if found is None:
            _tell(f"{log.script}, {case}: round {number + 1} of {rounds}")
            first = number % len(names) if names else 0
            found = {name: contestants[name]() for name in names[first:] + names[:first]}
            log.keep(case, number, found)
        for name in names:
            reached[name].append(found[name])
    return reached


def once(work: Callable[[], V], log: Log, case: str) -> V:
    """What has no rounds, such as a size: measured unless the log has it."""
    return in_turns({case: work}, 1, log, case)[case][0]


def is_due(names: Mapping[str, object], rounds: int, log: Log, case: str) -> bool:
    """Whether a round of this case is left to run: whether what it needs (a server, a million rows) must be made at all."""
    return any(log.kept(case, number, names) is None for number in range(rounds))


def _tell(what: str) -> None:
    """How far it is goes to whoever waits, not into the tables."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)
