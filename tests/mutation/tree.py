"""Tree: a copy of the checkout in .servers/mutants, where mutmut works, and its settings.

Never knows what a mutant is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / ".servers" / "mutants"
_WITHOUT = shutil.ignore_patterns("__pycache__", "faults", "browser", "interop", "fuzz")
TESTS = ("tests/core", "tests/stores/test_memory.py")
TIMED = ("tests/core/test_any_token.py::test_no_token_is_slow", "tests/core/test_encoding.py::test_nothing_is_slow")
"""What measures time fails under mutmut, whose detours cost some."""
PLANTED = ("tests/core/test_seen_fails.py",)
"""What plants faults of its own in the text of a function finds another text there under mutmut."""
_SETTINGS = """
[tool.mutmut]
source_paths = ["src/stagedoor"]
only_mutate = {files}
also_copy = ["README.md", "LICENSE", "docs", "examples"]
"""


def make(files: Sequence[str]) -> None:
    """A fresh copy, set up for the mutants of these files of src/stagedoor."""
    shutil.rmtree(TREE, ignore_errors=True)
    for folder in ("src", "tests", "docs", "examples"):
        shutil.copytree(ROOT / folder, TREE / folder, ignore=_WITHOUT)
    for file in ("README.md", "LICENSE"):
        shutil.copy(ROOT / file, TREE)
    settings = _SETTINGS.format(files=json.dumps([f"src/stagedoor/{file}.py" for file in files]))
    (TREE / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text("utf-8") + settings, "utf-8")
