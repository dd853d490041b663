"""Flows: opening, refreshing and ending a session, each written once, as a generator that yields what it asks of the store.

Never knows whether it is driven with await or without; never a request, a cookie, a password or a database.
"""

from __future__ import annotations

import inspect
import secrets
import time
from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar, cast

from stagedoor import signer
from stagedoor.access_token import C, Reader
from stagedoor.claims import Claims
from stagedoor.draft import Draft, Minted, draft
from stagedoor.encoding import decode, encode
from stagedoor.errors import (
    BadCredentials,
    GrantError,
    MalformedToken,
    NotFound,
    RefreshTokenExpired,
    RefreshTokenReused,
    RefreshTokenUnknown,
    SessionRevoked,
    SessionUnreadable,
    StoreError,
)
from stagedoor.event import Event, Listener, log, tell
from stagedoor.keys import Key
from stagedoor.keyset import KeySet
from stagedoor.lifetime import seconds
from stagedoor.refresh_token import Peppers, RefreshToken, attempt_hash
from stagedoor.revocation import Revocations
from stagedoor.scope import Scope
from stagedoor.session import Outcome, Presented, Session, Store, SyncStore, decide
from stagedoor.token_pair import Grant, SubjectCheck, TokenPair, application_claims, check_text, granted
from stagedoor.trusted_issuer import Expected

R = TypeVar("R")
S = TypeVar("S", Store, SyncStore)
Flow = Generator[Callable[[Any], Any], Any, R]
"""What a flow is: it yields what it asks of the store, and is sent the answer."""

_TRIES = 3
_REVOCATION_MARGIN = 60.0


