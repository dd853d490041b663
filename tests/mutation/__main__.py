"""python -m mutation: makes the mutants of the core, tries them, and compares those that survive with the list of explained ones.

    python -m mutation [FILE …]           (of src/stagedoor, without .py; all of floors 1 to 6 unless some are named)
    python -m mutation --report [FILE …]  (of the last run)

Exit code 1 where a mutant survives that the list does not explain, or one is explained that is none any more.
Never knows what a mutant changes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter

from mutation.survivors import EXPLAINED, LIST, Change, Mutants
from mutation.tree import PLANTED, ROOT, TESTS, TIMED, TREE, make
from test_import_law import CORE, FLOORS

FILES = sorted(name for name, floor in FLOORS.items() if floor <= CORE)
_COLUMNS = ("mutants", "text", "killed", "timeout", "survived", "explained", "odd")


def main() -> int:
    """Exit code 1 where the survivors are not those of the list."""
    words = [word for word in sys.argv[1:] if word != "--report"]
    if unknown := set(words) - set(FILES):
        print(f"no file of floors 1 to {CORE}: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    files = words or FILES
    if "--report" not in sys.argv:
        _run(files)
    return _report(files)


def _run(files: list[str]) -> None:
    make(files)
    steps = [sys.executable, "-m", "mutation.steps"]
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "mutation.loop", "-p", "no:cacheprovider", "--tb=native", *TESTS]
    tests += [f"--deselect={test}" for test in TIMED + PLANTED]
    original, mutated = f"{TREE}/tests:{TREE}/src", f"{TREE}/mutants/src:{TREE}/mutants/tests"
    with (TREE / "log").open("w") as log:
        for command, folder, path in (
            ([*steps, "make"], TREE, original),
            (tests, TREE / "mutants", mutated),
            ([*steps, "import"], TREE, original),
        ):
            began = time.monotonic()
            print(*command[2:5], end=" … ", flush=True)
            variables = os.environ | {"PYTHONPATH": path}
            if subprocess.run(command, cwd=folder, env=variables, stdout=log, stderr=log, check=False).returncode:
                raise SystemExit(f"failed: see {log.name}")
            print(f"{time.monotonic() - began:.0f} s")


def _report(files: list[str]) -> int:
    known = EXPLAINED.keys()
    states = dict(map(json.loads, (TREE / "mutants" / "results.jsonl").read_text().splitlines()))
    found: set[Change] = set()
    totals: Counter[str] = Counter()
    print(f"{'':16}", *(f"{column:>9}" for column in _COLUMNS), "    score")
    for file in files:
        mutants, counts = Mutants(TREE / "mutants" / "src" / "stagedoor" / f"{file}.py"), Counter[str]()
        for name in mutants.names():
            state = states[name]
            if state in ("survived", "odd"):
                change = mutants.change(name)
                found.add(change)
                if change in known:
                    state = "explained"
            counts.update((state, "mutants"))
        _line(file, counts)
        totals += counts
    _line("all", totals)
    new = sorted(found - known)
    gone = sorted(change for change in known - found if change.where.split(".")[0] in files)
    for title, changes in (
        ("survives, and is not explained", new),
        (f"explained in {LIST.relative_to(ROOT)}, and survives no more", gone),
    ):
        for change in changes:
            print(f"\n{title}:\n{change}", end="")
    return int(bool(new or gone))


def _line(name: str, counts: Counter[str]) -> None:
    tried = counts["mutants"] - counts["text"]
    score = f"{(counts['killed'] + counts['timeout']) / tried:9.1%}" if tried else f"{'-':>9}"
    print(f"{name:16}", *(f"{counts[column]:9}" for column in _COLUMNS), score)


if __name__ == "__main__":
    sys.exit(main())
