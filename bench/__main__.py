"""python -m bench [NAME…]: runs the scripts one after another and prints their tables; without names all but growth.

    python -m bench [NAME…] [--smoke] [--peers] [--rounds N] [--again] [--list]
    python -m bench --page                          (what the log holds into docs/performance.md and docs/capacity.html; measures nothing)

What a run that was stopped had measured, the next one does not measure again; --again begins anew. Exit code 1 where a script found
something wrong, or missed a bar.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
import time
import traceback
from types import ModuleType

from bench import machine, page
from bench.log import FOLDER, ROOT, Log, source
from bench.options import Options
from bench.report import Report, builtins
from bench.table import Table

SCRIPTS = ("verify_sign", "guarded_route", "refresh", "login", "revocation_check", "growth")
ASKED_FOR = {"growth"}
"""What runs only where it is named: it takes hours."""
ROUNDS = 7


def main() -> int:
    """Run what was asked for, print what it found."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCRIPTS)}")
    parser.add_argument("--smoke", action="store_true", help="a few of everything: whether it runs, not how fast; nothing is kept")
    parser.add_argument("--peers", action="store_true", help="in the smoke form too, beside the others")
    parser.add_argument("--rounds", type=int, help=f"{ROUNDS} unless given; 2 in the smoke form")
    parser.add_argument("--again", action="store_true", help="measure anew what the log has")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--page", action="store_true", help="write what the log holds into the documentation, and run nothing")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in SCRIPTS]:
        parser.error(f"not known: {', '.join(unknown)}")
    if given.page:
        missing = page.write(SCRIPTS)
        print(f"written: {page.PERFORMANCE.relative_to(ROOT)}, {page.CAPACITY.relative_to(ROOT)}")
        print(f"not measured: {', '.join(missing) or 'nothing'}")
        return 0
    names = given.names or [name for name in SCRIPTS if given.list or name not in ASKED_FOR]
    scripts = [importlib.import_module(f"bench.{name}") for name in names]
    if given.list:
        print("\n".join(f"{script.NAME:<18} {script.SUMMARY}" for script in scripts))
        return 0
    tables: list[Table] = []
    failed: list[str] = []
    for script in scripts:
        try:
            tables += _run(script, given)
        except KeyboardInterrupt:
            print("stopped; the next run goes on from here")
            return 130
        except Exception:
            traceback.print_exc()
            failed.append(script.NAME)
    if len(scripts) > 1:
        _sum_up(tables)
    for name in failed:
        print(f"FAILED: {name}: see above")
    missed = not given.smoke and any(bar.verdict == "MISSED" for table in tables for bar in table.bars)
    return 1 if failed or missed else 0


def _run(script: ModuleType, given: argparse.Namespace) -> list[Table]:
    began = time.monotonic()
    path = None if given.smoke else FOLDER / f"{script.NAME}.jsonl"
    with Log(script.NAME, path, again=given.again) as log:
        rounds = given.rounds or (2 if given.smoke else ROUNDS)
        tables: list[Table] = script.run(Options(given.smoke, rounds, log, given.peers or not given.smoke))
        report = Report(
            script.NAME,
            script.SUMMARY,
            _command(script.NAME, given),
            machine.commit(),
            source(),
            machine.described(),
            *log.span,
            time.monotonic() - began,
            tables,
            given.smoke,
        )
        log.report(builtins(report))
    print(f"\n{report}", flush=True)
    return tables


def _command(name: str, given: argparse.Namespace) -> str:
    """What brings the same again, with the variables that change what is measured."""
    variables = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("BENCH_")]
    words = [name, *(["--smoke"] if given.smoke else []), *(["--rounds", str(given.rounds)] if given.rounds else [])]
    return shlex.join([*variables, "python", "-m", "bench", *words])


def _sum_up(tables: list[Table]) -> None:
    print("## The bars")
    for table in tables:
        for bar in table.bars:
            print(f"- {table.title}: {bar}")


if __name__ == "__main__":
    sys.exit(main())
