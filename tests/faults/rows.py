"""Rows: what millions of logins would have written, each made from its number alone, so that its token can be made again.

Never knows a database.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from faults.service import SECRET
from stagedoor import Peppers, Session
from stagedoor.encoding import encode

CLIENT = "https://api.example.org"
SCOPE = "orders:read orders:write profile:read"
SESSIONS_OF_A_SUBJECT = 3
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 Version/17.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
    "OrdersApp/4.2.1 (iOS 17.6)",
)
_PEPPERS = Peppers(SECRET)
_OPENED, _ENDS = 1_700_000_000.0, 4_000_000_000.0
"""The first login, and an end that no run reaches: a folder of rows can be used for years."""
_LAST_REFRESH = 1_750_000_000.0


def _material(number: int) -> bytes:
    """Session id, secret, seed, attempt: what the operating system would have drawn."""
    return hashlib.shake_256(b"row %d" % number).digest(112)


def values(number: int) -> tuple[Any, ...]:
    """The columns of a row in the order of Session's fields; claims as JSON text."""
    drawn = _material(number)
    subject = number // SESSIONS_OF_A_SUBJECT
    opened = _OPENED + number / 2
    return (
        drawn[:16],
        hashlib.blake2b(b"%d" % subject, digest_size=11).hexdigest(),
        CLIENT,
        SCOPE,
        f'{{"username":"person.{subject}","roles":["buyer","reviewer"]}}',
        AGENTS[drawn[0] % len(AGENTS)],
        drawn[1] % 100,
        hashlib.sha256(drawn[16:48]).digest(),
        1,
        drawn[48:80],
        opened,
        _LAST_REFRESH + drawn[2],
        drawn[80:112] if drawn[3] % 4 else None,
        _ENDS,
        _ENDS,
        None,
        None,
    )


def session(number: int) -> Session:
    """The same as a session."""
    row = list(values(number))
    row[4] = json.loads(row[4])
    return Session(*row)


def token(number: int, now: float) -> str:
    """The refresh token of a row that has not been refreshed since it was made."""
    drawn = _material(number)
    return _PEPPERS.write(pepper_id=1, session_id=drawn[:16], generation=drawn[1] % 100, secret=drawn[16:48], seed=drawn[48:80], now=now)


def session_id(number: int) -> str:
    """As claim `sid` has it."""
    return encode(_material(number)[:16])
