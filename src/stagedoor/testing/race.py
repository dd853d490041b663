"""Race: many callers with one refresh token, in several processes at a barrier, or as the staggered tabs of one browser.

    with Race(make_store, processes=4) as race:
        [text] = race.login()
        assert race.faults(race.at_once(text, callers=50)) == []

Never knows a store: it is given a function that makes one, and calls it in each process.
"""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import multiprocessing
import secrets
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from types import TracebackType
from typing import Any, Self

from stagedoor.errors import AuthError
from stagedoor.event import Event
from stagedoor.issuer import Issuer
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers
from stagedoor.session import Session, Store, SyncStore
from stagedoor.testing.threaded import Threaded

_AHEAD = 0.001
"""Seconds between the last arrival at the barrier and the start: enough for every process to be awake."""
_PATIENCE = 60.0
_JARS = 1024
_WIDTH = 256  # bytes a jar
_HARMLESS = {"refresh_rotated", "refresh_kept", "refresh_replayed"}


@dataclass(frozen=True, slots=True)
class Tab:
    """One caller of a browser: all times in seconds. It reads the jar when it starts."""

    starts: float = 0.0
    """After the barrier."""
    out: float = 0.0
    """How long its request is under way."""
    back: float | None = 0.0
    """How long the answer is, until the jar has it; None: the answer is lost on the way."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What one caller presented, and what came of it. Moments on the monotonic clock, around the call."""

    presented: str
    code: str
    """"ok", the code of the refusal, or what else was raised."""
    token: str | None
    """The refresh token answered."""
    event: str
    """The last that was told of this call: "refresh_rotated", "refresh_replayed", …"""
    sent: float
    ended: float
    process: int


