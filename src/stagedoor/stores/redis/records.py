"""Records: what a store on Redis writes of what was ended, and how that is read on; as steps, and as bytes. The rules stand in log.lua.

Never knows whether a step is awaited, nor a row.
"""

from __future__ import annotations

import math
import secrets
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from stagedoor.errors import StoreError
from stagedoor.revocation import EXPECTED, MARGIN, Page, Record, cursor_in, uptime
from stagedoor.stores.redis.row import pack_moment, unpack_moment
from stagedoor.stores.redis.script import ACKNOWLEDGED_IN, Command, Script, Steps

# Kind, until, written, through; what follows is the session ids one after another, the kid, or the issuer.
_HEAD = struct.Struct(">Bddd")
_SESSION, _KEY, _ISSUER = 1, 2, 3
_ID = 16
_TOGETHER = 500
"""Sessions in one record, entries in one answer: more would keep others waiting."""
_UNTOLD = 10_000
"""Sessions that wait for the log to be written again, at the most."""
_DIGITS = 15
"""Of a position, at the most: so far a double counts exactly."""


class Records:
    """The steps of a log. It knows how long access tokens live, as far as it was told."""

    def __init__(self, prefix: str, *, server_clock: bool, replicas: int) -> None:
        self._script = Script("log")
        self.source = self._script.source
        self._keys = _keys(prefix)
        self._server_clock = server_clock
        self._replicas = replicas
        self._told = 0.0  # by issuers here; with each record it is told again, to a server that has lost it perhaps
        self._life = EXPECTED
        self._untold: deque[tuple[bytes, bytes]] = deque(maxlen=_UNTOLD)

    def count(self, revoked_at: float | None, now: float) -> bool:
        """Whether access tokens may still be valid of a session that was revoked then."""
        return revoked_at is not None and now < revoked_at + self._life + MARGIN

    def expect(self, life: float) -> Steps[None]:
        """Log.expect."""
        self._told = max(life, self._told)
        yield from self._write("expect", b"")

    def end(self, session_ids: list[bytes], moment: bytes) -> Steps[None]:
        """Write that these sessions were ended; `moment` as for the store's scripts."""
        if not session_ids:
            return
        try:
            for at in range(0, len(session_ids), _TOGETHER):
                yield from self._write("sessions", moment, b"".join(session_ids[at : at + _TOGETHER]))
        except BaseException:  # a task that was cancelled, too: their rows are ended, and nobody may repeat the call
            self._untold.extend((session_id, moment) for session_id in session_ids)
            raise
        yield from self._wait()

    @property
    def is_behind(self) -> bool:
        """Whether sessions were ended here that are not in the log."""
        return bool(self._untold)

    def catch_up(self) -> Steps[None]:
        """Write what could not be written."""
        ended: dict[bytes, list[bytes]] = {}
        with suppress(IndexError):  # several may do this at one time
            for _ in range(_TOGETHER):
                session_id, moment = self._untold.popleft()
                ended.setdefault(moment, []).append(session_id)
        while ended:
            moment, session_ids = ended.popitem()
            try:
                yield from self.end(session_ids, moment)
            except BaseException:  # `end` keeps its own for the next time
                self._untold.extend((session_id, moment) for moment, ids in ended.items() for session_id in ids)
                raise

    def revoke_key(self, kid: str, now: float) -> Steps[Record]:
        """Log.revoke_key."""
        (head,) = yield from self._write("key", self._moment(now), kid.encode())
        yield from self._wait()
        (record,) = _unpack(head + kid.encode())
        return record

    def revoke_issuer(self, issuer: str, keep: float, now: float) -> Steps[Record]:
        """Log.revoke_issuer."""
        (head,) = yield from self._write("issuer", self._moment(now), issuer.encode(), pack_moment(keep))
        yield from self._wait()
        (record,) = _unpack(head + issuer.encode())
        return record

    def news(self, after: str, patience: float) -> Steps[bool]:
        """Wait so many seconds, at the most, for a record after this cursor; whether there is one."""
        _, position = _parted(after)
        block = max(1, int(patience * 1000))  # 0 would be for ever
        (found,) = yield partial(_send, ("XREAD", "COUNT", 1, "BLOCK", block, "STREAMS", self._keys[0], position))
        return bool(found)

    def read(self, after: str | None) -> Steps[Page]:
        """Feed.read, without a wait. Long logs come in several answers, so that no other call has to wait for the whole."""
        log, position = _parted(after)
        moment = b"" if self._server_clock else pack_moment(math.nan)
        records: list[Record] = []
        is_all = False
        while not is_all:
            asked = uptime()
            ask = self._script.on_all(self._keys, "read", moment, log, position, _TOGETHER)
            ((own, last, is_all, now, found),) = yield partial(_send, ask)
            log, position = own.decode(), last.decode()
            try:
                records += [record for raw in found for record in _unpack(raw)]
            except (ValueError, struct.error):
                raise StoreError("a record in the log of revocations is none that this version could read") from None
        told = unpack_moment(now) if self._server_clock else None
        return Page(cursor_in(log, position), records, told, uptime() - asked)

    def _write(self, verb: str, moment: bytes, *arguments: bytes) -> Steps[list[bytes]]:
        name = secrets.token_hex(8)  # of a log that has none yet; the random numbers of Redis are no secret
        ask = self._script.on_all(self._keys, verb, moment, name, pack_moment(self._told), *arguments)
        answer: list[bytes]
        ((life, *answer),) = yield partial(_send, ask)
        self._life = unpack_moment(life)
        return answer

    def _wait(self) -> Steps[None]:
        """Have replicas acknowledge what is written: on a connection that has written something itself."""
        if not self._replicas:
            return
        node = yield lambda link: link.node_of(self._keys[1])
        touching, waiting = ("HINCRBY", self._keys[1], "end", 0), ("WAIT", self._replicas, ACKNOWLEDGED_IN)
        _, acknowledged = yield lambda link: link.on(node, [touching, waiting])
        if int(acknowledged) < self._replicas:
            raise StoreError(f"revoked, but {acknowledged} of {self._replicas} replicas acknowledged it: try again")

    def _moment(self, now: float) -> bytes:
        return b"" if self._server_clock else pack_moment(now)


