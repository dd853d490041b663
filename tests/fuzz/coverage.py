"""The coverage-guided run: each target in a process of its own, the time shared, what was found measured again without instruments.

Never knows atheris: the processes do.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from faults.log import ROOT
from fuzz.log import Covered, Log
from fuzz.oracle import call, timed
from fuzz.source import COVERAGE, source
from fuzz.targets import TARGETS

_STATE = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/.*rss: (\d+)Mb", re.MULTILINE)
_LARGEST = 40
"""How many of the longest inputs of a corpus are measured."""


def run(log: Log, seconds: int, only: list[str], processes: int = 2) -> Iterator[Covered]:
    """Run what is left of the time, and log it."""
    names = only or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        raise SystemExit(f"not known: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    share = seconds * processes / len(names)
    done = dict.fromkeys(names, 0.0)
    for covered in log.covered(source(COVERAGE)):
        if covered.target in done:
            done[covered.target] += covered.seconds
    left = {name: int(share - done[name]) for name in names if share - done[name] >= 1}
    with ThreadPoolExecutor(processes) as pool:
        for future in as_completed([pool.submit(_run, log.path.parent, name, wanted) for name, wanted in left.items()]):
            yield log.write(future.result())


def _run(folder: Path, name: str, seconds: int) -> Covered:
    found = folder / "found" / name
    before = set(found.glob("*")) if found.exists() else set()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.target", name, str(seconds), str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    states = _STATE.findall(done.stderr)
    complaints = [f"{name}: {text}" for text in _wrong(name, sorted(set(found.glob("*")) - before))]
    if done.returncode or not states:
        complaints.append(f"{name}: it ended with {done.returncode}: {' '.join(done.stderr.split()[-60:])}")
    slowest, size = _slowest(name, [*(folder / "corpus" / name).glob("*"), *found.glob("*")])
    if slowest > TARGETS[name].bound:
        complaints.append(f"{name}: {slowest * 1000:.2f} ms for {size:,} bytes")
    executions, edges, features, corpus, memory = map(int, states[-1] if states else (0,) * 5)
    return Covered(
        source(COVERAGE), name, round(time.monotonic() - began, 1), executions, edges, features, corpus, slowest, size, memory, complaints
    )


def _wrong(name: str, paths: list[Path]) -> Iterator[str]:
    for path in paths:
        outcome = call(TARGETS[name], path.read_bytes())
        if outcome is not None and outcome.wrong:
            yield f"{outcome.wrong} ({path})"
        elif path.name.startswith(("crash-", "timeout-", "oom-")):
            yield f"libFuzzer stopped at {path}"


def _slowest(name: str, paths: list[Path]) -> tuple[float, int]:
    """The slowest call that these inputs make, in seconds, and the size of its input."""
    longest = sorted(paths, key=lambda path: path.stat().st_size)[-_LARGEST:]
    slow = [path for path in paths if path.name.startswith("slow-")]
    return max(((timed(TARGETS[name], path.read_bytes()), path.stat().st_size) for path in {*longest, *slow}), default=(0.0, 0))
