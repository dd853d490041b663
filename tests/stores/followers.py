"""Who follows the log of a store: in this process, and in another one."""

import asyncio
import time
from typing import Any

from awake import Awake
from stagedoor import Issuer, KeySet, Peppers
from stagedoor.errors import RevocationsStale, TokenRevoked
from stagedoor.revocation import Page, Record, Revocations
from stagedoor.stores.sql import SQLStore, SyncSQLStore
from stores.processes import anew

ROUNDS = 5
FORKED = """
import os, sys, time
from stagedoor.stores.sql import SyncSQLStore
from stagedoor.revocation import Revocations
store = SyncSQLStore(sys.argv[1])
revocations = Revocations.following(store)
revocations._follower._patience = 30.0  # a machine may stand still for longer than a second
revocations.hear()
cursor = store.log.read(None).cursor
child = os.fork()
kid = "child" if child == 0 else "parent"
for _ in range(20):
    store.log.read(cursor, 0.01)
store.log.revoke_key(kid, time.time())
heard, until = set(), time.monotonic() + 40
while heard != {"child", "parent"} and time.monotonic() < until:
    page = store.log.read(cursor, 0.2)
    heard |= {record.name for record in page.records}
    cursor = page.cursor
while (len(revocations) < 2 or not revocations.is_fresh) and time.monotonic() < until:
    time.sleep(0.01)
fine = heard == {"child", "parent"} and len(revocations) == 2 and revocations.is_fresh
revocations.close()
store.close()
if child == 0:
    os._exit(0 if fine else 1)
print(fine, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
"""A script: parent and child of a fork, which both follow the store at the URL that it is given and hear of what both end. It prints
"True 0"."""


def names(page: Page) -> list[str]:
    """What the records of a page say is ended."""
    return [record.name for record in page.records]


def record_of(session_id: bytes) -> str:
    """The name in the record of a session."""
    return Record.of_session(session_id, 0.0, 0.0).name


class Subscriber:
    """Reads on and on, as Revocations do, and goes on after an error."""

    def __init__(self, store: SyncSQLStore) -> None:
        self._revocations = Revocations.following(store)

    def __enter__(self) -> "Subscriber":
        self._revocations.follow()
        return self

    def __exit__(self, *_: object) -> None:
        self._revocations.close()

    def has(self, kid: str, within: float = 30.0) -> bool:
        """Whether this key is known to be revoked, soon."""
        until = time.monotonic() + within
        while kid not in self._revocations._keys and time.monotonic() < until:
            time.sleep(0.01)
        return kid in self._revocations._keys


async def refused_within(seconds: float, here: SQLStore, there: SQLStore) -> None:
    """Two issuers with the same keys; what the one ends the verifier of the other refuses in that time, in each way to end it."""
    keys, peppers = KeySet.generate(), Peppers.generate()
    one, other = (Issuer("https://i.example", audience="a", store=each, keys=keys, peppers=peppers) for each in (here, there))
    verifier = other.verifier()
    pairs = [await one.issue("ada") for _ in range(3)]
    await other.revocations.hear_async()
    for pair in pairs:
        verifier.verify(pair.access_token)
    ways = [lambda: one.revoke(pairs[0].refresh_token), lambda: one.revoke_session(pairs[1].session_id), lambda: one.revoke_subject("ada")]
    for pair, way in zip(pairs, ways, strict=True):
        verifier.verify(pair.access_token)
        await way()
        with Awake() as awake:
            await _refused(verifier, pair.access_token, awake, seconds)
    for each in (one, other):
        await asyncio.to_thread(each.revocations.close)
    await here.close()
    await there.close()


async def _refused(verifier: Any, token: str, awake: Awake, seconds: float) -> None:
    while True:
        late = awake.seconds > seconds
        try:
            verifier.verify(token)
        except TokenRevoked:
            return
        except RevocationsStale:  # the machine stood still for longer than the bound
            pass
        assert not late
        await asyncio.sleep(0.005)


def two_processes(url: str) -> float:
    """One ends, again and again, and another one follows; the longest time from the one to the other, in seconds."""
    ready, heard = anew.Queue(), anew.Queue()
    process = anew.Process(target=_follow, args=(url, ready, heard))
    process.start()
    ready.get(timeout=60)
    store, longest = SyncSQLStore(url), 0.0
    for number in range(ROUNDS):
        time.sleep(0.11 * number)
        store.log.revoke_key(f"kid-{number}", time.time())
        with Awake() as awake:
            assert heard.get(timeout=60) == f"kid-{number}"
        longest = max(longest, awake.seconds)
    process.join(60)
    assert process.exitcode == 0
    store.close()
    return longest


def _follow(url: str, ready: Any, heard: Any) -> None:
    store = SyncSQLStore(url)
    with Subscriber(store) as subscriber:
        assert not subscriber.has("none", within=0.3)
        ready.put(None)
        for number in range(ROUNDS):
            if subscriber.has(f"kid-{number}", within=60):
                heard.put(f"kid-{number}")
    store.close()
