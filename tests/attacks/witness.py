"""Witness: what this thread touches outside of itself: files, sockets, names of hosts, other processes.

Never knows what was to be done.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_EVENTS = frozenset(
    {"open", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.listdir", "subprocess.Popen", "import", "compile", "exec"}
)
_now = threading.local()
_installed: list[bool] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    seen = getattr(_now, "seen", None)
    if seen is not None and (event in _EVENTS or event.startswith(("socket.", "urllib.", "http.", "ctypes."))):
        seen.append(f"{event} {arguments!r:.80}")


@contextmanager
def watched() -> Iterator[list[str]]:
    """The audit events (PEP 578) of this thread meanwhile, as far as they leave the process or bring code into it."""
    if not _installed:  # a hook stays for ever: one is enough, and it does nothing while nobody watches
        sys.addaudithook(_hear)
        _installed.append(True)
    _now.seen = seen = []
    try:
        yield seen
    finally:
        _now.seen = None
