"""Loop: a plugin of pytest that collects once, sees which test touches which function, and tries each mutant in a fork of its own.

    python -m pytest -p mutation.loop …       (within the tree's `mutants`)

Never knows how mutants are made, nor which are explained.
"""

from __future__ import annotations

import gc
import json
import math
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from functools import cache
from itertools import accumulate, zip_longest
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

from mutation.steps import AT_IMPORT
from mutation.survivors import EXPLAINED, Mutants

SECONDS = 3.0
"""How much testing a mutant gets beyond the tests of its own file, at first: it may touch 2,000. What survives, all of it."""
_PATIENCE, _SLEEP = 10.0, 60.0
"""A mutant hangs where it computes for ten times as long as its tests took, and these seconds; or sleeps for that long."""
settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], database=None, deadline=None)
settings.load_profile("mutants")  # before the tests are imported: nobody looks at the shortest example
_TOUCHED, _NAMES, _RESULTS = Path("touched.json"), Path("names.json"), Path("results.jsonl")


def pytest_runtestloop(session: pytest.Session) -> bool:
    """In place of pytest's own loop."""
    os.environ.pop("MUTANT_UNDER_TEST", None)
    items = {item.nodeid: item for item in session.items}
    if os.waitstatus_to_exitcode(os.waitpid(_forked(lambda: _measure(session.items)), 0)[1]):
        raise pytest.UsageError("not all tests pass under mutmut: see above")
    durations, touching = json.loads(_TOUCHED.read_text())
    gc.freeze()  # or each fork would copy all that the collector looks at
    names = {name: file for file, some in json.loads(_NAMES.read_text()).items() if file not in AT_IMPORT for name in some}
    for seconds in (SECONDS, math.inf):
        chosen = {name: _chosen(touching.get(_function(name), []), file, durations, seconds) for name, file in names.items()}
        limits = {name: _PATIENCE + 10 * sum(durations[test] for test in tests) for name, tests in chosen.items()}
        outcomes = _round({name: [items[test] for test in tests] for name, tests in chosen.items()}, limits)
        names = {name: names[name] for name, outcome in outcomes.items() if outcome == "survived" and not _is_explained(name)}
    return True


def _round(tests: dict[str, list[pytest.Item]], limits: dict[str, float]) -> dict[str, str]:
    """Each mutant, tried with these tests for so many seconds, and what became of it."""
    outcomes: dict[str, str] = {}
    running: dict[int, tuple[str, float]] = {}
    for name, some in tests.items():
        while len(running) >= (os.cpu_count() or 1):
            outcomes |= _wait(running)
        running[_forked(lambda name=name, some=some: _try(name, some, int(limits[name])))] = name, time.monotonic() + limits[name] + _SLEEP
    while running:
        outcomes |= _wait(running)
    return outcomes


def _function(name: str) -> str:
    return name.partition("__mutmut_")[0]


@cache
def _mutants(file: str) -> Mutants:
    return Mutants(Path(f"src/stagedoor/{file}.py"))


def _is_explained(name: str) -> bool:
    return _mutants(name.split(".")[1]).change(name) in EXPLAINED


def _forked(work: Any) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException as error:  # a mutant may raise whatever it likes
        print(repr(error), file=sys.__stderr__)
        os._exit(1)
    os._exit(0)


def _measure(tests: list[pytest.Item]) -> None:
    set_mutant_under_test("stats")
    durations, touching = {}, defaultdict(list)
    for test, following in zip_longest(tests, tests[1:]):
        state()._stats.clear()
        began = time.monotonic()
        if any(report.failed for report in runtestprotocol(test, nextitem=following, log=True)):
            raise AssertionError(test.nodeid)
        durations[test.nodeid] = time.monotonic() - began
        for function in state()._stats:
            touching[function].append(test.nodeid)
    _TOUCHED.write_text(json.dumps([durations, touching]))


def _chosen(tests: list[str], file: str, durations: dict[str, float], seconds: float) -> list[str]:
    """All of the file named like its own, then of the others one set of parameters of each in turn, until the time is over."""
    own = sorted((test for test in tests if f"/test_{file}.py" in test), key=lambda test: (durations[test], test))
    by_function: dict[str, list[str]] = {}
    for test in sorted(set(tests) - set(own), key=lambda test: (durations[test], test)):
        by_function.setdefault(test.partition("[")[0], []).append(test)
    others = [test for turn in zip_longest(*by_function.values()) for test in turn if test is not None]
    spent = accumulate(durations[test] for test in others)
    return own + [test for test, until in zip(others, spent, strict=True) if until <= seconds]


def _try(name: str, tests: list[pytest.Item], seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    set_mutant_under_test(name)
    for test, following in zip_longest(tests, tests[1:]):
        if any(report.failed for report in runtestprotocol(test, nextitem=following, log=False)):
            os._exit(1)


def _wait(running: dict[int, tuple[str, float]]) -> dict[str, str]:
    """The one that ends next, or has had its time, and its outcome."""
    while True:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child in running:
            name, _ = running.pop(child)
            code = os.waitstatus_to_exitcode(status)
            outcome = {0: "survived", 1: "killed"}.get(code, "timeout" if code in (-signal.SIGKILL, -signal.SIGXCPU) else "odd")
            with _RESULTS.open("a") as results:  # of two lines with one name the later holds
                results.write(json.dumps([name, outcome]) + "\n")
            return {name: outcome}
        for each, (_, until) in running.items():
            if time.monotonic() > until:
                os.kill(each, signal.SIGKILL)
        time.sleep(0.005)
