"""The benchmarks run, with Stagedoor alone; how fast, and beside whom, `make bench` says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def smoke(name: str) -> str:
    """What a script prints in its smoke form, once it has ended well."""
    for _ in range(3):
        run = subprocess.run([sys.executable, "-m", "bench", name, "--smoke"], cwd=ROOT, capture_output=True, text=True, timeout=580)
        if "RevocationsStale" not in run.stderr:  # which ends a run where a busy machine stands still for a second
            break
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Command: python -m bench" in run.stdout
    return run.stdout


def test_the_check_for_revocations() -> None:
    """A few of everything: it says what the check costs, what a record takes and how long a thread stood still."""
    told = smoke("revocation_check")
    for row in (
        "| without the check",
        "| 0 records",
        "| 100 records",
        "| 2,000 records",
        "what the check costs, at most 0.3 µs",
        "Longest pause",
    ):
        assert row in told, row


def test_refresh() -> None:
    """Each store is rotated through the library beside its raw limit, and one through HTTP; what is not Rotated would fail the run."""
    told = smoke("refresh")
    for name in ("SQLite", "PostgreSQL", "Redis"):
        assert f"Refresh through the library, {name}" in told
    assert told.count("| one statement, raw, 16 clients") == 3
    assert "| Stagedoor, SQLite, 4 clients" in told


def test_login() -> None:
    """Logins beside bare argon2id, and a guarded route with and without others who log in; a wrong password would fail the run."""
    told = smoke("login")
    for row in (
        "| argon2id alone",
        "| Stagedoor, logins, 4 clients",
        "| guarded route, nobody logs in",
        "| guarded route, 4 clients log in",
    ):
        assert row in told


def test_growth() -> None:
    """Each store with few sessions and with many, a verifier with more of everything, and what all that takes."""
    told = smoke("growth")
    for name in ("SQLite", "PostgreSQL", "Redis"):
        assert f"As sessions grow, {name}" in told
        assert f"{name}, a session of 2,000" in told
    assert "| 100 keys, 1 revocation" in told
    assert "| a verifier with 1,000 revocations" in told


def test_verify_and_sign() -> None:
    """With each algorithm: a token never seen, tokens seen before, what is remembered, and a signature; beside the bare signature."""
    told = smoke("verify_sign")
    for alg in ("HS256", "ES256", "RS256 (2048 bits)", "Ed25519"):
        assert f"### Verify {alg}, a token never seen before" in told
        assert f"### Sign {alg}" in told
    assert told.count("| Stagedoor, and all claims read") == 6
    assert "### What a Verifier remembers" in told
