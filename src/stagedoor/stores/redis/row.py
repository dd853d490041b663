"""The row: a session as one string of bytes, and back. The head of fixed width is what session.lua reads and writes.

Never knows a key, a server or a rule.
"""

from __future__ import annotations

import json
import math
import struct
from types import MappingProxyType

from stagedoor.session import Presented, Session

# form, generation, pepper id; created, rotated, idle end, absolute end, revoked; digest, seed; sizes of attempt, ending, subject, fixed.
# One string costs less than half of what a hash does: our texts are too long for a hash in its compact form.
_HEAD = struct.Struct(">BIIddddd32s32sBIII")
_PRESENTED = struct.Struct(">IIIdd32s32s")
_MOMENT = struct.Struct(">d")
_FORM = 1
_NEVER = math.nan
_LAST_PEPPER = 2**16 - 1
CALL = 8
"""Bytes that name a call, in front of the reason of an ended session."""


def pack(session: Session) -> bytes:
    """The bytes of a session."""
    attempt = session.attempt or b""
    ending = b"" if session.reason is None else bytes(CALL) + session.reason.encode()
    subject = session.subject.encode()
    fixed = json.dumps(
        [session.client_id, session.scope, dict(session.claims), session.device], ensure_ascii=False, separators=(",", ":")
    ).encode()
    head = _HEAD.pack(
        _FORM,
        session.generation,
        session.pepper_id,
        session.created_at,
        _or_never(session.rotated_at),
        session.idle_ends_at,
        session.absolute_ends_at,
        _or_never(session.revoked_at),
        session.digest,
        session.seed,
        len(attempt),
        len(ending),
        len(subject),
        len(fixed),
    )
    return head + attempt + ending + subject + fixed


def unpack(session_id: bytes, raw: bytes) -> Session:
    """The session of these bytes. ValueError where they are none."""
    try:
        return _unpack(session_id, raw)
    except (struct.error, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"no row of a session: {type(error).__name__}") from None


def pack_presented(presented: Presented) -> bytes:
    """What session.lua needs of a presented token, but for its attempt."""
    return _PRESENTED.pack(
        presented.generation,
        presented.pepper_id,
        presented.successor_pepper_id,
        presented.window,
        presented.idle,
        presented.digest,
        presented.successor,
    )


def pack_moment(moment: float) -> bytes:
    """A moment in eight bytes: nothing of it is lost on the way."""
    return _MOMENT.pack(moment)


def unpack_moment(raw: bytes) -> float:
    """The moment."""
    moment: float = _MOMENT.unpack(raw)[0]
    return moment


def _unpack(session_id: bytes, raw: bytes) -> Session:
    (
        _,
        generation,
        pepper_id,
        created_at,
        rotated_at,
        idle_ends_at,
        absolute_ends_at,
        revoked_at,
        digest,
        seed,
        attempt_size,
        ending_size,
        subject_size,
        fixed_size,
    ) = _HEAD.unpack_from(raw)
    ending_at = _HEAD.size + attempt_size
    subject_at = ending_at + ending_size
    fixed_at = subject_at + subject_size
    attempt, ending, subject = raw[_HEAD.size : ending_at], raw[ending_at:subject_at], raw[subject_at:fixed_at]
    client_id, scope, claims, device = json.loads(raw[fixed_at : fixed_at + fixed_size].decode())
    texts_fit = isinstance(client_id, str) and isinstance(scope, str) and (device is None or isinstance(device, str))
    ends = created_at + idle_ends_at + absolute_ends_at
    if not texts_fit or not isinstance(claims, dict) or not math.isfinite(ends) or pepper_id > _LAST_PEPPER:
        raise ValueError("no row of a session")
    if math.isinf(rotated_at) or math.isinf(revoked_at):
        raise ValueError("no row of a session: a moment that never comes")
    return Session(
        id=session_id,
        subject=subject.decode(),
        client_id=client_id,
        scope=scope,
        claims=MappingProxyType(claims),
        device=device,
        generation=generation,
        digest=digest,
        pepper_id=pepper_id,
        seed=seed,
        created_at=created_at,
        rotated_at=_or_none(rotated_at),
        attempt=attempt or None,
        idle_ends_at=idle_ends_at,
        absolute_ends_at=absolute_ends_at,
        revoked_at=_or_none(revoked_at),
        reason=ending[CALL:].decode() if ending else None,
    )


def _or_never(moment: float | None) -> float:
    return _NEVER if moment is None else moment


def _or_none(moment: float) -> float | None:
    return None if math.isnan(moment) else moment
