"""Flows: opening and refreshing a session, each written once, as a generator that yields what it asks of the store.

Never knows whether it is driven with await or without; never a request, a cookie, a password or a database.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from stagedoor.draft import Draft, Minted, draft
from stagedoor.encoding import encode
from stagedoor.endings import Endings
from stagedoor.errors import (
    BadCredentials,
    RefreshTokenExpired,
    RefreshTokenReused,
    RefreshTokenUnknown,
    SessionRevoked,
    StoreError,
)
from stagedoor.keys import Key
from stagedoor.parts import Flow, S
from stagedoor.refresh_token import RefreshToken, attempt_hash, digest_of
from stagedoor.scope import Scope
from stagedoor.session import Outcome, Presented, Session, decide
from stagedoor.token_pair import ALL, Grant, TokenPair, application_claims, check_text, granted

_TRIES = 3


class Flows(Endings[S]):
    """Opening and refreshing; ending is below, in Endings."""

    def _issue(
        self,
        subject: str,
        scope: str | Scope,
        claims: Mapping[str, Any],
        device: str | None,
        confirm: Callable[[], Any] | None,
    ) -> Flow[TokenPair]:
        if not subject:
            raise ValueError("a subject is a text with something in it")
        check_text("subject", subject)
        check_text("device", device or "")
        plain = application_claims(claims)  # before anything is written
        held = Scope.parse(scope) if isinstance(scope, str) else Scope(scope)
        yield from self._may_issue(self._clock())
        key = yield from self._signing(self._clock())
        now = self._clock()
        session_id, seed, secret = secrets.token_bytes(16), secrets.token_bytes(32), secrets.token_bytes(32)
        pepper_id = self.peppers.current_id(now)
        absolute_ends_at = float(int(now) + self.refresh_absolute)
        text = self.peppers.write(pepper_id=pepper_id, session_id=session_id, generation=0, secret=secret, seed=seed, now=now)
        session = Session(
            id=session_id,
            subject=subject,
            client_id=self.client_id,
            scope=str(held),
            claims=MappingProxyType(plain),
            device=device,
            digest=digest_of(secret),
            pepper_id=pepper_id,
            seed=seed,
            created_at=now,
            idle_ends_at=min(now + self.refresh_idle, absolute_ends_at),
            absolute_ends_at=absolute_ends_at,
        )
        access = yield from self._access(key, session, granted(ALL, session), now, session.idle_ends_at)
        access.check_readable()
        pair = self._pair(session, text, access, now)
        ended = yield lambda store: store.open(session, limit=self.session_limit, now=now)
        for ended_id in ended:
            self._ended(ended_id, now, "session_limit", subject)
        # Asked after the row stands: whoever disables the account in between ends this session too, or is seen here.
        if confirm is not None and not (yield lambda _: confirm()):
            yield lambda store: store.revoke(session_id, "account_changed", now)
            self._ended(session_id, now, "account_changed", subject)
            raise BadCredentials("the account changed while its password was checked")
        self._tell("session_opened", now, session)
        return pair

    def _refresh(self, refresh_token: str, attempt: str | None, scope: str | Scope | None) -> Flow[TokenPair]:
        now = self._clock()
        token = self._parse(refresh_token, now)
        through = yield from self._may_issue(now)
        key = yield from self._signing(now)  # what can fail comes before the rotation
        secret = self.peppers.successor(token, now)
        presented = Presented(
            session_id=token.session_id,
            generation=token.generation,
            digest=token.digest,
            pepper_id=token.pepper_id,
            successor=digest_of(secret),
            successor_pepper_id=self.peppers.current_id(now),
            attempt=None if attempt is None else attempt_hash(attempt, token),
            window=self.retry_window,
            idle=self.refresh_idle,
        )
        asks = self._subject_check is not None or scope is not None or key.signer is not None
        for _ in range(_TRIES):
            access = (yield from self._ask(key, token, presented, scope, now)) if asks else None
            # The moment is read as late as can be: asking the application may have taken long, and a rotation must not look old.
            answer = yield lambda store: store.rotate(presented, self._clock())
            session: Session | None = answer.session
            if session is None:
                raise self._refused(RefreshTokenUnknown, token, now)
            if answer.outcome is Outcome.REVOKED:
                self._remember(session.id, now)  # perhaps another process ended it: its access tokens are refused here from now on
            if answer.outcome in _REFUSALS:
                raise self._refused(_REFUSALS[answer.outcome], token, now, session, answer.outcome is Outcome.UNKNOWN)
            proof_holds = self.peppers.proves(token, session.seed, now)
            if answer.outcome in (Outcome.BEHIND, Outcome.AHEAD):
                if not proof_holds:
                    raise self._refused(RefreshTokenUnknown, token, now, session, alarm=True)
                settled = Outcome.REUSED if answer.outcome is Outcome.BEHIND else Outcome.RECOVERED
                if not (yield lambda store: store.settle(settled, presented, self._clock())):  # noqa: B023 - run before the loop turns
                    continue  # the row moved on between the two statements: look again
                if settled is Outcome.REUSED:
                    self._remember(session.id, now)
                    late = session.generation == token.generation + 1 and session.digest == presented.successor
                    verdict = "late_retry" if late else "stale_lineage"
                    raise self._refused(RefreshTokenReused, token, now, session, alarm=True, detail=verdict)
                self._tell("refresh_recovered", now, session, alarm=True)
            if not proof_holds:
                yield lambda store: store.revoke(token.session_id, "forged", now)
                self._remember(session.id, now)
                self._tell("refresh_forged", now, session, alarm=True)
                raise RefreshTokenUnknown("the digest is right, the proof is not", session_id=encode(session.id))
            if session.created_at <= through:
                yield lambda store: store.revoke(token.session_id, "everything_revoked", now)
                self._ended(session.id, now, "everything_revoked", session.subject)
                raise SessionRevoked(session_id=encode(session.id))
            if asks and access is None:
                continue  # what was read before said that it would be refused: read, and ask, again
            if answer.outcome is not Outcome.AHEAD:
                self._tell(f"refresh_{answer.outcome.value}", now, session)
            if access is None:
                ends_at = session.idle_ends_at + (now - answer.now)
                access = yield from self._access(key, session, granted(ALL, session), now, ends_at)
            same = answer.outcome in (Outcome.KEPT, Outcome.AHEAD)
            return self._pair(session, refresh_token if same else self._written(session, secret, now), access, answer.now)
        raise StoreError("the session kept changing: try again")

    def _ask(self, key: Key, token: RefreshToken, presented: Presented, scope: str | Scope | None, now: float) -> Flow[Minted | None]:
        """The access token of this refresh, minted before the rotation, since asking may fail; None where it will be refused anyway."""
        session: Session | None = yield lambda store: store.get(token.session_id)
        if session is None or not self.peppers.proves(token, session.seed, now):
            return None
        # How old its rotation is the store's clock says, which may not be ours: what may be a retry is asked about.
        is_retry = session.generation == presented.generation + 1 and session.digest == presented.successor
        outcome = decide(presented, session, now, proof_holds=True)
        if outcome in (Outcome.UNKNOWN, Outcome.REVOKED) or (outcome is Outcome.REUSED and not is_retry):
            return None
        grant = ALL
        if self._subject_check is not None:
            grant = yield lambda _: self._still_granted(session)
            if grant is None:
                yield lambda store: store.revoke(session.id, "subject_refused", now)
                self._ended(session.id, now, "subject_refused", session.subject)
                raise SessionRevoked(session_id=encode(session.id))
            if not isinstance(grant, Grant):
                raise TypeError("subject_check returns a Grant, or None for a subject that may not refresh any more")
        allowed = granted(grant, session, scope)
        # The end is not known before the rotation. Where it is not moved, it stays; else it will be this, or a little later.
        moves = session.generation == presented.generation
        ends_at = min(now + self.refresh_idle - self.retry_window, session.absolute_ends_at) if moves else session.idle_ends_at
        if ends_at <= now:
            ends_at = now + self.access  # by our clock it is over: the store, whose clock may be another, will say so or not
        access = yield from self._access(key, session, allowed, now, ends_at)
        access.check_readable()
        return access

    def _still_granted(self, session: Session) -> Any:
        """Ask the subject check, with await or without."""
        raise NotImplementedError

    def _signature(self, draft: Draft) -> Any:
        """Ask the signer that has this draft's key, with await or without."""
        raise NotImplementedError

    def _access(self, key: Key, session: Session, allowed: tuple[Scope, Mapping[str, Any]], now: float, ends_at: float) -> Flow[Minted]:
        """An access token of this session, whose end is at `ends_at` on our own clock. Only with a signer's key may it fail."""
        made = draft(
            key,
            session,
            allowed,
            issuer=self.name,
            audience=self.audience,
            life=self.access,
            now=now,
            ahead=self.revocations.ahead,
            ends_at=ends_at,
        )
        if key.signer is None:
            return made.signed(key.sign(made.data))
        return made.signed((yield lambda _: self._signature(made)))

    def _pair(self, session: Session, refresh_token: str, access: Minted, moment: float) -> TokenPair:
        """`moment` is now on the store's clock, which the session's end counts on."""
        return TokenPair(
            access_token=access.token,
            refresh_token=refresh_token,
            expires_in=access.expires_in,
            refresh_expires_in=max(0, int(session.idle_ends_at - moment)),
            scope=access.scope,
            subject=session.subject,
            session_id=encode(session.id),
        )

    def _written(self, session: Session, secret: bytes, now: float) -> str:
        return self.peppers.write(
            pepper_id=session.pepper_id,
            session_id=session.id,
            generation=session.generation,
            secret=secret,
            seed=session.seed,
            now=now,
        )


_REFUSALS = {
    Outcome.REVOKED: SessionRevoked,
    Outcome.EXPIRED: RefreshTokenExpired,
    Outcome.UNKNOWN: RefreshTokenUnknown,
}
