"""python -m fuzz: fuzzes what is left to do, and prints the tables made from the log.

    python -m fuzz differential [--cases N] [--seed S] [--processes P] [--log FILE]
    python -m fuzz coverage [--seconds N] [--only NAME,NAME] [--log FILE]      (needs atheris)
    python -m fuzz table [--log FILE]
    python -m fuzz differences [--log FILE] [--page docs/explanation/tokens.md]       (into the page, below its mark)
    python -m fuzz keep [--log FILE]      (the shortest inputs that coverage found, into tests/fuzz/corpus, for `make test`)
    python -m fuzz case NUMBER [--seed S]

Never knows a rule or a target.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from faults.log import ROOT, commit
from fuzz import tables
from fuzz.corpus import keep
from fuzz.log import Begin, Log
from fuzz.source import COVERAGE, DIFFERENTIAL, source, versions

_SEED = 20_261_124


def main() -> int:
    """Exit code 1 where there is a complaint."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("what", choices=("differential", "coverage", "table", "differences", "keep", "case"))
    parser.add_argument("number", type=int, nargs="?", help="of the case to show")
    parser.add_argument("--cases", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=_SEED)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=3600, help="of all targets together")
    parser.add_argument("--only", default="", help="targets, with commas between")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--log", type=lambda given: Path(given).resolve(), default=ROOT / "fuzz-log" / "events.jsonl")
    options = parser.parse_args()
    log = Log(options.log)
    if options.what == "case":
        return _case(options.seed, options.number or 0)
    if options.what == "keep":
        print(f"{keep(options.log.parent / 'corpus')} inputs kept")
        return 0
    if options.what == "differences":
        text = tables.differences(log.chunks(log.latest()))
        if options.page:
            above = options.page.read_text("utf-8").split(tables.MARK)[0]
            options.page.write_text(f"{above}{tables.MARK}\n{text}\n", "utf-8")
        else:
            print(text)
        return 0
    try:
        if options.what == "differential":
            _differential(log, options)
        elif options.what == "coverage":
            _coverage(log, options)
    except KeyboardInterrupt:
        print("stopped; the next run goes on from here")
    return _table(log)


def _begin(log: Log, what: str, modules: tuple[str, ...]) -> None:
    log.write(Begin(what, source(modules), commit(), versions(), time.time()))


def _differential(log: Log, options: argparse.Namespace) -> None:
    from fuzz.differential import run

    _begin(log, "differential", DIFFERENTIAL)
    done = sum(chunk.count for chunk in log.chunks(source(DIFFERENTIAL), options.seed))
    print(f"{done:,} cases done before, of {options.cases:,}", flush=True)
    told = time.monotonic()
    for chunk in run(log, options.seed, options.cases, options.processes):
        done += chunk.count
        for complaint in chunk.complaints:
            print("COMPLAINT", complaint, flush=True)
        if time.monotonic() > told + 30:
            told = time.monotonic()
            print(f"{done:,} cases", flush=True)


def _coverage(log: Log, options: argparse.Namespace) -> None:
    from fuzz.coverage import run

    _begin(log, "coverage", COVERAGE)
    for covered in run(log, options.seconds, options.only.split(",") if options.only else []):
        print(f"{covered.target}: {covered.executions:,} runs, {len(covered.complaints)} complaints", flush=True)


def _table(log: Log) -> int:
    complaints = []
    for make, found in (
        (tables.differential, log.chunks(source(DIFFERENTIAL))),
        (tables.coverage, log.covered(source(COVERAGE))),
    ):
        text, said = make(found)
        print(f"\n{text}")
        complaints += said
    for complaint in complaints[:50]:
        print("COMPLAINT", complaint)
    return 1 if complaints else 0


def _case(seed: int, number: int) -> int:
    from fuzz.cases import make
    from fuzz.judges import Joserfc, PyJWT, Stagedoor, quiet
    from fuzz.rules import compare

    case = make(seed, number)
    print(case)
    with quiet():
        verdicts = {judge.name: judge.judge(case) for judge in (Stagedoor(), PyJWT(), Joserfc())}
    for name, verdict in verdicts.items():
        print(f"{name}: {verdict}")
    ours = verdicts.pop("stagedoor")
    for found in compare(case, ours, verdicts):
        print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
