"""Report: what one run of a script found, its tables with the date, the commit, the machine and the versions; printed, and kept in the log.

Never knows what the tables say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.table import Table


@dataclass
class Report:
    """`began` and `ended` are of its rounds, in Unix seconds; `source` is the code under test; `took` are the seconds of this run alone."""

    script: str
    summary: str
    command: str
    commit: str
    source: str
    machine: str
    began: float
    ended: float
    took: float
    tables: list[Table]
    smoke: bool = False

    @property
    def versions(self) -> dict[str, str]:
        """Of all that took part."""
        return dict(sorted((name, version) for table in self.tables for name, version in table.versions.items()))

    @property
    def when(self) -> str:
        """From its first round to its last."""
        first, last = (datetime.fromtimestamp(at, UTC) for at in (self.began, self.ended))
        return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"

    @property
    def rounds(self) -> int:
        """Of the table that has most."""
        return max((len(row.figures) for table in self.tables for row in table.rows), default=0)

    def heading(self) -> list[str]:
        """What a reader must know before any figure."""
        return [
            f"## {self.summary}",
            f"{self.when}, commit {self.commit}, source {self.source}",
            self.machine,
            "Versions: " + (", ".join(f"{name} {version}" for name, version in self.versions.items()) or "Stagedoor alone"),
            f"Command: {self.command}",
        ]

    def __str__(self) -> str:
        took = f"It took {self.took:.0f} s{' (a smoke run: no figure of it counts)' if self.smoke else ''}"
        return "\n".join([*self.heading(), took, "", *map(str, self.tables)])


def builtins(report: Report) -> dict[str, Any]:
    """As it is kept."""
    made: dict[str, Any] = msgspec.to_builtins(report)
    return made


def latest(path: Path) -> Report | None:
    """The last report that a log has; None where a run of this script never came to its end.

    Who took part is known to the runs that measured it: a run that found all in the log looks at few of them.
    """
    texts = path.read_bytes().splitlines() if path.exists() else []
    kept = [json.loads(text) for text in texts if b'"report"' in text and text.endswith(b"}")]  # others are of rounds, or were cut off
    if not kept:
        return None
    last = kept[-1]
    report: Report = msgspec.convert(last["report"], Report)
    alike = ("source", "peers", "machine")
    for line in kept[:-1]:
        if all(line[name] == last[name] for name in alike):
            before = {table.title: table.versions for table in msgspec.convert(line["report"], Report).tables}
            for table in report.tables:
                table.versions = {**before.get(table.title, {}), **table.versions}
    return report