def _keys(prefix: str) -> tuple[bytes, bytes]:
    """The stream and the hash beside it, in one slot of a cluster: what stands between the first braces says in which."""
    before, brace, rest = prefix.partition("{")
    if brace and rest.startswith("}"):  # nothing stands there: then each whole name would have a slot of its own
        prefix = f"{before}{{r{rest}"
    return f"{prefix}:{{r}}:log".encode(), f"{prefix}:{{r}}:about".encode()


def _parted(cursor: str | None) -> tuple[str, str]:
    """The log that a cursor names and where it stands there; the beginning of none, where it is no cursor."""
    log, _, position = (cursor or "").rpartition(":")
    is_one = position.isascii() and position.isdecimal() and len(position) <= _DIGITS and log.isascii() and len(log) <= 100
    return (log, position) if is_one else ("", "0")


def _send(command: Command, link: Any) -> Any:
    return link.send([command])


def _unpack(raw: bytes) -> Iterator[Record]:
    kind, until, written, through = _HEAD.unpack_from(raw)
    names = raw[_HEAD.size :]
    if kind == _SESSION:
        for at in range(0, len(names), _ID):
            yield Record.of_session(names[at : at + _ID], 0.0, written)._replace(until=until)
    elif kind == _KEY:
        yield Record("key", names.decode(), until, written)
    elif kind != _ISSUER:
        raise ValueError(kind)
    elif names:  # else it stands in the hash
        yield Record("issuer", names.decode(), until, written, int(through))
