"""The differential run: cases in chunks, on several processes, each chunk one line of the log; what is done is not done again.

Never knows a rule.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.pool
import time
from collections import Counter
from collections.abc import Iterator
from random import Random

from fuzz.cases import Case, make
from fuzz.judges import Joserfc, PyJWT, Stagedoor, quiet
from fuzz.log import Chunk, Log
from fuzz.rules import Difference, compare
from fuzz.source import DIFFERENTIAL, source

CHUNK = 5_000
"""Cases of one line in the log."""
_MANY = 20
"""Complaints that a chunk tells in full."""


class Bench:
    """The three judges side by side."""

    def __init__(self) -> None:
        self._ours = Stagedoor()
        self._others = (PyJWT(), Joserfc())
        self.verdicts: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()

    def differences(self, case: Case) -> list[Difference]:
        """What is to be said about this case."""
        ours = self._ours.judge(case)
        others = {judge.name: judge.judge(case) for judge in self._others}
        self.verdicts[ours.why if not ours.crash else "crash"] += 1
        for name, verdict in others.items():
            if verdict.crash:
                self.crashes[f"{name} {verdict.why}"] += 1
        return compare(case, ours, others)


def judge(seed: int, numbers: range) -> Chunk:
    """These cases, judged."""
    bench, rng = Bench(), Random()
    began, worked, signed = time.perf_counter(), time.process_time(), 0
    rules: Counter[str] = Counter()
    complaints: list[str] = []
    with quiet():
        for number in numbers:
            case = make(seed, number, rng)
            signed += case.signed
            for found in bench.differences(case):
                if found.rule is None:
                    complaints.append(f"case {number} of seed {seed} ({', '.join(case.steps)}): {found.what}")
                else:
                    rules[f"{found.rule}\t{found.other}"] += 1
    return Chunk(
        source=source(DIFFERENTIAL),
        seed=seed,
        first=numbers.start,
        count=len(numbers),
        signed=signed,
        seconds=round(time.perf_counter() - began, 3),
        cpu=round(time.process_time() - worked, 3),
        verdicts=dict(bench.verdicts),
        rules=dict(rules),
        crashes=dict(bench.crashes),
        complaints=complaints[:_MANY],
        complained=len(complaints),
    )


def run(log: Log, seed: int, cases: int, processes: int) -> Iterator[Chunk]:
    """Judge what is left of `cases` cases, and log it; yields each chunk when it is done."""
    done = {chunk.first: chunk.count for chunk in log.chunks(source(DIFFERENTIAL), seed)}
    wanted = [range(first, min(first + CHUNK, cases)) for first in range(0, cases, CHUNK)]
    left = [numbers for numbers in wanted if done.get(numbers.start, 0) < len(numbers)]
    if processes == 1 or len(left) < 2:
        for numbers in left:
            yield log.write(judge(seed, numbers))
        return
    with contextlib.closing(_pool(processes)) as pool:
        for chunk in pool.imap_unordered(_judge, [(seed, numbers) for numbers in left]):
            yield log.write(chunk)


def _pool(processes: int) -> multiprocessing.pool.Pool:
    return multiprocessing.get_context("spawn").Pool(processes)


def _judge(task: tuple[int, range]) -> Chunk:
    return judge(*task)
