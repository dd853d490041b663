"""SQLLog: the records of what was ended, as others read them: from a cursor on, in whatever order they were committed.

Never knows a connection, nor how a record is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from stagedoor.revocation import Page, Record, uptime
from stagedoor.stores.sql import records
from stagedoor.stores.sql.database import Database, Statement
from stagedoor.stores.sql.tables import FIRST

# Each reads the records and, with the same look at the database, a row of the kind "": where the log ends, the moment, and whether the
# cursor was one of this log. Where it was not there are no records, unless all were asked for.

# One writer after another: what comes after a position was committed after it. The cursor is a record, that a file which was put back
# and has gone on since does not have.
_ON_SQLITE = """
WITH log AS (SELECT max(name) AS name FROM stagedoor_revocations WHERE position = 0),
    here AS (SELECT count(*) AS found FROM stagedoor_revocations, log
             WHERE log.name = :log AND position = :position AND mark = :mark)
SELECT '' AS kind, coalesce(log.name || ':' || position || '.' || mark, ''), 0.0, 0.0, found
FROM log, here LEFT JOIN (SELECT position, mark FROM stagedoor_revocations ORDER BY position DESC LIMIT 1) ON TRUE
UNION ALL
SELECT kind, stagedoor_revocations.name, until, written, through FROM stagedoor_revocations, here
WHERE position > :position AND (found OR :log IS NULL)"""
# Transactions commit in any order, and a commit may wait long: the cursor is what the last look saw, as PostgreSQL says it, and what it
# did not see is what came later, or was under way. A log that was restored, or a server that is another one, has another name.
_ON_POSTGRES = """
WITH log AS (
    SELECT coalesce(max(name || '.' || CAST(xmin AS text)), '')
        || '.' || CAST(CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000000 AS bigint) AS text) AS name, count(*) AS found
    FROM stagedoor_revocations WHERE position = 0
), here AS (SELECT name, found = 1 AND coalesce(name = %(log)s, FALSE) AS found FROM log), unseen AS (
    SELECT * FROM stagedoor_revocations WHERE mark >= %(end)s
    UNION ALL
    SELECT * FROM stagedoor_revocations WHERE mark < %(end)s AND mark = ANY (CAST(%(open)s AS bigint[]))
)
SELECT '' AS kind, name || ':' || CAST(pg_current_snapshot() AS text), CAST(extract(epoch FROM clock_timestamp()) AS double precision),
    CAST(0 AS double precision), CAST(found AS integer)
FROM here
UNION ALL
SELECT kind, unseen.name, until, written, through FROM unseen, here
WHERE position <> 0 AND (found OR CAST(%(log)s AS text) IS NULL)"""
_READ = Statement(_ON_SQLITE, _ON_POSTGRES)
_LIFE = "SELECT through FROM stagedoor_revocations WHERE position = 0"
_TOLD = Statement(_LIFE, _LIFE)
_CURSOR = re.compile(
    r"(?P<log>[0-9a-f.]{1,64}):"
    r"(?:(?P<position>[0-9]{1,19})\.(?P<mark>-?[0-9]{1,19})|[0-9]{1,19}:(?P<end>[0-9]{1,19}):(?P<open>[0-9,]*))"
)
_ALL: Mapping[str, Any] = {"log": None, "position": FIRST, "mark": None, "end": 0, "open": "{}"}
_LARGEST = 2**63 - 1
_UNDER_WAY = 50
"""Transactions that a cursor names: it goes into a URL."""


class _Latest(NamedTuple):
    """The last answer: to whom it is known, and what had been heard before it was asked for."""

    cursor: str | None
    heard: int


class SQLLog:
    """As Log, in the store's database. It reads on a connection of its own, until the store is closed."""

    shared = True
    """Whether other processes write here too: then an issuer must listen."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._has_clock = database.clock(0.0)() is None
        self._latest = _Latest(None, 0)
        self._woken = 0
        self._name: str | None = None
        self._life = 0.0

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        """As Feed.read."""
        if wait <= 0:
            return self._page(after, opens=True)
        until, woken = uptime() + wait, self._woken
        cursor, heard = self._latest
        if after is None or after != cursor:
            heard = self._database.heard
            page = self._page(after, opens=False)
            if page.cursor != after:
                return page
        while True:
            self._database.pause(heard, until - uptime())
            heard = self._database.heard
            page = self._page(after, opens=False)
            if page.cursor != after or uptime() >= until or self._woken != woken:
                return page

    def wake(self) -> None:
        """As Feed.wake."""
        self._woken += 1
        self._database.wake()

    def expect(self, life: float) -> None:
        """As Log.expect."""
        self._life = max(life, self._life)
        self._tell(opens=True)

    def revoke_key(self, kid: str, now: float) -> Record:
        """As Log.revoke_key."""
        clock = self._database.clock(now)
        return self._database.run(lambda connection: records.revoke_key(connection, kid, clock()))

    def revoke_issuer(self, issuer: str, keep: float, now: float) -> Record:
        """As Log.revoke_issuer."""
        clock = self._database.clock(now)
        return self._database.run(lambda connection: records.revoke_issuer(connection, issuer, keep, clock()))

    def _page(self, after: str | None, opens: bool) -> Page:
        place, heard, sent = _place(after), self._database.heard, uptime()
        end, found = self._ask(place, opens)
        goes_on = end.through == 1
        if not goes_on and place is not _ALL:
            heard, sent = self._database.heard, uptime()
            end, found = self._ask(_ALL, opens)
        age = uptime() - sent
        self._tell_again(end.name, opens)
        # Nothing new: the old cursor is as good, and says so.
        cursor = after if after is not None and goes_on and not found else _short(end.name)
        self._latest = _Latest(cursor, heard)
        return Page(cursor, found, end.until if self._has_clock else None, age)

    def _ask(self, place: Mapping[str, Any], opens: bool) -> tuple[Record, list[Record]]:
        rows = [Record(*row) for row in self._database.look(_READ, place, opens=opens)]
        end = next(row for row in rows if not row.kind)
        return end, [row for row in rows if row.kind]

    def _tell_again(self, cursor: str, opens: bool) -> None:
        """A log that was put back, or lost its last writes, does not know how long our tokens live."""
        name = cursor.partition(":")[0]
        if name != self._name and self._life:
            self._tell(opens)
        self._name = name

    def _tell(self, opens: bool) -> None:
        told = self._database.look(_TOLD, {}, opens=opens)
        if not told or told[0][0] < self._life:
            self._database.run(lambda connection: records.expect(connection, self._life))


def _short(cursor: str) -> str:
    """This cursor; where very many transactions were under way, one that stands before them all: some records come twice then."""
    log, _, position = cursor.partition(":")
    if position.count(",") < _UNDER_WAY:
        return cursor
    first = position.partition(":")[0]
    return f"{log}:{first}:{first}:"


def _place(cursor: str | None) -> Mapping[str, Any]:
    """What is asked for: all, where it is no cursor. Only numbers of it are ever sent, and a name that is one."""
    found = _CURSOR.fullmatch(cursor or "")
    if found is None:
        return _ALL
    numbers = {name: int(found[name] or 0) for name in ("position", "mark", "end")}
    under_way = [int(number) for number in (found["open"] or "").split(",") if number]
    if any(abs(number) > _LARGEST for number in (*numbers.values(), *under_way)):
        return _ALL
    return {"log": found["log"], **numbers, "open": "{" + ",".join(map(str, under_way)) + "}"}
