"""What a store does with the table of sessions: steps of single statements, and functions of a connection in a transaction.

Never knows a thread, a commit or a rule that session.py does not have.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from stagedoor.errors import SessionUnreadable, StoreError
from stagedoor.session import KEPT_DEAD, Answer, Outcome, Presented, Session, decide, written
from stagedoor.stores.sql import records
from stagedoor.stores.sql import statements as say
from stagedoor.stores.sql.database import Steps, fetch, moment, on_postgres
from stagedoor.stores.sql.tables import sessions

PURGED_AT_ONCE = 1_000
"""Rows that one transaction of a purge looks at."""
_LOOKED_AT = 64
"""Rows that are looked at with each new session: while more than one in so many is long dead, more go than come."""
_TRIES = 3


def get(session_id: bytes) -> Steps[Session | None]:
    """Store.get."""
    row = yield say.GET, {"session_id": session_id}
    return None if row is None else say.session_of(row)


def rotate(presented: Presented, asked: float, now: float | None) -> Steps[Answer]:
    """Store.rotate: row 4 in one statement; the other rows are told apart by a second, which sees what the first could not change.

    `now` None: the server's clock; `asked` is the caller's.
    """
    parameters = say.parameters_of(presented, now)
    for _ in range(_TRIES):
        row = yield say.ROTATE, parameters
        if row is not None:
            return _written(Outcome.ROTATED, row)
        looked = yield say.LOOK, parameters
        at, *row = looked or [asked, None]
        session = None if row[0] is None else say.session_of(row)
        outcome = decide(presented, session, at, proof_holds=None)
        if outcome is Outcome.ROTATED:
            continue  # between the two it became what the first had looked for
        if session is None or written(outcome, presented, session, at) is session:
            return Answer(outcome, session, at)
        row = yield say.REPLAY, parameters  # row 7, as the row still stands
        if row is not None:
            return _written(outcome, row)
    raise StoreError("the session kept changing while it was looked at")


def _written(outcome: Outcome, row: Sequence[Any]) -> Answer:
    session = say.session_of(row)
    return Answer(outcome, session, session.last_used_at)  # what is written here writes the moment there


def open_session(connection: Connection, session: Session, limit: int, asked: float, now: float | None) -> list[bytes]:
    """Store.open. Its times are moved from the caller's clock to ours."""
    _lock(connection, session.subject)
    at = moment(connection, now)
    _clean(connection, at)
    row = {name: getattr(session, name) for name in say.NAMES} | {"claims": dict(session.claims)}
    if now is None:
        row |= {name: row[name] + (at - asked) for name in ("created_at", "idle_ends_at", "absolute_ends_at")}
    connection.execute(sessions.insert().values(row))
    others = (
        select(sessions.c.id)
        .where(sessions.c.subject == session.subject, sessions.c.id != session.id, *_live(at))
        .order_by(sessions.c.created_at.desc())
        .offset(limit - 1)
    )
    over = list(connection.scalars(others))
    if not over:
        return []
    records.begin(connection, at)
    ended = update(sessions).where(sessions.c.id.in_(over), *_live(at)).values(revoked_at=at, reason="session_limit")
    gone = list(connection.scalars(ended.returning(sessions.c.id)))
    records.end_sessions(connection, gone, at)
    return gone


def settle(connection: Connection, outcome: Outcome, presented: Presented, now: float | None) -> bool:
    """Store.settle: each statement states its row of the table again."""
    if outcome is Outcome.RECOVERED:
        return fetch(connection, say.RECOVER, say.parameters_of(presented, now)) != []
    at = records.begin(connection, now)
    ended = fetch(connection, say.REUSE, say.parameters_of(presented, at))
    records.end_sessions(connection, [id_ for (id_,) in ended], at)
    return ended != []


