"""R13: the way by which revocations are heard is cut, held, slowed, killed, replaced: what does a guard answer meanwhile, and afterwards?

Three tokens: one that lives, one that is revoked on the other side while the fault lasts, and one that was revoked, and heard of, before.
Never knows how a fault is made: `faults.feeds` does.
"""

from __future__ import annotations

import time
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from faults.feeds import SIDES, Side
from faults.guarding import Guarding, guard_until_told
from faults.hearing import keys_of
from faults.log import Answers, Span, now, source
from faults.places import Servers
from faults.run import Run
from faults.service import SECRET
from stagedoor import Peppers, Revocations, SyncIssuer
from stagedoor.errors import AuthError, StoreError
from stagedoor.token_pair import TokenPair

BOUND = 1.0
CALM = 0.5
"""Seconds before a fault begins."""
OUTAGE = 2.6
"""Seconds that one lasts."""
AGAIN = 1.0
"""Seconds after its end, or after the revocation where that is later, in which all is well again: the bound."""
SOURCE, REVOCATIONS = "faults.hearing:listened", "stagedoor:Revocations"
"""What the guard follows, and by what; here faults can be planted."""
HEARD = 1.5
"""Seconds after which what was revoked before the fault has been heard of."""
AFTERWARDS = 1.0
"""Seconds that are looked on for when all has to be well again."""
_numbers = count()


def play(run: Run, servers: Servers) -> None:
    """One fault after the other, as often as is left."""
    side = SIDES[run.store](servers.folder / f"feeds-{next(_numbers)}")
    try:
        faults = side.faults_here()
        turns = [faults[number % len(faults)] for number in range(run.already, run.already + run.left)]
        for fault in turns:
            play_one(run, side, fault)
            run.count()
    finally:
        side.close()


def play_one(run: Run, side: Side, fault: str) -> None:
    """One fault, and what the guard answered."""
    with side.around(fault) as (place, namespace):
        here, there = get_context("forkserver").Pipe()
        asked: Any = (Guarding(place, BOUND, SOURCE, REVOCATIONS, namespace), there)
        guard = get_context("forkserver").Process(target=guard_until_told, args=asked, daemon=True)
        guard.start()
        there.close()
        scene = _Scene(side, here)
        try:
            scene.prepare(side if fault == "restored" else None)
            getattr(side, fault)(scene)
            scene.rest()
            for line in scene.lines(run, fault):
                run.write(line)
            guard.join(5)
        finally:
            scene.close()
            guard.kill()


class _Scene:
    """As feeds.Scene: the tokens, and the moments."""

    def __init__(self, side: Side, guard: Connection) -> None:
        self.guard = guard
        self.store: Any = side.place.sync_store()
        self.issuer = SyncIssuer(
            "http://127.0.0.1",
            audience="faults",
            store=self.store,
            keys=keys_of((SECRET,)),
            peppers=Peppers(SECRET),
            access="1h",
            revocations=Revocations(),
        )
        self.names: list[str] = []
        self.revoked: dict[str, tuple[float, float]] = {}
        """When it was asked for, and acknowledged."""
        self.began = self.mended = self.ended = 0.0
        self.doomed: TokenPair | None = None

    def prepare(self, copied: Side | None) -> None:
        """Three sessions; one of them has been revoked for longer than the bound when the fault begins. A copy knows nothing of that."""
        live, self.doomed, before = (self.issuer.issue(name) for name in ("live", "doomed", "before"))
        for _ in range(8):
            self.issuer.issue("many")
        for name, pair in (("live", live), ("revoked", self.doomed), ("revoked before", before)):
            self._ask(name, pair)
        time.sleep(CALM)
        if copied is not None:
            copied.keep_copy()
        self._revoke(before, "revoked before")
        self._patiently(lambda: self.issuer.revoke_subject("many"))  # a copy of the log ends long before these
        self.guard.send(self.names.index("revoked before"))
        self.guard.recv()  # it has heard of it: of what is taken back then it would never hear
        time.sleep(HEARD)

    def begins(self) -> None:
        """As Scene.begins."""
        self.began = now()
        time.sleep(0.05)

    def login(self) -> None:
        """As Scene.login."""
        self.doomed = self._patiently(lambda: self.issuer.issue("doomed"))
        self._ask("revoked", self.doomed)
        time.sleep(0.3)

    def revoke(self) -> None:
        """As Scene.revoke."""
        assert self.doomed is not None
        self._revoke(self.doomed, "revoked")

    def lasts(self) -> None:
        """As Scene.lasts."""
        time.sleep(max(0.0, self.began + OUTAGE - now()))

    def is_over(self) -> None:
        """As Scene.is_over."""
        self.mended = now()

    def rest(self) -> None:
        """Look on for as long as it may take until all is well, and a little longer."""
        time.sleep(AGAIN + AFTERWARDS)

    def lines(self, run: Run, fault: str) -> list[Answers]:
        """What was answered, each token a line."""
        self.guard.send(None)
        told: list[list[tuple[int, float, float, int]]] = self.guard.recv()
        lines = {}
        for name, spans in zip(self.names, told, strict=True):
            sent, revoked = (None if moment is None else round(moment - self.began, 3) for moment in self.revoked.get(name, (None, None)))
            shifted = [Span(status, round(first - self.began, 3), round(last - self.began, 3), n) for status, first, last, n in spans]
            lines[name] = Answers(
                run.test,
                run.store,
                source(),
                fault,
                name,
                round(self.mended - self.began, 3),
                revoked,
                BOUND,
                AGAIN,
                shifted,
                sent,
            )
        return list(lines.values())  # of two of one name the later

    def close(self) -> None:
        """Let go of the store."""
        self.guard.close()
        self.store.close() if hasattr(self.store, "close") else None

    def _ask(self, name: str, pair: TokenPair) -> None:
        self.guard.send(pair.access_token)
        self.guard.recv()
        self.names.append(name)

    def _revoke(self, pair: TokenPair, name: str) -> None:
        sent = now()
        self._patiently(lambda: self.issuer.revoke_session(pair.session_id))
        self.revoked[name] = sent, now()

    def _patiently(self, work: Any) -> Any:
        until = now() + 20
        while True:
            try:
                return work()
            except StoreError:
                if now() > until:
                    raise
                time.sleep(0.02)
            except AuthError as error:
                if error.code == "not_found" and now() < until and self.doomed is not None:
                    return None  # it was done by a call whose answer was lost
                raise
