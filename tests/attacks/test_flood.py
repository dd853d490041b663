"""A26: a flood of names of keys."""

from __future__ import annotations

import random

from .forgery import Given, b64, token
from .over_http import OverHTTP
from .targets import Target


def strangers(given: Given, count: int) -> list[str]:
    chosen = random.Random(26)
    return [token(given.named(kid=b64(chosen.randbytes(32))), given.payload, chosen.randbytes(64)) for _ in range(count)]


def test_a26_flood_of_random_kids(target: Target):
    """A26: names of no key are refused without I/O, without memory and as quickly as the first; genuine tokens go on passing.

    Key sets that are fetched have their own flood, against a server that counts.
    """
    target.flood(strangers(target.given, 1200 if isinstance(target, OverHTTP) else 2000))
