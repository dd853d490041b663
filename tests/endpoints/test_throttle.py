"""Throttle: how many failed logins there may be, on each kind of counters."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stagedoor.endpoints import Throttle
from stagedoor.endpoints.counters import MemoryCounters
from stagedoor.errors import TooManyAttempts
from stagedoor.stores.sql import SQLStore
from stagedoor.stores.sql.counters import SQLCounters
from stagedoor.testing.clock import FixedClock

TOGETHER, ADDRESS, ACCOUNT = 10, 50, 100
WINDOW = 600
HERE = "192.0.2.1"


@dataclass
class Door:
    """A throttle on counters and a clock."""

    throttle: Throttle
    counters: Any
    clock: FixedClock
    file: Path | None = None

    async def wrong(self, account: str = "ada", address: str = HERE) -> int:
        """A login with a wrong password: 0, or the seconds to wait where the password was not looked at."""
        try:
            await self.throttle.attempt(account, address)
        except TooManyAttempts as refused:
            return refused.retry_after
        return 0

    async def right(self, account: str = "ada", address: str = HERE) -> int:
        """A login with the right password."""
        try:
            attempt = await self.throttle.attempt(account, address)
        except TooManyAttempts as refused:
            return refused.retry_after
        await self.throttle.forgive(attempt)
        return 0


@pytest.fixture(params=["memory", "sqlite"])
async def door(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Door]:
    clock = FixedClock(1_750_000_200.0)  # a window begins
    if request.param == "memory":
        counters = MemoryCounters()
        yield Door(Throttle(counters, clock=clock), counters, clock)
        return
    file = tmp_path / "auth.db"
    store = SQLStore(f"sqlite:///{file}")
    await store.migrate()
    on_sql = SQLCounters(store.database)
    yield Door(Throttle(on_sql, clock=clock), on_sql, clock, file)
    await store.close()


def address(number: int) -> str:
    return f"198.51.{number // 256}.{number % 256}"


async def test_account_and_address_together(door: Door):
    """Ten failures of one account from one address; others from there, and the account from elsewhere, go on."""
    assert [await door.wrong() for _ in range(TOGETHER)] == [0] * TOGETHER
    assert await door.wrong() == WINDOW
    assert await door.right() == WINDOW
    assert await door.wrong("ben") == 0
    assert await door.wrong("ada", address(1)) == 0


async def test_address(door: Door):
    """Fifty failures from one address, whatever names it tries; another address goes on."""
    assert {await door.wrong(f"user-{number}") for number in range(ADDRESS)} == {0}
    assert await door.wrong("another") == WINDOW
    assert await door.wrong("another", address(1)) == 0


async def test_account(door: Door):
    """A hundred failures of one account, from wherever they come; another account goes on."""
    assert {await door.wrong("ada", address(number)) for number in range(ACCOUNT)} == {0}
    assert await door.wrong("ada", address(1000)) == WINDOW
    assert await door.wrong("ben", address(1000)) == 0


@pytest.mark.parametrize(("elapsed", "wait"), [(0, 600), (0.5, 600), (1, 599), (599, 1), (599.9, 1)])
async def test_the_wait_is_told(door: Door, elapsed: float, wait: int):
    """Who is refused learns how many whole seconds are left of the window."""
    for _ in range(TOGETHER):
        await door.wrong()
    door.clock.forward(elapsed)
    assert await door.wrong() == wait


async def test_the_window_ends(door: Door):
    """When the wait is over all counts begin anew, and not before."""
    for _ in range(TOGETHER + 5):
        await door.wrong()
    door.clock.forward(WINDOW - 0.001)
    assert await door.wrong() == 1
    door.clock.forward(0.001)
    assert [await door.wrong() for _ in range(TOGETHER)] == [0] * TOGETHER
    assert await door.wrong() > 0


async def test_success_does_not_count(door: Door):
    """Right passwords never use anything up."""
    assert {await door.right() for _ in range(ACCOUNT + 50)} == {0}
    assert [await door.wrong() for _ in range(TOGETHER)] == [0] * TOGETHER


async def test_success_forgives_itself_only(door: Door):
    """A right password in between does not give a guesser his failures back."""
    for _ in range(TOGETHER - 1):
        await door.wrong()
    assert await door.right() == 0
    assert await door.wrong() == 0
    assert await door.wrong() > 0


async def test_an_attempt_withdrawn_does_not_count(door: Door):
    """An attempt whose password was not looked at after all is given back, and makes no address known."""
    for _ in range(TOGETHER + 5):
        await door.throttle.withdraw(await door.throttle.attempt("ada", HERE))
    for number in range(ACCOUNT):
        await door.wrong("ada", address(number))
    assert await door.wrong() > 0


async def test_two_hundred_at_once(door: Door):
    """Of attempts in parallel no more than the limit are let through, and what they leave is counted right."""
    answers = await asyncio.gather(*(door.wrong() for _ in range(200)))
    assert answers.count(0) == TOGETHER
    assert await door.wrong() > 0
    assert await door.wrong("ben") == 0
    assert [await door.wrong("ada", address(1)) for _ in range(TOGETHER)] == [0] * TOGETHER


async def test_many_addresses_at_once(door: Door):
    """From two hundred addresses at once no more than the account's limit are let through."""
    answers = await asyncio.gather(*(door.wrong("ada", address(number)) for number in range(200)))
    assert answers.count(0) == ACCOUNT


