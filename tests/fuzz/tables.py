"""Tables of what a log says: how much was fuzzed, and where we differ from the others.

Never knows more than the log and the reasons in the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fuzz.log import Chunk, Covered
from fuzz.rules import RULES

MARK = "<!-- From here on: python -m fuzz differences --page docs/explanation/tokens.md -->"
_WAYS = {True: "we refuse", False: "we accept"}


def differential(chunks: Iterable[Chunk]) -> tuple[str, list[str]]:
    """The counts as text, and all complaints."""
    counts, verdicts, rules, crashes = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    seconds, cpu, complaints = 0.0, 0.0, []
    for chunk in chunks:
        counts.update(cases=chunk.count, signed=chunk.signed, complained=chunk.complained)
        verdicts.update(chunk.verdicts)
        rules.update(chunk.rules)
        crashes.update(chunk.crashes)
        seconds += chunk.seconds
        cpu += chunk.cpu
        complaints += chunk.complaints
    if not counts["cases"]:
        return "differential: nothing was judged with this source", []
    cases = counts["cases"]
    lines = [
        f"differential: {cases:,} cases, {counts['signed'] / cases:.0%} with a right signature, {counts['complained']:,} unexplained; "
        f"{cases / seconds:,.0f} cases a second and process, {cases / cpu:,.0f} for each second of its processor",
        "we say: " + ", ".join(f"{code} {count:,}" for code, count in verdicts.most_common()),
        "the others' undocumented exceptions: " + (", ".join(f"{name} {count:,}" for name, count in crashes.most_common()) or "none"),
        "where we differ:",
    ]
    lines += [f"  {count:>9,}  {name.replace(chr(9), ': ')}" for name, count in rules.most_common()]
    return "\n".join(lines), complaints


def coverage(runs: Iterable[Covered]) -> tuple[str, list[str]]:
    """What each target had, and all complaints."""
    found: dict[str, list[Covered]] = {}
    for run in runs:
        found.setdefault(run.target, []).append(run)
    rows, complaints = [], []
    for target, its in found.items():
        complaints += [complaint for run in its for complaint in run.complaints]
        slowest = max(its, key=lambda run: run.slowest)
        rows.append(
            f"  {target:<16} {sum(run.executions for run in its):>12,} runs in {sum(run.seconds for run in its):>6,.0f} s, "
            f"{max(run.coverage for run in its):>5} edges, corpus {its[-1].corpus:>4}, slowest {slowest.slowest * 1000:.2f} ms "
            f"for {slowest.slowest_size:,} bytes, {max(run.memory for run in its)} MB"
        )
    return "\n".join(["coverage-guided:", *rows]) if rows else "coverage-guided: nothing was run with this source", complaints


def _seen(counts: Counter[str], rule: str, other: str) -> str:
    return f"{counts[rule + chr(9) + other]:,}"


def differences(chunks: Iterable[Chunk]) -> str:
    """The table for the documentation: every rule, who differs, how often that was seen, and why."""
    counts, cases = Counter[str](), 0
    for chunk in chunks:
        counts.update(chunk.rules)
        cases += chunk.count
    rows = [f"{cases:,} cases.", "", "| | what | PyJWT | joserfc | why |", "|---|---|--:|--:|---|"]
    for rule in RULES:
        seen = [_seen(counts, rule.name, other) if other in rule.others else "=" for other in ("PyJWT", "joserfc")]
        rows.append(f"| {_WAYS[bool(rule.codes)]} | {rule.name} | {seen[0]} | {seen[1]} | {rule.reason} |")
    return "\n".join(rows)
