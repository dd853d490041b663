"""What a store does with the table of sessions, each a function of a connection; the rotation is one conditional statement.

Never knows a thread, a commit or a rule that session.py does not have.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.sql import ColumnElement

from stagedoor.errors import StoreError
from stagedoor.session import CLEANED_AT_ONCE, KEPT_DEAD, RECOVERABLE, Answer, Outcome, Presented, Session, decide
from stagedoor.stores.sql.tables import sessions

_NAMES = [field.name for field in fields(Session)]
_COLUMNS = ", ".join(_NAMES)
_LIVE = "revoked_at IS NULL AND idle_ends_at > :now AND absolute_ends_at > :now"
_NOT_YOUNG = "(rotated_at IS NULL OR :now - rotated_at >= :window)"

# The driver's own statements: prepared once a connection, without a layer between. Row 4 of the table, whole, in one.
_ROTATE = f"""
UPDATE stagedoor_sessions
SET generation = generation + 1, digest = :successor, pepper_id = :successor_pepper_id, rotated_at = :now, attempt = :attempt,
    idle_ends_at = min(:now + :idle, absolute_ends_at)
WHERE id = :session_id AND generation = :generation AND digest = :digest AND {_LIVE} AND {_NOT_YOUNG}
RETURNING {_COLUMNS}"""
_REPLAY = f"""
UPDATE stagedoor_sessions SET rotated_at = :now
WHERE id = :session_id AND generation = :generation + 1 AND digest = :successor AND attempt = :attempt AND {_LIVE} AND {_NOT_YOUNG}
RETURNING {_COLUMNS}"""
_REUSE = f"""
UPDATE stagedoor_sessions SET revoked_at = :now, reason = 'reuse'
WHERE id = :session_id AND generation > :generation AND {_LIVE}
    AND NOT (generation = :generation + 1 AND digest = :successor AND (NOT {_NOT_YOUNG} OR (:attempt IS NOT NULL AND attempt IS :attempt)))
RETURNING id"""
_RECOVER = f"""
UPDATE stagedoor_sessions SET generation = :generation, digest = :digest, pepper_id = :pepper_id, rotated_at = :now
WHERE id = :session_id AND generation < :generation AND generation >= :generation - {RECOVERABLE} AND {_LIVE}
RETURNING id"""
_GET = f"SELECT {_COLUMNS} FROM stagedoor_sessions WHERE id = :session_id"


def open_session(connection: Connection, session: Session, limit: int, now: float) -> list[bytes]:
    """Store.open."""
    _clean(connection, now)
    row = {name: getattr(session, name) for name in _NAMES}
    connection.execute(sessions.insert().values(row | {"claims": dict(session.claims)}))
    others = (
        select(sessions.c.id)
        .where(sessions.c.subject == session.subject, sessions.c.id != session.id, *_live(now))
        .order_by(sessions.c.created_at.desc())
        .offset(limit - 1)
    )
    ended = update(sessions).where(sessions.c.id.in_(others)).values(revoked_at=now, reason="session_limit")
    return list(connection.scalars(ended.returning(sessions.c.id)))


def get(connection: Connection, session_id: bytes) -> Session | None:
    """Store.get."""
    return _one(connection, _GET, {"session_id": session_id})


def rotate(connection: Connection, presented: Presented, now: float) -> Answer:
    """Store.rotate: row 4 in one statement; the other rows are told apart by a second."""
    parameters = _parameters(presented, now)
    session = _one(connection, _ROTATE, parameters)
    if session is not None:
        return Answer(Outcome.ROTATED, session, now)
    session = _one(connection, _GET, parameters)
    outcome = decide(presented, session, now, proof_holds=None)
    if outcome is Outcome.ROTATED:
        raise StoreError("the session changed while it was looked at")
    if outcome is Outcome.REPLAYED:
        session = _one(connection, _REPLAY, parameters) or session
    return Answer(outcome, session, now)


def settle(connection: Connection, outcome: Outcome, presented: Presented, now: float) -> bool:
    """Store.settle: each statement states its row of the table again."""
    statement = {Outcome.REUSED: _REUSE, Outcome.RECOVERED: _RECOVER}[outcome]
    return _execute(connection, statement, _parameters(presented, now)) is not None


def revoke(connection: Connection, session_id: bytes, reason: str, now: float, subject: str | None) -> bool:
    """Store.revoke."""
    ended = update(sessions).where(sessions.c.id == session_id, *_live(now)).values(revoked_at=now, reason=reason)
    if subject is not None:
        ended = ended.where(sessions.c.subject == subject)
    return connection.execute(ended).rowcount == 1


def revoke_subject(connection: Connection, subject: str, reason: str, now: float) -> list[bytes]:
    """Store.revoke_subject."""
    ended = update(sessions).where(sessions.c.subject == subject, *_live(now)).values(revoked_at=now, reason=reason)
    return list(connection.scalars(ended.returning(sessions.c.id)))


def live_sessions(connection: Connection, subject: str, now: float) -> list[Session]:
    """Store.sessions."""
    found = (
        select(*(sessions.c[name] for name in _NAMES))
        .where(sessions.c.subject == subject, *_live(now))
        .order_by(sessions.c.created_at.desc())
    )
    return [_session(row) for row in connection.execute(found)]


def _live(now: float) -> list[ColumnElement[bool]]:
    return [sessions.c.revoked_at.is_(None), sessions.c.idle_ends_at > now, sessions.c.absolute_ends_at > now]


def _clean(connection: Connection, now: float) -> None:
    """Delete a few rows that have been dead for long: more with each new session than come in."""
    before = now - KEPT_DEAD
    for dead in (sessions.c.absolute_ends_at < before, sessions.c.revoked_at < before):
        some = select(sessions.c.id).where(dead).limit(CLEANED_AT_ONCE)
        connection.execute(delete(sessions).where(sessions.c.id.in_(some)))


def _parameters(presented: Presented, now: float) -> dict[str, Any]:
    return {field.name: getattr(presented, field.name) for field in fields(Presented)} | {"now": now}


def _execute(connection: Connection, statement: str, parameters: dict[str, Any]) -> Sequence[Any] | None:
    cursor = connection.connection.cursor()
    cursor.execute(statement, parameters)
    row: Sequence[Any] | None = cursor.fetchone()
    cursor.close()
    return row


def _one(connection: Connection, statement: str, parameters: dict[str, Any]) -> Session | None:
    row = _execute(connection, statement, parameters)
    return None if row is None else _session(row)


def _session(row: Sequence[Any]) -> Session:
    members = dict(zip(_NAMES, row, strict=True))
    claims = members["claims"]
    members["claims"] = MappingProxyType(json.loads(claims) if isinstance(claims, str) else claims)
    return Session(**members)
