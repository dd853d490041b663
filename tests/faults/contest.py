"""Contest: refreshing and ending sessions at once, from many tasks and several processes; what each did, with its moments.

Never knows what is right.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
from contextvars import ContextVar
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from faults.log import now
from faults.places import Place
from stagedoor.errors import AuthError, NotFound
from stagedoor.event import Event
from stagedoor.issuer import Issuer
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers
from stagedoor.revocation import Revocations

WINDOW = 60
_OBJECTS = 3
"""Store objects, each with connections of its own, that a process spreads its calls over."""


@dataclass(frozen=True)
class Act:
    """What somebody does, so many seconds after the start. `what`: refresh, chain, reuse, logout, device, everywhere, login."""

    delay: float
    what: str
    argument: str
    """A refresh token, a session's id or a subject."""
    attempt: str | None = None
    times: int = 1
    ends: tuple[str, ...] = ()
    """Sessions that are over once this is acknowledged, whatever the answer says."""


@dataclass(frozen=True)
class Did:
    """What came of one call. A refresh has `token`; an end has `why`, and `code` "ok" when it was acknowledged; a login has neither."""

    sent: float
    ended: float
    code: str
    token: str | None = None
    returned: str | None = None
    session: str | None = None
    why: str | None = None
    thief: bool = False
    subject: str | None = None
    """Who logged in, or was logged out everywhere."""


_told: ContextVar[list[Event] | None] = ContextVar("_told", default=None)


def _listen(event: Event) -> None:
    told = _told.get()
    if told is not None:
        told.append(event)


@dataclass
class Stage:
    """Issuers on store objects of their own, in this process."""

    place: Place
    pepper: bytes
    stores: list[Any] = field(default_factory=list)

    async def open(self) -> None:
        """Open the stores."""
        peppers = Peppers(self.pepper)
        keys = KeySet.from_secret(b"of access tokens nothing is tested here")
        self.issuers, self.chained, self.limited = [], [], []
        for _ in range(_OBJECTS):
            store: Any = self.place.store()
            self.stores.append(store)
            for issuers, limit in ((self.issuers, 100), (self.chained, 100), (self.limited, 2)):
                issuers.append(
                    Issuer(
                        "https://auth.example",
                        audience="https://api.example",
                        store=store,
                        keys=keys,
                        peppers=peppers,
                        retry_window=WINDOW,
                        session_limit=limit,
                        revocations=Revocations(),  # access tokens are R12's: nobody waits for news of them
                        events=_listen,
                    )
                )
            self.chained[-1].retry_window = 0  # no session is young: each refresh of a lone client rotates

    async def close(self) -> None:
        """Let go of them."""
        for store in self.stores:
            if hasattr(store, "close"):
                await store.close()

    async def play(self, acts: list[Act], start: float, seed: int) -> list[Did]:
        """All of them, each at its moment; what they did."""
        rnd = random.Random(seed)
        done = await asyncio.gather(*(self._act(act, start, rnd) for act in acts))
        return [each for some in done for each in some]

    async def _act(self, act: Act, start: float, rnd: random.Random) -> list[Did]:
        await asyncio.sleep(max(0.0, start + act.delay - now()))
        issuer = rnd.choice({"chain": self.chained, "login": self.limited}.get(act.what, self.issuers))
        _told.set([])  # in the context of this task alone
        if act.what in ("refresh", "chain"):
            return await self._refreshes(issuer, act, rnd)
        if act.what == "reuse":
            (did,) = await self._refreshes(issuer, act, rnd, thief=True)
            over = did.code == "refresh_token_reused"
            return [did, Did(did.sent, did.ended, "ok", session=act.ends[0], why="reuse")] if over else [did]
        return await _end(issuer, act)

    async def _refreshes(self, issuer: Issuer, act: Act, rnd: random.Random, thief: bool = False) -> list[Did]:
        text, attempt, done = act.argument, act.attempt, []
        for _ in range(act.times):
            sent = now()
            try:
                pair = await issuer.refresh(text, attempt=attempt)
                done.append(Did(sent, now(), "ok", text, pair.refresh_token, thief=thief))
                if pair.refresh_token != text:
                    text, attempt = pair.refresh_token, None
            except AuthError as error:
                done.append(Did(sent, now(), error.code, text, thief=thief))
            await asyncio.sleep(rnd.choice((0.0, 0.0, 0.001, 0.004)))
        return done


async def _end(issuer: Issuer, act: Act) -> list[Did]:
    sent, code, opened = now(), "ok", None
    try:
        if act.what == "logout":
            await issuer.revoke(act.argument)
        elif act.what == "device":
            await issuer.revoke_session(act.argument)
        elif act.what == "everywhere":
            await issuer.revoke_subject(act.argument)
        elif act.what == "login":
            opened = await issuer.issue(act.argument)
        else:
            raise ValueError(act.what)
    except NotFound:
        code = "not_found"  # somebody else was first
    except AuthError as error:
        code = error.code
    ended = now()
    named = {event.session_id or "" for event in _told.get() or () if event.name == "session_revoked"}
    done = [Did(sent, ended, code, session=session, why=act.what, subject=act.argument) for session in sorted(named | set(act.ends))]
    if opened is not None:
        done.append(Did(sent, ended, "ok", returned=opened.refresh_token, session=opened.session_id, subject=act.argument))
    return done


class Troupe:
    """The same in other processes, from `start` to `close`."""

    def __init__(self, place: Place, pepper: bytes, number: int) -> None:
        context = multiprocessing.get_context("forkserver")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(number):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, place, pepper), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    async def play(self, acts: list[Act], start: float, rnd: random.Random) -> list[Did]:
        """Deal them out; what they did."""
        hands: list[list[Act]] = [[] for _ in self._pipes]
        for act in acts:
            rnd.choice(hands).append(act)
        for pipe, hand in zip(self._pipes, hands, strict=True):
            pipe.send((hand, start, rnd.getrandbits(32)))
        done = await asyncio.gather(*(asyncio.to_thread(pipe.recv) for pipe in self._pipes))
        if broken := [each for each in done if isinstance(each, str)]:
            raise RuntimeError(broken[0])
        return [each for some in done for each in some]

    def close(self) -> None:
        """End them."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()


def _work(pipe: Connection, place: Place, pepper: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    asyncio.run(_serve(pipe, Stage(place, pepper)))
    os._exit(0)  # whatever a driver still has on its mind


async def _serve(pipe: Connection, stage: Stage) -> None:
    await stage.open()
    while True:
        try:
            acts, start, seed = await asyncio.to_thread(pipe.recv)
        except EOFError:
            break
        try:
            pipe.send(await stage.play(acts, start, seed))
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}")
    await stage.close()
