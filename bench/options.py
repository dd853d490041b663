"""Options: how a script is to run."""

from __future__ import annotations

from dataclasses import dataclass

from bench.log import Log


@dataclass(frozen=True)
class Options:
    """`smoke`: a few of everything, to see that it works and not how fast. `peers`: beside the others; False: Stagedoor alone."""

    smoke: bool
    rounds: int
    log: Log
    peers: bool
