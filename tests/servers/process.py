"""Knows how a server is started on a free port, waited for, stopped and killed, by its process id.

Never knows what the server answers.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

from servers import watchdog

PATIENCE = 60.0
STEP = 0.02
BUS = 10_000  # a node of a Redis Cluster has a second port, so much higher

# Below the ports from which Linux takes those of outgoing connections: so none of them takes a server's port while it is down.
PORTS = range(11_000, 22_000)
_given: set[int] = set()
_random = random.SystemRandom()  # tests seed the other one


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, nor the one of its cluster bus."""
    while True:
        port = _random.choice(PORTS)
        if port not in _given and is_free(port) and is_free(port + BUS):
            _given.add(port)
            return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Server(ABC):
    """One server: a process, its folder and its port. Also a context manager: started inside, stopped afterwards."""

    stop_signal = signal.SIGTERM
    """Ends it in order."""
    end_signal = signal.SIGKILL
    """Ends it at once, when the tests are gone."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What is run."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it is ready; raises or says False while it is not."""

    def identity(self) -> dict[str, Any]:
        """The user that it runs as, for subprocess: whoever runs the tests."""
        return {}

    def start(self) -> Self:
        """Starts it and waits until it answers."""
        self.launch()
        self.wait_until(self.answers, "answer")
        return self

    def launch(self) -> None:
        """Starts it, without waiting."""
        assert not self.alive, "it runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C", "TZ": "UTC"}
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the tests, which stop their servers in order
                **self.identity(),
            )
        watchdog.end_later(self._process.pid, self.end_signal)

    def stop(self) -> None:
        """Ends it in order; nothing happens if it does not run."""
        if self._process is not None:
            processes = self.processes()
            until = time.monotonic() + PATIENCE
            while self.alive:
                if time.monotonic() > until:
                    self.kill()
                    raise AssertionError(f"{self} did not stop:\n{self.tail}")
                self._process.send_signal(self.stop_signal)  # again and again: Redis refuses to stop while it writes its first AOF
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(1.0)
            watchdog.wait_for_end(processes, PATIENCE)
            self._process = None

    def kill(self) -> None:
        """kill -9; returns when all its children have ended too, and its port is free."""
        if self._process is not None:
            processes = self.processes()
            self._process.kill()
            self._process.wait()
            watchdog.wait_for_end(processes, 5.0)
            self._process = None
        until = time.monotonic() + PATIENCE
        while not is_free(self.port):
            assert time.monotonic() < until, f"port {self.port} is still taken"
            time.sleep(STEP)

    def restart(self) -> Self:
        """The same folder, the same port, a new process."""
        self.stop()
        return self.start()

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None, f"{self} is not started"
        return self._process.pid

    def processes(self) -> dict[int, str]:
        """The children of its process that run now, each with its start."""
        return watchdog.children_of(self.pid)

    @property
    def log_file(self) -> Path:
        return self.folder / "log"

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self.log_file.read_text("utf-8", errors="replace") if self.log_file.exists() else ""

    @property
    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.splitlines()[-30:])

    def wait_until(self, holds: Any, what: str, *, patience: float = PATIENCE) -> None:
        """Asks again and again; an AssertionError with the log's end if the process ends or time is up."""
        until = time.monotonic() + patience
        why: BaseException | None = None
        while True:
            assert self.alive, f"{self} has ended:\n{self.tail}"
            try:
                if holds():
                    return
            except Exception as error:
                why = error
            if time.monotonic() > until:
                with contextlib.suppress(Exception):
                    self.kill()
                raise AssertionError(f"{self} did not {what} within {patience:g} s ({why}):\n{self.tail}")
            time.sleep(STEP)

    def __str__(self) -> str:
        return f"{type(self).__name__} on port {self.port}"

    def __enter__(self) -> Self:
        return self if self.alive else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
