"""python -m faults: plays what is left of the suite, then prints the table made from the log.

    python -m faults [--only R4,R7] [--stores postgres] [--short] [--log FILE] [--seed N] [--table]

Never knows a test.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from faults.log import ROOT, EventLog, source
from faults.places import Servers
from faults.run import Run
from faults.suite import TESTS, wanted
from faults.table import table


def main() -> int:
    """Exit code 1 where there is a complaint."""
    known = list(dict.fromkeys(store for test in TESTS.values() for store in test.stores))
    parser = argparse.ArgumentParser(prog="faults")
    parser.add_argument("--only", default=",".join(TESTS), help="tests, with commas between")
    parser.add_argument("--stores", default=",".join(known), help="stores, with commas between")
    parser.add_argument("--short", action="store_true", help="the counts of make test")
    parser.add_argument("--log", type=lambda given: Path(given).resolve(), default=ROOT / "faults-log" / "events.jsonl")
    parser.add_argument("--seed", type=int, default=20_261_123)
    parser.add_argument("--table", action="store_true", help="play nothing, print the table")
    options = parser.parse_args()
    names, stores = options.only.upper().split(","), options.stores.split(",")
    if unknown := [name for name in names if name not in TESTS] + [name for name in stores if name not in known]:
        parser.error(f"not known: {', '.join(unknown)}")
    if not options.table:
        _play(names, stores, options)
    text, complaints = table(options.log, source())
    print(f"\nsource {source()}, log {options.log}\n{text}")
    for complaint in complaints[:50]:
        print("COMPLAINT", complaint)
    return 1 if complaints else 0


def _play(names: list[str], stores: list[str], options: argparse.Namespace) -> None:
    log, servers = EventLog(options.log), Servers()
    try:
        for name in names:
            for store in TESTS[name].stores:
                if store not in stores:
                    continue
                run = Run(name, store, wanted(name, store, short=options.short), log, options.seed, TESTS[name].what)
                began = time.monotonic()
                print(f"{name} {store}: {run.already:,} done before, {run.left:,} {run.what} to do", flush=True)
                try:
                    if run.left:
                        TESTS[name].play(run, servers)
                except Exception as error:
                    traceback.print_exc()
                    run.complain(f"it ended with {type(error).__name__}: {error}")
                log.flush()
                print(f"{name} {store}: {run.done:,} in {time.monotonic() - began:.0f} s, {run.complaints} complaints", flush=True)
    except KeyboardInterrupt:
        print("stopped; the next run goes on from here")
    finally:
        servers.close()
        log.close()


if __name__ == "__main__":
    sys.exit(main())
