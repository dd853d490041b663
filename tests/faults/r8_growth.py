"""R8: growth: a refresh among millions of sessions costs what it costs among ten thousand, and finds its row by one look-up.

A store is filled with rows as real logins leave them (subjects, devices, claims; ids drawn at random), then refreshes of sessions drawn
from all over it are timed, in turn with the same on a small one. Each session is refreshed once, so its page is met as it lies. The
files are read through first: a store that has served for a day has them in memory, one that starts anew reads each page from the disk
once, and that would measure the disk; the log says how much of data and memory there was.
Never knows how a store is filled.
"""

from __future__ import annotations

import statistics
import time
from math import gcd
from pathlib import Path

from faults import rows
from faults.grown import Grown, InPostgres, InRedis, pair
from faults.log import now
from faults.places import Servers
from faults.run import Run
from faults.service import SECRET
from stagedoor import KeySet, Peppers, Revocations, SyncIssuer
from stagedoor.session import Presented
from stagedoor.stores.sql.statements import parameters_of

BAR = 1.3
SMALL = 10_000
MANY = 100_000
"""From here on the ratio is judged, and the folder stays beside the log: filling it again would take long."""
ROUNDS, IN_A_ROUND = 9, 400
FEW_ROUNDS, IN_A_FEW = 5, 25
"""Rounds, and refreshes in a round: for many sessions, and in short."""


def play(run: Run, servers: Servers) -> None:
    """Fill what is missing, then measure."""
    many = run.wanted >= MANY
    folder = run.log.path.parent / "r8" / run.store if many else servers.folder / f"r8-{run.store}-{time.monotonic_ns()}"
    large, small = pair(run.store, folder, servers, stays=many)
    try:
        seconds = large.fill(run.wanted)
        run.figure("filling took", seconds, "s")
        small.fill(SMALL if many else SMALL // 5)
        if many:
            run.figure("reading all files took", _read_through(folder), "s")
        Measure(run, small, large, folder, many).play()
        run.count(run.left)
    finally:
        small.close()
        large.close()


class Measure:
    """Refreshes on the small and on the large store in turn."""

    def __init__(self, run: Run, small: Grown, large: Grown, folder: Path, many: bool) -> None:
        self.run, self.many = run, many
        self.stores = {"small": small, "large": large}
        self.turns = {"small": _Turn(small, small.rows()), "large": _Turn(large, large.rows(), folder / "refreshed" if many else None)}

    def play(self) -> None:
        """Measure, tell, judge."""
        rounds, size = (ROUNDS, IN_A_ROUND) if self.many else (FEW_ROUNDS, IN_A_FEW)
        spent: dict[str, list[float]] = {"small": [], "large": []}
        for turn in self.turns.values():
            turn.refresh(self.run, size)  # connections, prepared statements
        before = self._counters()
        for _ in range(rounds):
            for name, turn in self.turns.items():
                spent[name].append(turn.refresh(self.run, size))
        self._plan(before, rounds * size)
        small, large = (statistics.median(spent[name]) * 1e6 for name in ("small", "large"))
        self.run.figure("a refresh among few", small, "µs")
        self.run.figure("a refresh among all", large, "µs")
        self.run.figure("ratio", large / small)
        rows_there = {name: store.rows() for name, store in self.stores.items()}
        more = rows_there["large"] - rows_there["small"]
        bytes_each = (self.stores["large"].size() - self.stores["small"].size()) / more
        self.run.figure("a session takes", bytes_each, "bytes")
        self.run.figure("measured", f"{size} refreshes in each of {rounds} rounds, medians; {_memory(self.stores['large'].size())}")
        if self.many and large > BAR * small:
            self.run.complain(f"a refresh costs {large / small:.2f} times as much among {rows_there['large']:,} sessions")
        for turn in self.turns.values():
            turn.close()

    def _counters(self) -> dict[str, int]:
        large = self.stores["large"]
        return large.commands() if isinstance(large, InRedis) else {}

    def _plan(self, before: dict[str, int], refreshes: int) -> None:
        large = self.stores["large"]
        plan, looks_up = large.plan(_parameters())
        if isinstance(large, InRedis):
            after = large.commands()
            ran = {name: after[name] - before.get(name, 0) for name in ("evalsha", "get", "set")}
            plan, looks_up = f"{plan}: {ran} in {refreshes} refreshes", set(ran.values()) == {refreshes}
        if isinstance(large, InPostgres) and self.many:
            updated, hot = large.hot()
            self.run.figure("updates that wrote no index", hot / max(1, updated))
        self.run.figure("plan", plan)
        if not looks_up:
            self.run.complain(f"a refresh is no look-up: {plan}")


class _Turn:
    """Refreshes sessions of one store, drawn from all over it, each once; a later run goes on after them."""

    def __init__(self, grown: Grown, size: int, memory: Path | None = None) -> None:
        self._store = grown.place.sync_store()
        self._issuer = SyncIssuer(
            "http://127.0.0.1",
            audience="faults",
            store=self._store,
            keys=KeySet.from_secret(SECRET),
            peppers=Peppers(SECRET),
            revocations=Revocations.until_expiry(),  # nobody listens: what the store is asked is a refresh
            events=lambda event: None,
        )
        self._size = size
        self._memory = memory
        self._next = int(memory.read_text()) if memory is not None and memory.exists() else 0
        self._step = next(step for step in range(int(size * 0.618), size) if gcd(step, size) == 1)

    def refresh(self, run: Run, times: int) -> float:
        """Seconds that one refresh takes on the average."""
        if self._next + times > self._size:
            raise RuntimeError("every session of this folder has been refreshed: delete it, to have it filled anew")
        numbers = [(self._next + each) * self._step % self._size for each in range(times)]
        self._next += times
        if self._memory is not None:
            self._memory.write_text(str(self._next))  # before, not after: one that was interrupted counts as refreshed
        tokens = [rows.token(number, time.time()) for number in numbers]
        began = now()
        for token in tokens:
            self._issuer.refresh(token)
        return (now() - began) / times

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def _parameters() -> dict[str, object]:
    """Those of a refresh of the first row; nobody runs it."""
    first = rows.session(0)
    presented = Presented(first.id, first.generation, first.digest, 1, bytes(32), 1, None, 60.0, 86_400.0)
    return dict(parameters_of(presented, time.time()))


def _read_through(folder: Path) -> float:
    """Have the operating system keep the files in memory; seconds it took."""
    began = now()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 22):
                    pass
    return now() - began


def _memory(size: int) -> str:
    """How much of the data memory can hold."""
    lines = (line.partition(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = {name: int(rest.split()[0]) / 1e6 for name, _, rest in lines}["MemAvailable"]
    return f"{size / 1e9:.1f} GB of data, {free:.1f} GB of memory free for caches"
