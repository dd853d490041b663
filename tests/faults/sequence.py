"""Sequence: a few clients on one store, and after each step the comparison with the model.

Never knows what happens next: the state machine calls it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Coroutine
from collections.abc import Sequence as Several
from contextlib import ExitStack
from typing import Any, TypeVar

from faults.model import ABSOLUTE, IDLE, WINDOW, Call, Client, Model
from faults.moments import taken_as_told
from faults.places import Place
from faults.rewind import Rewind
from faults.run import parts
from stagedoor.encoding import decode
from stagedoor.errors import AuthError, NotFound, RefreshTokenUnknown
from stagedoor.event import Event
from stagedoor.flows import TokenPair
from stagedoor.issuer import Issuer
from stagedoor.keyset import KeySet
from stagedoor.revocation import Revocations
from stagedoor.session import KEPT_DEAD, Session
from stagedoor.testing.clock import FixedClock

R = TypeVar("R")
TICK = 0.25
_LIMIT = 3
_BOUND = "5s"
"""An issuer without news for so long lists no sessions (503): the longest that it may have, as the machine may stand still."""


class Ground:
    """What the sequences of a batch share: the store, the event loop, the keys."""

    def __init__(self, place: Place) -> None:
        self.stack = ExitStack()
        self.stack.enter_context(taken_as_told())
        self.loop = asyncio.new_event_loop()
        self.store: Any = place.store()
        self.run(self.store.migrate())
        self.revocations = Revocations.following(self.store, bound=_BOUND) if hasattr(self.store, "log") else Revocations.beside(self.store)
        self.rewind = Rewind(place, self.store)
        self.keys = KeySet.from_secret(b"of access tokens nothing is tested here")
        self.seen: Counter[str] = Counter()
        self.finished = 0
        self.failed = ""
        """What went wrong first."""

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Drive it to its end."""
        return self.loop.run_until_complete(coroutine)

    def close(self) -> None:
        """Let go of everything."""
        self.revocations.close()
        self.rewind.close()
        if hasattr(self.store, "close"):
            self.run(self.store.close())
        self.loop.close()
        self.stack.close()