class Flows(Generic[S]):
    """The flows and what they need.

    `issuer` is the `iss` of all tokens, `audience` who is to accept them. Lifetimes are spans such as "15m", or seconds: of an access
    token (`access`), of a session without a refresh (`refresh_idle`), of a session at the longest (`refresh_absolute`), and how long a
    refresh may be repeated (`retry_window`). `session_limit`: live sessions a subject may have; the oldest ends for a new one. `client_id`:
    claim of that name, the audience unless given. `subject_check` is asked at each refresh what the subject may still have: (session) ->
    Grant, or None where it may not refresh any more, which ends the session. `events` is told what happens; by default it goes to the log
    `stagedoor.events`. TypeError or ValueError where something does not fit.
    """

    _awaits: ClassVar[bool]

    def __init__(
        self,
        issuer: str,
        *,
        audience: str,
        store: S,
        keys: KeySet,
        peppers: Peppers,
        access: str | int = "15m",
        refresh_idle: str | int = "30d",
        refresh_absolute: str | int = "90d",
        retry_window: str | int = "60s",
        session_limit: int = 100,
        client_id: str | None = None,
        subject_check: SubjectCheck | None = None,
        events: Listener = log,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(issuer, str) or not isinstance(audience, str):
            raise TypeError("an issuer's name and the audience of its access tokens are one text each")
        if not issuer or not audience:
            raise ValueError("an issuer needs its own name and the audience of its access tokens")
        if not isinstance(keys, KeySet) or not isinstance(peppers, Peppers):
            raise TypeError("keys is a KeySet, peppers is a Peppers")
        if isinstance(store, type) or not callable(getattr(store, "rotate", None)):
            raise TypeError("store is a store, such as SQLStore('sqlite:///auth.db')")
        if inspect.iscoroutinefunction(store.rotate) is not self._awaits:
            raise TypeError("Issuer takes an async store such as SQLStore, SyncIssuer a sync one such as SyncSQLStore")
        if not keys.signing(clock()).can_sign:
            raise TypeError("these keys verify only: an issuer needs a private key")
        if not self._awaits and any(signer.awaits(entry.value.signer) for entry in keys.entries() if entry.value.signer is not None):
            raise TypeError("SyncIssuer takes a signer whose sign is a plain function; Issuer awaits")
        if subject_check is not None and not callable(subject_check):
            raise TypeError("subject_check is a callable: (session) -> Grant or None")
        if not self._awaits and inspect.iscoroutinefunction(subject_check):
            raise TypeError("SyncIssuer takes a plain function as subject_check; Issuer awaits")
        if session_limit < 1:
            raise ValueError("session_limit is at least 1")
        self.name = issuer
        self.audience = audience
        self.store: S = store
        self.keys = keys
        self.peppers = peppers
        self.access = seconds(access)
        self.refresh_idle = seconds(refresh_idle)
        self.refresh_absolute = seconds(refresh_absolute)
        self.retry_window = seconds(retry_window)
        if self.retry_window >= self.refresh_idle:
            raise ValueError("the retry window is shorter than the idle lifetime")
        for name, ring, life, least in (
            ("keys", keys, "access", self.access),
            ("peppers", peppers, "refresh_absolute", self.refresh_absolute),
        ):
            if ring.schedule.keep is not None and ring.schedule.keep < least:
                raise ValueError(f"{name}: keep= is {ring.schedule.keep} seconds, shorter than {life}=, which is {least}")
        self.session_limit = session_limit
        self.client_id = client_id or audience
        self.revocations = Revocations()
        """What this process knows to be ended; shared with the verifiers made here."""
        self._subject_check = subject_check
        self._events = events
        self._clock = clock

    def verifier(self, claims: type[C] = cast(Any, Claims)) -> Reader[C]:  # noqa: B008 - a class, not a call's result
        """A verifier of this issuer's access tokens in the same process: it hears of each revocation at once."""
        return Reader(
            Expected(self.name, frozenset({self.audience})),
            keys=self.keys,
            revocations=self.revocations,
            claims=claims,
            clock=self._clock,
        )

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
            digest=RefreshToken(pepper_id, session_id, 0, secret, b"").digest,
            pepper_id=pepper_id,
            seed=seed,
            created_at=now,
            idle_ends_at=min(now + self.refresh_idle, absolute_ends_at),
            absolute_ends_at=absolute_ends_at,
        )
        access = yield from self._access(self.keys.signing(now), session, granted(Grant(), session), now, session.idle_ends_at)
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
        key = self.keys.signing(now)  # what can fail comes before the rotation
        secret = self.peppers.successor(token, now)
        presented = Presented(
            session_id=token.session_id,
            generation=token.generation,
            digest=token.digest,
            pepper_id=token.pepper_id,
            successor=RefreshToken(0, token.session_id, 0, secret, b"").digest,
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
            if asks and access is None:
                continue  # what was read before said that it would be refused: read, and ask, again
            if answer.outcome is not Outcome.AHEAD:
                self._tell(f"refresh_{answer.outcome.value}", now, session)
            if access is None:
                ends_at = session.idle_ends_at + (now - answer.now)
                access = yield from self._access(key, session, granted(Grant(), session), now, ends_at)
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
        grant = Grant()
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
        return len(ended)

    def _sessions(self, subject: str) -> Flow[list[Session]]:
        now = self._clock()
        return cast("list[Session]", (yield lambda store: store.sessions(subject, now)))

    def _access(self, key: Key, session: Session, allowed: tuple[Scope, Mapping[str, Any]], now: float, ends_at: float) -> Flow[Minted]:
        """An access token of this session, whose end is at `ends_at` on our own clock. Only with a signer's key may it fail."""
        made = draft(key, session, allowed, issuer=self.name, audience=self.audience, life=self.access, now=now, ends_at=ends_at)
        if key.signer is None:
            return made.signed(key.sign(made.data))
        return made.signed((yield lambda _: self._signature(made)))

    def _alarm(self, error: SessionUnreadable) -> None:
        """The store has a row that it cannot read: the token is refused, and somebody should hear of it."""
        tell(self._events, Event(error.code, self._clock(), session_id=error.session_id, alarm=True))

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

    def _parse(self, refresh_token: str, now: float) -> RefreshToken:
        try:
            return self.peppers.parse(refresh_token, now)
        except RefreshTokenUnknown as error:
            tell(self._events, Event("refresh_refused", now, detail=str(error)))
            raise

    def _written(self, session: Session, secret: bytes, now: float) -> str:
        return self.peppers.write(
            pepper_id=session.pepper_id,
            session_id=session.id,
            generation=session.generation,
            secret=secret,
            seed=session.seed,
            now=now,
        )

    def _refused(
        self,
        error: type[Any],
        token: RefreshToken,
        now: float,
        session: Session | None = None,
        alarm: bool = False,
        detail: str | None = None,
    ) -> GrantError:
        subject = None if session is None else session.subject
        name = error.code
        tell(
            self._events,
            Event(name, now, subject, encode(token.session_id), alarm, detail or f"generation {token.generation}"),
        )
        return cast(GrantError, error(session_id=encode(token.session_id)))

    def _ended(self, session_id: bytes, now: float, reason: str, subject: str | None) -> None:
        self._remember(session_id, now)
        tell(self._events, Event("session_revoked", now, subject, encode(session_id), detail=reason))

    def _remember(self, session_id: bytes, now: float) -> None:
        self.revocations.add(encode(session_id), until=now + self.access + _REVOCATION_MARGIN, now=now)

    def _tell(self, name: str, now: float, session: Session, alarm: bool = False) -> None:
        tell(self._events, Event(name, now, session.subject, encode(session.id), alarm))


_REFUSALS = {
    Outcome.REVOKED: SessionRevoked,
    Outcome.EXPIRED: RefreshTokenExpired,
    Outcome.UNKNOWN: RefreshTokenUnknown,
}


def _session_id(id_: str | bytes) -> bytes:
    try:
        return id_ if isinstance(id_, bytes) else decode(id_)
    except MalformedToken:
        raise NotFound from None
