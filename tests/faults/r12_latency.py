"""R12: one process revokes at random moments, eight verify all the time: how long until all refuse what was acknowledged to be revoked?

In every way that there is: logout, one session, all of a subject, reuse, a key, at the end everything; on each kind of feed. Moments are of
the machine's monotonic clock, which all processes share. Never knows how a feed hears.
"""

from __future__ import annotations

import math
from collections import Counter
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from faults.ending import Ender, end_all
from faults.heard import lag, lag_awake, quantile
from faults.hearing import Hearer, Seen, hear_until_closed
from faults.log import Heard, now, read, source
from faults.places import Servers, migrate
from faults.run import Run
from faults.service import SECRET

VERIFIERS = 8
BOUND = 1.0
WITHIN = BOUND
"""Seconds until all have heard of a revocation."""
POLLED_WITHIN = 0.3
"""The same where SQLite is asked five times a bound: one turn, and 100 milliseconds."""
KEYS = 100
PATIENCE = 15.0
"""Seconds that are waited for who has not heard yet."""
SOURCE = "faults.hearing:listened"
"""What the verifiers follow; here a fault can be planted."""
WRAP: str | None = None
"""What the issuer's store is wrapped in; here too."""
_TOGETHER = 100


def play(run: Run, servers: Servers) -> None:
    """Revoke what is left; write when each verifier heard of it; then the figures, of all that is in the log."""
    place = servers.place(run.store)
    migrate(place)
    listened = servers.listened(place)
    secrets = (SECRET, *(SECRET + b"%d" % number for number in range(min(KEYS, 1 + run.left // 50))))
    processes = get_context("forkserver")
    ends, orders, reports, working = [], [], [], []
    for _ in range(VERIFIERS):
        order, send = processes.Pipe(duplex=False)
        report, say = processes.Pipe(duplex=False)
        args: Any = (Hearer(listened, secrets, BOUND, SOURCE), order, say)
        working.append(processes.Process(target=hear_until_closed, args=args, daemon=True))
        orders.append(send)
        reports.append(report)
        ends += [order, say, send]
    here, there = processes.Pipe()
    args = (Ender(place, secrets, run.left, run.rng.random(), WRAP), orders, there)
    ender = processes.Process(target=end_all, args=args, daemon=True)
    try:
        for process in [*working, ender]:
            process.start()
        for each in [*ends, there]:
            each.close()  # the processes have them: when the one that revokes ends, the others notice
        _Collected(run, reports, here).collect()
        for process in [*working, ender]:
            process.join(10)
    finally:
        for process in [*working, ender]:
            if process.is_alive():
                process.kill()
    _figures(run)


class _Collected:
    """What the processes tell, put together: a line in the log for each revocation."""

    def __init__(self, run: Run, reports: list[Connection], ender: Connection) -> None:
        self.run = run
        self.reports = reports
        self.ender = ender
        self.ended: dict[int, tuple[str, float, float]] = {}
        self.heard: dict[int, dict[int, tuple[float | None, float | None, float]]] = {}
        self.counts: Counter[str] = Counter()
        self.longest = 0.0
        self.uncounted = 0
        self.until: float | None = None

    def collect(self) -> None:
        """Until all is told."""
        open_: list[Any] = [*self.reports, self.ender]
        while open_:
            for each in wait(open_, 1.0):
                try:
                    told = each.recv()  # type: ignore[union-attr]
                except EOFError:
                    open_.remove(each)
                    continue
                if each is self.ender:
                    self._ended(told)
                else:
                    self._heard(self.reports.index(each), told)  # type: ignore[arg-type]
            if self.until is not None and (not self.ended or now() > self.until):
                self.until = None
                self.ender.send(None)  # it ends, and the verifiers with it
        self._count(all_of_it=True)
        if self.run.left or self.ended:
            self.run.complain(f"of {self.run.left} revocations it is not known who heard of them: a process ended")
        for name, number in self.counts.items():
            self.run.figure(name, number)
        self.run.figure("longest pause of a verifier", round(self.longest * 1000), "ms")

    def _ended(self, told: tuple[int, str, float, float] | None) -> None:
        if told is None:
            self.until = now() + PATIENCE
            return
        number, why, sent, acknowledged = told
        self.ended[number] = why, sent, acknowledged
        self._put_together(number)

    def _heard(self, verifier: int, told: list[Seen] | dict[str, Any]) -> None:
        if isinstance(told, dict):
            self.longest = max(self.longest, told.pop("longest"))
            self.counts.update(told)
            return
        for number, *found in told:
            self.heard.setdefault(number, {})[verifier] = tuple(found)
            self._put_together(number)

    def _put_together(self, number: int) -> None:
        heard = self.heard.get(number, {})
        if number not in self.ended or len(heard) < VERIFIERS:
            return
        why, sent, acknowledged = self.ended.pop(number)
        del self.heard[number]
        refused, accepted, stalled = map(list, zip(*(heard[verifier] for verifier in range(VERIFIERS)), strict=True))
        run, within = self.run, POLLED_WITHIN if self.run.store == "sqlite" else WITHIN
        run.write(Heard(run.test, run.store, source(), why, sent, acknowledged, refused, accepted, BOUND, within, stalled))
        self.uncounted += 1
        self._count()

    def _count(self, *, all_of_it: bool = False) -> None:
        if self.uncounted >= _TOGETHER or (all_of_it and self.uncounted):
            self.run.count(self.uncounted)
            self.uncounted = 0


def _figures(run: Run) -> None:
    """Of this run, and of those before it with the same code."""
    run.log.flush()
    lines = [line for line in read(run.log.path) if isinstance(line, Heard)]
    lines = [line for line in lines if (line.test, line.store, line.source) == (run.test, run.store, source())]
    if not lines:
        return
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        took = quantile(map(lag, lines), share)
        run.figure(name, "never" if took == math.inf else round(1000 * took, 1), "ms")
    awake = max(map(lag_awake, lines))
    run.figure("max less pauses of a verifier", "never" if awake == math.inf else round(1000 * awake, 1), "ms")
    late = sum(any(at is not None and at > line.acknowledged + line.bound for at in line.accepted) for line in lines)
    run.figure("accepted later than the bound", late)
    knew = sum(all(at is not None for at in line.accepted) for line in lines)
    run.figure("accepted before by all eight", f"{knew / len(lines):.1%}")
    ways = Counter(line.why for line in lines)
    run.figure("ways", " ".join(f"{why} {number}" for why, number in sorted(ways.items())))
