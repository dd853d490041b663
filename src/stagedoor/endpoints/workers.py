"""Workers: a few threads for functions that block, and a queue for them that has an end.

Never knows what is done on them.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from stagedoor.errors import Overloaded

R = TypeVar("R")


class _Pool(NamedTuple):
    threads: ThreadPoolExecutor
    places: threading.BoundedSemaphore


class Workers:
    """`threads` calls run at one time, `waiting` more may queue. Nothing is started before the first call, nor carried over a fork."""

    def __init__(self, threads: int, waiting: int) -> None:
        self._threads = threads
        self._waiting = waiting
        self._pools: dict[int, _Pool] = {}

    async def run(self, function: Callable[..., R], *arguments: Any) -> R:
        """What the function answers or raises, called on a thread in this context. Overloaded where there is no place in the queue."""
        pool = self._pool()
        if not pool.places.acquire(blocking=False):
            raise Overloaded("too many calls wait for a thread")
        # A future beside the pool's own: cancelling that one would give its place away while the call is still in the queue.
        answer: Future[R] = Future()
        try:
            call = pool.threads.submit(_call, answer, pool.places, contextvars.copy_context(), function, arguments)
        except BaseException:
            pool.places.release()
            raise
        call.add_done_callback(lambda done: done.cancelled() and answer.cancel())  # by close()
        return await asyncio.wrap_future(answer)

    def close(self) -> None:
        """Wait for the calls that run, drop those that queue, let go of the threads. A later call starts new ones."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.threads.shutdown(wait=True, cancel_futures=True)

    def _pool(self) -> _Pool:
        """This process's own: after a fork the threads of the parent are not here, and the places taken there would never be free."""
        process = os.getpid()
        if process not in self._pools:  # a dict settles it without a lock, which a fork could leave locked
            made = _Pool(
                ThreadPoolExecutor(self._threads, thread_name_prefix="stagedoor-worker"),
                threading.BoundedSemaphore(self._threads + self._waiting),
            )
            return self._pools.setdefault(process, made)
        return self._pools[process]


def _call(
    answer: Future[R],
    places: threading.BoundedSemaphore,
    context: contextvars.Context,
    function: Callable[..., R],
    arguments: tuple[Any, ...],
) -> None:
    """The place is free when the call is over, and before its answer is known: who asks again at once must find it."""
    if not answer.set_running_or_notify_cancel():  # nobody waits for it any more
        places.release()
        return
    try:
        result = context.run(function, *arguments)
    except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
        places.release()
        answer.set_exception(error)
    else:
        places.release()
        answer.set_result(result)