def revoke(connection: Connection, session_id: bytes, reason: str, subject: str | None, now: float | None) -> bool:
    """Store.revoke."""
    at = records.begin(connection, now)
    ended = update(sessions).where(sessions.c.id == session_id, sessions.c.revoked_at.is_(None)).values(revoked_at=at, reason=reason)
    if subject is not None:
        ended = ended.where(sessions.c.subject == subject)
    was_live = connection.execute(ended.returning(_unexpired(at))).scalar_one_or_none()
    if was_live is None:
        _write_something(connection)
        return False
    records.end_sessions(connection, [session_id], at)
    return bool(was_live)


def revoke_subject(connection: Connection, subject: str, reason: str, now: float | None) -> list[bytes]:
    """Store.revoke_subject."""
    _lock(connection, subject)
    at = records.begin(connection, now)
    ended = update(sessions).where(sessions.c.subject == subject, sessions.c.revoked_at.is_(None)).values(revoked_at=at, reason=reason)
    rows = connection.execute(ended.returning(sessions.c.id, _unexpired(at))).all()
    if not rows:
        _write_something(connection)
    records.end_sessions(connection, [id_ for id_, _ in rows], at)
    return [id_ for id_, was_live in rows if was_live]


def live_sessions(connection: Connection, subject: str, now: float | None) -> list[Session]:
    """Store.sessions."""
    found = []
    for row in fetch(connection, say.LIVE, {"subject": subject, "now": now}):
        with suppress(SessionUnreadable):
            found.append(say.session_of(row))
    return found


def purge(connection: Connection, after: bytes, now: float | None) -> tuple[bytes | None, int]:
    """Delete what is long dead among the next rows; the last one looked at (None: there are no more), and how many went."""
    looked_at, deleted = _clean_from(connection, sessions.c.id > after, PURGED_AT_ONCE, moment(connection, now))
    return (looked_at[-1] if len(looked_at) == PURGED_AT_ONCE else None), deleted


def _clean(connection: Connection, now: float) -> None:
    """Look at a few rows in a random place: every dead one is met sometime, and no index is needed to find it."""
    start = secrets.token_bytes(16)
    looked_at, _ = _clean_from(connection, sessions.c.id >= start, _LOOKED_AT, now)
    if len(looked_at) < _LOOKED_AT:
        _clean_from(connection, sessions.c.id < start, _LOOKED_AT - len(looked_at), now)


def _clean_from(connection: Connection, where: ColumnElement[bool], most: int, now: float) -> tuple[list[bytes], int]:
    before = now - KEPT_DEAD
    dead = or_(sessions.c.revoked_at < before, sessions.c.idle_ends_at < before, sessions.c.absolute_ends_at < before)
    looked_at = connection.execute(select(sessions.c.id, dead).where(where).order_by(sessions.c.id).limit(most)).all()
    gone = [id_ for id_, is_dead in looked_at if is_dead]
    if not gone:
        return [id_ for id_, _ in looked_at], 0
    # Nobody waits for a cleaner, and it waits for nobody.
    free = select(sessions.c.id).where(sessions.c.id.in_(gone), dead).with_for_update(skip_locked=True)
    return [id_ for id_, _ in looked_at], connection.execute(delete(sessions).where(sessions.c.id.in_(free))).rowcount


def _live(now: float) -> list[ColumnElement[bool]]:
    return [sessions.c.revoked_at.is_(None), _unexpired(now)]


def _unexpired(now: float) -> ColumnElement[bool]:
    return and_(sessions.c.idle_ends_at > now, sessions.c.absolute_ends_at > now)


def _lock(connection: Connection, subject: str) -> None:
    """One writer of many rows of a subject at a time: limits are exact and no two of them lock each other out. SQLite has one writer."""
    if on_postgres(connection):
        key = int.from_bytes(hashlib.sha256(b"stagedoor subject\0" + subject.encode()).digest()[:8], "big", signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def _write_something(connection: Connection) -> None:
    """Make this commit wait for disk and standbys like any other, though nothing was left to end.

    Whoever ended it before may have been told 503, because they did not have it yet; this caller is about to be told that it is done.
    """
    if on_postgres(connection):
        connection.execute(select(func.pg_logical_emit_message(True, "stagedoor", "")))
