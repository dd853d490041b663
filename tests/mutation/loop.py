"""Loop: a plugin of pytest that collects once, sees which test touches which function, and tries each mutant in a fork of its own.

    python -m pytest -p mutation.loop …       (within the tree's `mutants`)

Never knows how mutants are made, nor which are explained.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections import defaultdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

from mutation.steps import AT_IMPORT

SECONDS = 4.0
"""How much testing a mutant gets: it may touch 2,000 tests."""
_PATIENCE = 20.0
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
    running: dict[int, tuple[str, float]] = {}
    gc.freeze()  # or each fork would copy all that the collector looks at
    for file, names in json.loads(_NAMES.read_text()).items():
        for name in names if file not in AT_IMPORT else ():
            while len(running) >= (os.cpu_count() or 1):
                _wait(running)
            function = name.partition("__mutmut_")[0]
            tests = [items[test] for test in _chosen(touching.get(function, []), f"/test_{file}.py", durations)]
            running[_forked(lambda name=name, tests=tests: _try(name, tests))] = name, time.monotonic()
    while running:
        _wait(running)
    return True


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


def _chosen(tests: list[str], own: str, durations: dict[str, float]) -> list[str]:
    """Those of the file named like its own first, one set of parameters of each in turn, until the time is over."""
    by_function: dict[str, list[str]] = {}
    for test in sorted(tests, key=lambda test: (own not in test, durations[test], test)):
        by_function.setdefault(test.partition("[")[0], []).append(test)
    chosen, spent = [], 0.0
    for test in (test for turn in zip_longest(*by_function.values()) for test in turn if test is not None):
        spent += durations[test]
        if spent > SECONDS and chosen:
            break
        chosen.append(test)
    return chosen


def _try(name: str, tests: list[pytest.Item]) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    set_mutant_under_test(name)
    for test, following in zip_longest(tests, tests[1:]):
        if any(report.failed for report in runtestprotocol(test, nextitem=following, log=False)):
            os._exit(1)


def _wait(running: dict[int, tuple[str, float]]) -> None:
    """Until one has ended, or has had its time."""
    while True:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child in running:
            name, _ = running.pop(child)
            code = os.waitstatus_to_exitcode(status)
            _tell(name, {0: "survived", 1: "killed"}.get(code, "timeout" if code == -signal.SIGKILL else "odd"))
            return
        for each, (_, began) in running.items():
            if time.monotonic() - began > 8 * SECONDS + _PATIENCE:
                os.kill(each, signal.SIGKILL)
        time.sleep(0.005)


def _tell(name: str, outcome: str) -> None:
    with _RESULTS.open("a") as results:
        results.write(json.dumps([name, outcome]) + "\n")
