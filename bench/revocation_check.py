"""What the check for revocations costs: a verification with Revocations that follow a feed and are fresh, against one with it taken out.

Turn and turn about, with no record, a thousand and a million. And: bytes a record, seconds to load a million from a feed, and the longest
pause of a thread that checks while a million records are added and forgotten.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.options import Options
from bench.table import Table
from bench.turns import in_turns, is_due
from stagedoor import Issuer, KeySet, Peppers, Revocations
from stagedoor.access_token import AccessToken
from stagedoor.revocation import Page, Record
from stagedoor.stores.memory import MemoryStore

NAME = "revocation_check"
SUMMARY = "What the check for revocations costs a verification"
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
    assert len(made) == number
    assert made.is_fresh
    return made


def a_turn(verify: Callable[[str], AccessToken[Any]], text: str) -> float:
    """Microseconds of this thread for one verification."""
    began = time.thread_time_ns()
    for _ in range(TURN):
        verify(text)
    return (time.thread_time_ns() - began) / TURN / 1000


def undisturbed(spent: list[float]) -> float:
    """The median of the fastest fiftieth: what else runs on this machine takes caches away, and never makes anything faster."""
    return statistics.median(sorted(spent)[: max(1, len(spent) // 50)])


def cost(issuer: Issuer, text: str, known: Revocations, turns: int) -> tuple[float, float]:
    """A verification without the check and with it, microseconds; the turns alternate."""
    without, with_it = issuer.verifier(), issuer.verifier()
    without.revocations, with_it.revocations = Without(), known
    known.follow()
    spent: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns):
        for which in (0, 1) if turn % 2 else (1, 0):
            spent[which].append(a_turn((without, with_it)[which].verify, text))
    return undisturbed(spent[0]), undisturbed(spent[1])


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
    assert len(known) == number
    return bytes_ / number


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def longest_pauses(number: int, token: AccessToken[Any]) -> dict[str, float]:
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
        assert len(known) == 0

    measured(come_and_go)
    return {"idle": pauses[0], "busy": pauses[1]}


def of_size(size: int, issuer: Issuer, text: str, options: Options, turns: int) -> list[dict[str, float]]:
    """What each round found with so many records. They are loaded once, and not at all where the log has all rounds."""
    token = issuer.verifier().verify(text)
    case, contestant = f"{size:,} records", "the check"
    known: list[Revocations] = []
    about: dict[str, float] = {}

    def measure() -> dict[str, float]:
        without, with_it = cost(issuer, text, known[0], turns)
        return {**about, "without": without, "with": with_it, "alone": alone(known[0], token, turns)}

    if is_due({contestant: measure}, options.rounds, options.log, case):
        gc.collect()
        before, began, worked = resident(), time.perf_counter(), time.process_time()
        known.append(loaded(size))
        about["loaded"], about["worked"] = time.perf_counter() - began, time.process_time() - worked
        gc.collect()
        if size >= 1000:
            about["grown"] = (resident() - before) / size
            about["held"] = held(size)
    found = in_turns({contestant: measure}, options.rounds, options.log, case)[contestant]
    for each in known:
        each.close()
    return found


def run(options: Options) -> list[Table]:
    """One table of what it costs, one of what a record takes and of pauses."""
    turns, sizes = (5, (0, 100, 2_000)) if options.smoke else (2_000, (0, 1_000, 1_000_000))
    issuer = Issuer(
        "https://auth.example",
        audience="https://api.example",
        store=MemoryStore(),
        keys=KeySet.from_secret(b"of the benchmark, and of nothing else at all"),
        peppers=Peppers.generate(),
    )
    text = asyncio.run(issuer.issue("ada", scope="orders:read")).access_token
    costs = Table("The check for revocations", "µs a verification", "without the check", ("the check alone, µs",))
    records_ = Table("Records of revocations", "bytes a record, as Python counts", also=("of the process", "loaded in, s", "of work, s"))
    worst = 0.0
    for size in sizes:
        found = of_size(size, issuer, text, options, turns)
        without, with_it = ([each[which] for each in found] for which in ("without", "with"))
        if not costs.rows:
            costs.row("without the check", without)
        costs.row(f"{size:,} records", with_it, f"{statistics.median(each['alone'] for each in found):.3f}")
        more = statistics.median(b - a for a, b in zip(without, with_it, strict=True))
        costs.notes.append(f"{size:,} records: {more:+.3f} µs, of rounds in which the two alternate.")
        worst = max(worst, more)
        if "held" in found[0]:
            last = found[-1]
            told = (f"{last['grown']:.0f}", f"{last['loaded']:.2f}", f"{last['worked']:.2f}")
            records_.row(f"{size:,} records", [each["held"] for each in found], *told)
    costs.bar("what the check costs", worst, at_most=BAR, unit=" µs")
    number, token = sizes[-1], issuer.verifier().verify(text)
    (pauses,) = in_turns({"pauses": partial(longest_pauses, number, token)}, 1, options.log, "pauses")["pauses"]
    busy = f"{pauses['busy']:.1f} ms while {number:,} records come and go"
    records_.notes.append(f"Longest pause of a thread that checks: {pauses['idle']:.1f} ms beside an idle thread, {busy}.")
    return [costs, records_]
