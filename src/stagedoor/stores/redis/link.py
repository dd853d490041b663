"""Links: the ways to a Redis server or a Redis Cluster, with await and without; every failure on them is a StoreError.

Never knows what is sent.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from redis.asyncio.cluster import PipelineCommand
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from stagedoor.errors import StoreError
from stagedoor.revocation import FeedClosed
from stagedoor.stores.redis.url import parse

R = TypeVar("R")
_Asked = tuple[tuple[Any, ...], "asyncio.Future[Any]"]
_CONNECTIONS = 64
"""Connections to one server; who finds none free waits."""
_AT_ONCE = 60
"""Steps of one event loop under way at once, each with a connection to a node: some are left for the cluster's own affairs."""
_TOGETHER = 8
"""Commands that share a connection: so few that Redis works on some while the answers to others are read."""
_PATIENCE = 5.0
"""Seconds to wait for a free connection."""
_OPTIONS: dict[str, Any] = {"socket_connect_timeout": 2.0, "socket_timeout": 3.0, "max_connections": _CONNECTIONS, "protocol": 2}
"""Where the URL's query names one of them, that counts. WAIT takes a second at the most: less than an answer may take."""
_RETRIES = 1
"""Each script may run twice: it knows its own work. So a connection that the server closed meanwhile is nobody's trouble."""


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=0.05, cap=0.5)


def _broken(error: Exception) -> StoreError:
    # Of a pipeline's error the first part is the command: what is in it belongs into no message.
    return StoreError(f"{type(error).__name__}: {str(error).rpartition('caused error: ')[2]}")


