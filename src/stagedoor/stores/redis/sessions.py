"""What a store asks of Redis, each as steps written once: generators that yield what they ask of a link and are sent its answer.

Never knows whether a step is awaited, a socket, nor a rule of the table: that stands in session.lua.
"""

from __future__ import annotations

import base64
import math
import re
import secrets
from collections.abc import Sequence
from typing import Any

from stagedoor.errors import SessionUnreadable, StoreError
from stagedoor.session import KEPT_DEAD, Answer, Outcome, Presented, Session
from stagedoor.stores.redis.records import Records
from stagedoor.stores.redis.row import CALL, pack, pack_moment, pack_presented, unpack, unpack_moment
from stagedoor.stores.redis.script import ACKNOWLEDGED_IN, Command, R, Script, Steps

GRACE = 120.0
"""Seconds that an entry stays in its subject's list though its row is not there (it may be about to be written) or is revoked (a failover
may have lost that, or a repeated call wait for replicas again)."""
_TOGETHER = 500
"""Commands that are sent at once: more would keep others waiting."""
_EVERYBODY = -1
_SPARE = 64
"""Entries that a login over the limit looks at beyond the limit itself, at each end of the list."""
_REUSE = "reuse"
_UNREADABLE = "unreadable"


class Sessions:
    """The steps of each method of a store; arguments as of RedisStore."""

    def __init__(self, *, prefix: str, server_clock: bool, allow_eviction: bool, replicas: int) -> None:
        if not re.fullmatch(r"[\w{}:.-]+", prefix, re.ASCII):
            raise ValueError("a prefix of keys has at least one character, and none but letters, digits and _ : . - { }")
        if not isinstance(replicas, int) or isinstance(replicas, bool):
            raise TypeError("replicas is a whole number")
        if replicas < 0:
            raise ValueError("replicas is how many must acknowledge a revocation, 0 for none")
        self._session, self._subject = Script("session"), Script("subject")
        self.records = Records(prefix, server_clock=server_clock, replicas=replicas)
        self.scripts = [self._session.source, self._subject.source, self.records.source]
        self._prefix = prefix.encode()
        self._server_clock = server_clock
        self._told = -math.inf  # the last moment that a caller named, for `get`, which names none
        self._replicas = replicas
        self._allow_eviction = allow_eviction
        self._checked = False

    def migrate(self) -> Steps[None]:
        """Redis has no tables: look whether it is one that keeps what it is given."""
        yield from self._check()
        yield lambda link: link.load(self.scripts)

    def open(self, session: Session, limit: int, now: float) -> Steps[list[bytes]]:
        """Store.open.

        The entry in the subject's list comes before the row: whatever breaks in between, no live session is missing there. All who open
        look at the list after their own row stands, and agree on its order: so the last of them sees every row, and `limit` stay.

        Against revoke_subject, which reads the list and then ends what it finds: the row was there, and is ended; or the entry was there
        and not yet the row, or not even the entry: then this login, of which nobody has been told yet, counts as the later of the two,
        and is in the list for the next. An issuer's `confirm` is asked after all this, so a disabled account gets no session either way.
        """
        yield from self._check()
        moment = self._moment(now)
        index = self._index(session.subject)
        milliseconds = max(1, math.ceil((session.absolute_ends_at + KEPT_DEAD - now) * 1000))
        enter = self._subject.on(index, "enter", moment, session.id, milliseconds)
        (entered,) = yield from self._ask(enter)
        _, opened, _ = yield from self._row(session.id, "open", moment, pack(session), pack_moment(now))
        if opened - unpack_moment(entered[0]) > GRACE / 2:
            yield from self._ask(enter)  # slept on the way: somebody may have taken the entry for a dead one
        at, entries = yield from self._entries(index, limit, limit + _SPARE)
        live, _ = yield from self._visit(index, at, entries)
        return (yield from self._end([row.id for row in live[:-limit]], "session_limit", moment))

    def get(self, session_id: bytes) -> Steps[Session | None]:
        """Store.get."""
        _, _, session = yield from self._row(session_id, "get", self._told_moment())
        return session

    def rotate(self, presented: Presented, now: float) -> Steps[Answer]:
        """Store.rotate: one script, one round trip, whatever the outcome.

        But for a session that a reuse has ended: where that call broke before it came to the log, the next one with its token mends it.
        """
        yield from self._check()
        arguments = pack_presented(presented), presented.attempt or b""
        word, at, session = yield from self._row(presented.session_id, "rotate", self._moment(now), *arguments)
        if session is not None and session.reason == _REUSE:
            yield from self._tell([(session, at)])
        return Answer(Outcome.UNKNOWN if session is None else Outcome(word), session, at)

    def settle(self, outcome: Outcome, presented: Presented, now: float) -> Steps[bool]:
        """Store.settle."""
        yield from self._check()
        arguments = pack_presented(presented), presented.attempt or b"", outcome.value, _ending(_REUSE)
        return (yield from self._finish(presented.session_id, "settle", self._moment(now), *arguments))

    def revoke(self, session_id: bytes, reason: str, now: float, subject: str | None) -> Steps[bool]:
        """Store.revoke."""
        yield from self._check()
        owner = b"" if subject is None else b"=" + subject.encode()
        return (yield from self._finish(session_id, "revoke", self._moment(now), _ending(reason), owner))

    def revoke_subject(self, subject: str, reason: str, now: float) -> Steps[list[bytes]]:
        """Store.revoke_subject: each by its own atomic script. One that fails in the middle is finished by a repeated call."""
        yield from self._check()
        moment = self._moment(now)
        index = self._index(subject)
        _, entries = yield from self._entries(index)
        return (yield from self._end([session_id for session_id, _ in entries], reason, moment))

    def sessions(self, subject: str, now: float) -> Steps[list[Session]]:
        """Store.sessions."""
        self._moment(now)
        index = self._index(subject)
        at, entries = yield from self._entries(index)
        live, _ = yield from self._visit(index, at, entries)
        live.reverse()  # of one moment too the latest comes first
        live.sort(key=lambda row: row.created_at, reverse=True)
        return live

    def purge(self, now: float) -> Steps[int]:
        """Take entries without a session out of all subjects' lists; how many there were."""
        self._moment(now)
        gone = 0
        for node in (yield lambda link: link.masters()):
            cursor: Any = 0
            while True:
                scan = ("SCAN", cursor, "MATCH", self._prefix + b":u:*", "COUNT", _TOGETHER)
                ((cursor, keys),) = yield from self._on(node, scan)
                for index in keys:
                    at, entries = yield from self._entries(index)
                    gone += (yield from self._visit(index, at, entries))[1]
                if int(cursor) == 0:
                    break
        return gone

    def _finish(self, session_id: bytes, verb: str, *arguments: bytes | str) -> Steps[bool]:
        """Run a verb that may end this session; whether it was this call's doing.

        Where the session is revoked, and be it by an earlier call, that is said only when it is in the log, and when replicas know of it.
        """
        word, at, session = yield from self._row(session_id, verb, *arguments)
        if session is not None and session.revoked_at is not None and word != "foreign":
            yield from self._tell([(session, at)])
            yield from self._wait([session.id])
        return word == "done"

    def _end(self, session_ids: list[bytes], reason: str, moment: bytes) -> Steps[list[bytes]]:
        """End those of them that are live; which these were."""
        ending = _ending(reason)
        ended, revoked = [], []
        for some in _batches(session_ids):
            replies = yield from self._ask(*(self._session.on(self._key(each), "revoke", moment, ending, "") for each in some))
            for session_id, reply in zip(some, replies, strict=True):
                word, at, row = _read(session_id, reply)
                revoked += [] if row is None else [(row, at)]
                ended += [session_id] if word == "done" else []
        yield from self._tell(revoked)
        yield from self._wait(session_ids)
        return ended

    def _tell(self, revoked: list[tuple[Session, float]]) -> Steps[None]:
        """Write to the log that these were revoked, each as it was found at that moment of its server.

        Those too that an earlier call has revoked: it may have broken before it came to this. Where all their access tokens have expired
        since, there is nothing to tell.
        """
        yield from self.records.end([row.id for row, at in revoked if self.records.count(row.revoked_at, at)], self._told_moment())

    def _entries(
        self, index: bytes, more_than: int = _EVERYBODY, newest: int = _EVERYBODY
    ) -> Steps[tuple[float, list[tuple[bytes, float]]]]:
        """The moment, and who is in this list since when, the oldest first; nobody unless there are more than so many.

        With `newest` only so many at that end and some at the other: whoever logs in and out without end makes no login dear. Those in
        between have their turn at a later login.
        """
        ((at, *found),) = yield from self._ask(self._subject.on(index, "list", self._told_moment(), more_than, newest, _SPARE))
        scores = [float(score) / 1000 for score in found[1::2]]
        return unpack_moment(at), list(zip(found[::2], scores, strict=True))

    def _visit(self, index: bytes, at: float, entries: list[tuple[bytes, float]]) -> Steps[tuple[list[Session], int]]:
        """The live sessions of these entries, each by the clock of its own server; and how many dead entries left the list."""
        live, gone, revoked = [], [], []
        for some in _batches(entries):
            replies = yield from self._ask(*(self._session.on(self._key(each), "get", self._told_moment()) for each, _ in some))
            for (session_id, since), reply in zip(some, replies, strict=True):
                _, now, row = _read(session_id, reply)
                if row is not None and row.is_live(now):
                    live.append(row)
                elif row is not None and row.revoked_at is not None:
                    revoked += [(row, now)] if now - row.revoked_at > GRACE else []
                elif row is not None:
                    # Expired: were the clock set back, it would live again, and must be found.
                    gone += [session_id] if now - min(row.idle_ends_at, row.absolute_ends_at) > GRACE else []
                elif at - since > GRACE:
                    gone.append(session_id)
        try:
            # While a replica, or the log, may not know that it is revoked, it must be found again.
            yield from self._tell(revoked)
            yield from self._wait([row.id for row, _ in revoked])
            gone += [row.id for row, _ in revoked]
        except StoreError:
            pass
        for leaving in _batches(gone):
            yield from self._ask(("ZREM", index, *leaving))
        return live, len(gone)

    def _wait(self, session_ids: list[bytes]) -> Steps[None]:
        """Have replicas acknowledge what these rows are now: written anew, on the connection that then waits, as often as it is asked."""
        if not self._replicas or not session_ids:
            return
        nodes: dict[str, list[Command]] = {}
        for session_id in session_ids:
            key = self._key(session_id)
            node = yield from self._node_of(key)
            nodes.setdefault(node, []).append(self._session.on(key, "touch", self._told_moment()))
        for node, touches in nodes.items():
            for some in _batches(touches):
                *_, acknowledged = yield from self._on(node, *some, ("WAIT", self._replicas, ACKNOWLEDGED_IN))
                if int(acknowledged) < self._replicas:
                    raise StoreError(f"revoked, but {acknowledged} of {self._replicas} replicas acknowledged it: try again")

    def _check(self) -> Steps[None]:
        """Once, before anything is written: a Redis that evicts would log people out, and a cluster's node has a part of the keys."""
        if self._checked:
            return
        nodes, unknown = (yield lambda link: link.masters()), 0
        for node in nodes:
            try:
                memory, cluster = yield from self._on(node, ("INFO", "memory"), ("INFO", "cluster"))
            except StoreError:
                unknown += 1
                if unknown == len(nodes):
                    raise
                continue  # those whose sessions are elsewhere go on; it is asked again with the next
            if not node and cluster.get("cluster_enabled"):
                raise StoreError("this Redis is a node of a cluster: write redis+cluster:// (or rediss+cluster://) in the URL")
            policy = memory.get("maxmemory_policy", "unknown")
            if policy != "noeviction" and memory.get("maxmemory", 1) and not self._allow_eviction:
                raise StoreError(
                    f"this Redis evicts keys when memory runs short (maxmemory-policy {policy}): sessions would be lost. "
                    "Set maxmemory-policy to noeviction, or say RedisStore(…, allow_eviction=True)"
                )
        self._checked = not unknown

    def _row(self, session_id: bytes, verb: str, *arguments: bytes | str) -> Steps[tuple[str, float, Session | None]]:
        """Run a verb of session.lua: its word, the moment, and the row after it. SessionUnreadable."""
        (reply,) = yield from self._ask(self._session.on(self._key(session_id), verb, *arguments))
        word, now, row = _read(session_id, reply)
        if word == _UNREADABLE:
            name = base64.urlsafe_b64encode(session_id).rstrip(b"=").decode()
            raise SessionUnreadable("what stands under its key is no row of a session", session_id=name)
        return word, now, row

    def _ask(self, *commands: Command) -> Steps[list[Any]]:
        return (yield lambda link: link.send(commands)) if commands else []

    def _on(self, node: str, *commands: Command) -> Steps[list[Any]]:
        answers: list[Any] = yield lambda link: link.on(node, commands)
        return answers

    def _node_of(self, key: bytes) -> Steps[str]:
        node: str = yield lambda link: link.node_of(key)
        return node

    def _moment(self, now: float) -> bytes:
        """The moment for a script: empty where it is to take its server's own."""
        self._told = now
        return self._told_moment()

    def _told_moment(self) -> bytes:
        return b"" if self._server_clock else pack_moment(self._told)

    def _key(self, session_id: bytes) -> bytes:
        return self._prefix + b":s:" + session_id

    def _index(self, subject: str) -> bytes:
        return self._prefix + b":u:" + subject.encode()


def _read(session_id: bytes, reply: Sequence[Any]) -> tuple[str, float, Session | None]:
    """An answer of session.lua: its word, the moment, the row."""
    word, now, raw = reply
    try:
        return word.decode(), unpack_moment(now), None if raw is None else unpack(session_id, raw)
    except ValueError:  # the head is right, the texts are not
        return _UNREADABLE, unpack_moment(now), None


def _ending(reason: str) -> bytes:
    """What is written of an end: a name for this call, then why."""
    return secrets.token_bytes(CALL) + reason.encode()


def _batches(things: Sequence[R]) -> list[Sequence[R]]:
    return [things[at : at + _TOGETHER] for at in range(0, len(things), _TOGETHER)]
