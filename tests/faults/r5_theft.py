"""R5: thefts, planted by the thousand: who uses the older token of two lines that parted is caught, and only that session ends.

Never knows the rules as session.py writes them: what has to come of each use is told here in plain words, from generations and times.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from faults.log import now
from faults.moments import taken_as_told
from faults.places import Place, Servers
from faults.run import Run, parts
from stagedoor.encoding import decode
from stagedoor.errors import AuthError
from stagedoor.event import Event
from stagedoor.flows import TokenPair
from stagedoor.issuer import Issuer
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers
from stagedoor.revocation import Revocations
from stagedoor.testing.clock import FixedClock

TOGETHER = 200
WINDOW = 60
_IDLE, _ABSOLUTE = 3_600 * 24 * 30, 3_600 * 24 * 90
_SOON = (1.0, 5.0, 20.0, 45.0)
_LATER = (75.0, 100.0, 900.0, 5_000.0, 86_400.0)
"""Well clear of the window, and of each other's sums."""
_ENOUGH = 20
VICTIM, THIEF = "victim", "thief"
Use = tuple[float, str]
"""So many seconds later, this one refreshes."""


@dataclass
class Plan:
    """One theft: what happens before it, and who refreshes when after it. `parts`: their lines part by more than the window."""

    kind: str
    before: int
    uses: list[Use]
    keyed: bool
    """Whether the victim sends attempt ids."""
    key_stolen: bool
    """Whether the thief has the attempt id that lay beside the token as well."""
    parts: bool = True
    before_restart: int = 0
    """Uses that happen before the service is restarted, where it is."""


def planned(rng: random.Random) -> Plan:
    """Any of the orders."""

    def later() -> float:
        return rng.choice(_LATER)

    def soon() -> float:
        return rng.choice(_SOON)

    def followed(times: int) -> list[Use]:
        return [use for _ in range(times) for use in ((900.0, VICTIM), (soon(), THIEF))]

    def apart() -> list[Use]:
        # Two refreshes, each in a window of its own, then the other one: two behind, which not even an attempt id explains.
        one, other = rng.sample((VICTIM, THIEF), 2)
        return [(later(), one), (later(), one), (later(), other)]

    kind = rng.choice(("attacker first", "victim first", "interleaved", "inside the window", "inside, then apart", "generations old"))
    keyed = rng.random() < 0.5
    plan = Plan(kind, rng.randint(0, 3), [], keyed, keyed and rng.random() < 0.3)
    if kind == "attacker first":
        plan.uses = [(later(), THIEF), (later(), VICTIM), *apart()]
    elif kind == "victim first":
        plan.uses = [(later(), VICTIM), (later(), THIEF), *apart()]
    elif kind == "interleaved":
        plan.uses = [(rng.choice((later, soon))(), rng.choice((VICTIM, THIEF))) for _ in range(rng.randint(2, 8))] + apart()
    elif kind == "inside the window":
        plan.uses, plan.parts = followed(rng.randint(2, 5)), False
    elif kind == "inside, then apart":
        plan.uses = followed(rng.randint(1, 4)) + apart()
    else:
        plan.uses = [(later(), VICTIM) for _ in range(rng.randint(2, 10))] + [(later(), THIEF)]
    plan.before_restart = rng.randrange(len(plan.uses))
    return plan


@dataclass
class Line:
    """What the session's tokens have come to, and what has to come of the next use."""

    generation: int = 0
    since: float | None = None
    key: str | None = None
    """Of the call that brought this generation."""

    def use(self, held: int, key: str | None, moment: float) -> str:
        """ "rotated", "kept", "replayed", or "caught"."""
        young = self.since is not None and moment - self.since < WINDOW
        if held == self.generation:
            if young:
                return "kept"
            self.generation, self.since, self.key = held + 1, moment, key
            return "rotated"
        if held == self.generation - 1 and (young or (key is not None and key == self.key)):
            if not young:
                self.since = moment
            return "replayed"
        return "caught"


