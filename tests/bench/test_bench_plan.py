"""What the benchmarks have in common: the log that resumes, the turns, the tables and their bars."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import log as log_module
from bench.log import Log
from bench.peers import Missing, environment
from bench.table import Table
from bench.turns import in_turns, is_due, once

ROOT = Path(__file__).parents[2]


def counting(calls: list[str], name: str) -> Callable[[], float]:
    """A contestant that says when it had its turn, and gets slower."""

    def turn() -> float:
        calls.append(name)
        return float(len(calls))

    return turn


def test_turns_alternate_and_the_first_changes() -> None:
    """Three contestants run A B C, B C A, C A B, and each gets its figures in the order of the rounds."""
    calls: list[str] = []
    reached = in_turns({name: counting(calls, name) for name in "ABC"}, 3, Log("trial"), "case")
    assert "".join(calls) == "ABCBCACAB"
    assert reached == {"A": [1.0, 6.0, 8.0], "B": [2.0, 4.0, 9.0], "C": [3.0, 5.0, 7.0]}


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    """Whole rounds are kept and not run again; the one that was under way when the run was stopped is run anew."""
    path, calls = tmp_path / "trial.jsonl", list[str]()

    def stopping() -> float:
        if calls.count("B") == 2:
            raise KeyboardInterrupt
        calls.append("B")
        return 0.5

    with Log("trial", path) as log, pytest.raises(KeyboardInterrupt):
        in_turns({"A": counting(calls, "A"), "B": stopping}, 5, log, "case")
    before = list(calls)
    with Log("trial", path) as log:
        contestants = {"A": counting(calls, "A"), "B": counting(calls, "B")}
        assert is_due(contestants, 5, log, "case")
        reached = in_turns(contestants, 5, log, "case")
        assert not is_due(contestants, 5, log, "case")
    assert len(calls) - len(before) == 6
    assert reached["B"][:2] == [0.5, 0.5]


def test_a_cut_off_line_is_passed_over(tmp_path: Path) -> None:
    """A kill in the midst of a line loses that round alone, and what is appended afterwards is read."""
    path = tmp_path / "trial.jsonl"
    with Log("trial", path) as log:
        once(lambda: 1.0, log, "first")
        once(lambda: 2.0, log, "second")
    path.write_bytes(path.read_bytes()[:-20])
    with Log("trial", path) as log:
        assert once(lambda: 3.0, log, "second") == 3.0
    with Log("trial", path) as log:
        assert once(lambda: 4.0, log, "first") == 1.0
        assert once(lambda: 4.0, log, "second") == 3.0


def test_other_code_and_again_count_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of other code, other contestants or from before --again are not taken for this run's."""
    path = tmp_path / "trial.jsonl"
    with Log("trial", path) as log:
        once(lambda: 1.0, log, "case")
        assert log.kept("case", 0, ["case", "another"]) is None
    with monkeypatch.context() as changed:
        changed.setattr(log_module, "source", lambda: "other code")
        with Log("trial", path) as log:
            assert once(lambda: 2.0, log, "case") == 2.0
    with Log("trial", path, again=True) as log:
        assert once(lambda: 3.0, log, "case") == 3.0
    with Log("trial", path) as log:
        assert once(lambda: 4.0, log, "case") == 3.0


def test_a_table_tells_medians_ratios_and_bars() -> None:
    """Ratios are made round by round; a bar is met or missed as it was; who is not here has a row that says why."""
    table = Table("Trial", "µs", "ours")
    table.all({"ours": [1.0, 2.0, 4.0], "theirs": [10.0, 22.0, 36.0]})
    table.missing("nobody", "needs Python 3.12")
    assert table.ratio("theirs", "ours") == 10.0
    table.bar("theirs to ours", table.ratio("theirs", "ours"), at_least=8)
    table.bar("ours to theirs", table.ratio("ours", "theirs"), at_most=0.05)
    table.bar("nobody to ours", table.ratio("nobody", "ours"), at_least=8)
    assert [bar.verdict for bar in table.bars] == ["met", "MISSED", "not measured"]
    assert math.isnan(table.bars[2].reached)
    told = str(table)
    assert "| theirs | 22.0 | 10.0 … 36.0 |   10.0 |" in told
    assert "needs Python 3.12" in told
    assert "- MISSED: ours to theirs, at most 0.05x: 0.100x" in told


def test_what_is_not_pinned_is_missing() -> None:
    """An environment that nobody described is said to be missing, with the reason."""
    with pytest.raises(Missing, match=r"bench/peers/nobody\.txt does not exist"):
        environment("nobody")


def test_an_unknown_script_is_refused() -> None:
    """A name that is no script's ends with what there is."""
    run = subprocess.run([sys.executable, "-m", "bench", "nothing"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "not known: nothing" in run.stderr
