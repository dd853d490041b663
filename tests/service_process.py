"""The service as an operator runs it: a process of its own on a free port, stopped by its process id."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2

from stagedoor import KeySet
from stagedoor.stores.sql import SyncSQLStore
from stagedoor.vault import MasterKey, Vault

PATIENCE = 30.0
STAGEDOOR = Path(sys.executable).with_name("stagedoor")


# A random session id may well hold the letters that a JWT begins with: only the whole form of a token is one.
TOKEN = re.compile(r"sdr_[\w-]{100}|eyJ[\w-]{8,}\.[\w-]*")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=PATIENCE)

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
