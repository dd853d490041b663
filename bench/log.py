"""Log: what was measured, one JSON line a round, so that a run which was stopped goes on where it was.

Never knows what a figure means. A round counts for the code, the peers, the Python and the machine it was measured with, and for no other.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from bench import machine

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "bench-log"
_CUT_OFF = b"\x18\n"
"""Ends a line that a kill cut off: what is appended afterwards is not glued to it."""


class Log:
    """The rounds of one script. Without a path, nothing is kept longer than it lives."""

    def __init__(self, script: str, path: Path | None = None, *, again: bool = False) -> None:
        self.script = script
        self.path = path
        self._key = {"script": script, "source": source(), "peers": peers(script), "machine": machine.stamp()}
        self._rounds: dict[tuple[str, int], tuple[dict[str, Any], float]] = {}
        self._file: int | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._mend()
            if again:
                self._append({**self._key, "again": True})
            self._read(path)

    def kept(self, case: str, number: int, names: Iterable[str]) -> dict[str, Any] | None:
        """What these contestants, and no others, reached in this round of this case; None where it was not run, or not to its end."""
        found = self._rounds.get((case, number), ({}, 0.0))[0]
        return found if found and set(found) == set(names) else None

    def keep(self, case: str, number: int, found: dict[str, Any]) -> None:
        """Keep a whole round: half a round would be compared with another hour."""
        at = time.time()
        self._rounds[case, number] = found, at
        if self._file is not None:
            self._append({**self._key, "case": case, "round": number, "found": found, "at": at})

    def report(self, told: dict[str, Any]) -> None:
        """Keep what a run that came to its end says of its rounds: the last one counts."""
        if self._file is not None:
            self._append({**self._key, "report": told})

    @property
    def span(self) -> tuple[float, float]:
        """When the first and the last of the rounds ended, in Unix seconds; now, where there is none."""
        moments = [at for _, at in self._rounds.values()] or [time.time()]
        return min(moments), max(moments)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, line: dict[str, Any]) -> None:
        os.write(self._file or 0, json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _mend(self) -> None:
        size = os.fstat(self._file or 0).st_size
        if size and os.pread(self._file or 0, 1, size - 1) != b"\n":
            os.write(self._file or 0, _CUT_OFF)

    def _read(self, path: Path) -> None:
        with path.open("rb") as file:
            for text in file:
                if text.endswith(_CUT_OFF):
                    continue
                line = json.loads(text)
                if "report" in line or any(line[name] != value for name, value in self._key.items()):
                    continue
                if "again" in line:
                    self._rounds.clear()
                else:
                    self._rounds[line["case"], line["round"]] = line["found"], line["at"]


@cache
def source() -> str:
    """What the code under test is: figures of other code do not count."""
    return _digest(path for path in (ROOT / "src").rglob("*") if path.suffix in (".py", ".lua"))


@cache
def peers(script: str) -> str:
    """What it is measured with and beside: the script and what has its name before its own, the peers' servers, the pinned versions."""
    files = (path for path in (ROOT / "bench").glob("*/**/*") if path.is_file() and "__pycache__" not in path.parts)
    return _digest([*files, *(ROOT / "bench").glob(f"{script}*.py")])


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
