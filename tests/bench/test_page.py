"""The pages with figures: all that is measured comes from the log, what is missing is said, and who is faster is listed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench import page
from bench.__main__ import SCRIPTS
from bench.capacity import figures
from bench.log import Log, source
from bench.report import Report, builtins, latest
from bench.table import Table

NAMES = ("verify_sign", "refresh", "growth")
TEXT = page.PERFORMANCE.read_text("utf-8")
HTML = page.CAPACITY.read_text("utf-8")


def report(script: str, *tables: Table, **other: Any) -> Report:
    made = {"commit": "abc1234", "source": source(), "machine": "a machine, 2 cores", "began": 0.0, "ended": 60.0, "took": 61.0, **other}
    return Report(script, f"All about {script}", f"python -m bench {script}", tables=list(tables), **made)


def verifying() -> Table:
    """Ours is slower than one, faster than another; the limit is no contestant, another Python no comparison; a bar was missed."""
    table = Table("Verify", "µs a token", "Stagedoor", versions={"Swift": "1.2"})
    table.all({"limit: bare": [1.0, 1.0], "Stagedoor": [4.0, 6.0], "Swift": [2.0, 2.0], "Slow": [8.0, 12.0]})
    table.row("Swift (newest Python)", [1.0, 1.0])
    table.missing("Nobody", "needs Python 3.12")
    table.bar("Slow takes", table.ratio("Slow", "Stagedoor"), at_least=8)
    table.bar("Nobody takes", table.ratio("Nobody", "Stagedoor"), at_least=3)
    return table


def refreshing() -> Table:
    """Of rates more is better; the same number of clients is compared."""
    table = Table("Refresh through HTTP", "rotations/s", also=["p99 ms"])
    table.row("Stagedoor, Redis, 1 client", [100.0], "1.0")
    table.row("Stagedoor, Redis, 16 clients", [800.0], "2.0")
    table.row("other, 1 client", [50.0], "3.0")
    table.row("other, 16 clients", [1000.0], "3.0")
    return table


def logged(folder: Path, *reports: Report) -> Path:
    for each in reports:
        with Log(each.script, folder / f"{each.script}.jsonl") as log:
            log.report(builtins(each))
    return folder


@pytest.fixture
def written(tmp_path: Path) -> tuple[str, dict[str, Any], list[str]]:
    """docs/performance.md, the constants in docs/capacity.html and what is missing, of a small log."""
    logged(tmp_path, report("verify_sign", verifying()), report("refresh", refreshing()))
    performance, capacity = tmp_path / "performance.md", tmp_path / "capacity.html"
    performance.write_text(TEXT, "utf-8")
    capacity.write_text(HTML, "utf-8")
    missing = page.write(NAMES, tmp_path, performance, capacity)
    return performance.read_text("utf-8"), constants(capacity.read_text("utf-8")), missing


def constants(html: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(html.split('<script type="application/json" id="measured">')[1].split("</script>")[0])
    return found


def part(text: str, name: str) -> str:
    before, behind = page.mark(name)
    return text.split(before)[1].split(behind)[0]


def test_a_table_comes_with_its_date_commit_machine_versions_and_command(written: tuple[str, dict[str, Any], list[str]]) -> None:
    """Above the tables of a script stands when, of which commit, on what, beside whom and by which command they were measured."""
    tables = part(written[0], "tables")
    for said in ("1970-01-01 00:00 to 1970-01-01 00:01 UTC, commit abc1234", "a machine, 2 cores", "Versions: Swift 1.2"):
        assert f"\n- {said}" in tables
    assert "Command: python -m bench verify_sign" in tables
    assert re.search(r"\| Swift +\| +2\.00 \| +2\.00 … 2\.00 \| +0\.417 \|", tables)
    assert "needs Python 3.12" in tables


def test_what_was_not_measured_is_said(written: tuple[str, dict[str, Any], list[str]]) -> None:
    """A script without a run in the log has a section that says so, and so have its constants."""
    text, found, missing = written
    assert missing == ["growth"]
    assert "## growth\nNot measured" in part(text, "tables")
    assert "| growth | not measured |" in part(text, "measured")
    assert "Not compared, because not measured: growth." in part(text, "slower")
    assert found["stores"]["Redis"] == {"refreshes": 800.0, "session": None}
    assert found["logins"] is None
    assert "| logins with a password (argon2id) | not measured |" in part(text, "core")
    assert "| refreshes through HTTP, Redis | 800 | refreshes/s | Refresh through HTTP |" in part(text, "core")
    assert [each["script"] for each in found["measured"]] == ["verify_sign", "refresh"]


def test_a_missed_bar_is_said(written: tuple[str, dict[str, Any], list[str]]) -> None:
    """Bars that were missed, or could not be held to anything, are listed with their table; those that were met are not."""
    missed = part(written[0], "missed")
    assert "Bars: 2; met 0, missed 1, not measured 1." in missed
    assert "- MISSED: Slow takes, at least 8x: 2.00x (Verify)" in missed
    assert "- not measured: Nobody takes, at least 3x (Verify)" in missed


def test_who_is_faster_is_listed(written: tuple[str, dict[str, Any], list[str]]) -> None:
    """Rows of others with the better median are listed, with how many times; limits, other Pythons and other numbers of clients are not."""
    rows = [line for line in part(written[0], "slower").splitlines() if line.startswith("| ")][1:]
    assert rows == [
        "| Verify | Swift | Stagedoor: 2.50x |",
        "| Refresh through HTTP | other, 16 clients | Stagedoor, Redis, 16 clients: 1.25x |",
    ]


def test_the_last_run_counts(tmp_path: Path) -> None:
    """Of several runs the last one is told, with the versions that an earlier one saw; a line that a kill cut off is none."""
    bare = verifying()
    bare.versions = {}
    path = logged(tmp_path, report("verify_sign", verifying()), report("verify_sign", bare, commit="later")) / "verify_sign.jsonl"
    with path.open("a") as file:
        file.write('{"report": {"script": "verify_s')
    found = latest(path)
    assert found is not None
    assert (found.commit, found.versions) == ("later", {"Swift": "1.2"})
    assert latest(tmp_path / "growth.jsonl") is None


def test_rounds_are_read_beside_reports(tmp_path: Path) -> None:
    """A log that holds a report goes on where its rounds end."""
    path = logged(tmp_path, report("trial", verifying())) / "trial.jsonl"
    with Log("trial", path) as log:
        log.keep("case", 0, {"A": 1.0})
    with Log("trial", path) as log:
        assert log.kept("case", 0, ["A"]) == {"A": 1.0}


def test_figures_of_other_code_are_said_to_be(tmp_path: Path) -> None:
    """Where the code has changed since it was measured, the page says so."""
    made = page.parts(["verify_sign"], {"verify_sign": report("verify_sign", verifying(), source="another")})
    assert "commit" in made["measured"][0]
    assert "abc1234, of other code than this" in made["measured"][2]


def test_few_rounds_are_called_a_sketch() -> None:
    """Scripts with fewer than five rounds are named; one with five is not."""
    whole = Table("Whole", "µs")
    whole.row("Stagedoor", [1.0] * 5)
    reports = {"verify_sign": report("verify_sign", verifying()), "login": report("login", whole)}
    assert page.parts(list(reports), reports)["measured"][-1] == "Fewer than 5 rounds, so a sketch and no result yet: verify_sign."


def test_a_page_without_its_marks_is_refused() -> None:
    """Where a mark is missing nothing is written, rather than at a wrong place."""
    with pytest.raises(page.Unmarked, match="no place for core"):
        page.filled(TEXT.replace(page.mark("core")[0], ""), {"core": ["x"]})


def test_the_documentation_is_in_the_form_that_is_written() -> None:
    """docs/performance.md has every part and script as --page writes them, and docs/capacity.html the same figures as its table."""
    assert page.filled(TEXT, {name: part(TEXT, name).strip("\n").split("\n") for name in page.PARTS}).count("<!--") == 2 * len(page.PARTS)
    rows = [line.split(" | ")[0].strip("| ") for line in part(TEXT, "measured").splitlines() if line.startswith("| ")][1:]
    assert rows == list(SCRIPTS)
    found = constants(HTML)
    told = {cells[1].strip(): cells[2].strip() for line in part(TEXT, "core").splitlines()[3:] if len(cells := line.split("|")) > 3}
    expected = figures({})
    assert list(told) == [each.what for each in expected]
    for figure in expected:
        inner: Any = found
        for name in figure.path:
            inner = inner[name]
        assert told[figure.what] == ("not measured" if inner is None else page.short(inner)), figure.what
    assert {each["script"]: each["commit"] for each in found["measured"]}.keys() <= set(SCRIPTS)
    for each in found["measured"]:
        assert f"{each['when']}, commit {each['commit']}" in part(TEXT, "tables")


def test_no_figure_is_typed() -> None:
    """Outside the marks and commands docs/performance.md has no number: names such as HS256 and p99 are none."""
    prose = TEXT
    for name in page.PARTS:
        prose = prose.replace(part(TEXT, name), "")
    assert re.findall(r"\b\d[\d.,]*", re.sub(r"`[^`]*`", "", prose)) == []
