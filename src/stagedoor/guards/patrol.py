"""Patrol: the one task of an event loop that looks at what stays open, again and again, for as long as anything is.

Never knows what it looks at.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Coroutine
from typing import Any, Protocol

from stagedoor.errors import RevocationsStale
from stagedoor.revocation import Revocations

INTERVAL = 0.2
"""Seconds between two rounds."""
_AT_ONCE = 500
"""Looked at before others of the event loop have their turn: half a millisecond."""


class Post(Protocol):
    """What is looked at."""

    def inspect(self) -> Revocations | None:
        """Shut what must not stay open. Revocations that know too little to say so are returned. It must not raise."""

    def doubt(self, error: RevocationsStale) -> None:
        """Nobody could be asked: shut it, unless it is known by now that it may stay open. It must not raise."""


class Patrol:
    """Begins its rounds with the first post, ends them with the last."""

    def __init__(self) -> None:
        self._posts: dict[Post, None] = {}
        self._rounds: asyncio.Task[None] | None = None
        self._asking: set[Revocations] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def of_this_loop(cls) -> Patrol:
        """The patrol of the running event loop."""
        loop = asyncio.get_running_loop()
        found = _patrols.get(loop)
        if found is None:
            found = _patrols[loop] = cls()
        return found

    def join(self, post: Post) -> None:
        """Look at this one too."""
        self._posts[post] = None
        if self._rounds is None or self._rounds.done():
            self._rounds = self.start(self._walk())

    def leave(self, post: Post) -> None:
        """Look at it no more."""
        self._posts.pop(post, None)
        if not self._posts and self._rounds is not None:
            self._rounds.cancel()
            self._rounds = None

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that lives until it is done, in no request's context: it outlives the one that it was started in."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _walk(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            doubtful: dict[Revocations, list[Post]] = {}
            for number, post in enumerate(list(self._posts), 1):
                if post in self._posts:
                    revocations = post.inspect()
                    if revocations is not None:
                        doubtful.setdefault(revocations, []).append(post)
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)
            for revocations, posts in doubtful.items():
                if revocations not in self._asking:
                    self._asking.add(revocations)
                    self.start(self._ask(revocations, posts))

    async def _ask(self, revocations: Revocations, posts: list[Post]) -> None:
        """Once for all; the next round sees what it has brought."""
        try:
            await revocations.hear_async()
        except RevocationsStale as error:
            for post in posts:
                if post in self._posts:
                    post.doubt(error)
        finally:
            self._asking.discard(revocations)


_patrols: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Patrol] = weakref.WeakKeyDictionary()
