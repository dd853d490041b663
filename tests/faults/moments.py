"""Moments as they are told: for tests on a clock of their own, whose time does not pass while a call waits.

Never knows a test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from stagedoor.stores.sql import sqlite


@contextmanager
def taken_as_told() -> Iterator[None]:
    """SQLite moves the moment along where a call had to wait for a second. Here it does not."""
    noticeable, sqlite._NOTICEABLE = sqlite._NOTICEABLE, math.inf
    try:
        yield
    finally:
        sqlite._NOTICEABLE = noticeable
