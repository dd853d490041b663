"""Knows where the servers' programs are: what `.ci/servers` found or fetched, and a copy of it where a server's user cannot go.

Never knows how a program is started.
"""

from __future__ import annotations

import functools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from servers import places

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ROOT / ".servers"


@dataclass(frozen=True)
class Binary:
    """A program with its version, such as (15, 18)."""

    path: Path
    version: tuple[int, ...]

    def beside(self, name: str) -> Path:
        """Another program of the same installation."""
        return self.path.with_name(name)


@functools.cache
def binary(name: str) -> Binary:
    """`postgres`, `redis`, `pgbouncer`, `softhsm` (what makes a token) or `libsofthsm2` (what is one)."""
    kind = os.environ.get("SERVERS", "")
    how = "SERVERS=wheels .ci/servers" if kind == "wheels" else ".ci/servers"
    found = SERVERS / (f"found-{kind}" if kind else "found")
    lines = found.read_text("utf-8").splitlines()[1:] if found.exists() else []
    for line in lines:
        what, version, path = line.split(" ", 2)
        if what == name and Path(path).exists():
            numbers = tuple(int(number) for number in version.split(".") if number.isdigit())
            # the others run as whoever runs the tests
            return Binary(reachable(Path(path)) if name in ("postgres", "pgbouncer") else Path(path), numbers)
    raise AssertionError(f"the tests find no {name}. This brings it: {how}")


def reachable(path: Path) -> Path:
    """The program, where the user that runs the servers may go: a copy if it lies below a folder that only root may enter."""
    if places.open_to_all(path):
        return path
    if not path.is_relative_to(SERVERS):
        raise AssertionError(f"{places.SERVANT} may not run {path}. Programs that it may run are used with: SERVERS=wheels make test")
    return copied(path.relative_to(SERVERS).parts[0]) / Path(*path.relative_to(SERVERS).parts[1:])


@functools.cache
def copied(name: str) -> Path:
    place = places.new(f"{name}-")
    shutil.copytree(SERVERS / name, place, symlinks=True, dirs_exist_ok=True)
    place.chmod(0o755)
    return place
