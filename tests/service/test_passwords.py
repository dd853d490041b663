"""Passwords: policy, normal form, one cost for all, and a queue with an end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import unicodedata
from collections.abc import Iterator

import argon2
import pytest

from stagedoor.errors import InvalidRequest, Overloaded
from stagedoor.service.passwords import COMMON, Passwords


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(time_cost=1, memory_cost=8)
    yield made
    made.close()


def test_the_default_costs_are_those_of_the_design():
    """argon2id, three passes over 64 MiB, one lane."""
    passwords = Passwords()
    hash_ = asyncio.run(passwords.hash("correct horse"))
    passwords.close()
    assert hash_.startswith("$argon2id$v=19$m=65536,t=3,p=1$")


async def test_the_right_password_and_no_other(passwords: Passwords):
    """A password fits its own hash; another one, or another case, does not."""
    hash_ = await passwords.hash("correct horse")
    assert await passwords.verify(hash_, "correct horse")
    assert not await passwords.verify(hash_, "Correct horse")
    assert not await passwords.verify(hash_, "correct hors")
    assert await passwords.hash("correct horse") != hash_


async def test_nobodys_hash_fits_nothing(passwords: Passwords):
    """An unknown user has no password, not even an empty one."""
    assert not await passwords.verify(None, "")
    assert not await passwords.verify(None, "correct horse")


def test_nobodys_hash_costs_what_the_others_cost():
    """The hash for an unknown user has the parameters of every other."""
    passwords = Passwords(time_cost=2, memory_cost=64, parallelism=2)
    real = asyncio.run(passwords.hash("correct horse"))
    assert argon2.extract_parameters(passwords._nobodys) == argon2.extract_parameters(real)
    assert len(passwords._nobodys) == len(real)
    assert not passwords.needs_rehash(passwords._nobodys)
    passwords.close()


@pytest.mark.parametrize(
    "password",
    ["7 chars", "", "        "[:7], "a" * 1025, "with\0nul!", "line\nbreak", "tab\ttab!", "\x7f" * 9, "lone \ud800 one", "\u00ad\x85" * 5],
)
async def test_policy_refuses(passwords: Passwords, password: str):
    """Too short, too long or with control characters: refused when it is chosen, never cut, never repeated in the message."""
    with pytest.raises(InvalidRequest) as caught:
        await passwords.hash(password)
    assert password == "" or password not in str(caught.value)


@pytest.mark.parametrize(
    "password",
    [
        "8 chars!",
        "aaaaaaab",
        "73529164",
        "  spaced  ",
        "🔑" * 8,
        "пароль-пароль",
        "a" * 64,
        "b" * 128,
        "é" * 1024,
        "'; drop table --",
    ],
)
async def test_policy_takes_any_kind_of_character(passwords: Passwords, password: str):
    """No composition rules; spaces, emoji and 1024 characters are welcome."""
    assert await passwords.verify(await passwords.hash(password), password)


async def test_long_passwords_are_not_cut(passwords: Passwords):
    """Two long passwords that differ in the last character, or in the 73rd byte, are two."""
    hash_ = await passwords.hash("a" * 1023 + "b")
    assert not await passwords.verify(hash_, "a" * 1024)
    hash_ = await passwords.hash("a" * 72 + "b" * 28)
    assert not await passwords.verify(hash_, "a" * 73 + "b" * 27)


async def test_one_character_is_one_however_it_is_typed(passwords: Passwords):
    """NFC and plain spaces (RFC 8265): the keyboard of another machine does not lock anybody out; case and compatibility stay apart."""
    composed, decomposed = (unicodedata.normalize(form, "Zoë's café 12") for form in ("NFC", "NFD"))
    assert composed != decomposed
    hash_ = await passwords.hash(decomposed)
    assert await passwords.verify(hash_, composed)
    assert await passwords.verify(await passwords.hash("ein Satz\u00a0mit Raum"), "ein Satz mit Raum")
    assert not await passwords.verify(await passwords.hash("ﬁne-print"), "fine-print")


@pytest.mark.parametrize("password", ["password", "PassWord1", "12345678", "qwertyuiop", "stagedoor"])
async def test_the_most_common_are_refused(passwords: Passwords, password: str):
    """What is guessed first is never taken, in any case of letters."""
    with pytest.raises(InvalidRequest, match="first to be guessed"):
        await passwords.hash(password)


def test_the_list_of_common_ones_is_short_and_of_use():
    """Each entry could be chosen: the list holds nothing that is too short anyway, and is small by intent."""
    assert all(8 <= len(each) <= 20 and each == each.casefold() for each in COMMON)
    assert len(COMMON) <= 75


@pytest.mark.parametrize("password", ["", "\ud800", "\0", "a" * 100_000, "\U0010ffff" * 1024])
async def test_whatever_is_sent_is_only_wrong(passwords: Passwords, password: str):
    """Checking takes any text: what policy would refuse is wrong, not an accident."""
    hash_ = await passwords.hash("correct horse")
    assert not await passwords.verify(hash_, password)
    assert not await passwords.verify(None, password)


@pytest.mark.parametrize("hash_", ["$2b$12$abcdefghijklmnopqrstuv", "plain text", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$x$y"])
async def test_a_foreign_hash_fits_nothing(passwords: Passwords, hash_: str):
    """A hash that is not ours is nobody's password."""
    assert not await passwords.verify(hash_, "correct horse")


