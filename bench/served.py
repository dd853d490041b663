"""Served: one server process on the first core, from when it answers until it is stopped.

Never knows what it serves.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from bench.machine import on_core

_PATIENCE = 30.0
_GRACE = 5.0


class Served:
    """`command` is told the port. It runs in a folder of its own, which goes with it; what it says is shown where it does not come up."""

    def __init__(
        self, command: Callable[[int], list[str]], environment: Mapping[str, str], files: Mapping[str, Path] | None = None
    ) -> None:
        self._command = command
        self._environment = environment
        self._files = files or {}

    def __enter__(self) -> Served:
        self._folder = tempfile.TemporaryDirectory(prefix="stagedoor-bench-")
        self.folder = Path(self._folder.name)
        for name, target in self._files.items():
            (self.folder / name).symlink_to(target)
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        with on_core(0), (self.folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                self._command(self.port), cwd=self.folder, env=self._environment, stdout=said, stderr=said, start_new_session=True
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, token: str | None = None) -> tuple[int, bytes]:
        """Status and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """End it, and what it started itself."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        with suppress(ProcessLookupError):  # a worker that outlived its master, say
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._folder.cleanup()

    def _wait(self) -> None:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                self.get("/open")
                return
            time.sleep(0.02)
        raise RuntimeError(f"no server came up: {(self.folder / 'said').read_text(errors='replace')[-2000:]}")
