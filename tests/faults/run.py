"""Run: one test of the suite on one store: how much is wanted, how much is done, and the log that it all goes to.

Never knows what a test does.
"""

from __future__ import annotations

import hashlib
import random
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from faults.log import Begin, Complaint, Done, EventLog, Figure, Line, Loss, Refresh, Revoke, Theft, commit, now, read, source
from stagedoor.encoding import decode, encode

_HEAD = struct.Struct(">BH16sI32s")  # of a refresh token: version, pepper id, session id, generation, secret


@dataclass
class Run:
    """Goes on where the last run of the same code stopped: `left` is what is still to do."""

    test: str
    store: str
    wanted: int
    log: EventLog
    seed: int
    what: str = "rounds"
    already: int = 0
    done: int = 0
    complaints: int = 0
    rng: random.Random = field(init=False)
    tally: Counter[str] = field(default_factory=Counter)
    """How many of each sort are done, in this run and before."""
    _since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        lines = [line for line in read(self.log.path) if isinstance(line, Done) and self._is_mine(line)]
        self.already = sum(line.count for line in lines)
        for line in lines:
            self.tally[line.what] += line.count
        # Another part of the random sequence each time: a resumed run does not play the same rounds again.
        self.rng = random.Random(f"{self.seed} {self.test} {self.store} {self.already}")
        self.log.write(Begin(self.test, self.store, source(), commit(), self.seed, self.wanted, self.already, time.time()))

    @property
    def left(self) -> int:
        """How many are still to do."""
        return max(0, self.wanted - self.already - self.done)

    def count(self, number: int = 1, what: str | None = None) -> None:
        """So many more are done, judged and in the log; `what` where a test counts several sorts, each in a row of the table."""
        self.done += number
        self.tally[what or self.what] += number
        self.log.write(Done(self.test, self.store, source(), what or self.what, number, round(time.monotonic() - self._since, 3)))
        self._since = time.monotonic()

    def complain(self, text: str) -> None:
        """Something was wrong: the run goes on, the suite fails."""
        self.complaints += 1
        self.log.write(Complaint(self.test, self.store, source(), text))

    def figure(self, name: str, value: float | str, unit: str = "") -> None:
        """Something measured, for the table."""
        self.log.write(Figure(self.test, self.store, source(), name, value, unit))

    def refreshed(
        self,
        presented: str,
        sent: float,
        outcome: str,
        returned: str | None = None,
        *,
        thief: bool = False,
        ended: float | None = None,
    ) -> None:
        """A token was presented; `returned` is the refresh token that was answered. `ended`: just now, where it is not said."""
        session, generation, _ = parts(presented)
        got, digest = (None, None) if returned is None else parts(returned)[1:]
        self.log.write(Refresh(self.test, self.store, session, generation, sent, ended or now(), outcome, got, digest, thief))

    def revoked(self, session: str, sent: float, why: str, *, acknowledged: bool = True) -> None:
        """A revocation was acknowledged just now; or no answer came."""
        self.log.write(Revoke(self.test, self.store, session, sent, now(), why, acknowledged))

    def stolen(self, session: str) -> None:
        """From now on somebody else has a token of this session."""
        self.log.write(Theft(self.test, self.store, session, now()))

    def lost(self, what: str, *, revocations: bool = False) -> None:
        """The store may have lost writes that it acknowledged before now."""
        self.log.write(Loss(self.test, self.store, now(), what, revocations))

    def write(self, line: Line) -> None:
        """Any line."""
        self.log.write(line)

    def _is_mine(self, line: Any) -> bool:
        return (line.test, line.store, line.source) == (self.test, self.store, source())


def parts(text: str) -> tuple[str, int, str]:
    """Session (as claim `sid` has it), generation and a short digest of a refresh token, read without any pepper."""
    data = decode(text.removeprefix("sdr_"))
    _, _, session_id, generation, _ = _HEAD.unpack_from(data)
    return encode(session_id), generation, hashlib.sha256(text.encode()).hexdigest()[:12]
