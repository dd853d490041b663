"""Issuers: one of each kind, with await and without, on a MemoryStore and a fixed clock.

Never knows what a test expects.
"""

from __future__ import annotations

import inspect
from typing import Any

from stagedoor import Issuer, KeySet, Peppers, SyncIssuer
from stagedoor.stores.memory import MemoryStore, SyncMemoryStore
from stagedoor.testing.clock import FixedClock

from .material import SECRET, key
from .own_clock import AUDIENCE, ISSUER

AnyIssuer = Issuer | SyncIssuer


async def settle(value: Any) -> Any:
    """The value, awaited where it must be."""
    return await value if inspect.isawaitable(value) else value


def unlogged(kind: Any) -> Any:
    """This kind of store, without a log."""

    class Unlogged(kind):
        def __getattribute__(self, name: str) -> Any:
            if name == "log":
                raise AttributeError(name)
            return super().__getattribute__(name)

    return Unlogged


def build(driver: str, clock: FixedClock, name: Any = ISSUER, **changes: Any) -> Any:
    """An issuer of this driver, "async" or "sync"."""
    kind, store = (Issuer, MemoryStore) if driver == "async" else (SyncIssuer, SyncMemoryStore)
    known = {
        "audience": AUDIENCE,
        "store": store(),
        "keys": KeySet(key("ES256"), clock=clock),
        "peppers": Peppers(SECRET[:32], clock=clock),
        "clock": clock,
    }
    return kind(name, **(known | changes))
