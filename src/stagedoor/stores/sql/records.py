"""Records: what a store writes down of what it ends, in the transaction that ends it.

Never knows who reads it, nor how.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Sequence

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from stagedoor.revocation import EXPECTED, MARGIN, Kind, Record
from stagedoor.session import CLEANED_AT_ONCE
from stagedoor.stores.sql.database import Statement, fetch, moment, on_postgres
from stagedoor.stores.sql.tables import FIRST, revocations

REVOKE_COMMIT = "stagedoor_revoke_commit"
"""Execution option of a connection: PostgreSQL's synchronous_commit for what ends a session; None leaves it as it is."""
CHANNEL = "stagedoor_revocations"
"""Where PostgreSQL wakes those who listen."""
_TOLD = int.from_bytes(b"stagelog")
"""Advisory lock: shared by who ends something, alone for who tells a longer life."""

_LIFE = "(SELECT coalesce(max(through), 0) FROM stagedoor_revocations WHERE position = 0)"
_OVER = "SELECT position FROM stagedoor_revocations WHERE until <= :at ORDER BY until LIMIT :most"


def _statement(template: str) -> Statement:
    said = template.format(life=_LIFE, over=_OVER)
    return Statement(said, re.sub(r":(\w+)", r"%(\1)s", said))


_CLEAN = _statement("DELETE FROM stagedoor_revocations WHERE position IN ({over})")
_WRITE = _statement("""
INSERT INTO stagedoor_revocations (kind, name, until, written, through, mark)
SELECT :kind, :name, :at + coalesce(:keep, CASE WHEN {life} > 0 THEN {life} ELSE :life END + :margin), :at, :through, random()
RETURNING until""")
# All in one: nobody waits for a cleaner, and it waits for nobody; who listens is woken by the commit.
_WRITE_ALL = _statement("""
WITH gone AS (DELETE FROM stagedoor_revocations WHERE position IN ({over} FOR UPDATE SKIP LOCKED))
INSERT INTO stagedoor_revocations (kind, name, until, written, through, mark)
SELECT :kind, each.name, :at + coalesce(:keep, CASE WHEN {life} > 0 THEN {life} ELSE :life END + :margin), :at, :through,
    CAST(CAST(pg_current_xact_id() AS text) AS bigint)
FROM unnest(CAST(:names AS text[])) AS each (name)
RETURNING until, pg_notify(:channel, '')""")
_BEGIN = _statement("""
SELECT pg_advisory_xact_lock_shared(:lock), coalesce(:now, CAST(extract(epoch FROM clock_timestamp()) AS double precision))""")


def begin(connection: Connection, now: float | None) -> float:
    """Before anything is ended: the moment (as database.moment). From here on nobody tells a longer life until it has been committed.

    Else a token of that life could be issued in a session that is just being ended, and outlive the record.
    """
    commit_firmly(connection)
    if not on_postgres(connection):  # SQLite has one writer
        return moment(connection, now)
    return float(fetch(connection, _BEGIN, {"lock": _TOLD, "now": now})[0][1])


def commit_firmly(connection: Connection) -> None:
    """Where it was asked for, ending a session is only acknowledged when standbys have it too, whatever holds for the rest."""
    level = connection.get_execution_options().get(REVOKE_COMMIT)
    if level is not None:
        connection.execute(text(f"SET LOCAL synchronous_commit = {level}"))


def end_sessions(connection: Connection, session_ids: Sequence[bytes], at: float) -> None:
    """Write that these were ended at this moment."""
    if session_ids:
        _write(connection, "session", [Record.of_session(session_id, 0.0, at).name for session_id in session_ids], at)


def revoke_key(connection: Connection, kid: str, now: float | None) -> Record:
    """Log.revoke_key."""
    at = begin(connection, now)
    return Record("key", kid, _write(connection, "key", [kid], at), at)


def revoke_issuer(connection: Connection, issuer: str, keep: float, now: float | None) -> Record:
    """Log.revoke_issuer."""
    at = begin(connection, now)
    through = Record.of_issuer(issuer, keep, at).through
    return Record("issuer", issuer, _write(connection, "issuer", [issuer], at, keep, through), at, through)


def expect(connection: Connection, life: float) -> None:
    """Log.expect: once it is committed, all that is ended is kept for as long."""
    commit_firmly(connection)
    if on_postgres(connection):
        connection.execute(select(func.pg_advisory_xact_lock(_TOLD)))
    name_the_log(connection)
    told = revocations.c.position == FIRST, revocations.c.through < math.ceil(life)
    connection.execute(update(revocations).where(*told).values(through=math.ceil(life)))


def name_the_log(connection: Connection) -> None:
    """Write the one row that is no record, unless it is there."""
    insert = postgresql.insert if on_postgres(connection) else sqlite.insert
    row = {"kind": "log", "name": secrets.token_hex(8), "until": math.inf, "written": 0.0, "through": 0, "mark": secrets.randbits(62)}
    connection.execute(insert(revocations).values(position=FIRST, **row).on_conflict_do_nothing())


def _write(connection: Connection, kind: Kind, names: list[str], at: float, keep: float | None = None, through: int = 0) -> float:
    """Write a record for each name, and let go of some that are over. Until when the records count."""
    given = {"kind": kind, "at": at, "keep": keep, "through": through, "life": EXPECTED, "margin": MARGIN, "most": CLEANED_AT_ONCE}
    if on_postgres(connection):
        return float(fetch(connection, _WRITE_ALL, given | {"names": names, "channel": CHANNEL})[0][0])
    cursor = connection.connection.cursor()
    try:
        cursor.execute(_CLEAN.named, given)
        for name in names:
            (until,) = cursor.execute(_WRITE.named, given | {"name": name}).fetchone()
        return float(until)
    finally:
        cursor.close()
