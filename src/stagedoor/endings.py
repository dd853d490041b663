"""Endings: the flows that end what was issued: a session, all of a subject, what a key signed, everything.

Never knows whether it is driven with await or without; never a request, a cookie, a password or a database.
"""

from __future__ import annotations

from stagedoor.encoding import decode
from stagedoor.errors import MalformedToken, NotFound, RefreshTokenUnknown
from stagedoor.event import Event, tell
from stagedoor.parts import Flow, Parts, S
from stagedoor.revocation import MARGIN, Record
from stagedoor.session import Session


class Endings(Parts[S]):
    """What both issuers end, and how."""

    def _logout(self, refresh_token: str) -> Flow[None]:
        now = self._clock()
        token = self._parse(refresh_token, now)
        session: Session | None = yield lambda store: store.get(token.session_id)
        if session is None or not self.peppers.proves(token, session.seed, now):
            raise self._refused(RefreshTokenUnknown, token, now, session, alarm=session is not None)
        if (yield lambda store: store.revoke(token.session_id, "logout", now)):
            self._ended(token.session_id, now, "logout", session.subject)
        else:
            self._remember(session.id, now)

    def _revoke_session(self, session_id: str | bytes, reason: str, subject: str | None) -> Flow[None]:
        now = self._clock()
        known = _session_id(session_id)
        if not (yield lambda store: store.revoke(known, reason, now, subject=subject)):
            session: Session | None = yield lambda store: store.get(known)
            if session is not None and session.revoked_at is not None:
                self._remember(known, now)  # by somebody else, or by a call whose answer was lost
            raise NotFound
        self._ended(known, now, reason, subject)

    def _revoke_subject(self, subject: str, reason: str) -> Flow[int]:
        now = self._clock()
        ended = yield lambda store: store.revoke_subject(subject, reason, now)
        for session_id in ended:
            self._ended(session_id, now, reason, subject)
        tell(self._events, Event("subject_revoked", now, subject, detail=f"{reason}: {len(ended)} live"))
        return len(ended)

    def _revoke_key(self, kid: str) -> Flow[None]:
        now = self._clock()

        def retire() -> None:
            try:
                self.keys.retire(kid)
            except LookupError:
                raise NotFound(f"There is no key {kid!r:.80}.") from None

        yield lambda _: self._aside(retire)
        if self._log is None:
            record = Record.of_key(kid, self.access, now)
        else:
            record = yield lambda store: self._aside(store.log.revoke_key, kid, now)
        self.revocations.add(record, now=now)
        tell(self._events, Event("key_revoked", now, alarm=True, detail=kid))

    def _revoke_everything(self) -> Flow[int]:
        now, keep = self._clock(), self.refresh_absolute + MARGIN
        if self._log is None:
            record = Record.of_issuer(self.name, keep, now)
        else:
            record = yield lambda store: self._aside(store.log.revoke_issuer, self.name, keep, now)
        self.revocations.add(record, now=now)
        tell(self._events, Event("everything_revoked", now, alarm=True, detail=f"issued until {record.through}"))
        return record.through

    def _sessions(self, subject: str) -> Flow[list[Session]]:
        now = self._clock()
        found: list[Session] = yield lambda store: store.sessions(subject, now)
        if not self.revocations.is_fresh:  # as in a process that does nothing else: it knows of no emergency yet
            yield lambda _: self._hear()
        through = self.revocations.through(self.name)
        return [session for session in found if session.created_at > through]


def _session_id(id_: str | bytes) -> bytes:
    try:
        return id_ if isinstance(id_, bytes) else decode(id_)
    except MalformedToken:
        raise NotFound from None
