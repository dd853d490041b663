"""The tests R1 to R13: which there are, on which stores, how much of each is wanted in full and in short.

Never knows how a test does it: each is a module of its own with `play(run, servers)`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from faults.places import FEEDS, KINDS, SHARED, Servers
from faults.run import Run


@dataclass(frozen=True)
class Test:
    """`full` is the count wanted on each store by `make faults`, `short` the one of `make test`."""

    __test__ = False

    module: str
    what: str
    full: int
    short: int
    stores: tuple[str, ...] = SHARED

    def play(self, run: Run, servers: Servers) -> None:
        """Do what is left of it."""
        play: Callable[[Run, Servers], None] = importlib.import_module(f"faults.{self.module}").play
        play(run, servers)


TESTS = {
    "R1": Test("r1_model", "sequences", 10_000, 25, KINDS),
    "R2": Test("r2_races", "rounds", 4_000, 8),
    "R3": Test("r3_kills", "kills", 250, 2),
    "R4": Test("r4_lost_replies", "refreshes", 250_000, 300),
    "R5": Test("r5_theft", "thefts", 25_000, 40),
    "R6": Test("r6_failover", "failovers", 20, 1),
    "R7": Test("r7_revoke", "rounds", 2_000, 20),
    "R8": Test("r8_growth", "sessions", 10_000_000, 20_000, ("sqlite", "postgres", "redis")),
    "R9": Test("r9_garbage", "tokens", 1_000_000, 5_000),
    "R10": Test("r10_clocks", "refreshes", 20_000, 200),
    "R11": Test("r11_rotation", "rotations", 150, 3, ("sqlite", "postgres", "redis")),
    "R12": Test("r12_latency", "revocations", 10_000, 40, FEEDS),
    "R13": Test("r13_feeds", "faults", 30, 2, FEEDS),
}
LESS = {("R8", "redis"): 3_000_000, ("R6", "sqlite"): 400, ("R6", "redis"): 60}
"""Where a store's full count is another one."""


def wanted(name: str, store: str, *, short: bool) -> int:
    """How many of this test, on this store."""
    test = TESTS[name]
    return test.short if short else LESS.get((name, store), test.full)
