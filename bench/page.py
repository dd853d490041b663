"""Page: docs/performance.md and docs/capacity.html, whose figures are all written from the log, between marks; nothing is measured.

Never knows what a table is about; only which rows are ours, and which are no contestant but a limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench import capacity
from bench.log import FOLDER, ROOT, source
from bench.report import Report, latest
from bench.table import Row, Table, ratio, short

PERFORMANCE, CAPACITY = ROOT / "docs" / "performance.md", ROOT / "docs" / "capacity.html"
COMMAND = "python -m bench --page"
PARTS = ("measured", "core", "slower", "missed", "tables")
"""What stands between marks, by the name in them."""
ENOUGH = 5
"""Rounds that a median must have to count."""
_OURS = "Stagedoor"
_LIMITS = ("limit:", "one statement, raw", "argon2id alone")
"""Beginnings of rows that do less than the work: what could be reached, not who reaches it."""
_ALIKE = re.compile(r"(?:, (\d+ clients?))?( \(newest Python\))?$")
"""Ends of names: only rows that end alike are compared."""


class Unmarked(Exception):
    """A page without its marks: what was to be written would have no place."""


def write(names: Sequence[str], folder: Path = FOLDER, performance: Path = PERFORMANCE, page: Path = CAPACITY) -> list[str]:
    """Write both from this log; the names of the scripts that it lacks."""
    found = {name: latest(folder / f"{name}.jsonl") for name in names}
    reports = {name: report for name, report in found.items() if report is not None}
    performance.write_text(filled(performance.read_text("utf-8"), parts(names, reports)), "utf-8")
    page.write_text(with_constants(page.read_text("utf-8"), reports), "utf-8")
    return [name for name in names if name not in reports]


def mark(part: str) -> tuple[str, str]:
    """What stands before a part and what behind it."""
    return f"<!-- {part}: written by {COMMAND} -->", f"<!-- end of {part} -->"


def filled(text: str, written: Mapping[str, Iterable[str]]) -> str:
    """The page with these parts in the places of the old ones; Unmarked where one has no place."""
    for part, lines in written.items():
        before, behind = mark(part)
        if text.count(before) != 1 or text.count(behind) != 1 or text.index(before) > text.index(behind):
            raise Unmarked(f"no place for {part}: it stands between {before} and {behind}")
        head, rest = text.split(before)
        text = "\n".join([f"{head}{before}", *lines, f"{behind}{rest.split(behind)[1]}"])
    return text


def parts(names: Sequence[str], reports: Mapping[str, Report]) -> dict[str, list[str]]:
    """All that is written into docs/performance.md."""
    return {
        "measured": _measured(names, reports),
        "core": capacity.told(capacity.figures(reports)),
        "slower": _slower(names, reports),
        "missed": _missed(reports.values()),
        "tables": _tables(names, reports),
    }


def with_constants(text: str, reports: Mapping[str, Report]) -> str:
    """docs/capacity.html with the constants of this log."""
    before, behind = '<script type="application/json" id="measured">', "</script>"
    if text.count(before) != 1:
        raise Unmarked(f"no place for the constants: {before} stands once")
    head, rest = text.split(before)
    # In a script element "</" would end it, whatever it is part of.
    constants = json.dumps(capacity.constants(reports), ensure_ascii=False, indent=1).replace("</", "<\\/")
    return f"{head}{before}\n{constants}\n{behind}{rest.split(behind, 1)[1]}"


def _measured(names: Sequence[str], reports: Mapping[str, Report]) -> list[str]:
    lines = ["| script | measured | commit | rounds | command |", "|---|---|---|---:|---|"]
    for name in names:
        if name in reports:
            report = reports[name]
            changed = "" if report.source == source() else ", of other code than this"
            lines.append(f"| {name} | {report.when} | {report.commit}{changed} | {report.rounds} | `{report.command}` |")
        else:
            lines.append(f"| {name} | not measured | - | - | `python -m bench {name}` |")
    machines = sorted({report.machine for report in reports.values()})
    sketches = [report.script for report in reports.values() if report.rounds < ENOUGH]
    doubted = [f"Fewer than {ENOUGH} rounds, so a sketch and no result yet: {', '.join(sketches)}."] if sketches else []
    return [*lines, "", *(f"Machine: {machine}." for machine in machines), *doubted]


def _tables(names: Sequence[str], reports: Mapping[str, Report]) -> list[str]:
    lines: list[str] = []
    for name in names:
        if name not in reports:
            lines += [f"## {name}", f"Not measured: the log has no run of it that came to its end. `python -m bench {name}` makes one.", ""]
            continue
        heading, *rest = reports[name].heading()
        lines += [heading, *(f"- {line}" for line in rest), "", *(f"{table}" for table in reports[name].tables)]
    return lines


def _missed(reports: Iterable[Report]) -> list[str]:
    held = [(table, bar) for report in reports for table in report.tables for bar in table.bars]
    counts = {verdict: sum(bar.verdict == verdict for _, bar in held) for verdict in ("met", "MISSED", "not measured")}
    lines = [f"Bars: {len(held)}; met {counts['met']}, missed {counts['MISSED']}, not measured {counts['not measured']}.", ""]
    return lines + [f"- {bar} ({table.title})" for table, bar in held if bar.verdict != "met"]


def _slower(names: Sequence[str], reports: Mapping[str, Report]) -> list[str]:
    """The rows where another is faster, table by table."""
    lines = ["| table | who is faster | than, and how many times |", "|---|---|---|"]
    for table in (table for report in reports.values() for table in report.tables):
        for row, beaten in beating(table):
            lines.append(f"| {table.title} | {row.name} | {'; '.join(f'{ours}: {short(times)}x' for ours, times in beaten)} |")
    missing = [name for name in names if name not in reports]
    found = lines if len(lines) > 2 else ["In no table below is another faster."]
    return [*found, "", f"Not compared, because not measured: {', '.join(missing)}."] if missing else found


def beating(table: Table) -> list[tuple[Row, list[tuple[str, float]]]]:
    """Those who are faster than a row of ours in this table, with these rows, and how many times faster."""
    more_is_better = "/s" in table.unit
    ours = [row for row in table.rows if row.name.startswith(_OURS) and row.figures]
    found: list[tuple[Row, list[tuple[str, float]]]] = []
    for row in table.rows:
        if row.name.startswith((_OURS, *_LIMITS)) or not row.figures:
            continue
        beaten: list[tuple[str, float]] = []
        for each in ours:
            times = ratio(row.figures, each.figures) if more_is_better else ratio(each.figures, row.figures)
            if _kind(each) == _kind(row) and times > 1:
                beaten.append((each.name, times))
        if beaten:
            found.append((row, beaten))
    return found


def _kind(row: Row) -> tuple[str | None, ...]:
    ends = _ALIKE.search(row.name)
    return ends.groups() if ends else ()
