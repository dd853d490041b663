"""Capacity: what one core does and what one session takes, taken out of the tables by row and column, for whoever plans machines.

Never knows how it was measured, and holds no figure of its own: what no table has is None.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from bench.report import Report
from bench.table import Table, short

FRAMEWORKS = ("FastAPI", "Starlette", "plain ASGI")
SERVERS = {
    f"{framework} on {server.capitalize()}": f"Stagedoor, {framework}, {server}"
    for framework in FRAMEWORKS
    for server in ("uvicorn", "granian")
}
"""What one may choose, and its row."""
STORES = ("SQLite", "PostgreSQL", "Redis")
CLIENTS = "16 clients"
"""Of the refreshes through HTTP: enough to keep a server busy."""


class Figure(NamedTuple):
    """One constant of a plan: its path in the page's JSON, what it is, and where it stands; None where no table has it."""

    path: tuple[str, ...]
    what: str
    unit: str
    value: float | None
    where: str


def figures(reports: Mapping[str, Report]) -> list[Figure]:
    """All constants of the plan, in the order in which they are read."""
    route, guard = _table(reports, "guarded_route", "A guarded route"), _table(reports, "guarded_route", "The guard's own time")
    made: list[Figure] = []
    for name, row in SERVERS.items():
        seen = _value(route, row)
        new = _value(route, row, "new tokens/s")
        made.append(Figure(("servers", name, "seen"), f"guarded requests, {name}, token seen before", "requests/s", seen, _where(route)))
        made.append(Figure(("servers", name, "new"), f"guarded requests, {name}, new token", "requests/s", new, _where(route)))
    for name in FRAMEWORKS:
        for path, token in (("seen", "token seen before"), ("new", "new token")):
            row = next((each.name for each in guard.rows if each.name.startswith(name) and each.name.endswith(token)), "")
            made.append(Figure(("guards", name, path), f"the guard alone, {name}, {token}", "µs", _value(guard, row), _where(guard)))
    http, held = _table(reports, "refresh", "Refresh through HTTP"), _table(reports, "growth", "What is held")
    for name in STORES:
        rate = _value(http, f"Stagedoor, {name}, {CLIENTS}")
        made.append(Figure(("stores", name, "refreshes"), f"refreshes through HTTP, {name}", "refreshes/s", rate, _where(http)))
        largest = [row.name for row in held.rows if row.name.startswith(f"{name}, a session")][-1:]
        size = _value(held, *largest) if largest else None
        made.append(Figure(("stores", name, "session"), f"a session, {name}, with its indexes", "bytes", size, _where(held)))
    logins, seen_ = _table(reports, "login", "Logins on one core"), _table(reports, "verify_sign", "What a Verifier remembers")
    records = _table(reports, "revocation_check", "Records of revocations")
    record = _value(records, records.rows[-1].name, "of the process") if records.rows else None
    busy = _value(logins, "Stagedoor, logins, 4 clients")
    token, most = _value(seen_, "a token that was verified"), _value(seen_, "the most that it remembers")
    return [
        *made,
        Figure(("logins",), "logins with a password (argon2id)", "logins/s", busy, _where(logins)),
        Figure(("token",), "a token that is remembered, in each process", "bytes", token, _where(seen_)),
        Figure(("tokensAtMost",), "all tokens that are remembered, at most, in each process", "bytes", most, _where(seen_)),
        Figure(("revocation",), "a revocation, in each process", "bytes", record, _where(records)),
    ]


def constants(reports: Mapping[str, Report]) -> dict[str, Any]:
    """The JSON of the page: the figures by path, and what they were measured on."""
    made: dict[str, Any] = {}
    for figure in figures(reports):
        inner = made
        for name in figure.path[:-1]:
            inner = inner.setdefault(name, {})
        inner[figure.path[-1]] = figure.value
    made["measured"] = [
        {
            "script": report.script,
            "when": report.when,
            "commit": report.commit,
            "machine": report.machine,
            "rounds": report.rounds,
            "command": report.command,
        }
        for report in reports.values()
    ]
    return made


def told(found: list[Figure]) -> list[str]:
    """The same as a table of Markdown."""
    lines = ["| one core, one session, one process | | | of the table |", "|---|---:|---|---|"]
    for figure in found:
        value = "not measured" if figure.value is None else short(figure.value)
        lines.append(f"| {figure.what} | {value} | {figure.unit} | {figure.where} |")
    return lines


_NONE = Table("", "")


def _table(reports: Mapping[str, Report], script: str, title: str) -> Table:
    tables = reports[script].tables if script in reports else []
    return next((table for table in tables if table.title.startswith(title)), _NONE)


def _where(table: Table) -> str:
    return table.title or "-"


def _value(table: Table, name: str, column: str | None = None) -> float | None:
    """The median of a row, or what it has in another column, as far as that is shown."""
    for row in table.rows:
        if row.name == name and row.figures:
            if column is None:
                value = statistics.median(row.figures)
            else:
                also = dict(zip(table.also, row.also, strict=False)).get(column, "-")
                value = float(also.replace(",", "")) if also != "-" else math.nan
            return None if math.isnan(value) else float(f"{value:.6g}")
    return None