@dataclass
class Party:
    """Somebody with a token."""

    name: str
    pair: TokenPair
    keyed: bool
    key: str | None = None
    keys: int = 0

    def take(self, pair: TokenPair) -> None:
        """An answer came. An attempt id belongs to one token held."""
        if pair is self.pair or pair.refresh_token != self.pair.refresh_token:
            self.keys += 1
            self.key = f"{self.name}-attempt-{self.keys:06d}" if self.keyed else None
        self.pair = pair


@dataclass
class Theft:
    """One planted theft while it runs, with a clock and issuers of its own."""

    run: Run
    plan: Plan
    keys: KeySet
    peppers: dict[int, bytes]
    number: str
    clock: FixedClock = field(default_factory=FixedClock)
    events: list[Event] = field(default_factory=list)
    line: Line = field(default_factory=Line)
    verdict: str | None = None
    """What the event said when it was caught."""
    replayed: int = 0

    def serve(self, store: Any) -> None:
        """From now on this store object and a fresh issuer serve it: the first time, and after a restart."""
        self.store = store
        short = not self.plan.parts  # the absolute end comes within reach
        self.issuer = Issuer(
            "https://auth.example",
            audience="https://api.example",
            store=store,
            keys=self.keys,
            peppers=Peppers(self.peppers, clock=self.clock),
            refresh_idle=9_000 if short else _IDLE,
            refresh_absolute=10_800 if short else _ABSOLUTE,
            retry_window=WINDOW,
            revocations=Revocations(),  # hundreds of issuers in one process would be hundreds that listen; access tokens are R12's
            events=self.events.append,
            clock=self.clock,
        )

    async def begin(self) -> None:
        """Log in, here and on another device, and somebody else too; use the session for a while; then it is copied."""
        self.ends_at = int(self.clock.now) + self.issuer.refresh_absolute
        victim = Party(VICTIM, await self.issuer.issue(self.number), self.plan.keyed)
        victim.take(victim.pair)
        self.bystanders = [await self.issuer.issue(self.number), await self.issuer.issue(f"neighbour-of-{self.number}")]
        self.parties = {VICTIM: victim}
        for _ in range(self.plan.before):
            self.clock.forward(900.0)
            await self.use(VICTIM)
        self.session = victim.pair.session_id
        self.parties[THIEF] = Party(THIEF, victim.pair, False, victim.key if self.plan.key_stolen else None)
        self.run.stolen(self.session)

    async def go_on(self, uses: list[Use]) -> None:
        """Play these uses, until one is caught."""
        for wait, who in uses:
            if self.verdict is None:
                self.clock.forward(wait)
                await self.use(who)

    async def use(self, who: str) -> None:
        """One refresh, held against what has to come of it."""
        party = self.parties[who]
        held = parts(party.pair.refresh_token)[1]
        due = self.line.use(held, party.key, self.clock.now)
        sent = now()
        code, pair = await self._refresh(party)
        event = self.events[-1]
        if due != "caught":
            if pair is None or event.name != f"refresh_{due}" or parts(pair.refresh_token)[1] != self.line.generation:
                self._wrong(f"{who} with generation {held} had {code} and event {event.name}, due was {due}")
                return
            self.replayed += who == THIEF and due != "rotated"
            party.take(pair)
            return
        self.verdict = "late_retry" if held == self.line.generation - 1 else "stale_lineage"
        told = (code, event.name, event.alarm, event.detail, event.session_id, event.subject)
        if told != ("refresh_token_reused", "refresh_token_reused", True, self.verdict, self.session, self.number):
            self._wrong(f"{who} with generation {held} of {self.line.generation} was to be caught as {self.verdict}: {told}")
        if code == "refresh_token_reused":
            self.run.revoked(self.session, sent, "reuse")

    async def end(self) -> None:
        """It was caught if it had to be, and nothing else ended; or the session's absolute end takes the thief along."""
        if self.plan.parts:
            if self.verdict is None:
                self._wrong("it was never caught")
            await self._dead("session_revoked")
            row = await self.store.get(decode(self.session))
            if row is None or row.reason != "reuse":
                self._wrong(f"the row says {row and row.reason}")
            self._access_tokens_are_refused()
        else:
            self.clock.now = max(self.clock.now, self.ends_at - 1_800.0)  # used once more in time, or the idle end were first
            await self.use(VICTIM)
            await self.use(THIEF)
            self.clock.now = self.ends_at - 5.0
            await self.use(THIEF)
            self.clock.now = float(self.ends_at)
            await self._dead("refresh_token_expired")
            return
        for pair in self.bystanders:
            code, answer = await self._refresh(Party("bystander", pair, False))
            if answer is None:
                self._wrong(f"a session of {pair.subject} that nobody stole is refused: {code}")

    async def _dead(self, wanted: str) -> None:
        for party in self.parties.values():
            code, _ = await self._refresh(party)
            if code != wanted or self.events[-1].alarm:
                self._wrong(f"{party.name} is told {code} afterwards, not {wanted}")

    async def _refresh(self, party: Party) -> tuple[str, TokenPair | None]:
        sent, text, thief = now(), party.pair.refresh_token, party.name == THIEF
        try:
            pair = await self.issuer.refresh(text, attempt=party.key)
        except AuthError as error:
            self.run.refreshed(text, sent, error.code, thief=thief)
            return error.code, None
        self.run.refreshed(text, sent, "ok", pair.refresh_token, thief=thief)
        return "ok", pair

    def _access_tokens_are_refused(self) -> None:
        for party in self.parties.values():
            try:
                self.issuer.verifier().verify(party.pair.access_token)
            except AuthError as error:
                if error.code not in ("token_revoked", "token_expired"):
                    self._wrong(f"the access token of the {party.name} is refused as {error.code}")
            else:
                self._wrong(f"the access token of the {party.name} is still good")

    def _wrong(self, what: str) -> None:
        if self.run.complaints < _ENOUGH:
            self.run.complain(f"{self.plan.kind}: {what} ({self.plan})")


