"""Steps: what runs within the tree, with mutmut imported: write the mutants, and try those of files that work when they are imported.

    python -m mutation.steps make | import

Never knows what is explained.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutation.survivors import Mutants

AT_IMPORT = {"algorithms": ("vectors", "ecdsa", "keys", "jws", "signer", "key_policy", "jwk")}
"""A file whose functions run when it is imported, and the tests that look at what they made."""
RESULTS = Path("mutants/results.jsonl")


def make() -> None:
    """Writes the mutants into the files, and a list of those that change more than a text."""
    from mutmut import __main__ as mutmut
    from mutmut.mutation.trampoline import set_mutant_under_test

    set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir()
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.create_mutants(os.cpu_count() or 1)
    names = {path.name.removesuffix(".py.meta"): list(_names(path)) for path in sorted(Path("mutants/src").rglob("*.meta"))}
    Path("mutants/names.json").write_text(json.dumps(names))


def _names(path: Path) -> Iterator[str]:
    mutants = Mutants(path.with_suffix(""))
    for name in json.loads(path.read_text())["exit_code_by_key"]:
        if mutants.is_text(name):
            _tell(name, "text")
        else:
            yield name


def at_import() -> None:
    """What is called at import has done its work before a mutant is chosen: such files get an interpreter for each of theirs."""
    for file, names in json.loads(Path("mutants/names.json").read_text()).items():
        if file in AT_IMPORT:
            tests = [f"tests/core/test_{name}.py" for name in AT_IMPORT[file]]
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for name, failed in zip(names, pool.map(lambda name, tests=tests: _fails(name, tests), names), strict=True):
                    _tell(name, "killed" if failed else "survived")


def _fails(name: str, tests: list[str]) -> bool:
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    variables = os.environ | {"MUTANT_UNDER_TEST": name, "PYTHONPATH": str(Path("mutants/src").resolve())}
    return subprocess.run(words, cwd="mutants", env=variables, capture_output=True, check=False).returncode != 0


def _tell(name: str, state: str) -> None:
    with RESULTS.open("a") as results:
        results.write(json.dumps([name, state]) + "\n")


if __name__ == "__main__":
    {"make": make, "import": at_import}[sys.argv[1]]()
