"""Many at once: floods of unknown keys, single flight over tasks and threads, event loops that go on, forks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remote.material import FIRST, SECOND, code_of, of_unknown_kid, token, until, verifier
from remote.server import KeyServer, is_endless
from stagedoor.jwks import RemoteKeySet, SyncRemoteKeySet
from stagedoor.testing.clock import FixedClock

KIDS = 20_000


class Gap:
    """The longest time, in seconds, for which a loop that should tick each millisecond did not."""

    longest = 0.0


@asynccontextmanager
async def ticking() -> AsyncIterator[Gap]:
    gap = Gap()

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gap.longest, last = max(gap.longest, now - last), now

    task = asyncio.create_task(tick())
    try:
        yield gap
    finally:
        task.cancel()


def in_threads(count: int, work: object) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_flood_of_unknown_kids_is_one_fetch_a_cool_down(server: KeyServer) -> None:
    """20,000 kids from two loops of four tasks and two plain threads: one fetch in each of two cool-downs; good tokens go on."""
    clock = FixedClock()
    keys, sync = RemoteKeySet(server.url, clock=clock), SyncRemoteKeySet(server.url, clock=clock)
    asyncio.run(verifier(keys).verify_async(token()))
    verifier(sync).verify(token())
    assert server.count() == 2
    refused: list[int] = []

    async def flood(first: int, last: int) -> None:
        v = verifier(keys)
        for number in range(first, last):
            assert await code_of(v.verify_async(of_unknown_kid(number))) == "key_unknown"
            if number % 500 == 0:
                assert await code_of(v.verify_async(token())) == "ok"
                await asyncio.sleep(0)
        refused.append(last - first)

    async def tasks(first: int) -> None:
        await asyncio.gather(*(flood(first + n * KIDS // 16, first + (n + 1) * KIDS // 16) for n in range(4)))

    def work(number: int) -> None:
        if number < 2:
            asyncio.run(tasks(number * KIDS // 4))
        else:
            for kid in range(KIDS // 4):
                assert sync.find(f"kid-{number}-{kid}", 0.0) is None
            refused.append(KIDS // 4)

    for turn in (1, 2):
        clock.forward(10)
        in_threads(4, work)
        assert server.count() == 2 + 2 * turn
    assert sum(refused) == 2 * KIDS


async def test_200_at_once_are_one_fetch(server: KeyServer) -> None:
    """200 verifications that begin together, and 200 under a new key, wait for one fetch each time, and all succeed."""
    clock = FixedClock()
    server.delay = 0.1
    v = verifier(RemoteKeySet(server.url, clock=clock))
    for count, key in enumerate((FIRST, SECOND), 1):
        clock.forward(10)
        server.publish(FIRST, key) if key is not FIRST else None
        codes = await asyncio.gather(*(code_of(v.verify_async(token(key))) for _ in range(200)))
        assert codes == ["ok"] * 200
        assert server.count() == count


@pytest.mark.parametrize("kind", [RemoteKeySet, SyncRemoteKeySet])
def test_one_fetch_over_all_threads_and_loops(server: KeyServer, kind: type) -> None:
    """Threads, each with its own event loop or with none, share one fetch."""
    server.delay = 0.1
    keys = kind(server.url)
    barrier, found = threading.Barrier(20), []

    def work(number: int) -> None:
        barrier.wait()
        v = verifier(keys)
        found.append(asyncio.run(code_of(v.verify_async(token()))) if kind is RemoteKeySet else v.verify(token()).subject)

    in_threads(20, work)
    assert found == ["ok" if kind is RemoteKeySet else "ada"] * 20
    assert server.count() == 1


async def test_another_loops_fetch_counts(server: KeyServer) -> None:
    """Who failed before another's fetch came, and asks after it, verifies again without a fetch of its own."""
    keys = RemoteKeySet(server.url)
    v = verifier(keys)
    errors = []
    with server.holding():
        for _ in range(2):
            try:
                v.verify(token())
            except Exception as error:
                errors.append(error)
    until(lambda: keys._known is not None)
    assert await keys.learn(errors[0])  # type: ignore[arg-type]
    assert server.count() == 1


