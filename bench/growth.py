"""Growth: does it get slower as there is more of everything? Refresh and login on each store with 10 thousand and 10 million sessions;
verification with one and a million revocations, and with 1 to 100 keys; and how much memory a verifier, and how many bytes a session takes.

BENCH_SESSIONS=1000000 makes the large case smaller. Making it takes longer than measuring it: minutes a store.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from bench import crowd, peers, places, refresh
from bench.machine import on_core
from bench.options import Options
from bench.revocation_check import loaded, undisturbed
from bench.table import Table, short
from bench.turns import in_turns, is_due, once
from stagedoor import Issuer, KeySet, Verifier
from stagedoor.keys import Key

NAME = "growth"
SUMMARY = "Growth: 10 thousand and 10 million sessions, one and a million revocations, one and a hundred keys"
BAR = 1.3
CLIENTS = 16
_ISSUER = "https://auth.example"


def run(options: Options) -> list[Table]:
    """A table for each store, one for verification, one of sizes."""
    small, large = (200, 2_000) if options.smoke else (10_000, int(os.environ.get("BENCH_SESSIONS", "10000000")))
    records = 1_000 if options.smoke else 1_000_000
    sizes = Table("What is held", "bytes", also=["of what"])
    with tempfile.TemporaryDirectory() as folder:
        tables = [_store(options, name, Path(folder), small, large, sizes) for name in places.MAKERS]
    return [*tables, _verifier(options, records), _memory(options, records, sizes)]


def _store(options: Options, name: str, folder: Path, small: int, large: int, sizes: Table) -> Table:
    """A store with few sessions beside one with many; the sessions that are refreshed lie all over it, each once."""
    case, each = f"{name} {small} {large}", small // (options.rounds + 1)
    names = [f"{number:,} sessions" for number in (small, large)]
    contestants: dict[str, Callable[[], dict[str, float]]] = dict.fromkeys(names, dict)
    versions: dict[str, str] = {}
    held: dict[str, Callable[[], float]] = dict.fromkeys(names, float)
    with ExitStack() as stack:
        if is_due(contestants, options.rounds, options.log, case) or is_due(held, 1, options.log, f"{case} size"):
            for label, number in zip(names, (small, large), strict=True):
                (folder / f"{name}-{number}").mkdir()
                place = stack.enter_context(places.MAKERS[name](folder / f"{name}-{number}"))
                before = place.size()
                place.fill(range(number))
                held[label] = partial(_held, place, before, number)
                drawn = iter(_drawn(number, each, options.rounds))
                contestants[label] = partial(_turn, place, drawn)
                versions |= place.versions
            bytes_ = in_turns(held, 1, options.log, f"{case} size")
            stack.enter_context(on_core(0))
        else:
            bytes_ = in_turns(held, 1, options.log, f"{case} size")
        reached = in_turns(contestants, options.rounds, options.log, case)
    for label in names:
        sizes.row(f"{name}, a session of {label.split()[0]}", bytes_[label], "as stored, with its indexes")
    table = Table(f"As sessions grow, {name}", "refreshes/s", names[0], ["logins/s"], versions)
    for label in names:
        opened = [turn["logins"] for turn in reached[label]]
        table.row(label, [turn["refreshes"] for turn in reached[label]], short(statistics.median(opened)))
    for what in ("refreshes", "logins"):
        few, many = ([turn[what] for turn in reached[label]] for label in names)
        slower = statistics.median(a / b for a, b in zip(few, many, strict=True))
        table.bar(f"{name}: {what}, few sessions to many", slower, at_most=BAR)
    table.notes.append(f"{CLIENTS} clients. A login here is Issuer.issue: no password is hashed.")
    return table


def _held(place: places.Place, before: int, number: int) -> float:
    return (place.size() - before) / number


def _drawn(number: int, each: int, rounds: int) -> list[list[int]]:
    """For each round, sessions that no other round has."""
    all_ = random.Random(1).sample(range(number), each * rounds)  # noqa: S311 - nothing secret
    return [all_[n * each : (n + 1) * each] for n in range(rounds)]


def _turn(place: places.Place, drawn: Any) -> dict[str, float]:
    numbers = next(drawn)[:4_000]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seconds, _ = runner.run(refresh.rotate(place, numbers, CLIENTS))
        logins = runner.run(_logins(place, max(20, len(numbers) // 4)))
    return {"refreshes": len(numbers) / seconds, "logins": logins}


async def _logins(place: places.Place, number: int) -> float:
    """Sessions opened a second, each for a subject of its own."""
    async with places.opened(place.store()) as store:
        issuer = Issuer(_ISSUER, audience=crowd.AUDIENCE, store=store, keys=_secrets(1), peppers=crowd.peppers(), events=lambda _: None)
        await issuer.issue("ada")
        subjects = iter([f"new-{time.time_ns()}-{n}" for n in range(number)])

        async def client() -> None:
            for subject in subjects:
                await issuer.issue(subject, scope="orders:read", claims={"username": "ada"})

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        seconds = time.perf_counter() - began
        issuer.revocations.close()
        return number / seconds


def _secrets(number: int) -> KeySet:
    return KeySet(*(Key.from_secret(b"%d of the benchmark, and of nothing else at all" % n, kid=f"key-{n}") for n in range(number)))


def _verifier(options: Options, records: int) -> Table:
    """Verifications of new HS256 tokens, microseconds: the kind that has least to hide behind."""
    kinds = {
        "1 key, 1 revocation": (1, 1),
        f"1 key, {records:,} revocations": (1, records),
        "10 keys, 1 revocation": (10, 1),
        "100 keys, 1 revocation": (100, 1),
    }
    each = 200 if options.smoke else 5_000
    contestants: dict[str, Callable[[], float]] = dict.fromkeys(kinds, float)
    if is_due(contestants, options.rounds, options.log, "verify"):
        contestants = {name: _verifying(*kind, each) for name, kind in kinds.items()}
    with on_core(0):
        reached = in_turns(contestants, options.rounds, options.log, "verify")
    first, *others = kinds
    table = Table("As revocations and keys grow, verify", "µs", first)
    table.all(reached)
    for name in others:
        table.bar(f"verify, {name} to {first}", table.ratio(name, first), at_most=BAR)
    return table


def _verifying(keys: int, records: int, each: int) -> Callable[[], float]:
    """What verifies tokens, each of which it has never seen; their keys are taken in turn, of all that there are."""
    known = loaded(records)

    def turn() -> float:
        held = _secrets(keys)
        verifier = Verifier(_ISSUER, audience=crowd.AUDIENCE, keys=held, revocations=known)
        known.follow()
        tokens = [_token(entry.value, n) for n, entry in zip(range(each), _cycled(held.entries()), strict=False)]
        spent = []
        for at in range(0, each, 20):
            some = tokens[at : at + 20]
            began = time.thread_time_ns()
            for token in some:
                verifier.verify(token)
            spent.append((time.thread_time_ns() - began) / len(some) / 1000)
        return undisturbed(spent)

    return turn


def _cycled(entries: Sequence[Any]) -> Any:
    while True:
        yield from entries


def _token(key: Key, number: int) -> str:
    from stagedoor import jws
    from stagedoor.encoding import encode

    now = int(time.time())
    claims = {"iss": _ISSUER, "aud": crowd.AUDIENCE, "sub": f"user-{number}", "client_id": crowd.AUDIENCE, "iat": now, "exp": now + 900}
    sid = encode(b"growth" + number.to_bytes(10, "big"))
    return jws.sign(key, "at+jwt", {**claims, "username": "ada", "jti": sid, "sid": sid, "auth_time": now})


def _memory(options: Options, records: int, table: Table) -> Table:
    """Bytes that a process grows by, each case in one of its own."""
    for name, keys, known in (
        ("a verifier with 1 key", 1, 0),
        ("a verifier with 100 keys", 100, 0),
        (f"a verifier with {records:,} revocations", 1, records),
    ):
        found = once(partial(_grown, keys, known), options.log, f"memory of {name}")
        table.row(name, [found], "memory of its process, without what importing takes")
    table.notes.append("Of a verifier in memory nothing grows with sessions; tokens that were seen are kept up to a bound.")
    return table


_GROWN = """
import gc, json, sys
from bench import growth, revocation_check
keys, records = int(sys.argv[1]), int(sys.argv[2])
growth.Verifier("x", audience="y", keys=growth._secrets(1), revocations=revocation_check.loaded(1))
gc.collect()
before = revocation_check.resident()
made = growth.Verifier("x", audience="y", keys=growth._secrets(keys), revocations=revocation_check.loaded(records))
gc.collect()
print(json.dumps(revocation_check.resident() - before))
"""


def _grown(keys: int, records: int) -> float:
    command = [sys.executable, "-c", _GROWN, str(keys), str(records)]
    done = subprocess.run(command, env=peers.python_with_stagedoor(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr[-2000:])
    return float(json.loads(done.stdout))