class Race:
    """Processes that stay for many rounds, each with a store of its own making. Close it, or use it with `with`.

    `make_store` takes nothing, can be pickled (a function of a module, a partial) and returns an async or a sync store that is migrated
    and shared with those of the other processes. An async store is called by tasks of one event loop a process, a sync one by threads.
    `settings` are Issuer's, such as `retry_window`. `start_method`: "spawn" or "forkserver".
    """

    def __init__(
        self, make_store: Callable[[], Store | SyncStore], *, processes: int = 4, start_method: str = "spawn", **settings: Any
    ) -> None:
        if processes < 1 or start_method not in ("spawn", "forkserver"):
            raise ValueError("a race needs a process at least, by spawn or forkserver")
        context: Any = multiprocessing.get_context(start_method)
        pepper = secrets.token_bytes(32)
        self._peppers = Peppers(pepper)
        self._shared = _Shared(context, processes)
        self._turn = 0
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for number in range(processes):
            here, there = context.Pipe()
            arguments = (number, there, self._shared, make_store, pepper, settings)
            process = context.Process(target=_work, args=arguments, name=f"stagedoor-race-{number}", daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)
        try:
            self._answers(self._pipes)
        except BaseException:
            self.close()
            raise

    def login(self, sessions: int = 1) -> list[str]:
        """The first refresh tokens of so many new sessions, each of another subject."""
        found: list[str] = self._ask("login", sessions)
        return found

    def at_once(self, text: str, callers: int) -> list[Answered]:
        """So many callers, dealt out over the processes, with this token at one moment."""
        [answers] = self.tabs([(text, [Tab(back=None)] * callers)])
        return answers

    def tabs(self, browsers: Sequence[tuple[str, Sequence[Tab]]]) -> list[list[Answered]]:
        """The tabs of browsers that run side by side: each with a jar of its own, in which at first this token is; their answers."""
        if len(browsers) > _JARS:
            raise ValueError(f"at most {_JARS} browsers at once")
        jobs: list[list[tuple[int, Tab]]] = [[] for _ in self._pipes]
        for jar, (text, tabs) in enumerate(browsers):
            self._shared.put(jar, text)
            for tab in tabs:
                jobs[self._turn % len(jobs)].append((jar, tab))
                self._turn += 1
        for pipe, job in zip(self._pipes, jobs, strict=True):
            pipe.send(("run", job))
        answers: list[list[Answered]] = [[] for _ in browsers]
        for reply in self._answers(self._pipes):
            for jar, answer in reply:
                answers[jar].append(answer)
        return answers

    def session(self, text: str) -> Session | None:
        """The row of this token's session as it now stands."""
        found: Session | None = self._ask("session", self._peppers.parse(text, time.time()).session_id)
        return found

    def faults(self, answers: Sequence[Answered]) -> list[str]:
        """What must not be, once all callers of one session are answered: nothing, where the store is sound.

        One is Rotated, the others Replayed or Kept, all have the same token, and it is the one that lives in the row.
        """
        found = [f"a caller was refused: {each.code}" for each in answers if each.token is None]
        found += [f"{each.event or 'nothing'} was told of a caller" for each in answers if each.token and each.event not in _HARMLESS]
        tokens = {each.token for each in answers if each.token is not None}
        if len(tokens) != 1:
            found.append(f"{len(tokens)} different tokens were answered")
        rotated = sum(each.event == "refresh_rotated" for each in answers)
        if rotated != 1:
            found.append(f"{rotated} calls rotated")
        row = self.session(answers[0].presented)
        if row is None:
            found.append("the row is gone")
        elif row.revoked_at is not None:
            found.append(f"the session was revoked: {row.reason}")
        else:
            held = [self._peppers.parse(token, time.time()) for token in tokens]
            alive = [token for token in held if (token.generation, token.digest) == (row.generation, row.digest)]
            if len(alive) != len(held):
                found.append("a token was answered that is not the one in the row")
        return found

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            try:
                pipe.send(None)
            except OSError:
                continue  # it has ended already
        for process in self._processes:
            process.join(_PATIENCE / 6)
            if process.is_alive():
                process.terminate()
                process.join()
            process.close()
        for pipe in self._pipes:
            pipe.close()
        self._pipes, self._processes = [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, what: str, argument: object) -> Any:
        self._pipes[0].send((what, argument))
        [answer] = self._answers(self._pipes[:1])
        return answer

    def _answers(self, pipes: Sequence[Connection]) -> list[Any]:
        answers = []
        for pipe in pipes:
            try:
                if not pipe.poll(_PATIENCE):
                    raise RuntimeError("a process of the race does not answer")
                answer, trouble = pipe.recv()
            except EOFError:
                raise RuntimeError("a process of the race has ended") from None
            if trouble is not None:
                raise RuntimeError(f"a process of the race failed:\n{trouble}")
            answers.append(answer)
        return answers


class _Shared:
    """What all processes see: the barrier, the moment of the start, and the jars."""

    def __init__(self, context: SpawnContext | ForkServerContext, processes: int) -> None:
        self._moment: Any = context.RawValue(ctypes.c_double, 0.0)
        self._jars: Any = context.RawArray(ctypes.c_char, _JARS * _WIDTH)
        self._lock = context.Lock()
        self._barrier = context.Barrier(processes, action=_Start(self._moment))

    def wait(self) -> float:
        """Until all are here; the moment at which they start."""
        self._barrier.wait(_PATIENCE)
        moment: float = self._moment.value
        return moment

    def get(self, jar: int) -> str:
        """The token in a jar."""
        with self._lock:
            return self._read(jar)

    def put(self, jar: int, text: str, newer: Callable[[str, str], bool] = lambda new, old: True) -> None:
        """Lay a token into a jar, if it is newer than the one there."""
        data = text.encode("ascii")
        if len(data) >= _WIDTH:
            raise ValueError("no refresh token is that long")
        with self._lock:
            if newer(text, self._read(jar)):
                self._jars[jar * _WIDTH : (jar + 1) * _WIDTH] = data.ljust(_WIDTH, b"\0")

    def _read(self, jar: int) -> str:
        data: bytes = self._jars[jar * _WIDTH : (jar + 1) * _WIDTH]
        return data.rstrip(b"\0").decode("ascii")


@dataclass(frozen=True)
class _Start:
    """Whoever comes last to the barrier says when all start."""

    moment: Any

    def __call__(self) -> None:
        self.moment.value = time.monotonic() + _AHEAD


_told: ContextVar[list[str] | None] = ContextVar("_told", default=None)