class Sequence:
    """What the rules are made of."""

    ground: Ground

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.model = Model(self.clock)
        self.events: list[Event] = []
        self.subjects = [f"{name}-{secrets.token_hex(8)}" for name in ("ada", "bob")]
        self.opened = 0
        self.latest = 0.0
        self.issuer = Issuer(
            "https://auth.example",
            audience="https://api.example",
            store=self.ground.store,
            keys=self.ground.keys,
            peppers=self.model.peppers,
            refresh_idle=IDLE,
            refresh_absolute=ABSOLUTE,
            retry_window=WINDOW,
            session_limit=_LIMIT,
            revocations=self.ground.revocations,
            events=self.events.append,
            clock=self.clock,
        )

    def _login(self, who: int, kind: str) -> None:
        # By the clock too a login is later than those before it: stores need not agree on the oldest of one moment.
        self._pass(max(0.0, self.latest + TICK - self.clock.now))
        self.latest = self.clock.now
        self.opened += 1
        over = self.model.live(self.subjects[who])[_LIMIT - 1 :]
        pair = self._do(self.issuer.issue(self.subjects[who]))
        row = self._row(decode(pair.session_id))
        assert row is not None, "a session that was opened is there"
        self.model.clients.append(Client(kind, pair.refresh_token, [row]))
        token = self.model.peppers.parse(pair.refresh_token, self.clock.now)
        assert (row.subject, row.generation, row.digest) == (self.subjects[who], 0, token.digest)
        assert (row.rotated_at, row.revoked_at, row.absolute_ends_at) == (None, None, int(self.clock.now) + ABSOLUTE)
        for client in over:
            self.model.end(client, "session_limit")
        self._told([*["session_revoked"] * len(over), "session_opened"])
        self._compare(over)

    def _revoke_session(self, client: Client, *, own: bool) -> None:
        ended = own and client.row.is_live(self.clock.now)
        try:
            self._do(self.issuer.revoke_session(client.row.id, subject=client.row.subject if own else "somebody-else"))
            assert ended, "a session was ended that was dead or somebody else's"
        except NotFound:
            assert not ended, "a live session was not found"
        if own and client.row.revoked_at is None:
            self.model.end(client, "revoked")  # an expired one is marked, too
        self._told(["session_revoked"] * ended)
        self._compare([client])

    def _disable(self, subject: str) -> None:
        live = self.model.live(subject)
        assert self._do(self.issuer.revoke_subject(subject, reason="disabled")) == len(live)
        for client in self.model.clients:
            # A store may have let an expired one out of the subject's list: it is marked, or as it was.
            if client.row.subject == subject and client.row.revoked_at is None and (client in live or self._is_marked(client)):
                self.model.end(client, "disabled")
        self._told([*["session_revoked"] * len(live), "subject_revoked"])
        self._compare(self.model.clients)

    def _is_marked(self, client: Client) -> bool:
        row = self._do(self.ground.store.get(client.row.id))
        return row is not None and row.revoked_at is not None

    def _client(self, who: int) -> Client:
        if not self.model.clients:  # they were all dead for long
            self._login(0, "keyed")
        return self.model.clients[who % len(self.model.clients)]

    def _wild(self, who: int = 0) -> list[Client]:
        wild = [client for client in self.model.clients if client.kind == "wild"]
        return wild[who % len(wild) :] if wild else []

    def _victim(self, who: int) -> Client:
        if not self._wild():
            self._login(1, "wild")
        return self._wild(who)[0]

    def _ahead(self, client: Client, steps: int, forged: bool = False) -> str:
        try:
            token = self.model.peppers.parse(client.jar, self.clock.now)
        except RefreshTokenUnknown:
            return client.jar
        for _ in range(steps):
            token = self.model.following(token, self.model.peppers.current_id(self.clock.now))
        return self.model.write(token, secrets.token_bytes(32) if forged else client.row.seed)

    def _pass(self, seconds: float) -> None:
        self.clock.forward(seconds)
        self.model.elapsed += max(0.0, seconds)
        gone = self.clock.now - KEPT_DEAD + 600
        # What has been dead for so long may be gone from the store, and may not.
        self.model.clients = [client for client in self.model.clients if _ended_at(client.row) > gone]

    def _do(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return self.ground.run(coroutine)

    def _row(self, id_: bytes) -> Session | None:
        row: Session | None = self._do(self.ground.store.get(id_))
        return row

    def _present(self, client: Client, calls: Several[Call], *, kept: int) -> list[str]:
        """Calls at once. The answers of those with a bit in `kept` come to the client."""
        promised = [self.model.promised(client, call) for call in calls]
        answers = self._do(self._all(calls))
        client.becomes(self._explained(client.row, calls, answers, self._row(client.row.id)))
        for number, (call, answer) in enumerate(zip(calls, answers, strict=True)):
            if promised[number]:
                self.ground.seen["honest refreshes"] += 1
                assert isinstance(answer, TokenPair), f"an honest client was logged out: {answer}"
            if isinstance(answer, TokenPair):
                if answer.refresh_token not in client.tokens:
                    client.tokens.append(answer.refresh_token)
                if kept >> number & 1:
                    client.take(answer.refresh_token)
            elif not call.logout:
                client.excused = client.excused or f"was refused as it may be: {answer}"
                self.ground.seen["refusals"] += 1
        return [answer.refresh_token if isinstance(answer, TokenPair) else answer for answer in answers]

    async def _all(self, calls: Several[Call]) -> list[TokenPair | str]:
        if len(calls) == 1:
            return [await self._ask(calls[0])]
        return list(await asyncio.gather(*map(self._ask, calls)))

    async def _ask(self, call: Call) -> TokenPair | str:
        try:
            if not call.logout:
                return await self.issuer.refresh(call.text, attempt=call.attempt)
            await self.issuer.revoke(call.text)
        except AuthError as error:
            return error.code
        return ""

    def _explained(self, before: Session, calls: Several[Call], answers: list[TokenPair | str], row: Session | None) -> Session:
        """There is an order in which the table gives these answers, events and this row."""
        got = [answer.refresh_token if isinstance(answer, TokenPair) else answer for answer in answers]
        events = sorted(event.name for event in self.events)
        self.events.clear()
        orders = list(self.model.orders(calls, before))
        for told, after in orders:
            wanted = sorted(one.event for one in told if one.event is not None)
            # Of calls that are the same, nobody says which came first.
            same = Counter(zip(calls, got, strict=True)) == Counter((call, one.answer) for call, one in zip(calls, told, strict=True))
            if same and after == row and wanted == events:
                self.ground.seen.update(one.outcome.value for one in told if one.outcome is not None)
                self.ground.seen["races"] += len(calls) > 1
                for pair in answers:
                    if isinstance(pair, TokenPair) and len(calls) == 1:  # among several the answer may be older than the last row
                        assert pair.refresh_expires_in == int(after.idle_ends_at - self.clock.now), "what is left of the session"
                return after
        told, after = orders[0]
        raise AssertionError(
            f"answers {[_short(one) for one in got]}, foretold {[_short(one.answer) for one in told]}; "
            f"events {events}, foretold {[one.event for one in told]}; row {row}, foretold {after}, before {before}"
        )

    def _told(self, names: list[str]) -> None:
        got = [event.name for event in self.events]
        self.events.clear()
        assert got == names, f"events {got} for {names}"

    def _compare(self, clients: Several[Client]) -> None:
        for client in clients:
            row = self._row(client.row.id)
            assert row == client.row, f"row {row} for {client.row}"


def _ended_at(row: Session) -> float:
    ends = min(row.idle_ends_at, row.absolute_ends_at)
    return ends if row.revoked_at is None else min(ends, row.revoked_at)


def _short(answer: str) -> str:
    """A token by its generation and digest; a code as it is."""
    return "token {1} {2}".format(*parts(answer)) if answer.startswith("sdr_") else answer
