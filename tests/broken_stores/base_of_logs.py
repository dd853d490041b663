"""A store in memory that writes what it ends into a log; without a fault planted it keeps the contract of logs."""

import threading

from broken_stores.base import Intact
from stagedoor.revocation import EXPECTED, Page, Record, cursor_in, position_in
from stagedoor.session import Outcome


class ListLog:
    """Records with their positions. Each fault overrides one of its steps."""

    def __init__(self) -> None:
        self.name = "log"
        self.records: dict[int, Record] = {}
        self.end = 0
        self.life: float | None = None
        self.changed = threading.Condition()

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        with self.changed:
            start = self.start(after)
            if start == self.end and wait:
                self.wait(wait)
            return Page(cursor_in(self.name, self.end), self.told(start), None, 0.0)

    def start(self, after: str | None) -> int:
        position = position_in(self.name, after) or ""
        return int(position) if position.isdecimal() and len(position) < 20 and int(position) <= self.end else 0

    def wait(self, wait: float) -> None:
        self.changed.wait(wait)

    def told(self, start: int) -> list[Record]:
        return [record for at, record in self.records.items() if at >= start]

    def lives(self) -> float:
        return self.life or EXPECTED

    def expect(self, life: float) -> None:
        self.life = max(life, self.life or 0.0)

    def moment(self, now: float) -> float:
        return now

    def is_over(self, record: Record, now: float) -> bool:
        return record.until <= now

    def revoke_key(self, kid: str, now: float) -> Record:
        return self.write(Record.of_key(kid, self.lives(), self.moment(now)))

    def revoke_issuer(self, issuer: str, keep: float, now: float) -> Record:
        return self.write(Record.of_issuer(issuer, keep, self.moment(now)))

    def end_session(self, session_id: bytes, now: float) -> None:
        self.write(Record.of_session(session_id, self.lives(), self.moment(now)))

    def write(self, record: Record) -> Record:
        with self.changed:
            for at in [at for at, known in self.records.items() if self.is_over(known, record.written)]:
                del self.records[at]
            self.put(self.end, record)
            self.end += 1
            self.changed.notify_all()
        return record

    def put(self, at: int, record: Record) -> None:
        self.records[at] = record


class Logged(Intact):
    """Writes a record wherever it ends a session. `log_of` makes its log."""

    log_of: type[ListLog] = ListLog

    def __init__(self) -> None:
        super().__init__()
        self.log = self.log_of()

    def end(self, session, reason, now):
        super().end(session, reason, now)
        self.log.end_session(session.id, now)

    async def settle(self, outcome, presented, now):
        settled = await super().settle(outcome, presented, now)
        if settled and outcome is Outcome.REUSED:
            self.log.end_session(presented.session_id, now)
        return settled


class IntactLog(Logged):
    """Without a fault."""
