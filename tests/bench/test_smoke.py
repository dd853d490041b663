"""The benchmarks run; how fast, `make bench` says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_check_for_revocations() -> None:
    """A few of everything: it says what the check costs, what a record takes and how long a thread stood still."""
    run = subprocess.run([sys.executable, "bench/revocation_check.py", "--smoke"], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    assert len(re.findall(r"records: .* µs without, .* µs with the check", run.stdout)) == 3
    assert "bytes a record" in run.stdout
    assert "longest pause" in run.stdout
