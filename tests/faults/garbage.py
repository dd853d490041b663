"""Garbage: texts that are no refresh token of this house, of every kind that somebody might send; and a store that counts its calls.

Never knows what becomes of them.
"""

from __future__ import annotations

import random
import secrets
import string
import time
from collections.abc import Callable, Sequence
from typing import Any

from stagedoor import Peppers, Store
from stagedoor.encoding import decode, encode

PREFIX = "sdr_"
_BYTES = 87  # of a refresh token below its prefix
_LETTERS = string.ascii_letters + string.digits + "-_"
_PREFIXES = ("", "sdr-", "SDR_", "sdr_sdr_", "ghp_", "sdx_", " sdr_")
_WORDS = {name for name in vars(Store) if not name.startswith("_")}


class Garbage:
    """Makes texts of all kinds in turn, from genuine tokens where a kind needs one. `mine`: the pepper ids of the house."""

    def __init__(self, rng: random.Random, genuine: Sequence[str]) -> None:
        self._rng = rng
        self._genuine = genuine
        data = [decode(text.removeprefix(PREFIX)) for text in genuine]
        self._heads = [each[:3] for each in data]  # version and pepper id
        self._foreign = [self._stranger(each, pepper_id) for each in data for pepper_id in (int.from_bytes(each[1:3]), 65_535)]
        self.kinds: dict[str, Callable[[], str]] = {
            "random bytes": lambda: rng.randbytes(rng.randrange(200)).decode("latin-1"),
            "random base64url": lambda: PREFIX + encode(rng.randbytes(_BYTES)),
            "random behind a right head": lambda: PREFIX + encode(rng.choice(self._heads) + rng.randbytes(_BYTES - 3)),
            "a bit flipped in the text": self._flipped_text,
            "a bit flipped in the bytes": self._flipped_bytes,
            "truncated": lambda: self._one()[: rng.randrange(len(genuine[0]))],
            "extended": lambda: self._one() + "".join(rng.choices(_LETTERS, k=rng.randint(1, 8))),
            "a wrong prefix": lambda: rng.choice(_PREFIXES) + self._one().removeprefix(PREFIX),
            "a foreign pepper": lambda: rng.choice(self._foreign),
        }

    def make(self, number: int) -> list[str]:
        """So many texts; each kind as often as the others."""
        kinds = list(self.kinds.values())
        return [kinds[place % len(kinds)]() for place in range(number)]

    def _one(self) -> str:
        return self._rng.choice(self._genuine)

    def _flipped_text(self) -> str:
        text = bytearray(self._one(), "ascii")
        text[self._rng.randrange(len(text))] ^= 1 << self._rng.randrange(7)
        return text.decode("ascii")

    def _flipped_bytes(self) -> str:
        data = bytearray(decode(self._one().removeprefix(PREFIX)))
        data[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)
        return PREFIX + encode(bytes(data))

    @staticmethod
    def _stranger(data: bytes, pepper_id: int) -> str:
        """The same session and secret, made with all the rules but under somebody else's pepper."""
        return Peppers({pepper_id: secrets.token_bytes(32)}).write(
            pepper_id=pepper_id,
            session_id=data[3:19],
            generation=int.from_bytes(data[19:23]),
            secret=data[23:55],
            seed=secrets.token_bytes(32),
            now=time.time(),
        )


class Counting:
    """A store, and how often one of its words was taken to be called."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        if name in _WORDS:
            self.calls += 1
        return getattr(self._store, name)

    def arm(self) -> int:
        """The count so far: the service asks for it here."""
        return self.calls
