"""The benchmark of verifying and signing runs with Stagedoor alone, and nobody has a figure who does something else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.libraries.asked import Asked
from bench.log import Log
from bench.options import Options
from bench.verify_sign import ENTRIES, LIMIT, OURS, Entry, Material, material, prove, workers
from stagedoor.errors import BadSignature

ROOT = Path(__file__).parents[2]
OPTIONS = Options(smoke=True, rounds=1, log=Log("trial"), peers=False)
ALONE = [entry for entry in ENTRIES if entry.name in (LIMIT, OURS)]


@pytest.fixture(scope="module")
def made() -> Material:
    """A key and a few tokens of it."""
    return material("ES256", 4)


def asking(made: Material, entries: list[Entry]) -> dict[str, Asked]:
    """Start these workers, and let each prove what it does."""
    with workers(entries, made, OPTIONS) as (there, missing):
        assert missing == {}
        return there


def test_all_that_is_there_proves_what_it_does(made: Material) -> None:
    """Stagedoor and the bare signature accept the good token, refuse the bad ones, and what Stagedoor signs holds."""
    assert set(asking(made, ALONE)) == {LIMIT, OURS}


@pytest.mark.parametrize("name", [LIMIT, OURS])
def test_who_accepts_a_bad_token_is_found(made: Material, name: str) -> None:
    """A contestant that accepts what it must refuse gets no figure: the script ends."""
    entries = [entry for entry in ALONE if entry.name == name]
    with pytest.raises(AssertionError, match="accepts a token that is not bad at all"):
        asking(made._replace(bad={**made.bad, "not bad at all": made.good}), entries)


def test_who_refuses_the_good_token_is_found(made: Material) -> None:
    """A contestant that cannot do the work at all is told apart from a fast one."""
    with pytest.raises(RuntimeError, match="TokenExpired"):
        asking(made._replace(good=made.bad["expired"]), [entry for entry in ALONE if entry.name == OURS])


def test_who_signs_something_else_is_found(made: Material) -> None:
    """What a contestant signs must hold under the key that all were given."""
    other = material("ES256", 1)
    with (
        workers([entry for entry in ALONE if entry.name == OURS], made, OPTIONS) as (there, _),
        pytest.raises(BadSignature),
    ):
        prove(OURS, there[OURS], made._replace(given=replace(other.given, kid=made.given.kid)))


def test_what_a_library_lacks_is_a_row_that_says_so(made: Material) -> None:
    """A library that is not installed is missing with its reason, not left out."""
    with workers([Entry("nobody", "nobody")], made, OPTIONS) as (there, missing):
        assert there == {}
        assert "nobody" in missing["nobody"]


def test_all_versions_are_pinned() -> None:
    """Every peer has one exact version, so that a table can be made again."""
    for path in sorted((ROOT / "bench/peers").glob("*.txt")):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        assert [line for line in lines if not re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+", line)] == [], path.name
    listed = json.loads((ROOT / "bench/peers/package.json").read_text())["dependencies"]
    assert [name for name, version in listed.items() if not re.fullmatch(r"[\w.-]+", version)] == []
