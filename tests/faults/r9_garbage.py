"""R9: garbage at full speed, in the library and over HTTP: it is refused, and no store is ever asked.

Asked or not is counted by a proxy around the store; PostgreSQL and Redis are asked for their own counts as well. A store is new for the
garbage: it has no reason for even a connection. Never knows why a text is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec

from faults.garbage import Counting, Garbage
from faults.places import Place, Servers, migrate
from faults.run import Run
from faults.service import PREFIX, SECRET, Settings, free_port, named
from faults.witness import served
from stagedoor import KeySet, Peppers, Revocations, SyncIssuer
from stagedoor.errors import AuthError, RefreshTokenUnknown

GENUINE = 400
BATCH = 10_000
HTTP_SHARE = 10
"""One of so many goes over HTTP."""
LOGOUTS = 10
"""One of so many is sent to be logged out instead of refreshed."""
CONNECTIONS = 8
TOGETHER = 16
"""Requests written to a connection before their answers are read."""
PATIENCE = 60.0
"""Seconds until a silent service counts as lost."""
TRIES, PAUSE = 20, 0.3
"""Of a genuine request to which the service only says that it cannot answer now; and the seconds between two."""
ISSUER: str | None = None
"""More arguments for the issuer, as Settings.issuer has them: here a fault can be planted."""


def play(run: Run, servers: Servers) -> None:
    """First the library, then the endpoints."""
    place = servers.place(run.store)
    migrate(place)
    over_http = run.left // HTTP_SHARE
    genuine = _genuine(run, place, min(GENUINE, max(40, run.left // 20)))
    _library(run, place, genuine, run.left - over_http)
    settings, nursery = Settings(place, free_port(), wrap="faults.garbage:Counting", issuer=ISSUER), servers.nursery()
    service = nursery.start(settings)
    try:
        asyncio.run(_http(run, settings.port, genuine, over_http))
    finally:
        nursery.kill(service)


def _issuer(store: Any, events: Counter[str], **more: Any) -> SyncIssuer:
    def listen(event: Any) -> None:
        events[event.name] += 1

    more |= {"peppers": Peppers(SECRET)} | ({} if ISSUER is None else named(ISSUER)(None))
    return SyncIssuer("http://127.0.0.1", audience="faults", store=store, keys=KeySet.from_secret(SECRET), events=listen, **more)


def _genuine(run: Run, place: Place, number: int) -> list[str]:
    """Genuine tokens, each used once: how fast that is, and that the counters count."""
    store: Any = place.sync_store()
    counting, before = Counting(store), served(place)
    issuer = _issuer(counting, Counter(), revocations=Revocations())  # what follows the log asks the server too
    first = [issuer.issue(f"user-{each}").refresh_token for each in range(number)]
    began, called = time.perf_counter(), counting.calls
    second = [issuer.refresh(text).refresh_token for text in first]
    run.figure("refreshed", round(number / (time.perf_counter() - began)), "/s")
    store.close()
    if counting.calls - called != number:
        run.complain(f"{number} refreshes were counted as {counting.calls - called} calls")
    if before is not None and served(place) == before:
        run.complain("the server's own count did not move when the store was used")
    return [text for pair in zip(first, second, strict=True) for text in pair]


def _library(run: Run, place: Place, genuine: Sequence[str], wanted: int) -> None:
    events: Counter[str] = Counter()
    store: Any = place.sync_store()
    counting = Counting(store)
    issuer, garbage, before = _issuer(counting, events), Garbage(run.rng, genuine), served(place)
    spent, done, calls = 0.0, 0, counting.calls
    while done < wanted:
        texts = garbage.make(min(BATCH, wanted - done))
        events.clear()
        began = time.perf_counter()
        accepted = [text for number, text in enumerate(texts) if not _refused(issuer, text, number % LOGOUTS == 0)]
        spent += time.perf_counter() - began
        if accepted:
            run.complain(f"{len(accepted)} of {len(texts)} were not refused as unknown, such as {accepted[0]!r}")
        if counting.calls != calls:
            run.complain(f"{counting.calls - calls} calls of the store for garbage")
            calls = counting.calls
        if events != Counter(refresh_refused=len(texts)):
            run.complain(f"{len(texts)} refusals were told as {dict(events)}")
        done += len(texts)
        run.count(len(texts))
    store.close()
    if served(place) != before:
        run.complain(f"the server counted {served(place)} after the garbage, {before} before")
    if spent:
        run.figure("refused", round(done / spent), "/s")


def _refused(issuer: SyncIssuer, text: str, logout: bool) -> bool:
    try:
        issuer.revoke(text) if logout else issuer.refresh(text)
    except RefreshTokenUnknown:
        return True
    except AuthError:
        return False
    return False


async def _http(run: Run, port: int, genuine: Sequence[str], wanted: int) -> None:
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        texts = [await _login(client, f"web-{each}") for each in range(CONNECTIONS)]
        calls, began = await _calls(client), time.perf_counter()
        answered, asked = await _answered(connections, [("/refresh", text) for text in texts * TOGETHER])
        run.figure("refreshed over HTTP", round(len(answered) / (time.perf_counter() - began)), "/s")
        # Of those that could not be answered at first, some may have come as far as the store.
        if set(answered) != {200} or not len(answered) <= await _calls(client) - calls <= asked:
            run.complain("genuine refreshes over HTTP were not answered, or not counted")
        calls = await _calls(client)
        garbage, spent, done = Garbage(run.rng, genuine), 0.0, 0
        while done < wanted:
            number = min(BATCH // HTTP_SHARE, wanted - done)
            sent = [("/logout" if each % LOGOUTS == 0 else "/refresh", text) for each, text in enumerate(garbage.make(number))]
            began = time.perf_counter()
            answers = await _exchanged(connections, sent)
            spent += time.perf_counter() - began
            for (path, text), (status, error) in zip(sent, answers, strict=True):
                if not _as_it_should(path, text, status, error):
                    run.complain(f"{path} of {text!r} was answered {status} {error}")
            now = await _calls(client)
            if now != calls:
                run.complain(f"{now - calls} calls of the store for garbage over HTTP")
                calls = now
            done += number
            run.count(number)
        if spent:
            run.figure("refused over HTTP", round(done / spent), "/s")
    for _, writer in connections:
        writer.close()
        await writer.wait_closed()


def _as_it_should(path: str, text: str, status: int, error: str) -> bool:
    if not text:
        return (status, error) == (400, "invalid_request")  # nothing was sent at all
    return (status, error) == ((204, "") if path == "/logout" else (400, "invalid_grant"))


async def _login(client: httpx2.AsyncClient, name: str) -> str:
    for _ in range(TRIES):
        answer = await client.post(f"{PREFIX}/login", json={"username": name, "password": "any"})
        if answer.status_code != 503:
            break
        await asyncio.sleep(PAUSE)
    return str(answer.raise_for_status().json()["refresh_token"])


async def _answered(
    connections: Sequence[tuple[asyncio.StreamReader, asyncio.StreamWriter]], requests: Sequence[tuple[str, str]]
) -> tuple[list[int], int]:
    """The status of each, asked again where that is 503; and how often was asked in all."""
    found, asked = [], 0
    for _ in range(TRIES):
        answers = await _exchanged(connections, requests)
        asked += len(answers)
        found += [status for status, _ in answers if status != 503]
        requests = [each for each, (status, _) in zip(requests, answers, strict=True) if status == 503]
        if not requests:
            return found, asked
        await asyncio.sleep(PAUSE)
    return [*found, *[503] * len(requests)], asked


async def _calls(client: httpx2.AsyncClient) -> int:
    return int((await client.post("/steps")).text)


async def _exchanged(
    connections: Sequence[tuple[asyncio.StreamReader, asyncio.StreamWriter]], requests: Sequence[tuple[str, str]]
) -> list[tuple[int, str]]:
    """Status and `error` of each answer, in order; the requests are dealt out over the connections."""
    share = -(-len(requests) // len(connections))
    shares = [requests[start : start + share] for start in range(0, len(requests), share)]
    answers = await asyncio.gather(*(_on(*each) for each in zip(connections, shares, strict=False)))
    return [answer for each in answers for answer in each]


async def _on(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], requests: Sequence[tuple[str, str]]) -> list[tuple[int, str]]:
    reader, writer = connection
    answers = []
    for start in range(0, len(requests), TOGETHER):
        together = requests[start : start + TOGETHER]
        writer.write(b"".join(_written(path, text) for path, text in together))
        for _ in together:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            body = msgspec.json.decode(await reader.readexactly(size)) if size else {}
            answers.append((int(head[9:12]), body.get("error", "")))
    return answers


def _written(path: str, text: str) -> bytes:
    body = msgspec.json.encode({"refresh_token": text})
    head = f"POST {PREFIX}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
