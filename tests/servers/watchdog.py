"""Knows which servers and folders a process of the tests is about to leave behind; a small process ends them when that one is gone.

Never knows what a server is. That process looks on from outside because kill -9 leaves no time to clean up, and because Linux ties
a child's fate (PR_SET_PDEATHSIG) to the thread that started it, which in a test may end long before the server.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE = 5.0
_dogs: dict[int, subprocess.Popen[bytes]] = {}


def started_at(pid: int) -> str | None:
    """When a process was started, which tells it from a later one with the same id; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def children_of(pid: int) -> dict[int, str]:
    """The direct children of a process that still run, each with its start."""
    found: dict[int, str] = {}
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found |= {int(child): start for child in path.read_text("ascii").split() if (start := started_at(int(child)))}
    return found


def wait_for_end(processes: dict[int, str], patience: float) -> None:
    """Until none of these runs any more; whoever still does after this many seconds is killed."""
    until = time.monotonic() + patience
    while rest := {pid: start for pid, start in processes.items() if started_at(pid) == start}:
        if time.monotonic() > until:
            for pid in rest:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def end_later(pid: int, how: int) -> None:
    """That process is ended by this signal when we are gone."""
    tell({"pid": pid, "start": started_at(pid), "signal": int(how)})


def delete_later(folder: Path) -> None:
    """That folder is deleted when we are gone."""
    tell({"folder": str(folder)})


def tell(line: dict[str, Any]) -> None:
    own = os.getpid()  # a fork has a watchdog of its own
    if own not in _dogs:
        command = [sys.executable, "-I", "-S", __file__, str(own)]
        _dogs[own] = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        atexit.register(dismiss, own)
    pipe = _dogs[own].stdin
    assert pipe is not None
    pipe.write(json.dumps(line).encode() + b"\n")
    pipe.flush()


def dismiss(owner: int) -> None:
    """At the end of the owner: everything that was told is ended and deleted when this returns."""
    if owner == os.getpid():
        dog = _dogs.pop(owner)
        assert dog.stdin is not None
        dog.stdin.close()
        dog.wait()


def watch(owner: int) -> None:
    """Listens until the owner has closed the pipe or is gone, whichever is first: a fork of the owner may hold the pipe open."""
    told = b""
    while os.getppid() == owner:
        if select.select([0], [], [], 0.5)[0]:
            piece = os.read(0, 65536)
            if not piece:
                break
            told += piece
    lines = [json.loads(line) for line in told.splitlines() if line.endswith(b"}")]
    running = {line["pid"]: line for line in lines if "pid" in line and line["start"] and started_at(line["pid"]) == line["start"]}
    everyone = {pid: line["start"] for pid, line in running.items()}
    for pid, line in running.items():
        everyone |= children_of(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, line["signal"])
    wait_for_end(everyone, PATIENCE)
    for line in lines:
        if "folder" in line:
            shutil.rmtree(line["folder"], ignore_errors=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]))
