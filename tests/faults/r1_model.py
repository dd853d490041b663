"""R1: sequences that nobody thought of, found by Hypothesis; after each step the store agrees with the pure table, and nobody honest is
logged out.

Never knows a store's inside, except to make it lose its last writes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from faults.model import ABSOLUTE, IDLE, IN_FLIGHT, WINDOW, Call
from faults.places import Servers
from faults.run import Run, parts
from faults.sequence import TICK, Ground, Sequence
from stagedoor.session import RECOVERABLE

STEPS = 25
TOGETHER = 200
"""Sequences on one opened store."""
ENOUGH = 3
"""Batches that found something: more would find the same again."""
_WAITS = (900.0, 0.0, 20.0, WINDOW, WINDOW - TICK, 2_000.0)
_JUMPS = (900.0, TICK, 86_400.0, -5.0, IDLE / 2)

pick = st.integers(0, 5)
few = st.integers(0, 3)
bits = st.integers(0, 15)
yes = st.booleans()
waits = st.sampled_from(_WAITS)
kinds = st.sampled_from(("keyed", "plain", "wild"))


class Machine(RuleBasedStateMachine, Sequence):
    """One sequence. The rules are what can happen; each ends with a comparison.

    No rule has a precondition: what is drawn must not depend on how a race ended, or Hypothesis cannot follow.
    """

    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        Sequence.__init__(self)

    # What people do.

    @initialize(kind=kinds, other=kinds)
    def two_people(self, kind: str, other: str) -> None:
        self._login(0, kind)
        self._login(1, other)

    @rule(who=st.integers(0, 1), kind=kinds)
    def login(self, who: int, kind: str) -> None:
        if self.opened < 8:
            self._login(who, kind)

    @rule(wait=waits, who=pick, lost=yes)
    def refresh(self, wait: float, who: int, lost: bool) -> None:
        """A client refreshes; `lost`: it never hears the answer, and goes on with what it has."""
        self._pass(wait)
        client = self._client(who)
        self._present(client, [client.call], kept=0 if lost else 1)

    @rule(wait=waits, who=pick)
    def refresh_and_again(self, wait: float, who: int) -> None:
        """A reply is lost, the client tries again after a while, and then goes on with what it got."""
        client = self._client(who)
        self._present(client, [client.call], kept=0)
        self._pass(wait)
        self._present(client, [client.call], kept=1)
        self._present(client, [client.call], kept=1)

    @rule(who=pick)
    def tab_sends(self, who: int) -> None:
        """A tab's request is under way: it carries what the jar holds now."""
        client = self._client(who)
        client.flying = (client.call, self.model.elapsed)

    @rule(who=pick, lost=yes)
    def tab_arrives(self, who: int, lost: bool) -> None:
        """It arrives, late: the jar may hold something newer by now."""
        client = self._client(who)
        sent, client.flying = client.flying, None
        if sent is not None and self.model.elapsed - sent[1] < IN_FLIGHT:
            self._present(client, [sent[0]], kept=0 if lost else 1)

    @rule(wait=waits, who=pick, tabs=few, kept=bits, older=bits, logout=st.sampled_from((False, False, False, True)))
    def race(self, wait: float, who: int, tabs: int, kept: int, older: int, logout: bool) -> None:
        """Several tabs at once; in a wild client some with neighbouring tokens; sometimes somebody logs out meanwhile."""
        self._pass(wait)
        client = self._client(who)
        calls = [client.call] * (tabs + (not logout) + 1)
        if client.kind == "wild":
            near = [client.jar, client.tokens[-2 % len(client.tokens)], client.tokens[0], self._ahead(client, 1)]
            calls = [Call(near[(older >> number) & 3]) for number in range(len(calls))]
        if logout:
            client.excused = "logout"
            calls[-1] = Call(client.jar, logout=True)
        self._present(client, calls[:4], kept=kept)

    # What thieves do.

    @rule(wait=waits, who=pick, which=pick, attempt=st.sampled_from((None, "attempt-id-00000000", "attempt-of-a-thief")))
    def replay(self, wait: float, who: int, which: int, attempt: str | None) -> None:
        """Any token that there ever was, with an attempt id or without."""
        self._pass(wait)
        client = self._victim(who)
        self._present(client, [Call(client.tokens[-1 - which % len(client.tokens)], attempt)], kept=0)

    @rule(wait=waits, who=pick)
    def theft(self, wait: float, who: int) -> None:
        """A thief takes a copy, then refreshes along a line of his own."""
        self._pass(wait)
        client = self._victim(who)
        if client.stolen is None:
            client.stolen = client.jar
            return
        answer = self._present(client, [Call(client.stolen)], kept=0)[0]
        client.stolen = answer if answer.startswith("sdr_") else client.stolen

    @rule(who=pick, steps=few, forged=yes)
    def ahead(self, who: int, steps: int, forged: bool) -> None:
        """A token that the store never knew: genuine, or made without a look at the row."""
        client = self._victim(who)
        self._present(client, [Call(self._ahead(client, steps + (not forged), forged))], kept=0)

    # What ends a session.

    @rule(who=pick, which=pick, how=st.sampled_from(("logout", "device", "stranger", "disabled")))
    def end(self, who: int, which: int, how: str) -> None:
        """Logout with any token of the session, old or new; from the list of devices, by its owner or by a stranger; or all at once."""
        client = self._client(who)
        if how == "logout":
            client.excused = how
            self._present(client, [Call(client.tokens[-1 - which % len(client.tokens)], logout=True)], kept=0)
        elif how == "disabled":
            self._disable(client.row.subject)
        else:
            self._revoke_session(client, own=how == "device")

    # What happens to the service.

    @rule(jump=st.sampled_from(_JUMPS))
    def the_clock_jumps(self, jump: float) -> None:
        """On, or back a little."""
        self._pass(jump)

    @rule(who=pick, idle=yes, before=st.sampled_from((True, True, False)))
    def the_end_comes(self, who: int, idle: bool, before: bool) -> None:
        """The last moment before a session ends, or the first after it."""
        row = self._client(who).row
        end = (row.idle_ends_at if idle else row.absolute_ends_at) - before * TICK
        self._pass(max(0.0, end - self.clock.now))
        self.refresh(0.0, who, False)

    @rule()
    def pepper_changes(self) -> None:
        """New tokens are made under a new one; the old ones are known for one absolute lifetime."""
        self.model.peppers.rotate(keep=ABSOLUTE, announce=1)
        self._pass(1.0)

    @rule(who=pick, back=st.integers(1, 5), everybody=yes, revocations=st.sampled_from((False, False, True)))
    def writes_are_lost(self, who: int, back: int, everybody: bool, revocations: bool) -> None:
        """The store is as it was a few writes ago; mostly it remembers at least who was logged out."""
        lost = self.model.clients if everybody else [self._client(who)]
        for client in lost:
            ended = client.row
            del client.past[max(1, len(client.past) - back) :]
            if ended.revoked_at is not None and not revocations:
                client.past[-1] = replace(client.row, revoked_at=ended.revoked_at, reason=ended.reason)
            if parts(client.jar)[1] - client.row.generation > RECOVERABLE:
                client.excused = client.excused or "more was lost than can be recovered"
            client.flying = None  # who was on the way then has no answer, and looks into the jar again
            self._do(self.ground.rewind.put(client.row, self.clock.now))
        self.ground.seen["lost writes"] += 1
        self._pass(0.0)  # by its older state a session may have been dead for long
        self._compare(self.model.clients)

    def teardown(self) -> None:
        error = sys.exc_info()[1]
        try:
            if error is None:
                self._at_the_end()
        except AssertionError as found:
            error = found
            raise
        finally:
            if error is None:
                self.ground.finished += not self.ground.failed
            elif isinstance(error, Exception) and not isinstance(error, HypothesisException) and not self.ground.failed:
                self.ground.failed = "\n".join(_story(error))  # what follows are attempts to find it in fewer steps

    def _at_the_end(self) -> None:
        self._compare(self.model.clients)
        for subject in self.subjects:
            listed = self._do(self.ground.store.sessions(subject, self.clock.now))
            wanted = [client.row for client in self.model.live(subject)]
            assert listed == wanted, f"the sessions of {subject} are listed as {listed}, not as {wanted}"


