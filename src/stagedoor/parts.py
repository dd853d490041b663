"""Parts: what an issuer is made of, and what all of its flows say: what happened, and what is ended from now on.

Never knows a rule, nor whether a flow is driven with await or without.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator
from typing import Any, ClassVar, Generic, TypeVar, cast

from stagedoor import signer
from stagedoor.access_token import C, Reader
from stagedoor.claims import Claims
from stagedoor.encoding import encode
from stagedoor.errors import GrantError, IssuingPaused, RefreshTokenUnknown, SessionUnreadable
from stagedoor.event import Event, Listener, log, tell
from stagedoor.keys import Key
from stagedoor.keyset import KeySet
from stagedoor.lifetime import seconds
from stagedoor.refresh_token import Peppers, RefreshToken
from stagedoor.revocation import AHEAD, MARGIN, Log, Record, Revocations
from stagedoor.session import Session, Store, SyncStore
from stagedoor.token_pair import SubjectCheck
from stagedoor.trusted_issuer import Expected

R = TypeVar("R")
S = TypeVar("S", Store, SyncStore)
Flow = Generator[Callable[[Any], Any], Any, R]
"""What a flow is: it yields what it asks of the store, and is sent the answer."""


class Parts(Generic[S]):
    """What an issuer is made of.

    `issuer` is the `iss` of all tokens, `audience` who is to accept them. Lifetimes are spans such as "15m", or seconds: of an access
    token (`access`), of a session without a refresh (`refresh_idle`), of a session at the longest (`refresh_absolute`), and how long a
    refresh may be repeated (`retry_window`). `session_limit`: live sessions a subject may have; the oldest ends for a new one. `client_id`:
    claim of that name, the audience unless given. `subject_check` is asked at each refresh what the subject may still have: (session) ->
    Grant, or None where it may not refresh any more, which ends the session. `revocations`: what follows the store's log, where it is to do
    so otherwise than `Revocations.following(store)` does. `events` is told what happens; by default it goes to the log
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
        revocations: Revocations | None = None,
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
        if not isinstance(revocations, Revocations | None):
            raise TypeError("revocations is a Revocations, such as Revocations.following(store, bound='2s')")
        if revocations is not None and revocations.bound > AHEAD:
            # Who heard of it later would issue what counts as issued after everything was revoked.
            raise ValueError(f"an issuer follows with a bound of {AHEAD} seconds at the most; a verifier elsewhere may have a longer one")
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
        self.revocations = _followed(store, clock) if revocations is None else revocations
        """What this process knows to be ended; shared with the verifiers made here."""
        self._log: Log | None = getattr(store, "log", None)
        self._expected = 0.0
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

    def _aside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call what blocks: on a thread that is awaited, or here."""
        raise NotImplementedError

    def _hear(self) -> Any:
        """Have the revocations heard that are new, with await or without."""
        raise NotImplementedError

    def _read_keys(self) -> Any:
        """Have the keys read anew, with await or without. StoreError; where they cannot be read or no answer comes nothing is learned."""
        raise NotImplementedError

    def _may_issue(self, now: float) -> Flow[int]:
        """Before anything is issued: what is revoked is known, and will be remembered for as long as what is issued now may live.

        IssuingPaused while all that was issued is being revoked; RevocationsStale, StoreError. The last second that is revoked is
        returned: a session that was opened until then is ended.
        """
        if not self.revocations.is_fresh:
            yield lambda _: self._hear()
        # What our clock is ahead of the log's by our tokens live longer; of less than a minute the margin of each record takes care.
        life = self.access + self.revocations.ahead // MARGIN * MARGIN
        if self._log is not None and life > self._expected:
            yield lambda store: self._aside(store.log.expect, life)
            self._expected = life
        through = self.revocations.through(self.name)
        waits = through + 1 - (now - self.revocations.ahead)
        if waits > 0:
            raise IssuingPaused("everything was revoked just now: nothing is issued yet", retry_after=int(waits) + 1)
        return through

    def _signing(self, now: float) -> Flow[Key]:
        """The key that signs. One that another process has retired just now, as is heard before it is read, signs nothing more here:
        what it signed would be refused everywhere.

        IssuingPaused where no other key has come here; StoreError.
        """
        key = self.keys.signing(now)
        if self.revocations.has_revoked_key(key.kid, now):
            yield lambda _: self._read_keys()
            now = self._clock()  # another may have begun to sign meanwhile
            key = self.keys.signing(now)
            if self.revocations.has_revoked_key(key.kid, now):
                raise IssuingPaused(f"key {key.kid} is revoked, and no other has come here to sign with")
        return key

    def _alarm(self, error: SessionUnreadable) -> None:
        """The store has a row that it cannot read: the token is refused, and somebody should hear of it."""
        tell(self._events, Event(error.code, self._clock(), session_id=error.session_id, alarm=True))

    def _parse(self, refresh_token: str, now: float) -> RefreshToken:
        try:
            return self.peppers.parse(refresh_token, now)
        except RefreshTokenUnknown as error:
            tell(self._events, Event("refresh_refused", now, detail=str(error)))
            raise

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
        """Here at once, whatever way it comes to others."""
        self.revocations.add(Record.of_session(session_id, self.access, now), now=now)

    def _tell(self, name: str, now: float, session: Session, alarm: bool = False) -> None:
        tell(self._events, Event(name, now, session.subject, encode(session.id), alarm))


def _followed(store: Any, clock: Callable[[], float]) -> Revocations:
    """A store that lives in this process alone is not listened to: whoever ends something says so here."""
    shared = getattr(store, "log", None) is not None and getattr(store.log, "shared", True)
    return Revocations.following(store, clock=clock) if shared else Revocations.beside(store)
