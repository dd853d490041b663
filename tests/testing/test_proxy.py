"""The public fault proxy: each fault, how often it comes, and what the server has heard by then."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from stagedoor.testing.proxy import FaultProxy

ANSWER = b"the answer to %d, long enough to be cut somewhere\n"


class Server:
    """Answers each line with the number of lines that it has read."""

    def __init__(self) -> None:
        self.heard = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            self.heard += 1
            writer.write(ANSWER % self.heard)
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server on a free port."""
    made = Server()
    listener = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    yield made
    listener.close()


async def ask(port: int, times: int = 1) -> list[bytes]:
    """What a client read for its lines on one connection: an answer each, then what came of it when the connection ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    read = []
    try:
        for _ in range(times):
            writer.write(b"line\n")
            read.append(await reader.readline())
            if not read[-1].endswith(b"\n"):
                break
    except ConnectionError:
        read.append(b"")
    finally:
        writer.close()
    return read


async def test_without_a_fault_it_changes_nothing(server: Server) -> None:
    """Every answer comes, each on the connection that asked."""
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        assert await ask(proxy.port, 3) == [ANSWER % 1, ANSWER % 2, ANSWER % 3]
        assert proxy.counts == {"connections": 1, "answers": 3}


async def test_a_dropped_answer_was_given(server: Server) -> None:
    """The server has done what it was asked for, and the client never reads a byte."""
    async with FaultProxy("127.0.0.1", server.port, drop=1.0) as proxy:
        assert await ask(proxy.port) == [b""]
        assert server.heard == 1
        assert proxy.counts["dropped"] == 1


async def test_a_cut_answer_ends_in_the_middle(server: Server) -> None:
    """The client reads some of it, never all."""
    async with FaultProxy("127.0.0.1", server.port, cut=1.0) as proxy:
        for number in range(1, 20):
            (read,) = await ask(proxy.port)
            assert 0 < len(read) < len(ANSWER % number)
            assert (ANSWER % number).startswith(read)


async def test_a_delayed_answer_comes_whole_and_late(server: Server) -> None:
    """What the server says later comes after it."""
    async with FaultProxy("127.0.0.1", server.port, delay=1.0, delay_seconds=0.05) as proxy:
        began = asyncio.get_running_loop().time()
        assert await ask(proxy.port, 2) == [ANSWER % 1, ANSWER % 2]
        assert asyncio.get_running_loop().time() - began >= 0.1
        assert proxy.counts["delayed"] == 2


async def test_a_refused_connection_reaches_nobody(server: Server) -> None:
    """It ends at once; the server has heard nothing."""
    async with FaultProxy("127.0.0.1", server.port, refuse=1.0) as proxy:
        assert await ask(proxy.port) == [b""]
        assert proxy.counts["refused"] == 1
    assert server.heard == 0


async def test_a_frozen_connection_is_never_answered(server: Server) -> None:
    """It stays open, and the server has heard nothing."""
    async with FaultProxy("127.0.0.1", server.port, freeze=1.0) as proxy:
        asking = asyncio.create_task(ask(proxy.port))
        while not proxy.counts["frozen"]:
            await asyncio.sleep(0.001)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asking, 0.1)
        assert proxy.counts["frozen"] == 1
    assert server.heard == 0


async def test_down_and_up_again(server: Server) -> None:
    """While it is down nobody listens, and who was connected is cut off; up again, it is on the same port."""
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        port = proxy.port
        connected = asyncio.create_task(ask(port, 1_000_000))
        while server.heard < 2:  # the second line is sent by who has read the first answer
            await asyncio.sleep(0.001)
        await proxy.down()
        *answered, last = await connected
        assert answered
        assert not last.endswith(b"\n")
        with pytest.raises(ConnectionRefusedError):
            await ask(port)
        heard = server.heard
        await proxy.up()
        assert proxy.port == port
        assert await ask(port) == [ANSWER % (heard + 1)]


async def test_a_server_that_is_gone(server: Server) -> None:
    """The client's connection ends, and the proxy lives on."""
    async with FaultProxy("127.0.0.1", 1) as proxy:
        for number in (1, 2):
            assert await ask(proxy.port) == [b""]
            assert proxy.counts["unreachable"] == number


async def test_shares_are_kept_and_can_be_changed(server: Server) -> None:
    """About as many answers are dropped as it says; after a change to none, none."""
    async with FaultProxy("127.0.0.1", server.port, drop=0.3, rng=random.Random(7)) as proxy:
        dropped = sum([await ask(proxy.port) == [b""] for _ in range(200)])
        assert dropped == proxy.counts["dropped"]
        assert 40 < dropped < 80
        proxy.drop = 0.0
        assert [len(await ask(proxy.port, 10)) for _ in range(3)] == [10, 10, 10]


async def test_one_seed_draws_the_same_faults(server: Server) -> None:
    """Two proxies with the same random numbers lose the same answers."""
    lost = []
    for _ in range(2):
        async with FaultProxy("127.0.0.1", server.port, drop=0.5, rng=random.Random(11)) as proxy:
            lost.append([await ask(proxy.port) == [b""] for _ in range(30)])
    assert lost[0] == lost[1]
    assert {True, False} == set(lost[0])


@pytest.mark.parametrize("shares", [{"drop": -0.1}, {"drop": 0.6, "cut": 0.5}, {"refuse": 1.1}, {"refuse": 0.6, "freeze": 0.6}])
def test_what_is_no_share_is_refused(shares: dict[str, float]) -> None:
    """Less than none or more than all is a mistake of the programmer."""
    with pytest.raises(ValueError, match="share"):
        FaultProxy("127.0.0.1", 1, **shares)
