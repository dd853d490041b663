"""Log: what was fuzzed and what came of it, one JSON line each, only ever appended; the tables know nothing else.

Never knows how to fuzz.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec


class Begin(msgspec.Struct, tag="begin"):
    """A run begins: what ran, and on what."""

    what: str
    source: str
    commit: str
    versions: str
    at: float
    """Unix seconds."""


class Chunk(msgspec.Struct, tag="chunk"):
    """Cases of the differential run that were judged."""

    source: str
    seed: int
    first: int
    count: int
    signed: int
    """How many had a signature of the right key over just what was sent."""
    seconds: float
    cpu: float
    """Seconds of the processor: what the same would take on a machine that does nothing else."""
    verdicts: dict[str, int]
    """Ours: code -> cases."""
    rules: dict[str, int]
    """Name of the rule, tab, who differs -> cases."""
    crashes: dict[str, int]
    """Whose undocumented exceptions -> cases."""
    complaints: list[str]
    complained: int


class Covered(msgspec.Struct, tag="covered"):
    """One target of the coverage-guided run, once its time was up."""

    source: str
    target: str
    seconds: float
    executions: int
    coverage: int
    """Edges of the code that were reached, as libFuzzer counts them."""
    features: int
    corpus: int
    slowest: float
    """Seconds of the slowest call, measured again without instruments, the best of five."""
    slowest_size: int
    memory: int
    """Megabytes at most."""
    complaints: list[str]


Line = Begin | Chunk | Covered
L = TypeVar("L", bound=msgspec.Struct)


class Log:
    """A file of such lines. A line that a kill cut off is passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, line: L) -> L:
        """Append it, whole."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            cut_off = bool(size) and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, b"\n" * cut_off + msgspec.json.encode(line) + b"\n")
        finally:
            os.close(descriptor)
        return line

    def lines(self) -> Iterator[Line]:
        """All of them."""
        decode = msgspec.json.Decoder(Line).decode
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                try:
                    yield decode(line)
                except msgspec.DecodeError:
                    continue

    def chunks(self, source: str, seed: int | None = None) -> Iterator[Chunk]:
        """Those of this source and, where one is named, of this seed; each of the first cases once."""
        seen = set()
        for line in self.lines():
            if isinstance(line, Chunk) and line.source == source and seed in (None, line.seed):
                place = (line.seed, line.first, line.count)
                if place not in seen:
                    seen.add(place)
                    yield line

    def covered(self, source: str) -> Iterator[Covered]:
        """The coverage-guided runs of this source."""
        return (line for line in self.lines() if isinstance(line, Covered) and line.source == source)

    def latest(self) -> str:
        """The source of the last chunk."""
        return next((line.source for line in reversed(list(self.lines())) if isinstance(line, Chunk)), "")
