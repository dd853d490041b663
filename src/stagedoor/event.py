"""Event: what happened to a session, named so that an operator can tell a retry from a theft.

Never knows a token, a password or a secret; never stops the work that it reports.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger("stagedoor.events")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, at a moment in Unix seconds."""

    name: str
    """"session_opened", "session_revoked", "refresh_rotated", "refresh_replayed", "refresh_token_reused", … : stable."""
    at: float
    subject: str | None = None
    session_id: str | None = None
    alarm: bool = False
    """Whether somebody should look: it may be a theft or a leaked pepper."""
    detail: str | None = None


Listener = Callable[[Event], None]


def log(event: Event) -> None:
    """The listener where none is given: one line in the log `stagedoor.events`, a warning for an alarm."""
    _log.log(
        logging.WARNING if event.alarm else logging.INFO,
        "%s session=%s subject=%r detail=%s",
        event.name,
        event.session_id,
        event.subject,
        event.detail,
    )


def tell(listener: Listener, event: Event) -> None:
    """Report an event. A listener that fails is logged: nothing that can fail may come after a rotation."""
    try:
        listener(event)
    except Exception:  # noqa: BLE001 - an application's callable may raise anything
        _log.exception("the listener for events failed on %s", event.name)
