"""FaultProxy: a TCP proxy on loopback that loses, cuts and delays a server's answers, as often as a test says.

Never knows HTTP: an answer begins with the first bytes from the server after bytes from the client.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from types import TracebackType
from typing import Self, cast


class FaultProxy:
    """Stands between a client and the server at `host` and `port`; clients connect to 127.0.0.1 and `proxy.port`.

    Shares from 0 to 1, to be changed at any time. Of the answers, one fault each: `drop` (the server has done what it was asked for; the
    connection ends before the client reads a byte), `cut` (it ends within the first bytes), `delay` (by `delay_seconds`). Of the
    connections: `refuse` (ended at once), `freeze` (taken and never answered; the server hears nothing). `rng` draws them.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        drop: float = 0.0,
        cut: float = 0.0,
        delay: float = 0.0,
        delay_seconds: float = 0.1,
        refuse: float = 0.0,
        freeze: float = 0.0,
        rng: random.Random | None = None,
    ) -> None:
        if not all(0.0 <= share <= 1.0 for share in (drop, cut, delay, refuse, freeze, drop + cut + delay, refuse + freeze)):
            raise ValueError("a share is between 0 and 1; so are those of the answers together, and those of the connections")
        self.drop, self.cut, self.delay, self.delay_seconds = drop, cut, delay, delay_seconds
        self.refuse, self.freeze = refuse, freeze
        self.host, self._server_port = host, port
        self.port = 0
        """Where clients connect to, from the first `up` on: the same for the proxy's whole life."""
        self.counts: Counter[str] = Counter()
        """What it did: connections, refused, frozen, unreachable; answers, dropped, cut, delayed."""
        self._rng = rng or random.Random(0)  # noqa: S311 - the same faults each time, nothing secret
        self._listener: asyncio.Server | None = None
        self._open: set[_Side] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    async def up(self) -> None:
        """Take connections, again on the port of before."""
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(lambda: _ClientSide(self), "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """As if the machine were gone: new connections find nobody, those that there are end at once."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        for task in list(self._connecting):
            task.cancel()
        while self._open:
            for side in list(self._open):
                side.transport.abort()
            await asyncio.sleep(0)
        if listener is not None:
            await listener.wait_closed()

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.down()

    def _drawn(self, **shares: float) -> str | None:
        """The fault that befalls this answer or connection, counted; None for most."""
        point = self._rng.random()
        for fault, share in shares.items():
            if point < share:
                self.counts[fault] += 1
                return fault
            point -= share
        return None


class _Side(asyncio.Protocol):
    """One half of a connection through the proxy; when it ends, so does the other."""

    transport: asyncio.Transport

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.proxy._open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.proxy._open.discard(self)
        if self.other is not None:
            self.other.transport.close()


class _ClientSide(_Side):
    """Passes on what the client asks."""

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__(proxy)
        self.asks = False
        """Whether the client sent bytes since the last bytes of the server."""
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.proxy.counts["connections"] += 1
        match self.proxy._drawn(refused=self.proxy.refuse, frozen=self.proxy.freeze):
            case "refused":
                self.transport.abort()
            case None:
                task = asyncio.get_running_loop().create_task(self._connect())
                self.proxy._connecting.add(task)
                task.add_done_callback(self.proxy._connecting.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, self.other = await loop.create_connection(lambda: _ServerSide(self), self.proxy.host, self.proxy._server_port)
        except OSError:
            self.proxy.counts["unreachable"] += 1
            self.transport.abort()
            return
        if self.transport.is_closing():
            self.other.transport.abort()
        elif self._early:
            self.other.transport.write(self._early)

    def data_received(self, data: bytes) -> None:
        self.asks = True
        if self.other is None:  # not connected yet, or frozen; uvloop would not heed a pause here
            self._early += data
        else:
            self.other.transport.write(data)


class _ServerSide(_Side):
    """Passes on what the server answers, or does not."""

    def __init__(self, client: _ClientSide) -> None:
        super().__init__(client.proxy)
        self.other = self.client = client

    def data_received(self, data: bytes) -> None:
        proxy, client, begins = self.proxy, self.client.transport, self.client.asks
        self.client.asks = False
        if begins:
            proxy.counts["answers"] += 1
        match proxy._drawn(dropped=proxy.drop, cut=proxy.cut, delayed=proxy.delay) if begins else None:
            case None:
                client.write(data)
            case "delayed":
                self.transport.pause_reading()  # what follows, the end included, comes after it
                asyncio.get_running_loop().call_later(proxy.delay_seconds, self._release, data)
            case fault:
                if fault == "cut" and len(data) > 1:
                    client.write(data[: proxy._rng.randrange(1, len(data))])
                client.close()
                self.transport.abort()

    def _release(self, data: bytes) -> None:
        self.client.transport.write(data)
        if not self.transport.is_closing():
            self.transport.resume_reading()