async def test_many_names_at_once(door: Door):
    """With two hundred names at once no more than the address's limit are let through."""
    answers = await asyncio.gather(*(door.wrong(f"user-{number}") for number in range(200)))
    assert answers.count(0) == ADDRESS


async def test_refused_attempts_use_nothing_up(door: Door):
    """A stranger who goes on once he is refused takes nothing more of the account's count."""
    for _ in range(500):
        await door.wrong("ada", address(1))
    left = [await door.wrong("ada", address(number)) for number in range(2, 2 + ACCOUNT - TOGETHER)]
    assert set(left) == {0}
    assert await door.wrong("ada", address(500)) > 0


async def test_a_stranger_does_not_lock_the_owner_out(door: Door):
    """From an address that the account has logged in from, its owner gets in however much strangers fail."""
    assert await door.right() == 0
    for window in range(3):
        for number in range(ACCOUNT + 20):
            await door.wrong("ada", address(number))
        assert await door.wrong("ada", address(1000)) > 0, window
        assert await door.right() == 0
        door.clock.forward(WINDOW)


async def test_a_known_address_is_no_way_round(door: Door):
    """A known address has its own count, with the same limit together, and one of another account has none."""
    assert await door.right() == 0
    assert await door.right("ben", address(1)) == 0
    assert [await door.wrong() for _ in range(TOGETHER)] == [0] * TOGETHER
    assert await door.wrong() > 0
    for number in range(2, 2 + ACCOUNT):
        await door.wrong("ada", address(number))
    assert await door.wrong("ada", address(1)) > 0


@pytest.mark.parametrize("door", ["sqlite"], indirect=True)
async def test_an_address_is_forgotten_in_the_end(door: Door):
    """An address counts as known for ninety days."""
    assert await door.right() == 0
    for days, known in ((89, True), (1, False)):
        door.clock.forward(days * 86_400)
        for number in range(ACCOUNT):
            await door.wrong("ada", address(number))
        assert (await door.wrong() == 0) is known


