"""Flight: a call that many wait for at one time; whoever asks before it begins shares it.

Never knows what is called.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future


class Flight:
    """Calls `function`, one call at a time, each begun after all who wait for it have asked. Nothing of it is carried over a fork."""

    def __init__(self, function: Callable[[], object], name: str) -> None:
        self._function = function
        self._name = name
        self._boarding: Future[None] | None = None
        self._flying = False
        self._process = os.getpid()
        self._locks: dict[int, threading.Lock] = {}  # by process: in a forked child nobody may be left to release its parent's

    def ask(self) -> Future[None]:
        """The next call that begins: it brings None, or what the function raises. It cannot be cancelled for the others."""
        with self._own_lock():
            if self._process != os.getpid():  # the parent's thread is not here
                self._process, self._boarding, self._flying = os.getpid(), None, False
            if self._boarding is None:
                self._boarding = Future()
                self._boarding.set_running_or_notify_cancel()
                if not self._flying:
                    self._start()
            return self._boarding

    def _own_lock(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _start(self) -> None:
        self._flying = True
        try:
            threading.Thread(target=self._fly, name=self._name, daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter is on its way out
            self._flying, self._boarding = False, None
            raise

    def _fly(self) -> None:
        while True:
            with self._own_lock():
                flight, self._boarding = self._boarding, None
                if flight is None:
                    self._flying = False
                    return
            try:
                self._function()
            except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                flight.set_exception(error)
            else:
                flight.set_result(None)
