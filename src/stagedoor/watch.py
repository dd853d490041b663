"""Watch: a thread that calls something once a second, for as long as its owner lives, in a forked child too.

Never knows what it calls.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

INTERVAL = 1.0
"""Seconds between two calls."""
_PATIENCE = 2.0


class Watched(Protocol):
    """What is called."""

    def tend(self) -> None:
        """Do what is due. It must not raise."""


class Watch:
    """Begins with `start`, ends with `stop`, and may begin again. It holds nobody: when the owner is collected, the thread ends."""

    def __init__(self, owner: Watched) -> None:
        self._owner = weakref.ref(owner)
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        if hasattr(os, "register_at_fork"):
            this = weakref.ref(self)  # hooks cannot be taken back: they must keep nobody alive

            def begin_again() -> None:
                watch = this()
                if watch is not None and watch._thread is not None:
                    watch._begin()

            os.register_at_fork(after_in_child=begin_again)

    def start(self) -> None:
        """Call from now on, unless that is done already; in each child of a fork too."""
        if self._thread is None:
            self._begin()

    def stop(self) -> None:
        """Call no more. What is under way is waited for, but not for long: a database that hangs holds nobody up."""
        thread, self._thread = self._thread, None
        self._stopped.set()
        if thread is not None:
            thread.join(_PATIENCE)

    def _begin(self) -> None:
        self._stopped = threading.Event()  # another one: the lock of the old may have been held at a fork
        self._thread = threading.Thread(target=_run, args=(self._owner, self._stopped), name="stagedoor-watch", daemon=True)
        self._thread.start()


def _run(owner: weakref.ref[Watched], stopped: threading.Event) -> None:
    while not stopped.wait(INTERVAL):
        watched = owner()
        if watched is None:
            return
        watched.tend()
        del watched  # or it would live until the next turn