@pytest.mark.parametrize(
    "same",
    ["ADA", "Ada", "\uff41\uff44\uff41", "\uff21\uff24\uff21", " ada", "ada ", "a\u00adda", "ada\u200b", "ada\x00", "\u2009ada\u3000"],
)
async def test_one_name_written_in_many_ways(door: Door, same: str):
    """Names that an application may take for one have one count: letters of another width or case, blanks, invisible marks."""
    for _ in range(TOGETHER // 2):
        await door.wrong("ada")
        await door.wrong(same)
    assert await door.wrong("ada") > 0
    assert await door.wrong(same) > 0


async def test_names_that_differ(door: Door):
    """Names that are not one have a count each, and no name runs into the address behind it."""
    for _ in range(TOGETHER):
        await door.wrong("ada")
    for other in ("adb", "ad", "adaa", "ada\x00" + HERE, "", "ádá", "ada" * 80):
        assert await door.wrong(other) == 0


@pytest.mark.parametrize("name", ["\ud800", "\x00", "ß" * 255, "\U0001f600" * 255, "\ufdfa" * 255])
async def test_odd_names(door: Door, name: str):
    """Any text can be counted."""
    assert [await door.wrong(name) for _ in range(TOGETHER)] == [0] * TOGETHER
    assert await door.wrong(name) > 0


async def test_nothing_readable_is_kept(door: Door):
    """Names, which may be passwords typed into the wrong field, and addresses are kept as digests."""
    name = "correct horse battery"
    await door.wrong(name)
    await door.right(name)
    if door.file is None:
        kept = "".join(door.counters._storage.storage)
        assert len(kept) >= 64
    else:
        connection = sqlite3.connect(door.file)
        keys = [key for (key,) in connection.execute("SELECT key FROM stagedoor_counters")]
        connection.close()
        assert len(keys) == 4
        assert {len(key) for key in keys} == {32}
        kept = "".join(file.read_bytes().decode("latin-1") for file in door.file.parent.iterdir())
    assert "horse" not in kept
    assert HERE not in kept


@pytest.mark.parametrize("door", ["memory"], indirect=True)
async def test_refused_attempts_leave_nothing_in_memory(door: Door):
    """A flood of names that are refused takes no room."""
    for number in range(ADDRESS):
        await door.wrong(f"user-{number}")
    kept = len(door.counters._storage.storage)
    for number in range(500):
        assert await door.wrong(f"other-{number}") > 0
    assert len(door.counters._storage.storage) == kept == 2 * ADDRESS + 1


async def test_counters(door: Door):
    """Counters add to each key, start at nothing, never go below it, and end."""
    add, get = door.counters.add, door.counters.get
    first, second = b"\x01" * 32, b"\x02" * 32
    assert await get(first, now=0.0) == 0
    assert await add([first, second], 1, lifetime=600, now=0.0) == [1, 1]
    assert await add([first], 1, lifetime=600, now=1.0) == [2]
    assert await add([first, second], -1, lifetime=600, now=2.0) == [1, 0]
    assert await add([second], -1, lifetime=600, now=3.0) == [0]
    assert await add([second, second], 1, lifetime=600, now=4.0) == [1, 2]
    assert (await get(first, now=5.0), await get(second, now=5.0)) == (1, 2)


@pytest.mark.parametrize("door", ["sqlite"], indirect=True)
async def test_counters_on_sql_end_by_the_moment_given(door: Door):
    """A count on SQL ends its lifetime after it began, not after its last change; dead ones are cleaned away a few at a time."""
    keys = [number.to_bytes(32, "big") for number in range(40)]
    await door.counters.add(keys, 1, lifetime=600, now=0.0)
    assert await door.counters.add(keys[:1], 1, lifetime=600, now=599.0) == [2]
    assert await door.counters.get(keys[0], now=599.9) == 2
    assert await door.counters.get(keys[0], now=600.0) == 0
    assert await door.counters.add(keys[:1], 1, lifetime=600, now=600.0) == [1]
    assert await door.counters.add(keys[:1], 1, lifetime=600, now=601.0) == [2]
    assert await door.counters.add(keys[:1], 1, lifetime=600, now=602.0) == [3]
    connection = sqlite3.connect(door.file)
    assert connection.execute("SELECT count(*) FROM stagedoor_counters").fetchone() == (1,)
    connection.close()