def play(run: Run, servers: Servers) -> None:
    """Batches of sequences, each from a seed of its own, until all are done."""
    seen: Counter[str] = Counter()
    place = servers.place(run.store, server_clock=False, durable=False)
    while run.left and run.complaints < ENOUGH:
        ground = Ground(place)
        try:
            _batch(run, ground, min(TOGETHER, run.left))
        finally:
            ground.close()
        run.count(ground.finished)
        seen += ground.seen
    for name, number in sorted(seen.items()):
        run.figure(name, float(number))


def _batch(run: Run, ground: Ground, number: int) -> None:
    machine = seed(run.rng.getrandbits(64))(type("Machine", (Machine,), {"ground": ground}))
    how = settings(
        max_examples=number,
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    try:
        run_state_machine_as_test(machine, settings=how)
    except Exception as error:
        told = "\n".join(_story(error))
        if ground.failed not in told:  # Hypothesis tells of the shortest sequence; where none failed again, of that alone
            told += f"\nfirst found: {ground.failed}"
        run.complain(told[:6_000])


def _story(error: BaseException) -> Iterator[str]:
    """What went wrong and, as notes, the steps that led there."""
    yield f"{type(error).__name__}: {error}"
    yield from getattr(error, "__notes__", [])
    for inner in getattr(error, "exceptions", []):
        yield from _story(inner)
