"""Watch: a thread that calls something once a second, or without a pause, for as long as its owner lives, in a forked child too.

Never knows what it calls.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

INTERVAL = 1.0
"""Seconds between two calls, unless it is said otherwise."""
_PATIENCE = 2.0
_AGAIN = 0.05
"""Seconds after which who is under way is woken again: it may have been about to wait."""


class _Own(threading.local):
    """What a thread has for itself."""

    def __init__(self) -> None:
        self.stopped = threading.Event()


_own = _Own()


def pause(seconds: float) -> None:
    """In `tend`: wait so long, or until the thread that calls it is to end."""
    _own.stopped.wait(max(0.0, seconds))


class Watched(Protocol):
    """What is called."""

    def tend(self) -> None:
        """Do what is due. It must not raise."""


class Watch:
    """Begins with `start`, ends with `stop`, and may begin again. It holds nobody: when the owner is collected, the thread ends."""

    def __init__(self, owner: Watched, *, interval: float = INTERVAL) -> None:
        self._owner = weakref.ref(owner)
        self._interval = interval
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Call from now on, unless that is done already; in each child of a fork too. RuntimeError where there can be no more threads."""
        if self._thread is None:
            _begin_again_in_children(self)
        with self._lock:  # many may find at one time that nobody calls: of two threads one could never be stopped
            if self._thread is None or not self._thread.is_alive():
                self._begin()

    def stop(self, *, wake: Callable[[], object] | None = None) -> None:
        """Call no more. What is under way is waited for, but not for long: a database that hangs holds nobody up.

        `wake` ends the waiting of what is under way, which is then over soon.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopped.set()
        if thread is None or thread is threading.current_thread():
            return
        until = time.monotonic() + _PATIENCE
        while thread.is_alive() and (left := until - time.monotonic()) > 0:
            if wake is not None:
                wake()
            thread.join(left if wake is None else min(left, _AGAIN))

    def go_on(self) -> None:
        """In a child of a fork: the parent's thread is not there, and nobody may be left to release its lock."""
        self._lock = threading.Lock()
        if self._thread is not None and not self._thread.is_alive():
            self._begin()

    def _begin(self) -> None:
        stopped = threading.Event()  # another one: the lock of the old may have been held at a fork
        thread = threading.Thread(target=_run, args=(self._owner, stopped, self._interval), name="stagedoor-watch", daemon=True)
        thread.start()
        self._stopped, self._thread = stopped, thread


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


def _run(owner: weakref.ref[Watched], stopped: threading.Event, interval: float) -> None:
    _own.stopped = stopped
    while not stopped.wait(interval):
        watched = owner()
        if watched is None:
            return
        watched.tend()
        del watched  # or it would live until the next turn
