"""Refresh: rotations a second, through the library and through HTTP, beside the raw limit of each store and beside the others.

A session rotates at most once a retry window (60 s, the default): each rotation here is the first of a session of its own, and whatever is
not Rotated fails the run. Library: this process has core 0, a server of a store core 1. HTTP: one server process on core 0, the load
and the server of its store on core 1.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import uvloop

from bench import crowd, places, refresh_http
from bench.clients import percentile
from bench.machine import on_core
from bench.options import Options
from bench.table import Table, ratio
from bench.turns import in_turns, is_due
from stagedoor import Issuer, KeySet
from stagedoor.event import Event

NAME = "refresh"
SUMMARY = "Refresh: rotations a second on SQLite, PostgreSQL and Redis, through the library and through HTTP"
CLIENTS = (1, 16, 128)
LIBRARY, RAW, ALONE = "Stagedoor", "one statement, raw", "one statement, raw, without an event loop"
_NUMBERS = count()


def run(options: Options) -> list[Table]:
    """Both tables."""
    with tempfile.TemporaryDirectory() as folder:
        return [*(_library(options, name, Path(folder)) for name in places.MAKERS), *refresh_http.run(options, Path(folder))]


def _library(options: Options, name: str, folder: Path) -> Table:
    case = f"library {name}"
    clients = (1, 16) if options.smoke else CLIENTS
    sessions = {each: 200 if options.smoke else 2_000 if each == 1 else 16_000 for each in clients}
    works: dict[str, Callable[..., Any]] = {LIBRARY: rotate, RAW: _raw} | ({ALONE: _alone} if name == "SQLite" else {})
    contestants: dict[str, Callable[[], dict[str, float]]] = dict.fromkeys(works, dict)
    if not is_due(contestants, options.rounds, options.log, case):
        return _told(name, clients, in_turns(contestants, options.rounds, options.log, case), {})
    with places.MAKERS[name](folder) as place, on_core(0):
        contestants = {which: partial(_turn, place, sessions, work) for which, work in works.items()}
        reached = in_turns(contestants, options.rounds, options.log, case)
        return _told(name, clients, reached, place.versions)


def _turn(place: places.Place, sessions: dict[int, int], work: Callable[..., Any]) -> dict[str, float]:
    """Rotations a second and the p99 (ms) with each number of clients."""
    found: dict[str, float] = {}
    for clients, number in sessions.items():
        place.empty()
        numbers = taken(number)
        place.fill(numbers)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            seconds, latencies = runner.run(work(place, numbers, clients))
        found[f"{clients}"] = number / seconds
        found[f"{clients} p99"] = percentile(latencies, 0.99) * 1000 if latencies else 0.0
    return found


def taken(number: int) -> range:
    """So many sessions that nobody had before."""
    first = next(_NUMBERS) * 1_000_000
    return range(first, first + number)


async def _alone(place: places.Place, numbers: range, clients: int) -> tuple[float, list[float]]:
    assert isinstance(place, places.SQLitePlace)
    return await place.raw_alone(numbers, clients), []


async def _raw(place: places.Place, numbers: range, clients: int) -> tuple[float, list[float]]:
    return await place.raw(numbers, clients), []


async def rotate(place: places.Place, numbers: Sequence[int], clients: int) -> tuple[float, list[float]]:
    """Rotate each of these sessions through an Issuer, with so many at once: the seconds of it all, and of each."""
    told: Counter[str] = Counter()
    peppers, latencies = crowd.peppers(), []

    def listen(event: Event) -> None:
        told[event.name] += 1

    async with places.opened(place.store()) as store:
        issuer = Issuer(
            "https://auth.example",
            audience=crowd.AUDIENCE,
            store=store,
            keys=KeySet.from_secret(b"of the benchmark, and of nothing else at all"),
            peppers=peppers,
            events=listen,
        )
        first, *others = crowd.tokens(peppers, numbers)
        await issuer.refresh(first)  # by now connections are open, statements prepared, revocations heard
        await _refuses(issuer, others[0], first)
        tokens = iter(others)

        async def client() -> None:
            clock = time.perf_counter
            for token in tokens:
                asked = clock()
                pair = await issuer.refresh(token)
                latencies.append(clock() - asked)
                if pair.refresh_token == token:
                    raise AssertionError("not rotated: the same refresh token again")

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        seconds = time.perf_counter() - began
        issuer.revocations.close()
    wrong = {name: n for name, n in told.items() if name not in ("refresh_rotated", "refresh_refused", "refresh_replayed")}
    if wrong or told["refresh_rotated"] != len(numbers) or told["refresh_replayed"] != 1:
        raise AssertionError(f"not all were Rotated: {dict(told)}")
    return seconds * len(numbers) / len(others), latencies


async def _refuses(issuer: Issuer, good: str, used: str) -> None:
    """What is measured does its work: a tampered token is refused, one that was rotated just now is a replay."""
    tampered = good[:60] + ("A" if good[60] != "A" else "B") + good[61:]
    try:
        await issuer.refresh(tampered)
    except Exception as error:
        if getattr(error, "code", "") != "refresh_token_unknown":
            raise
    else:
        raise AssertionError("a tampered token was accepted")
    if (await issuer.refresh(used)).refresh_token == used:
        raise AssertionError("a replay did not get the successor")


def _told(name: str, clients: tuple[int, ...], reached: dict[str, list[dict[str, float]]], versions: dict[str, str]) -> Table:
    table = Table(f"Refresh through the library, {name}", "rotations/s", also=["x raw", "p99 ms"], versions=versions)
    for each in clients:
        ours, raw = ([turn[f"{each}"] for turn in reached[which]] for which in (LIBRARY, RAW))
        part = ratio(ours, raw)
        p99 = statistics.median([turn[f"{each} p99"] for turn in reached[LIBRARY]])
        plural = "client" if each == 1 else "clients"
        table.row(f"{LIBRARY}, {each} {plural}", ours, f"{part:.2f}", f"{p99:.2f}")
        table.row(f"{RAW}, {each} {plural}", raw, "1.00")
        if ALONE in reached:
            alone = [turn[f"{each}"] for turn in reached[ALONE]]
            table.row(f"{ALONE}, {each} at once", alone, f"{ratio(alone, raw):.2f}")
        table.bar(f"{name}, {each} {plural}: of the raw limit", part, at_least=0.6)
    return table