async def test_one_who_gives_up_takes_nobody_along(server: KeyServer) -> None:
    """A request that is cancelled while it waits cancels the fetch for no other."""
    v = verifier(RemoteKeySet(server.url, timeout=30))
    with server.holding():
        waiting = [asyncio.create_task(code_of(v.verify_async(token()))) for _ in range(10)]
        while not server.count():
            await asyncio.sleep(0.01)
        for task in waiting[:5]:
            task.cancel()
        await asyncio.wait(waiting[:5])
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers[:5]] == [True] * 5
    assert answers[5:] == ["ok"] * 5
    assert server.count() == 1


def test_a_loop_that_ends_takes_nobody_along(server: KeyServer) -> None:
    """An event loop that is closed while its requests wait leaves the fetch to the others."""
    keys = RemoteKeySet(server.url, timeout=30)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(verifier(keys).verify_async(token()), 0.05)

    with server.holding():
        asyncio.run(give_up())
    assert asyncio.run(code_of(verifier(keys).verify_async(token()))) == "ok"
    assert server.count() == 1


async def test_the_event_loop_is_never_held_up(server: KeyServer) -> None:
    """While the server is silent, or floods us, a task that ticks each millisecond goes on ticking, and known keys verify."""
    clock = FixedClock()
    v = verifier(RemoteKeySet(server.url, timeout=30, clock=clock))
    await v.verify_async(token())
    clock.forward(250)
    good = token()
    async with ticking() as gap:
        with server.holding():
            silence = [asyncio.create_task(code_of(v.verify_async(of_unknown_kid(n)))) for n in range(50)]
            for _ in range(50):
                assert await code_of(v.verify_async(good)) == "ok"
                await asyncio.sleep(0.005)
            assert not any(task.done() for task in silence)
        await asyncio.wait(silence)
        server.behaviour = is_endless
        clock.forward(250)
        flood = [asyncio.create_task(code_of(v.verify_async(of_unknown_kid(n)))) for n in range(50)]
        while not all(task.done() for task in flood):
            assert await code_of(v.verify_async(good)) == "ok"
            await asyncio.sleep(0.005)
    assert gap.longest < 15  # the machine may be busy; a wait for the server would be twice as long
    assert {task.result() for task in silence + flood} == {"key_unknown"}
    assert server.count() == 3


FORK = """
import asyncio, os, sys, threading, time
from remote.material import FIRST, code_of, token, verifier
from remote.server import KeyServer
from stagedoor.jwks import RemoteKeySet, SyncRemoteKeySet

def ask(keys):
    begun = time.monotonic()
    if isinstance(keys, RemoteKeySet):
        code = asyncio.run(code_of(verifier(keys).verify_async(token())))
    else:
        code = "ok" if verifier(keys).verify(token()).subject == "ada" else "not"
    return code == "ok" and time.monotonic() - begun < 30

def fork():
    child = os.fork()
    if child == 0:
        for keys in made:
            keys._timeout = 40
        os._exit(0 if all([ask(keys) for keys in made]) else 1)
    return child

with KeyServer() as server:
    server.publish(FIRST)
    server.delay = 0.3
    made = [kind(server.url, timeout=40) for kind in (RemoteKeySet, SyncRemoteKeySet)]
    for keys in made:
        keys._fetching()                     # under way, in its first imports, on a thread that no child has
    for keys in made:                        # and their locks are taken again and again
        threading.Thread(target=lambda k=keys: [k._fetching() for _ in range(50_000)], daemon=True).start()
    children = [fork() for _ in range(5)]
    stuck = RemoteKeySet(server.url, timeout=1)
    stuck._fly = lambda flight: time.sleep(60)    # a resolver of names that hangs: nothing can end that thread
    stuck._fetching()
    del stuck._fly
    made.append(stuck)
    children.append(fork())
    print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_goes_on() -> None:
    """A child that is forked while a fetch is under way has its keys, or fetches them: it waits for nothing that its parent holds."""
    here = Path(__file__).parents[1]
    path = os.pathsep.join([str(here), *sys.path])
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str([0] * 6)), done.stderr


def test_without_threads_it_is_a_503(server: KeyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where no thread can be started (the interpreter is ending) the fetch has failed, and the next cool-down tries again."""
    clock = FixedClock()
    v = verifier(RemoteKeySet(server.url, clock=clock))

    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        assert asyncio.run(code_of(v.verify_async(token()))) == "keys_unavailable"
    assert "can't start new thread" in caplog.text
    clock.forward(10)
    assert asyncio.run(code_of(v.verify_async(token()))) == "ok"
