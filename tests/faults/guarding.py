"""The guard of R13: a process that listens, and is asked every ten milliseconds whether a token may pass; what it answers is kept in time.

Where it is told so it lives in a network namespace of its own. Never knows what is done to whom it listens to.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

import msgspec

from faults.hearing import keys_of
from faults.link import Link
from faults.log import Span, now
from faults.places import Place
from faults.service import SECRET, named
from stagedoor import Revocations, Verifier
from stagedoor.errors import AuthError
from stagedoor.guards.guard import Demand, Gate
from stagedoor.guards.headers import Headers

PATIENCE = 20.0
"""Seconds in which a token is answered for the first time, and in which what is revoked is refused."""
EVERY = 0.01
"""Seconds between two requests with one token."""
_CLONE_NEWNET = 0x40000000


class Guarding(msgspec.Struct, frozen=True):
    """What the process is told. `source` names a callable "module:name": (place) -> what Revocations follow."""

    place: Place
    bound: float
    source: str = "faults.hearing:listened"
    revocations: str = "stagedoor:Revocations"
    namespace: str | None = None


def guard_until_told(asked: Guarding, orders: Connection) -> None:
    """Each text that comes is a token to ask about from now on; the number of one: go on when it is refused, or patience is over.

    None: tell all answers, in the order of the tokens, and end.
    """
    place = asked.place
    if asked.namespace is not None:
        enter(asked.namespace)
        if place.feed_url:  # a feed takes http from this machine alone: the wire begins behind a relay
            parts = urlsplit(place.feed_url)
            link = Link(parts.port or 0, at=parts.hostname or "")
            place = replace(place, feed_url=place.feed_url.replace(parts.netloc, f"127.0.0.1:{link.port}"))
    source = named(asked.source)(place)
    kind: type[Revocations] = named(asked.revocations)
    revocations = kind.following(source, bound=asked.bound)
    gate = Gate(Verifier("http://127.0.0.1", audience="faults", keys=keys_of((SECRET,)), revocations=revocations))
    revocations.follow()
    over, asking = threading.Event(), []
    kept: list[list[Span]] = []
    with suppress(EOFError):
        while (order := orders.recv()) is not None:
            if isinstance(order, int):
                _wait_until(lambda spans=kept[order]: bool(spans) and spans[-1].status == 401)
            else:
                kept.append([])
                asking.append(threading.Thread(target=_ask, args=(gate, order, kept[-1], over), daemon=True))
                asking[-1].start()
                _wait_until(lambda spans=kept[-1]: bool(spans))
            orders.send(None)
        over.set()
        for thread in asking:
            thread.join(PATIENCE)
        orders.send([[msgspec.structs.astuple(span) for span in spans] for spans in kept])
    os._exit(0)  # who is followed may hang: nobody waits for it


def _ask(gate: Gate[Any], text: str, kept: list[Span], over: threading.Event) -> None:
    headers = Headers([(b"authorization", b"Bearer " + text.encode())])
    demand = Demand()
    is_last = False
    while not is_last:
        is_last = over.is_set()  # it is asked once more then, however long nothing was
        asked = now()
        status = 200
        try:
            gate.admit("GET", headers, demand)
        except AuthError as error:
            status = error.status
        if kept and kept[-1].status == status:
            kept[-1].last = asked
            kept[-1].count += 1
        else:
            kept.append(Span(status, now() if status == 401 else asked, asked, 1))
        time.sleep(max(0.0, EVERY - (now() - asked)))


def _wait_until(holds: Callable[[], bool]) -> None:
    until = now() + PATIENCE
    while not holds() and now() < until:
        time.sleep(EVERY)


def enter(namespace: str) -> None:
    """This thread, and those that it starts, are in this network namespace."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(descriptor)
