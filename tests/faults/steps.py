"""Steps: a store that kills its own process, or its server, at a chosen step of a rotation: before, inside, at or after the commit.

Named to the test service as `wrap="faults.steps:Steps"`, armed over POST /steps. Never knows what comes of it.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

from stagedoor.session import Answer, Presented

STEPS = ("before", "inside", "commit", "after", "reply")
"""Before the store is asked; while it works; while it commits; once it has answered; while the answer is on its way to the client."""
_AT_MOST = 0.002
"""Seconds that the two halves of a step lie apart at the most."""


class Steps:
    """The store, until it is armed; then the `nth` rotation from there on is the one at which the kill comes."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._step = ""
        self._left = 0
        self._victims: list[int] = []
        self._traced = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def arm(self, step: str, nth: str, victims: str, trace: str = "") -> str:
        """Victims are process ids with commas between; each dies with its children. The word "self" is this process.

        With `trace` the store is SQLite, and inside and commit are found by the statement that it runs.
        """
        self._victims = [os.getpid() if pid == "self" else int(pid) for pid in victims.split(",")]
        if trace and not self._traced:
            self._store.database.submit(self._trace).result()
            self._traced = True
        self._step, self._left = step, int(nth)
        return step

    async def rotate(self, presented: Presented, now: float) -> Answer:
        """As Store.rotate."""
        step = self._due()
        if step == "before":
            self._kill()
        if step in ("inside", "commit"):
            self._kill_within(_AT_MOST)
        answer: Answer = await self._store.rotate(presented, now)
        if step == "after":
            self._kill()
        if step == "reply":
            self._kill_within(_AT_MOST)
        return answer

    def _due(self) -> str:
        """The step at which this rotation is to be killed."""
        if not self._step or (self._traced and self._step in ("inside", "commit")):
            return ""
        self._left -= 1
        if self._left > 0:
            return ""
        step, self._step = self._step, ""
        return step

    def _trace(self, connection: Any) -> None:
        connection.connection.driver_connection.set_trace_callback(self._statement)

    def _statement(self, sql: str) -> None:
        """SQLite is about to run this: at the right COMMIT, everything is written into the transaction and nothing is out."""
        if sql != "COMMIT" or self._step not in ("inside", "commit"):
            return
        self._left -= 1
        if self._left > 0:
            return
        step, self._step = self._step, ""
        if step == "inside":
            self._kill()
        self._kill_within(_AT_MOST)

    def _kill_within(self, seconds: float) -> None:
        moment = time.perf_counter() + random.uniform(0.0, seconds)

        def wait() -> None:
            while time.perf_counter() < moment:  # a sleep would be too coarse
                time.sleep(0)
            self._kill()

        threading.Thread(target=wait, daemon=True).start()

    def _kill(self) -> None:
        for pid in self._victims:
            kill_all(pid)


def kill_all(pid: int) -> None:
    """SIGKILL a process, then its children, which must not be left to notice."""
    others = children(pid)
    for each in (pid, *others):
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            continue


def children(pid: int) -> list[int]:
    """Process ids of the children of this one."""
    try:
        return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return []
