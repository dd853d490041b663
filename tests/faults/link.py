"""Link: a relay between who listens and a server, that is cut, held, slowed and made to talk nonsense.

    link = Link(port)                # listens on 127.0.0.1 and link.port, passes all on to 127.0.0.1:port
    link.down()                      # connections end, new ones are refused
    link.hold()                      # connections stay, no byte passes
    link.slow(0.2)                   # each byte of the server comes so many seconds later
    link.babble(lambda: b"garbage")  # the server is not asked: this is the answer to whatever is sent
    link.up()                        # all is well again

Never knows what passes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any


class Link:
    """Works in a thread of its own until it is closed."""

    def __init__(self, to: int, host: str = "127.0.0.1", *, at: str = "127.0.0.1") -> None:
        self.host, self.port, self._to = host, 0, (at, to)
        self._delay = 0.0
        self._nonsense: Callable[[], bytes] | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._thread.start()
        self._passes = asyncio.Event()
        self._passes.set()
        self._run(self._listen())

    def up(self) -> None:
        """All is well."""
        self._run(self._up())

    def down(self) -> None:
        """As if the machine were gone, and its neighbour said so."""
        self._run(self._down())

    def hold(self) -> None:
        """As if it hung: taken, and never answered."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def slow(self, seconds: float) -> None:
        """Late, but all of it."""
        self._delay = seconds

    def babble(self, nonsense: Callable[[], bytes]) -> None:
        """Each connection from now on gets an answer that is none."""
        self._nonsense = nonsense
        self._run(self._end_all())

    def close(self) -> None:
        """End the thread."""
        self._passes.set()
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._taken, self.host, self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _up(self) -> None:
        self._delay = 0.0
        self._passes.set()
        if self._nonsense is not None:
            self._nonsense = None
            await self._end_all()
        await self._listen()

    async def _down(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        await self._end_all()

    async def _end_all(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await (self._pass(reader, writer) if self._nonsense is None else self._babble(reader, writer))
        finally:
            self._tasks.discard(task)
            self._open.discard(writer)
            writer.transport.abort()

    async def _babble(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(65_536) and self._nonsense is not None:
            writer.write(self._nonsense())
            await writer.drain()
            await asyncio.sleep(0.05)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passes.wait()
        from_server, to_server = await asyncio.open_connection(*self._to)
        self._open.add(to_server)
        ways = [
            asyncio.ensure_future(self._one_way(reader, to_server)),
            asyncio.ensure_future(self._one_way(from_server, writer, late=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self._open.discard(to_server)
            to_server.transport.abort()

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, late: bool = False) -> None:
        while data := await reader.read(65_536):
            if late and self._delay:
                await asyncio.sleep(self._delay)
            await self._passes.wait()
            writer.write(data)
            await writer.drain()
