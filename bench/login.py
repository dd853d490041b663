"""Login: how many a second, beside bare argon2id of the same parameters, and what a guarded route answers meanwhile.

The service as `stagedoor demo` runs it, on SQLite, one process on core 0, where it has one thread for passwords; the load on core 1.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import argon2

from bench import peers
from bench.clients import Answer, ask, get, going, load, post
from bench.clients import run as on_a_loop
from bench.machine import on_core
from bench.options import Options
from bench.places import free_port
from bench.table import Table
from bench.turns import in_turns, is_due

NAME = "login"
SUMMARY = "Log in: a second, beside bare argon2id; and a guarded route meanwhile"
CLIENTS = (1, 4)
PARAMETERS = {"time_cost": 3, "memory_cost": 65_536, "parallelism": 1}
"""Those of the service."""
BARE, OURS = "argon2id alone", "Stagedoor, logins"
ALONE, MEANWHILE = "guarded route, nobody logs in", "guarded route, 4 clients log in"


class Service(NamedTuple):
    """A service that runs, and its one account."""

    port: int
    username: str
    password: str


class LogsIn:
    """A client that logs in again and again."""

    def __init__(self, service: Service) -> None:
        self._request = post("/auth/login", json.dumps({"username": service.username, "password": service.password}).encode())

    def ask(self) -> bytes:
        """As Client.ask."""
        return self._request

    def hear(self, answer: Answer) -> None:
        """As Client.hear."""
        assert answer.status == 200, answer
        assert json.loads(answer.body)["refresh_token"].startswith("sdr_")


class Looks:
    """A client of the guarded route."""

    def __init__(self, token: str) -> None:
        self._request = get("/api/orders", f"Authorization: Bearer {token}")

    def ask(self) -> bytes:
        """As Client.ask."""
        return self._request

    def hear(self, answer: Answer) -> None:
        """As Client.hear."""
        assert answer.status == 200, answer


def run(options: Options) -> list[Table]:
    """Both tables."""
    seconds = 0.5 if options.smoke else 4.0
    names: dict[str, Callable[[], dict[str, float]]] = {BARE: dict, OURS: dict, ALONE: dict, MEANWHILE: dict}
    with ExitStack() as stack:
        if is_due(names, options.rounds, options.log, "login"):
            service = stack.enter_context(serving())
            names = {
                BARE: partial(_bare, seconds),
                OURS: partial(_logins, service, seconds),
                ALONE: partial(_guarded, service, seconds, 0),
                MEANWHILE: partial(_guarded, service, seconds, 4),
            }
        reached = in_turns(names, options.rounds, options.log, "login")
    return [_logins_told(reached), _guarded_told(reached)]


def _logins_told(reached: dict[str, list[dict[str, float]]]) -> Table:
    table = Table("Logins on one core", "logins/s", BARE, ["p99 ms"], {"argon2-cffi": argon2.__version__})
    table.row(BARE, [turn["rate"] for turn in reached[BARE]])
    for number in CLIENTS:
        p99 = statistics.median(turn[f"{number} p99"] for turn in reached[OURS])
        table.row(f"{OURS}, {number} {'client' if number == 1 else 'clients'}", [turn[f"{number}"] for turn in reached[OURS]], f"{p99:.0f}")
    table.notes.append(f"argon2id with {', '.join(f'{name} {value}' for name, value in PARAMETERS.items())}.")
    return table


def _guarded_told(reached: dict[str, list[dict[str, float]]]) -> Table:
    table = Table("A guarded route while others log in, all on one core", "requests/s", ALONE, ["p50 ms", "p99 ms"])
    for name in (ALONE, MEANWHILE):
        also = (f"{statistics.median(turn[part] for turn in reached[name]):.2f}" for part in ("p50", "p99"))
        table.row(name, [turn["rate"] for turn in reached[name]], *also)
    return table


def _bare(seconds: float) -> dict[str, float]:
    hasher = argon2.PasswordHasher(**PARAMETERS)
    with on_core(0):
        known, number, began = hasher.hash("of the benchmark"), 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            hasher.verify(known, "of the benchmark")
            number += 1
        return {"rate": number / (time.perf_counter() - began)}


def _logins(service: Service, seconds: float) -> dict[str, float]:
    found = {}
    with on_core(1):
        for number in CLIENTS:
            reached = load(service.port, [LogsIn(service) for _ in range(number)], seconds)
            found |= {f"{number}": reached.rate, f"{number} p99": reached.p99}
    return found


def _guarded(service: Service, seconds: float, logins: int) -> dict[str, float]:
    with on_core(1):
        guarded, _ = on_a_loop(
            _both(service, seconds, [Looks(_token(service)) for _ in range(4)], [LogsIn(service) for _ in range(logins)])
        )
    return {"rate": guarded.rate, "p50": statistics.median(guarded.latencies) * 1000, "p99": guarded.p99}


async def _both(service: Service, seconds: float, looking: Sequence[Looks], logging: Sequence[LogsIn]):  # type: ignore[no-untyped-def]
    return await asyncio.gather(going(service.port, looking, seconds), going(service.port, logging, seconds))


def _token(service: Service) -> str:
    token: str = json.loads(ask(service.port, LogsIn(service).ask()).body)["access_token"]
    return token


def _prove(service: Service) -> None:
    """What is measured does its work: a wrong password is refused, and a route without a token, or with one that was tampered with."""
    wrong = post("/auth/login", json.dumps({"username": service.username, "password": service.password + "x"}).encode())
    assert ask(service.port, wrong).status == 400
    assert ask(service.port, get("/api/orders")).status == 401
    token = _token(service)
    assert ask(service.port, get("/api/orders", f"Authorization: Bearer {token[:-6]}AAAAAA")).status == 401


@contextmanager
def serving() -> Iterator[Service]:
    """`stagedoor demo` on core 0."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        environment = peers.python_with_stagedoor() | {"STAGEDOOR_ACCESS": "1h", "STAGEDOOR_LOG_LEVEL": "warning"}
        port = free_port()
        command = [sys.executable, "-m", "stagedoor", "demo", "--port", str(port), "--data", f"{folder}/data"]
        with on_core(0):
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            service = Service(port, *_account(process))
            _prove(service)
            yield service
        finally:
            process.terminate()
            process.communicate(timeout=20)


def _account(process: subprocess.Popen[str]) -> tuple[str, str]:
    out: IO[str] | None = process.stdout
    assert out is not None
    told = dict(out.readline().strip().split(": ", 1) for _ in range(3))
    return told["username"].strip(), told["password"].strip()