async def test_a_hash_with_other_costs_is_checked_and_known_to_be_old(passwords: Passwords):
    """Changing the costs locks nobody out."""
    older = Passwords(time_cost=2, memory_cost=16)
    hash_ = await older.hash("correct horse")
    older.close()
    assert await passwords.verify(hash_, "correct horse")
    assert passwords.needs_rehash(hash_)
    assert not passwords.needs_rehash(await passwords.hash("correct horse"))


async def test_a_flood_is_turned_away_and_passes(monkeypatch: pytest.MonkeyPatch):
    """What finds no place in the queue is Overloaded at once (503, Retry-After); the others are answered, and then there is room again."""
    passwords = Passwords(threads=2, waiting=3, time_cost=1, memory_cost=8)
    gate, running, most = threading.Event(), 0, 0
    verified = passwords._verified

    def slow(*arguments: object) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        gate.wait(60)
        running -= 1
        return verified(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(passwords, "_verified", slow)
    tasks = [asyncio.create_task(passwords.verify(None, "guess")) for _ in range(50)]
    started = time.monotonic()
    await asyncio.sleep(0.05)
    refused = [task for task in tasks if task.done()]
    assert len(refused) == 45
    assert all(isinstance(task.exception(), Overloaded) for task in refused)
    assert time.monotonic() - started < 30, "the event loop was held up"
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results.count(False) == 5
    assert most <= 2
    assert not await passwords.verify(None, "guess")
    assert (Overloaded.status, Overloaded().retry_after) == (503, 1)
    passwords.close()


async def test_hanging_up_makes_no_room(monkeypatch: pytest.MonkeyPatch):
    """A client that goes away while its password is checked leaves the place taken until the work is done."""
    passwords = Passwords(threads=1, waiting=0, time_cost=1, memory_cost=8)
    gate, begun = threading.Event(), threading.Event()
    monkeypatch.setattr(passwords, "_verified", lambda *_: begun.set() or gate.wait(60))
    task = asyncio.create_task(passwords.verify(None, "guess"))
    await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(Overloaded):
        await passwords.verify(None, "guess")
    gate.set()
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(Overloaded):
                assert await passwords.verify(None, "guess")
                break
            await asyncio.sleep(0)
    passwords.close()


async def test_checking_does_not_hold_up_the_event_loop():
    """While a password is checked, everything else goes on."""
    passwords = Passwords(time_cost=4, memory_cost=32_768)
    task = asyncio.create_task(passwords.verify(None, "guess"))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    passwords.close()
    assert turns > 10


async def test_a_machine_without_memory_is_overloaded_not_a_wrong_password(passwords: Passwords, monkeypatch: pytest.MonkeyPatch):
    """Where argon2 cannot have its memory, the answer is 503, not 400."""

    def verify(*_: object) -> bool:
        raise argon2.exceptions.VerificationError("Memory allocation error")

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
    with pytest.raises(Overloaded):
        await passwords.verify(None, "guess")
