"""The log of the fuzzing: what was done is not done again, what other code did does not count, and the tables know nothing else."""

import re
from pathlib import Path

import pytest

from fuzz import tables
from fuzz.differential import run
from fuzz.log import Chunk, Covered, Log
from fuzz.rules import RULES
from fuzz.source import COVERAGE, DIFFERENTIAL, source

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "tokens.md"


def chunk(first: int, **more: object) -> Chunk:
    fields = {"source": "s", "seed": 1, "first": first, "count": 10, "signed": 6, "seconds": 0.5, "cpu": 0.4, "verdicts": {"accepted": 4}}
    return Chunk(**{**fields, "rules": {"padding\tPyJWT": 2}, "crashes": {}, "complaints": [], "complained": 0, **more})


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Chunks in the log are not judged again; a line that was cut off is, and what comes behind it is read."""
    monkeypatch.setattr("fuzz.differential.CHUNK", 50)
    log = Log(tmp_path / "log.jsonl")
    assert [part.first for part in run(log, 1, 120, 1)] == [0, 50, 100]
    assert list(run(log, 1, 120, 1)) == []
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-20])
    assert [(part.first, part.count) for part in run(log, 1, 120, 1)] == [(100, 20)]
    assert sum(part.count for part in log.chunks(source(DIFFERENTIAL), 1)) == 120
    assert [part.first for part in run(log, 2, 50, 1)] == [0]


def test_counts_of_other_code_do_not_count(tmp_path: Path):
    """A line of another source is not in the table; one that stands twice counts once."""
    log = Log(tmp_path / "log.jsonl")
    for each in (chunk(0), chunk(10), chunk(10), chunk(20, source="other"), chunk(20, complaints=["case 21: odd"], complained=1)):
        log.write(each)
    text, complaints = tables.differential(log.chunks("s"))
    assert "30 cases, 60% with a right signature, 1 unexplained; 20 cases a second and process, 25 for" in text
    assert "6  padding: PyJWT" in text
    assert complaints == ["case 21: odd"]


def test_the_coverage_table_adds_up(tmp_path: Path):
    """Two runs of a target are one row; the slowest call of both is told."""
    log = Log(tmp_path / "log.jsonl")
    for slowest in (0.0002, 0.0001):
        log.write(Covered("s", "decode", 10.0, 1000, 50, 80, 7, slowest, 8192, 60, []))
    text, complaints = tables.coverage(log.covered("s"))
    assert re.search(r"decode +2,000 runs in +20 s, +50 edges, corpus +7, slowest 0.20 ms for 8,192 bytes", text)
    assert complaints == []


def test_the_source_follows_the_code():
    """The two sources differ, and hold more than the modules that are named."""
    assert source(DIFFERENTIAL) != source(COVERAGE)
    assert source(DIFFERENTIAL) != source(("fuzz.cases",))


def test_the_page_has_every_rule():
    """The table in the documentation names each rule, its reason, and nothing else."""
    rows = re.findall(r"^\| we \w+ \| (.*?) \| .*? \| .*? \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [(rule.name, rule.reason) for rule in RULES]
