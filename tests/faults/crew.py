"""Crew: worker processes with an issuer each, on one store, with clocks of their own; asked from here with await.

Never knows what is asked of whom, or whether the answer is right.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from faults.log import now
from faults.places import Place
from stagedoor import Issuer, KeySet, Peppers, Revocations
from stagedoor.errors import AuthError
from stagedoor.event import Event

PATIENCE = 30.0


@dataclass(frozen=True)
class Worker:
    """What a process is told: its store, how far its clock is off, where its peppers are."""

    place: Place
    offset: float
    peppers: Path
    retry_window: int
    refresh_idle: int
    refresh_absolute: int

    def clock(self) -> float:
        """The moment as this worker believes it."""
        return time.time() + self.offset


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker answered. Moments on the machine's monotonic clock, around the call."""

    code: str
    """"ok", or the code of the refusal."""
    token: str | None
    event: str
    """The last that was told of this call."""
    sent: float
    ended: float
    expires_in: int = 0
    refresh_expires_in: int = 0


class Crew:
    """The workers, from `start` to `close`."""

    def __init__(self, workers: list[Worker]) -> None:
        context = multiprocessing.get_context("forkserver")
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._pipes: list[Connection] = []
        self._processes = []
        self._asked = 0
        for worker in workers:
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, worker), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    def __len__(self) -> int:
        return len(self._pipes)

    async def start(self) -> None:
        """Listen to what they answer; it must be called where they are asked."""
        loop = asyncio.get_running_loop()
        for pipe in self._pipes:
            loop.add_reader(pipe.fileno(), self._hear, pipe)

    async def ask(self, worker: int, what: str, argument: str) -> Reply:
        """`issue` for a subject or `refresh` of a token, at this worker."""
        self._asked += 1
        number, future = self._asked, asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._pipes[worker].send((number, what, argument))
        async with asyncio.timeout(PATIENCE):
            return await future

    def _hear(self, pipe: Connection) -> None:
        try:
            while pipe.poll():
                number, reply = pipe.recv()
                self._waiting.pop(number).set_result(reply)
        except EOFError:
            asyncio.get_running_loop().remove_reader(pipe.fileno())  # who waits for it runs out of patience

    async def close(self) -> None:
        """End them."""
        for pipe in self._pipes:
            asyncio.get_running_loop().remove_reader(pipe.fileno())
            pipe.close()
        for process in self._processes:
            await asyncio.to_thread(process.join, PATIENCE)
            if process.is_alive():
                process.kill()


_told: ContextVar[list[str] | None] = ContextVar("_told", default=None)


def _listen(event: Event) -> None:
    told = _told.get()
    if told is not None:
        told.append(event.name)


def _work(pipe: Connection, worker: Worker) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    asyncio.run(_serve(pipe, worker))
    os._exit(0)  # whatever a driver still has on its mind


async def _serve(pipe: Connection, worker: Worker) -> None:
    store: Any = worker.place.store()
    issuer = Issuer(
        "https://auth.example",
        audience="https://api.example",
        store=store,
        keys=KeySet.from_secret(b"of access tokens nothing is tested"),
        peppers=Peppers.open(worker.peppers, clock=worker.clock),
        retry_window=worker.retry_window,
        refresh_idle=worker.refresh_idle,
        refresh_absolute=worker.refresh_absolute,
        revocations=Revocations(),  # access tokens are R12's: nobody waits for news of them
        events=_listen,
        clock=worker.clock,
    )
    over, loop, tasks = asyncio.Event(), asyncio.get_running_loop(), set()

    def hear() -> None:
        try:
            while pipe.poll():
                task = loop.create_task(_answer(issuer, pipe, *pipe.recv()))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except (EOFError, OSError):
            loop.remove_reader(pipe.fileno())
            over.set()

    loop.add_reader(pipe.fileno(), hear)
    await over.wait()
    await store.close()


async def _answer(issuer: Issuer, pipe: Connection, number: int, what: str, argument: str) -> None:
    told: list[str] = []
    _told.set(told)  # in the context of this task alone
    sent = now()
    try:
        pair = await getattr(issuer, what)(argument)
        reply = Reply("ok", pair.refresh_token, told[-1], sent, now(), pair.expires_in, pair.refresh_expires_in)
    except AuthError as error:
        reply = Reply(error.code, None, told[-1] if told else "", sent, now())
    except Exception as error:
        reply = Reply(f"{type(error).__name__}: {error}", None, "", sent, now())
    pipe.send((number, reply))
