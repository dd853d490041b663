"""Workers: bounded threads for functions that block, and what a flood of logins leaves free."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from endpoints.house import ACCOUNTS, NAME, House, bearer
from stagedoor.endpoints import Endpoints
from stagedoor.endpoints import endpoints as module
from stagedoor.endpoints.starlette import mount
from stagedoor.endpoints.workers import Workers
from stagedoor.errors import Overloaded
from stagedoor.guards.starlette import Guard

PATIENCE = 30
LOGINS = 200


class Work:
    """A function that blocks until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.calls = 0

    def __call__(self, answer: Any = None) -> Any:
        self.calls += 1
        self.begun.release()
        assert self.go.wait(PATIENCE)
        return answer

    async def running(self, calls: int) -> None:
        """Once so many calls more have begun."""
        for _ in range(calls):
            assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE)


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.go.set()


async def refused(tasks: list[asyncio.Task[Any]], number: int) -> list[asyncio.Task[Any]]:
    """The tasks that are done, once they are so many."""
    async with asyncio.timeout(PATIENCE):
        while sum(task.done() for task in tasks) < number:
            await asyncio.sleep(0)
    return [task for task in tasks if task.done()]


async def test_answers_and_errors_come_back():
    """A call's answer is returned and its error raised."""
    workers = Workers(1, 0)
    assert await workers.run(divmod, 7, 3) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        await workers.run(divmod, 7, 0)
    assert await workers.run(divmod, 7, 3) == (2, 1)
    workers.close()


async def test_what_finds_no_place_is_overloaded_at_once(work: Work):
    """As many as there are threads run, as many as may wait do, and all others are refused without waiting."""
    workers = Workers(2, 3)
    tasks = [asyncio.create_task(workers.run(work, n)) for n in range(20)]
    assert all(isinstance(task.exception(), Overloaded) for task in await refused(tasks, 15))
    await work.running(2)
    assert work.calls == 2
    work.go.set()
    assert await asyncio.gather(*tasks[:5]) == [0, 1, 2, 3, 4]
    assert await workers.run(work, "again") == "again"
    workers.close()


async def test_the_place_is_free_before_the_answer_is_known():
    """Who asks again at once finds a place, every time."""
    workers = Workers(1, 0)
    for n in range(500):
        assert await workers.run(abs, -n) == n
    workers.close()


@pytest.mark.parametrize("waiting", [0, 1], ids=["running", "in the queue"])
async def test_hanging_up_makes_no_room(work: Work, waiting: int):
    """A place is taken until its call is over or passed over; one that nobody waits for any more is not begun."""
    workers = Workers(1, waiting)
    tasks = [asyncio.create_task(workers.run(work)) for _ in range(1 + waiting)]
    await work.running(1)
    tasks[-1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[-1]
    with pytest.raises(Overloaded):
        await workers.run(work)
    work.go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    workers.close()
    assert work.calls == 1


async def test_context_is_carried_along():
    """A call sees the context variables of whoever asked for it."""
    variable = contextvars.ContextVar("variable", default="nobody")
    variable.set("somebody")
    workers = Workers(1, 0)
    assert await workers.run(variable.get) == "somebody"
    workers.close()


async def test_closing_drops_what_waits(work: Work):
    """Closing waits for what runs and drops the queue; a call after that starts threads anew."""
    workers = Workers(1, 1)
    running, waiting = (asyncio.create_task(workers.run(work, n)) for n in (1, 2))
    await work.running(1)
    closing = asyncio.create_task(asyncio.to_thread(workers.close))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    work.go.set()
    await closing
    assert await running == 1
    assert await workers.run(abs, -3) == 3
    workers.close()
    workers.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_has_threads_of_its_own(work: Work):
    """After a fork the child has all its places, though those of the parent were taken."""
    workers = Workers(1, 0)
    asyncio.run(workers.run(abs, -1))
    busy = threading.Thread(target=lambda: asyncio.run(workers.run(work)))
    busy.start()
    assert work.begun.acquire(timeout=PATIENCE)
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if asyncio.run(workers.run(abs, -3)) == 3 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    work.go.set()
    busy.join(PATIENCE)
    workers.close()


def flooded(authenticate: Any) -> tuple[httpx2.AsyncClient, dict[str, str]]:
    """A client of an application with this authenticate and a route guarded by a sync check; and a token's header."""
    house = House("starlette", None)
    headers = bearer(house.tokens()["access_token"])
    guard = Guard(house.issuer.verifier())

    @guard(check=lambda token, request: True)
    async def orders(request: Any) -> PlainTextResponse:
        return PlainTextResponse("orders")

    app = Starlette(routes=[Route("/orders", orders)])
    mount(app, Endpoints(house.issuer, authenticate, proxies=["127.0.0.1"], clock=house.clock))
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app, client=("127.0.0.1", 1)), base_url=NAME, timeout=PATIENCE)
    return client, headers


def logins(client: httpx2.AsyncClient, number: int) -> list[asyncio.Task[Any]]:
    return [
        asyncio.create_task(
            client.post("/auth/login", json={"username": f"user {n}", "password": "x"}, headers={"X-Forwarded-For": f"192.0.{n}.1"})
        )
        for n in range(number)
    ]


async def test_a_flood_of_logins_starves_no_guard(work: Work):
    """While 200 logins wait for a sync authenticate, a route guarded by a sync check answers; who finds no place is told 503 at once."""
    client, headers = flooded(lambda username, password: work(ACCOUNTS["ada"]))
    tasks = logins(client, LOGINS)
    turned_away = [task.result() for task in await refused(tasks, LOGINS - 5 * module._THREADS)]
    assert {answer.status_code for answer in turned_away} == {503}
    assert turned_away[0].headers["retry-after"] == "1"
    await work.running(module._THREADS)
    async with asyncio.timeout(PATIENCE):
        assert (await client.get("/orders", headers=headers)).text == "orders"
    assert work.calls == module._THREADS
    work.go.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.status_code for answer in answers].count(200) == 5 * module._THREADS
    await client.aclose()


async def test_an_async_authenticate_needs_no_thread():
    """An async authenticate is awaited as it is: 200 at one time are 200."""
    arrived = asyncio.Barrier(LOGINS)

    async def authenticate(username: str, password: str) -> Any:
        await arrived.wait()
        return ACCOUNTS["ada"]

    client, _ = flooded(authenticate)
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*logins(client, LOGINS))
    assert {answer.status_code for answer in answers} == {200}
    await client.aclose()
