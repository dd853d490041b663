"""Table: rows of medians, their spread and their ratio to one of them, and the bars that they met or missed; printed as Markdown.

Never knows what was measured. Ratios are made round by round, of what ran beside each other, and their median is what counts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One contestant's figures, one a round; or why there are none."""

    name: str
    figures: Sequence[float] = ()
    also: Sequence[str] = ()
    why_not: str = ""


@dataclass(frozen=True)
class Bar:
    """What was asked, and what was reached; nan where what it compares with is not here."""

    question: str
    reached: float
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "x"

    @property
    def verdict(self) -> str:
        """Met, missed, or not measured."""
        if math.isnan(self.reached):
            return "not measured"
        low, high = (-math.inf if self.at_least is None else self.at_least), (math.inf if self.at_most is None else self.at_most)
        return "met" if low <= self.reached <= high else "MISSED"

    def __str__(self) -> str:
        asked = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        reached = "" if math.isnan(self.reached) else f": {short(self.reached)}{self.unit}"
        return f"{self.verdict}: {self.question}, {asked}{self.unit}{reached}"


@dataclass
class Table:
    """One question's answer.

    `unit` is of the figures, `baseline` the name of the row that the ratios are to, `also` the headings of further columns, `versions`
    what took part, by name, `notes` what a reader must know.
    """

    title: str
    unit: str
    baseline: str | None = None
    also: Sequence[str] = ()
    versions: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def row(self, name: str, figures: Sequence[float], *also: str) -> None:
        """Add a contestant."""
        self.rows.append(Row(name, figures, also))

    def all(self, reached: Mapping[str, Sequence[float]]) -> None:
        """Add what in_turns returned."""
        for name, figures in reached.items():
            self.row(name, figures)

    def missing(self, name: str, why: object) -> None:
        """Add a contestant that is not here, and why: none is left out in silence."""
        self.rows.append(Row(name, why_not=str(why)))

    def ratio(self, of: str, to: str) -> float:
        """The median of the ratios round by round; nan where one of the two was not measured."""
        figures = {row.name: row.figures for row in self.rows}
        return ratio(figures.get(of, ()), figures.get(to, ()))

    def bar(self, question: str, reached: float, *, at_least: float | None = None, at_most: float | None = None, unit: str = "x") -> None:
        """Hold what was reached to what was asked."""
        self.bars.append(Bar(question, reached, at_least, at_most, unit))

    def __str__(self) -> str:
        ratios = [f"x {self.baseline}"] if self.baseline is not None else []
        lines = [["", self.unit, "from … to", *ratios, *self.also]]
        for row in self.rows:
            if not row.figures:
                lines.append([row.name, "-", row.why_not])
                continue
            low, high = short(min(row.figures)), short(max(row.figures))
            to = [short(self.ratio(row.name, self.baseline))] if self.baseline is not None else []
            lines.append([row.name, short(statistics.median(row.figures)), f"{low} … {high}", *to, *row.also])
        rounds = max((len(row.figures) for row in self.rows), default=0)
        told = [
            f"### {self.title}",
            f"Medians of {rounds} rounds in turns, {self.unit}." if rounds > 1 else f"One round, {self.unit}.",
            "",
            *_aligned(lines),
            "",
        ]
        return "\n".join([*told, *self.notes, *(f"- {bar}" for bar in self.bars)]).rstrip() + "\n"


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """The median of the ratios of what was measured side by side; nan where one was not."""
    if not of or len(of) != len(to):
        return math.nan
    return statistics.median(a / b if b else math.inf for a, b in zip(of, to, strict=True))


def short(value: float) -> str:
    """Three figures that count."""
    if math.isnan(value) or math.isinf(value):
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0}f}"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    count = len(lines[0])
    full = [[*line, *[""] * (count - len(line))] for line in lines]
    # What says why a row has no figures is not a column's width.
    widths = [
        max(3, *(len(line[n]) for line, given in zip(full, lines, strict=True) if n < 2 or len(given) == count)) for n in range(count)
    ]
    laid = [
        "| " + " | ".join(text.ljust(w) if not n else text.rjust(w) for n, (text, w) in enumerate(zip(line, widths, strict=True))) + " |"
        for line in full
    ]
    rule = "|" + "|".join("-" * (w + 2) if not n else "-" * (w + 1) + ":" for n, w in enumerate(widths)) + "|"
    return [laid[0], rule, *laid[1:]]
