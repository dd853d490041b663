"""The machine that all figures are of: what it is, what is checked out, and a core of it for whoever measures.

Never knows a script.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@cache
def processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """This thread, and the processes that it starts meanwhile, on one core: the first is 0; where there are fewer, the last."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    all_ = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(all_)[min(number, len(all_) - 1)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_)


def described() -> str:
    """One line."""
    kernel = f"{platform.system()} {platform.release()}"
    return f"{processor()}, {len(cores())} cores, {platform.machine()}, {kernel}, Python {platform.python_version()}"


def stamp() -> str:
    """Figures of another machine or Python do not count for this one."""
    return f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


@cache
def commit() -> str:
    """The commit that is checked out; with a + where files differ from it."""
    done = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    return done.stdout.strip() or "unknown"
