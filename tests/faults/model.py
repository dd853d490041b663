"""Model: the rows of a few sessions as they must be, moved by decide() and written() alone; and what each client may count on.

Never knows a store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

from faults.run import parts
from stagedoor.errors import RefreshTokenUnknown
from stagedoor.refresh_token import Peppers, RefreshToken, attempt_hash
from stagedoor.session import Outcome, Presented, Session, decide, written
from stagedoor.testing.clock import FixedClock

WINDOW = 60
IDLE = 30 * 86_400
ABSOLUTE = 45 * 86_400
"""Not far beyond the idle lifetime: both ends come within a sequence."""
IN_FLIGHT = 45.0
"""Seconds of real time within which what a tab sent arrives; later it has given up."""

_REFUSED = {
    Outcome.UNKNOWN: "refresh_token_unknown",
    Outcome.FORGED: "refresh_token_unknown",
    Outcome.REVOKED: "session_revoked",
    Outcome.EXPIRED: "refresh_token_expired",
    Outcome.REUSED: "refresh_token_reused",
}


@dataclass(frozen=True)
class Call:
    """A refresh token on its way, to be refreshed or to log out with."""

    text: str
    attempt: str | None = None
    logout: bool = False


@dataclass(frozen=True)
class Foretold:
    """What has to come of a call: the row afterwards, the answer (a token, or the code of a refusal) and the event."""

    row: Session
    answer: str
    event: str | None
    outcome: Outcome | None = None


@dataclass
class Client:
    """Who holds one session's tokens. `kind`: "keyed" sends attempt ids, "plain" none, "wild" shares its tokens with a thief."""

    kind: str
    jar: str
    past: list[Session]
    """The states of the row, the one of now last."""
    excused: str | None = None
    """Why it may be refused from now on."""
    tokens: list[str] = field(default_factory=list)
    """All that were ever handed out, to whomever."""
    stolen: str | None = None
    keys: int = 0
    flying: tuple[Call, float] | None = None
    """What a tab has sent, and when by `Model.elapsed`."""

    def __post_init__(self) -> None:
        self.tokens.append(self.jar)
        if self.kind == "wild":
            self.excused = "others hold its tokens"

    @property
    def row(self) -> Session:
        """As it must be now."""
        return self.past[-1]

    def becomes(self, row: Session) -> None:
        """The row is written, if this changes it."""
        if row != self.row:
            self.past.append(row)

    @property
    def call(self) -> Call:
        """What it would send now. An attempt id belongs to the token held, and all its tabs share it."""
        return Call(self.jar, f"attempt-id-{self.keys:08d}" if self.kind == "keyed" else None)

    def take(self, token: str) -> None:
        """An answer came: the newer token is kept, and a fresh attempt id beside it."""
        if parts(token)[1] >= parts(self.jar)[1] and token != self.jar:
            self.jar = token
            self.keys += 1


class Model:
    """The clients of one sequence and the moment."""

    def __init__(self, clock: FixedClock) -> None:
        self.clock = clock
        self.peppers = Peppers.generate(clock=clock)
        self.clients: list[Client] = []
        self.elapsed = 0.0
        """Real time: a clock that jumps back does not take it back."""

    def live(self, subject: str) -> list[Client]:
        """Whose session lives, the latest login first."""
        found = [client for client in self.clients if client.row.subject == subject and client.row.is_live(self.clock.now)]
        return sorted(found, key=lambda client: client.row.created_at, reverse=True)

    def end(self, client: Client, reason: str) -> None:
        """The session is ended by somebody who may."""
        client.excused = reason
        client.becomes(replace(client.row, revoked_at=self.clock.now, reason=reason))

    def promised(self, client: Client, call: Call) -> bool:
        """Whether an honest client may count on an answer: its session has not ended, nobody else holds its tokens, and where it sends no
        attempt id it retries within the window."""
        row, now = client.row, self.clock.now
        if client.excused is not None or now >= row.idle_ends_at or now >= row.absolute_ends_at or call.logout:
            return False
        behind = row.rotated_at is not None and row.generation > self.peppers.parse(call.text, now).generation
        return not behind or call.attempt is not None or now - (row.rotated_at or 0.0) < WINDOW

    def foretell(self, call: Call, row: Session) -> Foretold:
        """What the pure table makes of a call."""
        now = self.clock.now
        try:
            token = self.peppers.parse(call.text, now)
        except RefreshTokenUnknown:  # its pepper has ended
            return Foretold(row, "refresh_token_unknown", "refresh_refused")
        if call.logout:
            marked = row if row.revoked_at is not None else replace(row, revoked_at=now, reason="logout")
            return Foretold(marked, "", "session_revoked" if row.is_live(now) else None)
        presented = self.presented(token, call.attempt)
        outcome = decide(presented, row, now, proof_holds=self.peppers.proves(token, row.seed, now))
        if outcome is Outcome.FORGED:  # a store cannot tell: it writes what it sees, and the issuer ends the session
            seen = written(decide(presented, row, now, proof_holds=None), presented, row, now)
            return Foretold(replace(seen, revoked_at=now, reason="forged"), _REFUSED[outcome], "refresh_forged", outcome)
        after = written(outcome, presented, row, now)
        if outcome in _REFUSED:
            return Foretold(after, _REFUSED[outcome], _REFUSED[outcome], outcome)
        event = f"refresh_{outcome.value}"
        if outcome in (Outcome.KEPT, Outcome.RECOVERED):
            return Foretold(after, call.text, event, outcome)
        return Foretold(after, self.write(self.following(token, after.pepper_id), after.seed), event, outcome)

    def orders(self, calls: Sequence[Call], row: Session) -> Iterator[tuple[list[Foretold], Session]]:
        """What may come of calls at once, and the row after all: one order after another, as if the calls had come one by one."""
        seen: set[tuple[Call, ...]] = set()
        for order in permutations(range(len(calls))):
            key = tuple(calls[number] for number in order)
            if key in seen:
                continue
            seen.add(key)
            told: dict[int, Foretold] = {}
            state = row
            for number in order:
                told[number] = self.foretell(calls[number], state)
                state = told[number].row
            yield [told[number] for number in range(len(calls))], state

    def presented(self, token: RefreshToken, attempt: str | None) -> Presented:
        """What an issuer shows a store of this token."""
        return Presented(
            session_id=token.session_id,
            generation=token.generation,
            digest=token.digest,
            pepper_id=token.pepper_id,
            successor=self.following(token, 0).digest,
            successor_pepper_id=self.peppers.current_id(self.clock.now),
            attempt=None if attempt is None else attempt_hash(attempt, token),
            window=WINDOW,
            idle=IDLE,
        )

    def following(self, token: RefreshToken, pepper_id: int) -> RefreshToken:
        """The successor, under this pepper; its proof is not made."""
        secret = self.peppers.successor(token, self.clock.now)
        return RefreshToken(pepper_id, token.session_id, token.generation + 1, secret, b"")

    def write(self, token: RefreshToken, seed: bytes) -> str:
        """The wire form of these parts, with the proof under this seed."""
        return self.peppers.write(
            pepper_id=token.pepper_id,
            session_id=token.session_id,
            generation=token.generation,
            secret=token.secret,
            seed=seed,
            now=self.clock.now,
        )
