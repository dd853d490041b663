"""R11: keys that rotate every two seconds under load: four services sign from one vault, four processes verify by their JWKS.

Every token must be accepted from its first moment to its last, by those who hold last seconds' JWKS too; and no token of a key that is gone
may be, though its own time were not over. Never knows how a key is announced.
"""

from __future__ import annotations

import time
from collections import Counter
from multiprocessing import get_context
from typing import Any

from faults.log import now
from faults.places import Servers, migrate
from faults.run import Run
from faults.service import Settings, free_port
from faults.verifying import NOT_THERE, Asked, verify_until
from stagedoor import KeySet, Revocations
from stagedoor.vault import MasterKey, Vault

SIGNERS, VERIFIERS = 4, 4
EVERY = 2.0
"""Seconds between two rotations."""
ANNOUNCE, ACCESS, KEEP = 4, 2, 4
"""Seconds: a key stands in the JWKS before it signs, a token lives, an old key verifies. For ANNOUNCE a fault can be planted."""
MASTER = b"the master key of the suite, 32."
PATIENCE = 60.0
"""Seconds until a verifier has begun, and in the end has told what it saw."""
SIGNING = "faults.r11_rotation:signing"


def signing(settings: Settings) -> dict[str, Any]:
    """What makes a service of the suite one that signs from the vault."""
    return {"keys": keys_on(settings.place.sync_store()), "access": ACCESS, "revocations": Revocations()}


def keys_on(store: Any) -> KeySet:
    """The keys that all services share."""
    return KeySet.open(Vault(store.documents, MasterKey(MASTER)), announce=ANNOUNCE, keep=KEEP)


def play(run: Run, servers: Servers) -> None:
    """Rotate as often as is wanted while all others work; then look whether what is gone is refused."""
    place = servers.place(run.store)
    migrate(place)
    store: Any = place.sync_store()
    keys = keys_on(store)
    first = keys.signing(time.time()).kid
    nursery = servers.nursery()
    ports = [free_port() for _ in range(SIGNERS)]
    pids = [nursery.start(Settings(place, port, retry_window="60s", issuer=SIGNING)) for port in ports]
    processes = get_context("forkserver")
    stop, said = processes.Event(), processes.Queue()
    asked = [Asked(tuple(ports), number, wait_for_keys=number % 2 == 0) for number in range(VERIFIERS)]
    verifying = [processes.Process(target=verify_until, args=(each, stop, said), daemon=True) for each in asked]
    try:
        for process in verifying:
            process.start()
        for _ in verifying:
            said.get(timeout=PATIENCE)  # it is ready, and will meet the first key
        wanted, done, began = run.left, 0, now()
        while done < wanted:
            keys.rotate()
            done += 1
            time.sleep(max(0.0, began + done * EVERY - now()))
        time.sleep(ANNOUNCE + KEEP)  # until the last has begun to sign, and the one before it is gone
        stop.set()
        reports = [said.get(timeout=PATIENCE) for _ in verifying]
        for process in verifying:
            process.join(30)
    finally:
        for pid in pids:
            nursery.kill(pid)
        keys.close()
        store.close()
    _judge(run, reports, first, wanted)
    run.count(wanted)


def _judge(run: Run, reports: list[dict[str, Any]], first: str, rotations: int) -> None:
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report["counts"])
        for complaint in report["complaints"]:
            run.complain(complaint)
        if first not in report["seen"]:
            run.complain("a verifier never met the first key: it came too late to see anything")
        # Each key signs for two seconds; the first and the last few may be missed.
        if len(report["seen"]) < rotations - 1:
            run.complain(f"a verifier met {len(report['seen'])} keys in {rotations} rotations: they did not take place")
        if report["counts"].get("refused, the key is gone", 0) < rotations // 2:
            run.complain("too few tokens of keys that are gone were tried")
    if total[NOT_THERE] > total["accepted"] / 50:
        run.complain(f"the keys were not there {total[NOT_THERE]} times, for {total['accepted']} tokens that were accepted")
    for name, number in sorted(total.items()):
        run.figure(name, number)