def _listen(event: Event) -> None:
    told = _told.get()
    if told is not None:
        told.append(event.name)


def _work(number: int, pipe: Connection, shared: _Shared, make_store: Callable[[], Any], pepper: bytes, settings: dict[str, Any]) -> None:
    """A process: it does what comes through the pipe, until None comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started the race
    with asyncio.Runner() as runner:
        racer: _Racer | None = None
        job: tuple[str, Any] | None = ("open", None)
        while job is not None:
            what, argument = job
            try:
                if racer is None:
                    racer = _Racer(number, shared, make_store, pepper, settings)
                pipe.send((runner.run(getattr(racer, what)(argument)), None))
            except Exception:  # noqa: BLE001 - whatever it was, who started the race hears of it
                pipe.send((None, traceback.format_exc()))
            try:
                job = pipe.recv()
            except EOFError:
                job = None  # who started the race is gone
        if racer is not None:
            runner.run(racer.close())


class _Racer:
    """The callers in one process."""

    def __init__(self, number: int, shared: _Shared, make_store: Callable[[], Any], pepper: bytes, settings: dict[str, Any]) -> None:
        self._number = number
        self._shared = shared
        self._make_store = make_store
        self._pepper = pepper
        self._own: Any = None
        self._store: Any = None
        self._settings = {"audience": "https://api.example", **settings}

    async def open(self, _: None) -> None:
        """Make the store, with the event loop running."""
        self._own = self._make_store()
        is_async = inspect.iscoroutinefunction(self._own.rotate)
        self._store = self._own if is_async else Threaded(self._own, threads=64)
        self._peppers = Peppers(self._pepper)
        keys = KeySet.from_secret(b"of access tokens nothing is raced here")
        self._issuer = Issuer("https://auth.example", store=self._store, keys=keys, peppers=self._peppers, events=_listen, **self._settings)

    async def login(self, sessions: int) -> list[str]:
        """Race.login."""
        return [(await self._issuer.issue(f"racer-{secrets.token_hex(8)}")).refresh_token for _ in range(sessions)]

    async def session(self, session_id: bytes) -> Session | None:
        """Race.session; its claims as what can go through a pipe."""
        row: Session | None = await self._store.get(session_id)
        return None if row is None else replace(row, claims=dict(row.claims))

    async def run(self, callers: list[tuple[int, Tab]]) -> list[tuple[int, Answered]]:
        """These callers, once every process is ready."""
        start = self._shared.wait()  # the loop stands still meanwhile: nobody may begin
        time.sleep(max(0.0, start - time.monotonic()))  # noqa: ASYNC251 - finer than a timer of the loop
        return await asyncio.gather(*(self._call(jar, tab, start) for jar, tab in callers))

    async def close(self) -> None:
        """Let go of the store, where it came to be made."""
        if isinstance(self._store, Threaded):
            self._store.close()
        if hasattr(self._own, "close"):
            closing = self._own.close()
            if inspect.isawaitable(closing):
                await closing

    async def _call(self, jar: int, tab: Tab, start: float) -> tuple[int, Answered]:
        if tab.starts:
            await asyncio.sleep(start + tab.starts - time.monotonic())
        presented = self._shared.get(jar)
        if tab.out:
            await asyncio.sleep(tab.out)
        told: list[str] = []
        _told.set(told)  # in the context of this caller's own task
        token, code, sent = None, "ok", time.monotonic()
        try:
            token = (await self._issuer.refresh(presented)).refresh_token
        except AuthError as error:
            code = error.code
        except Exception as error:  # noqa: BLE001 - a store that raises anything else is at fault, and is to be told so
            code = f"{type(error).__name__}: {error}"
        ended = time.monotonic()
        if token is not None and tab.back is not None:
            await asyncio.sleep(tab.back)
            self._shared.put(jar, token, self._newer)
        event = told[-1] if told else ""
        return jar, Answered(presented, code, token, event, sent, ended, self._number)

    def _newer(self, new: str, old: str) -> bool:
        moment = time.time()
        return self._peppers.parse(new, moment).generation > self._peppers.parse(old, moment).generation
