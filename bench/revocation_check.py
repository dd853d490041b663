"""What the check for revocations costs: python bench/revocation_check.py [--smoke]; make bench runs it in full.

A verification with Revocations that follow a feed and are fresh, against the same one with the check taken out, turn and turn about;
with no record, a thousand and a million. And: bytes a record, seconds to load a million from a feed, and the longest pause of a thread that
checks while a million records are added and forgotten. Exit code 1 where the check costs more than BAR.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stagedoor import Issuer, KeySet, Peppers, Revocations
from stagedoor.access_token import AccessToken
from stagedoor.revocation import Page, Record
from stagedoor.stores.memory import MemoryStore

BAR = 0.3
"""Microseconds that the check may cost."""
LIFE = 3600.0
TURN = 20
"""Verifications in one turn: so short that most are not disturbed by what else runs on the machine."""


class Without(Revocations):
    """With the check taken out."""

    def check(self, token: Any, now: float) -> None:
        """Nothing."""


class Feed:
    """A feed that has so many records, told all at once, and nothing afterwards."""

    def __init__(self, number: int) -> None:
        self.number = number

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        """As Feed.read."""
        if after is not None:
            time.sleep(wait)
        return Page("bench:1", () if after else records(self.number), None, 0.0)


def records(number: int, first: int = 0) -> Iterator[Record]:
    """Sessions that were ended during the last quarter of an hour."""
    now = time.time()
    for n in range(first, first + number):
        yield Record.of_session(n.to_bytes(16, "little"), LIFE, now - n % 900)


def loaded(number: int) -> Revocations:
    """Revocations that follow, are fresh, and know so many records."""
    made = Revocations.following(Feed(number), bound=600)  # a million take longer than a guard would wait
    made.hear()
    _must(len(made) == number and made.is_fresh, f"{len(made)} of {number} records")
    return made


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


async def _token(issuer: Issuer) -> str:
    return (await issuer.issue("ada", scope="orders:read")).access_token


def a_turn(verify: Callable[[str], AccessToken[Any]], text: str) -> float:
    """Microseconds of this thread for one verification."""
    began = time.thread_time_ns()
    for _ in range(TURN):
        verify(text)
    return (time.thread_time_ns() - began) / TURN / 1000


def undisturbed(spent: list[float]) -> float:
    """The median of the fastest fiftieth: what else runs on this machine takes caches away, and never makes anything faster."""
    return statistics.median(sorted(spent)[: max(1, len(spent) // 50)])


def cost(issuer: Issuer, text: str, known: Revocations, rounds: int, turns: int) -> tuple[list[float], list[float]]:
    """A verification without the check and with it, microseconds, in each round; in a round the turns alternate."""
    without, with_it = issuer.verifier(), issuer.verifier()
    without.revocations, with_it.revocations = Without(), known
    known.follow()
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        spent: tuple[list[float], list[float]] = ([], [])
        for turn in range(turns):
            for which in (0, 1) if turn % 2 else (1, 0):
                spent[which].append(a_turn((without, with_it)[which].verify, text))
        for which in (0, 1):
            found[which].append(undisturbed(spent[which]))
    return found


def alone(known: Revocations, token: AccessToken[Any], turns: int) -> float:
    """The check alone, microseconds, without the loop around it."""
    spent = []
    now, check, clock = time.time(), known.check, time.thread_time_ns
    for _ in range(turns):
        began = clock()
        for _ in range(10 * TURN):
            check(token, now)
        middle = clock()
        for _ in range(10 * TURN):
            pass
        spent.append((2 * middle - began - clock()) / TURN / 10_000)
    return undisturbed(spent)


def held(number: int) -> float:
    """Bytes a record, as Python counts them."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    known = Revocations()
    for first in range(0, number, 1000):
        known.add(*records(1000, first), now=time.time())
    gc.collect()
    bytes_ = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    _must(len(known) == number, "a record is missing")
    return bytes_ / number


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def longest_pause(number: int, token: AccessToken[Any]) -> tuple[float, float]:
    """Milliseconds: the longest that a thread stood still that checks all the time, beside an idle one, and while records come and go."""
    known = Revocations()
    pauses: list[float] = []
    over = threading.Event()

    def check_on() -> None:
        longest, before = 0.0, time.perf_counter()
        while not over.is_set():
            known.check(token, time.time())
            moment = time.perf_counter()
            longest = max(longest, moment - before)
            before = moment
        pauses.append(longest * 1000)

    def measured(work: Callable[[], None]) -> None:
        over.clear()
        thread = threading.Thread(target=check_on)
        thread.start()
        work()
        over.set()
        thread.join()

    measured(lambda: time.sleep(1.0))

    def come_and_go() -> None:
        now, at_once = time.time(), 1000
        for first in range(0, number, at_once):  # as pages come
            known.add(*records(at_once, first), now=now)
        known.add(now=now + 2 * LIFE)
        _must(len(known) == 0, "a record was not forgotten")

    measured(come_and_go)
    return pauses[0], pauses[1]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true", help="a few of everything: whether it runs, not how fast")
    smoke = parser.parse_args().smoke
    rounds, turns = (3, 5) if smoke else (7, 2_000)
    sizes = (0, 100, 2_000) if smoke else (0, 1_000, 1_000_000)
    issuer = Issuer(
        "https://auth.example",
        audience="https://api.example",
        store=MemoryStore(),
        keys=KeySet.from_secret(b"of the benchmark, and of nothing else at all"),
        peppers=Peppers.generate(),
    )
    text = asyncio.run(_token(issuer))
    token = issuer.verifier().verify(text)
    print(f"HS256, {rounds} rounds of {turns} turns each way, {TURN} verifications a turn, medians")
    worst = 0.0
    for size in sizes:
        gc.collect()
        before, began, worked = resident(), time.perf_counter(), time.process_time()
        known = loaded(size)
        seconds, worked = time.perf_counter() - began, time.process_time() - worked
        gc.collect()
        grown = (resident() - before) / max(1, size)
        without, with_it = cost(issuer, text, known, rounds, turns)
        more = statistics.median(b - a for a, b in zip(without, with_it, strict=True))
        ratio = statistics.median(b / a for a, b in zip(without, with_it, strict=True))
        worst = max(worst, more)
        told = f"{statistics.median(without):.2f} µs without, {statistics.median(with_it):.2f} µs with the check"
        print(f"{size:>9,} records: {told}: {more:+.3f} µs, {ratio:.4f} times; the check alone {alone(known, token, turns):.3f} µs")
        if size >= 1000:
            told = f"{held(size):.0f} bytes a record, and the process {grown:.0f} larger"
            print(f"{'':>9}          loaded from a feed in {seconds:.2f} s ({worked:.2f} s of work); {told}")
        known.close()
        del known
    idle, busy = longest_pause(sizes[-1], token)
    print(
        f"longest pause of a thread that checks: {idle:.1f} ms beside an idle thread, {busy:.1f} ms while {sizes[-1]:,} records come and go"
    )
    return 1 if worst > BAR and not smoke else 0


if __name__ == "__main__":
    sys.exit(main())