class SyncLink:
    """A pool of connections, opened on first use, anew in a forked child."""

    def __init__(self, url: str) -> None:
        self._url, self._cluster = parse(url, redis)
        self._locks: dict[int, threading.Lock] = {}
        self._client: Any = None
        self._process = os.getpid()
        options: dict[str, Any] = _OPTIONS | dict(parse_url(self._url))
        self.patience: float = options["socket_timeout"] or _OPTIONS["socket_timeout"]
        """Seconds that an answer may take."""
        self.is_closed = False
        """Whether it was closed, and not used since."""

    def run(self, steps: Generator[Any, Any, R], scripts: list[str], *, anew: bool = True) -> R:
        """Take these steps; their result. StoreError where Redis did not answer as it should.

        FeedClosed where this link was closed and is not to be opened `anew`.
        """
        try:
            ask = next(steps)
            while True:
                try:
                    answer = self._answer(ask, scripts, anew)
                except FeedClosed:
                    raise
                except Exception as error:  # noqa: BLE001 - while a cluster changes, the client's own slips come up too
                    ask = steps.throw(_broken(error))
                else:
                    ask = steps.send(answer)
        except StopIteration as stop:
            result: R = stop.value
            return result

    def _answer(self, ask: Any, scripts: list[str], anew: bool) -> Any:
        self._open(anew)
        try:
            return ask(self)
        except NoScriptError:  # a new server, or one that was told to forget them
            self.load(scripts)
            return ask(self)

    def send(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send these, each to the node of its key, and collect the answers."""
        if len(commands) == 1:
            return [self._client.execute_command(*commands[0])]
        with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute()
        return answers

    def masters(self) -> list[str]:
        """The names of all nodes that are written to; a single server has none to speak of."""
        return [node.name for node in self._client.get_primaries()] if self._cluster else [""]

    def node_of(self, key: bytes) -> str:
        """The name of the node that this key is written to."""
        return str(self._client.get_node_from_key(key).name) if self._cluster else ""

    def on(self, node: str, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send these to one node, over one connection."""
        client = self._client.get_redis_connection(self._client.get_node(node_name=node)) if self._cluster else self._client
        with client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute()
        return answers

    def load(self, scripts: list[str]) -> None:
        """Have all nodes know these scripts."""
        for script in scripts:
            self._client.script_load(script)

    def close(self) -> None:
        """Close all connections; the next step opens anew."""
        with self._own_lock():
            self._leave_the_parents()
            client, self._client = self._client, None
            self.is_closed = True
        if client is not None:
            client.close()

    def _own_lock(self) -> threading.Lock:
        """The lock, another one in a forked child: there nobody may be left to release the parent's."""
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _leave_the_parents(self) -> None:
        """In a forked child: its parent's connections stay its parent's."""
        if self._process != os.getpid():
            self._process, self._client = os.getpid(), None

    def _open(self, anew: bool) -> None:
        with self._own_lock():
            self._leave_the_parents()
            if self.is_closed and not anew:
                raise FeedClosed("its store is closed")
            self.is_closed = False
            if self._client is not None:
                return
            pool = partial(redis.BlockingConnectionPool, timeout=_PATIENCE)
            retry = Retry(_backoff(), _RETRIES)
            if self._cluster:
                self._client = redis.RedisCluster.from_url(self._url, connection_pool_class=pool, retry=retry, **_OPTIONS)
            else:
                made = redis.BlockingConnectionPool.from_url(self._url, timeout=_PATIENCE, retry=retry, **_OPTIONS)
                self._client = redis.Redis.from_pool(made)


class _Lane:
    """What one event loop has of a link: connections belong to a loop."""

    __slots__ = ("asked", "begun", "client", "door", "is_shared", "slots", "under_way", "waiting")

    def __init__(self, client: Any) -> None:
        self.client = client
        self.slots = asyncio.Semaphore(_AT_ONCE)
        self.door = asyncio.Lock()
        self.begun = False
        self.asked: list[_Asked] = []
        """What was asked for in this turn of the loop, and goes out at its end."""
        self.waiting = 0
        """Commands that were asked for, and not answered yet."""
        self.is_shared = False
        """Whether the last one had company."""
        self.under_way: set[asyncio.Task[None]] = set()


class Link:
    """SyncLink with await."""

    def __init__(self, url: str) -> None:
        self._url, self._cluster = parse(url, redis.asyncio)
        self._lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = WeakKeyDictionary()

    async def run(self, steps: Generator[Any, Any, R], scripts: list[str]) -> R:
        """As SyncLink.run."""
        try:
            ask = next(steps)
            while True:
                try:
                    answer = await self._answer(ask, scripts)
                except Exception as error:  # noqa: BLE001 - as SyncLink.run
                    ask = steps.throw(_broken(error))
                else:
                    ask = steps.send(answer)
        except StopIteration as stop:
            result: R = stop.value
            return result

    async def _answer(self, ask: Any, scripts: list[str]) -> Any:
        # A cluster's client refuses where a node has no connection free; a single server's waits for one, and so do all here.
        lane = self._lane()
        task = asyncio.current_task()
        cancels = 0 if task is None else task.cancelling()
        if lane.slots.locked():
            async with asyncio.timeout(_PATIENCE):
                await lane.slots.acquire()
        else:
            await lane.slots.acquire()  # at once: a timer would cost more than the place
        try:
            if not lane.begun:
                await self._begin(lane)
            try:
                return await ask(self)
            except NoScriptError:
                await self.load(scripts)
                return await ask(self)
        finally:
            lane.slots.release()
            if task is not None and task.cancelling() > cancels:
                raise asyncio.CancelledError  # the driver waits by wait_for, which on Python 3.11 may forget that it was cancelled

    async def _begin(self, lane: _Lane) -> None:
        """Find out the nodes, one caller first: a cluster's client that several begin to use at once gets in its own way."""
        async with lane.door:
            if not lane.begun:
                await lane.client.initialize()
                lane.begun = True

    async def send(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """As SyncLink.send."""
        lane = self._lane()
        if len(commands) == 1 and not self._cluster:
            return [await self._send_one(lane, commands[0])]
        if len(commands) == 1:
            return [await lane.client.execute_command(*commands[0])]
        async with lane.client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = await pipeline.execute()
        return answers

    async def _send_one(self, lane: _Lane, command: tuple[Any, ...]) -> Any:
        """To a single server: by itself where nobody else asks, else over one connection with all that the loop asks in this turn.

        Having a connection costs more than a script does; but to wait for company that does not come costs as much.
        """
        has_company = lane.waiting > 0
        lane.waiting += 1
        try:
            if not has_company and not lane.is_shared:
                return await lane.client.execute_command(*command)
            lane.is_shared = lane.is_shared or has_company
            loop = asyncio.get_running_loop()
            if not lane.asked:
                loop.call_soon(self._hand_over, lane)
            answer: asyncio.Future[Any] = loop.create_future()
            lane.asked.append((command, answer))
            return await answer
        finally:
            lane.waiting -= 1

    def _hand_over(self, lane: _Lane) -> None:
        asked, lane.asked = [each for each in lane.asked if not each[1].done()], []
        lane.is_shared = lane.waiting > 1
        for at in range(0, len(asked), _TOGETHER):
            task = asyncio.get_running_loop().create_task(self._exchange(lane, asked[at : at + _TOGETHER]))
            lane.under_way.add(task)  # a loop itself would forget it
            task.add_done_callback(lane.under_way.discard)

    async def _exchange(self, lane: _Lane, asked: list[_Asked]) -> None:
        """Send these and hand out the answers, to each its own; what breaks the connection is told to all."""
        try:
            if len(asked) == 1:
                answers = [await lane.client.execute_command(*asked[0][0])]
            else:
                async with lane.client.pipeline(transaction=False) as pipeline:
                    for command, _ in asked:
                        pipeline.execute_command(*command)
                    answers = await pipeline.execute(raise_on_error=False)
        except asyncio.CancelledError:
            for _, future in asked:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            answers = [error] * len(asked)
        for (_, future), answer in zip(asked, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def masters(self) -> list[str]:
        """As SyncLink.masters."""
        return [node.name for node in (await self._lane().client.initialize()).get_primaries()] if self._cluster else [""]

    async def node_of(self, key: bytes) -> str:
        """As SyncLink.node_of."""
        return str((await self._lane().client.initialize()).get_node_from_key(key).name) if self._cluster else ""

    async def on(self, node: str, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """As SyncLink.on."""
        if not self._cluster:
            async with self._lane().client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                answers: list[Any] = await pipeline.execute()
            return answers
        sent = [PipelineCommand(position, *command) for position, command in enumerate(commands)]
        await self._lane().client.get_node(node_name=node).execute_pipeline(sent)
        for each in sent:
            if isinstance(each.result, Exception):
                raise each.result
        return [each.result for each in sent]

    async def load(self, scripts: list[str]) -> None:
        """As SyncLink.load."""
        for script in scripts:
            await self._lane().client.script_load(script)

    async def close(self) -> None:
        """Close the connections of this event loop; the next step opens anew."""
        lane = self._lanes.pop(asyncio.get_running_loop(), None)
        if lane is not None:
            await lane.client.aclose()

    def _lane(self) -> _Lane:
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            lane = self._lanes[loop] = _Lane(self._client())
        return lane

    def _client(self) -> Any:
        retry = AsyncRetry(_backoff(), _RETRIES)
        if self._cluster:
            return redis.asyncio.RedisCluster.from_url(self._url, retry=retry, **_OPTIONS)
        pool = redis.asyncio.BlockingConnectionPool.from_url(self._url, timeout=_PATIENCE, retry=retry, **_OPTIONS)
        return redis.asyncio.Redis.from_pool(pool)
