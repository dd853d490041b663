"""Script: a Lua script that Redis runs; and what steps are made of, whoever takes them.

Never knows what a script does, nor a key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from importlib.resources import files
from typing import Any, TypeVar

from stagedoor.revocation import AHEAD, EXPECTED, MARGIN
from stagedoor.session import KEPT_DEAD, RECOVERABLE

R = TypeVar("R")
Steps = Generator[Callable[[Any], Any], Any, R]
"""What steps are: they yield what they ask of a link, and are sent its answer."""
Command = tuple[bytes | str | int, ...]

ACKNOWLEDGED_IN = 1_000
"""Milliseconds that replicas have to acknowledge a revocation."""


class Script:
    """A Lua script, called by its hash."""

    def __init__(self, name: str) -> None:
        constants = (
            f"local KEPT_DEAD, RECOVERABLE = {KEPT_DEAD!r}, {RECOVERABLE}\n"
            f"local MARGIN, AHEAD, EXPECTED = {MARGIN!r}, {AHEAD}, {EXPECTED!r}\n"
        )
        self.source = constants + _text("moment") + _text(name)
        self._sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()  # what Redis names scripts by

    def on(self, key: bytes, *arguments: bytes | str | int) -> Command:
        """The command that runs it on this key."""
        return self.on_all((key,), *arguments)

    def on_all(self, keys: tuple[bytes, ...], *arguments: bytes | str | int) -> Command:
        """The command that runs it on these keys, all of one slot."""
        return ("EVALSHA", self._sha, len(keys), *keys, *arguments)


def _text(name: str) -> str:
    return (files(__package__) / f"{name}.lua").read_text("utf-8")
