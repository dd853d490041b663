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

    def start(self) -> None:
        """Call from now on, unless that is done already; in each child of a fork too."""
        if self._thread is None:
            _begin_again_in_children(self)
            self._begin()

    def stop(self) -> None:
        """Call no more. What is under way is waited for, but not for long: a database that hangs holds nobody up."""
        thread, self._thread = self._thread, None
        self._stopped.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE)

    def go_on(self) -> None:
        """In a child of a fork: the parent's thread is not there."""
        if self._thread is not None:
            self._begin()

    def _begin(self) -> None:
        self._stopped = threading.Event()  # another one: the lock of the old may have been held at a fork
        self._thread = threading.Thread(target=_run, args=(self._owner, self._stopped), name="stagedoor-watch", daemon=True)
        self._thread.start()


_begun: weakref.WeakSet[Watch] = weakref.WeakSet()
_hooked = threading.Event()


def _begin_again_in_children(watch: Watch) -> None:
    """By one hook for all: hooks cannot be taken back, and would keep something of each watch that ever was."""
    if hasattr(os, "register_at_fork") and not _hooked.is_set():
        _hooked.set()
        os.register_at_fork(after_in_child=_begin_again)
    _begun.add(watch)


def _begin_again() -> None:
    for watch in list(_begun):
        watch.go_on()


def _run(owner: weakref.ref[Watched], stopped: threading.Event) -> None:
    while not stopped.wait(INTERVAL):
        watched = owner()
        if watched is None:
            return
        watched.tend()
        del watched  # or it would live until the next turn
