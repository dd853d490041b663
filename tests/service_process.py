"""The service as an operator runs it: a process of its own on a free port, stopped by its process id."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from servers import free_port
from stagedoor import KeySet
from stagedoor.stores.sql import SyncSQLStore
from stagedoor.vault import MasterKey, Vault

PATIENCE = 90.0
STAGEDOOR = Path(sys.executable).with_name("stagedoor")


# A random session id may well hold the letters that a JWT begins with: only the whole form of a token is one.
TOKEN = re.compile(r"sdr_[\w-]{100}|eyJ[\w-]{8,}\.[\w-]*")
# Why the last 503 was one: nobody is let in unheard, and no read of the revocations has failed.
HELD_UP = re.compile(r"503 revocations_stale: .*(?:no answer came in time|waits for what is new)")


def stagedoor(*arguments: str, data: Path, stdin: str = "", **settings: str) -> str:
    """What a command of the CLI printed; it must succeed."""
    command = [str(STAGEDOOR), *arguments, "--data", str(data)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment(**settings))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STAGEDOOR_")}
    return kept | {"PYTHONWARNINGS": "error"} | {f"STAGEDOOR_{name}": value for name, value in settings.items()}


def keys_of(data: Path) -> KeySet:
    """The keys of the service on this data folder, private parts too, as whoever has taken the whole folder reads them."""
    store = SyncSQLStore(f"sqlite:///{data / 'stagedoor.db'}")
    keys = KeySet.open(Vault(store.documents, MasterKey.open(data / "master.key")))
    keys.close()
    store.close()
    return keys


def log_of(data: Path) -> Path:
    return data.with_suffix(".log")


class PatientClient(httpx2.Client):
    """Asks again while a service says 503 only because it was held up, for a second or more, and so cannot say who was revoked."""

    def __init__(self, service: ServiceProcess, **options: Any) -> None:
        super().__init__(**options)
        self._service = service

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        until = time.monotonic() + PATIENCE
        while (answer := super().send(request, **options)).status_code == 503 and self._held_up() and time.monotonic() < until:
            time.sleep(0.05)
        return answer

    def _held_up(self) -> bool:
        refusals = [line for line in self._service.log.splitlines() if " 503 " in line]
        return bool(refusals) and HELD_UP.search(refusals[-1]) is not None


@dataclass
class ServiceProcess:
    """A running service. `log` is all that it has printed."""

    process: subprocess.Popen[bytes]
    port: int
    data: Path

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def log(self) -> str:
        return log_of(self.data).read_text("utf-8")

    def client(self, *, patient: bool = True) -> httpx2.Client:
        options: dict[str, Any] = {"base_url": self.url, "timeout": PATIENCE}
        return PatientClient(self, **options) if patient else httpx2.Client(**options)

    def stop(self, *secrets: str) -> None:
        """Ends it, and looks through its log: nothing crashed, and no token and none of these secrets was written there."""
        self.process.terminate()
        self.process.wait(PATIENCE)
        lines = self.log.splitlines()
        told = [line for line in lines if TOKEN.search(line) or any(secret in line for secret in secrets)]
        assert told == []
        assert [line for line in lines if "Traceback" in line] == [], self.log


def start(command: str, data: Path, *, port: int = 0, **settings: str) -> ServiceProcess:
    """`stagedoor serve` or `stagedoor demo`, once it answers; on a free port unless one is given."""
    port = port or free_port()
    arguments = [str(STAGEDOOR), command, "--data", str(data), "--port", str(port)]
    with log_of(data).open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT, env=environment(**settings))
    service = ServiceProcess(process, port, data)
    until = time.monotonic() + PATIENCE
    while True:
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise AssertionError(f"the service did not start:\n{service.log}")
        try:
            httpx2.get(f"{service.url}/.well-known/jwks.json", timeout=1.0)
        except httpx2.TransportError:
            time.sleep(0.05)
        else:
            return service
