"""Statements: the rotation and what belongs to it, each one conditional statement; and the row that they read.

Never knows a connection, nor when a statement is due.
"""

from __future__ import annotations

import json
import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import lru_cache
from types import MappingProxyType, NoneType
from typing import Any

from stagedoor.errors import SessionUnreadable
from stagedoor.session import RECOVERABLE, Presented, Session
from stagedoor.stores.sql.database import Statement

NAMES = [field.name for field in fields(Session)]
"""The columns, in the order in which every statement here returns them."""
_ID, _CLAIMS = NAMES.index("id"), NAMES.index("claims")
_COLUMNS = ", ".join("CAST(claims AS text)" if name == "claims" else name for name in NAMES)  # text: what is in it is checked here
_SERVERS = "coalesce(CAST(:now AS double precision), CAST(extract(epoch FROM clock_timestamp()) AS double precision))"
_LAST_GENERATION = 2**32 - 1
_LAST_PEPPER = 2**16 - 1


def _statement(template: str) -> Statement:
    """One text for both: SQLite is told the moment; PostgreSQL reads its clock, once a statement, unless it is told.

    (SQLite would take `FROM clock` too, and seven times as long.)
    """

    def filled(moment: str, clock: str, from_clock: str) -> str:
        live = f"revoked_at IS NULL AND idle_ends_at > {moment} AND absolute_ends_at > {moment}"
        not_young = f"(rotated_at IS NULL OR {moment} - rotated_at >= :window)"
        return template.format(columns=_COLUMNS, moment=moment, clock=clock, from_clock=from_clock, live=live, not_young=not_young)

    named = filled(":now", ":now", "")
    pyformat = filled("clock.moment", _SERVERS, f"FROM (SELECT {_SERVERS} AS moment) AS clock")
    return Statement(named, re.sub(r":(\w+)", r"%(\1)s", pyformat))


# Row 4 of the table, whole.
ROTATE = _statement("""
UPDATE stagedoor_sessions
SET generation = generation + 1, digest = :successor, pepper_id = :successor_pepper_id, rotated_at = {moment}, attempt = :attempt,
    idle_ends_at = CASE WHEN {moment} + :idle < absolute_ends_at THEN {moment} + :idle ELSE absolute_ends_at END
{from_clock}
WHERE id = :session_id AND generation = :generation AND digest = :digest AND {live} AND {not_young}
RETURNING {columns}""")
LOOK = _statement("""
SELECT clock.moment, {columns}
FROM (SELECT {clock} AS moment) AS clock LEFT JOIN stagedoor_sessions ON id = :session_id""")
REPLAY = _statement("""
UPDATE stagedoor_sessions SET rotated_at = {moment} {from_clock}
WHERE id = :session_id AND generation = CAST(:generation AS bigint) + 1 AND digest = :successor AND attempt = :attempt
    AND {live} AND {not_young}
RETURNING {columns}""")
REUSE = _statement("""
UPDATE stagedoor_sessions SET revoked_at = {moment}, reason = 'reuse' {from_clock}
WHERE id = :session_id AND generation > :generation AND {live}
    AND NOT (generation = CAST(:generation AS bigint) + 1 AND digest = :successor
             AND (NOT {not_young} OR coalesce(attempt = :attempt, FALSE)))
RETURNING id""")
RECOVER = _statement(f"""
UPDATE stagedoor_sessions SET generation = :generation, digest = :digest, pepper_id = :pepper_id, rotated_at = {{moment}} {{from_clock}}
WHERE id = :session_id AND generation < :generation AND generation >= :generation - {RECOVERABLE} AND {{live}}
RETURNING id""")
GET = _statement("SELECT {columns} FROM stagedoor_sessions WHERE id = :session_id")
LIVE = _statement("""
SELECT {columns} FROM (SELECT {clock} AS moment) AS clock CROSS JOIN stagedoor_sessions
WHERE subject = :subject AND {live}
ORDER BY created_at DESC""")


def parameters_of(presented: Presented, now: float | None) -> Mapping[str, Any]:
    """What ROTATE and its kin are told; `now` None: the server's clock."""
    return {
        "session_id": presented.session_id,
        "generation": presented.generation,
        "digest": presented.digest,
        "pepper_id": presented.pepper_id,
        "successor": presented.successor,
        "successor_pepper_id": presented.successor_pepper_id,
        "attempt": presented.attempt,
        "window": float(presented.window),
        "idle": float(presented.idle),
        "now": now,
    }


def session_of(row: Sequence[Any]) -> Session:
    """The session that is written in a row. SessionUnreadable where the row makes none: half-written, or somebody else's."""
    if _fit(tuple(map(type, row))):
        with suppress(TypeError, ValueError, RecursionError):
            members = list(row)
            members[_CLAIMS] = MappingProxyType(json.loads(row[_CLAIMS]))  # TypeError for what is no object
            session = Session(*members)
            if _is_possible(session):
                return session
    id_ = row[_ID]
    name = urlsafe_b64encode(id_).rstrip(b"=").decode() if isinstance(id_, bytes) else None
    raise SessionUnreadable("its row is half-written or none of ours", session_id=name)


# SQLite keeps anything anywhere; PostgreSQL any number of bytes, and numbers that are none.
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(["id", "digest", "seed"], (bytes,)),
    "attempt": (bytes, NoneType),
    **dict.fromkeys(["subject", "client_id", "scope", "claims"], (str,)),
    **dict.fromkeys(["device", "reason"], (str, NoneType)),
    **dict.fromkeys(["generation", "pepper_id"], (int,)),
    **dict.fromkeys(["created_at", "idle_ends_at", "absolute_ends_at"], (float, int)),  # a moment may have come as a whole number
    **dict.fromkeys(["rotated_at", "revoked_at"], (float, int, NoneType)),
}


@lru_cache(maxsize=64)
def _fit(types: tuple[type, ...]) -> bool:
    """Whether these are types that the columns may have; there are few such rows, and each is looked at once."""
    return all(type_ in _TYPES[name] for name, type_ in zip(NAMES, types, strict=True))


def _is_possible(session: Session) -> bool:
    return (
        len(session.id) == 16
        and len(session.digest) == len(session.seed) == 32
        and (session.attempt is None or len(session.attempt) == 32)
        and 0 <= session.generation <= _LAST_GENERATION
        and 0 <= session.pepper_id <= _LAST_PEPPER
        and math.isfinite(session.created_at + session.idle_ends_at + session.absolute_ends_at)
        and math.isfinite((session.rotated_at or 0.0) + (session.revoked_at or 0.0))
    )
