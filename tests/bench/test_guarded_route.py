"""The guarded routes are served, proven and timed; how fast they are, `make bench` says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.guarded_route import OURS, prove, serve, uvicorn
from bench.load import Few, NotServed
from bench.token_file import write_many

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.once


def test_a_few_requests_of_each() -> None:
    """With what the tests have, each server starts, proves itself, is loaded and stops, and the guard's own time is told."""
    run = subprocess.run(
        [sys.executable, "-m", "bench", "guarded_route", "--smoke", "--rounds", "1"], cwd=ROOT, capture_output=True, text=True, timeout=580
    )
    assert run.returncode == 0, run.stderr
    for row in ("Stagedoor, FastAPI, uvicorn", "Stagedoor, Starlette, uvicorn", "Stagedoor, plain ASGI, uvicorn", "plain ASGI, new token"):
        assert f"| {row} " in run.stdout


def test_a_server_that_lets_everybody_in_is_found(tmp_path: Path) -> None:
    """Neither a route without a guard nor refusals that are fast pass for a guarded route."""
    (contestant,) = (each for each in OURS if each.name == "Stagedoor, plain ASGI, uvicorn")
    with serve("asgi", uvicorn("stagedoor_asgi"), Path(sys.executable)) as server:
        prove(server, contestant)
        with pytest.raises(AssertionError, match="answers 200, not 401, to no token"):
            prove(server, replace(contestant, path="/open"))
        with pytest.raises(AssertionError, match="answers 401"):
            prove(server, replace(contestant, ours=False))
        bad = tmp_path / "bad"
        bad.write_text(f"{write_many(tmp_path / 'many', 1).read_text().strip()}A")
        with pytest.raises(NotServed, match="401"):
            Few()(server.url, 1.0, bad, ["/guarded"])