def play(run: Run, servers: Servers) -> None:
    """Batches of thefts at once; in every other one everything is closed and opened again in the middle."""
    with taken_as_told():
        asyncio.run(_play(run, servers.place(run.store, server_clock=False, durable=False)))


async def _play(run: Run, place: Place) -> None:
    keys = KeySet.from_secret(b"of access tokens nothing is tested here")
    peppers = {1: run.rng.randbytes(32)}
    counted: Counter[str] = Counter()
    restart = False
    while run.left and run.complaints < _ENOUGH:
        number = min(TOGETHER, max(1, run.wanted // 2), run.left)
        thefts = [Theft(run, planned(run.rng), keys, peppers, f"user-{run.rng.getrandbits(64):016x}") for _ in range(number)]
        await _batch(place, thefts, restart)
        for theft in thefts:
            counted[theft.verdict or "followed to the absolute end"] += 1
            counted["refreshes of thieves inside the window"] += theft.replayed
        counted["across a restart"] += number * restart
        restart = not restart
        run.count(number)
    for name, amount in sorted(counted.items()):
        run.figure(name, float(amount))


async def _batch(place: Place, thefts: list[Theft], restart: bool) -> None:
    store: Any = await _opened(place, thefts)
    try:
        await asyncio.gather(*(theft.begin() for theft in thefts))
        if restart:
            await asyncio.gather(*(theft.go_on(theft.plan.uses[: theft.plan.before_restart]) for theft in thefts))
        if restart and place.kind != "memory":
            await _closed(store)
            store = await _opened(place, thefts)
        elif restart:
            for theft in thefts:
                theft.serve(store)  # what is in memory is gone with its process: the issuers alone are new
        await asyncio.gather(*(_rest(theft, restart) for theft in thefts))
    finally:
        await _closed(store)


async def _rest(theft: Theft, restarted: bool) -> None:
    await theft.go_on(theft.plan.uses[theft.plan.before_restart if restarted else 0 :])
    await theft.end()


async def _opened(place: Place, thefts: list[Theft]) -> Any:
    store: Any = place.store()
    await store.migrate()
    for theft in thefts:
        theft.serve(store)
    return store


async def _closed(store: Any) -> None:
    if hasattr(store, "close"):
        await store.close()
