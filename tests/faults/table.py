"""The table: what a log of the fault suite says was done, made from that log alone.

Never knows what was wanted: it prints the counts done.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from faults.checker import judge
from faults.heard import answered
from faults.log import Answers, Begin, Complaint, Done, Figure, read


def table(path: Path, source: str) -> tuple[str, list[str]]:
    """The table as text, and all complaints: those of the tests and those of the checker. Only lines about this source count."""
    lines = list(read(path))
    counts: dict[tuple[str, str, str], int] = Counter()
    spent: dict[tuple[str, str], float] = defaultdict(float)
    figures: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    complaints: list[str] = []
    current: dict[tuple[str, str], bool] = {}
    judged = []
    for line in lines:
        if isinstance(line, Begin):
            current[line.test, line.store] = line.source == source
        if not current.get((line.test, line.store), False):
            continue
        if isinstance(line, Done):
            counts[line.test, line.store, line.what] += line.count
            spent[line.test, line.store] += line.seconds
        elif isinstance(line, Figure):
            figures[line.test, line.store][line.name] = f"{line.value:g}" if isinstance(line.value, float) else str(line.value)
            figures[line.test, line.store][line.name] += f" {line.unit}".rstrip()
        elif isinstance(line, Complaint):
            complaints.append(f"{line.test} {line.store}: {line.text}")
        else:
            judged.append(line)
    complaints += judge(judged)
    blamed = Counter(" ".join(text.replace(":", "").split()[:2]) for text in complaints)
    rows = [["test", "store", "done", "complaints", "seconds", "figures"]]
    for (test, store, what), number in sorted(counts.items(), key=lambda item: (int(item[0][0][1:]), item[0][1])):
        told = ", ".join(f"{name} {value}" for name, value in figures[test, store].items())
        rows.append([test, store, f"{number:,} {what}", str(blamed[f"{test} {store}"]), f"{spent[test, store]:.0f}", told])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    text = "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows)
    shown = answered([line for line in judged if isinstance(line, Answers)])
    return f"{text}\n\n{shown}" if shown else text, complaints
