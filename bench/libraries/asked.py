"""Asked: a worker in a process of its own, asked by the line and answering by the line.

Never knows what it is asked.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.libraries.contestant import Unsupported


class Asked:
    """One worker. Unsupported, where it says that it cannot do what it is asked; RuntimeError with its own traceback, where it fails."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        self._name = " ".join(str(word) for word in command[-2:])
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 - warnings of libraries: shown only where the worker ends with them
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._told,
            text=True,
            encoding="utf-8",
            env=environment,
        )

    def ask(self, what: str, **words: Any) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"ask": what, **words}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._told.seek(0)
            raise RuntimeError(f"{self._name} ended with {code} when it was asked: {what}\n{self._told.read().decode()}")
        answer: dict[str, Any] = json.loads(line)
        if "unsupported" in answer:
            raise Unsupported(answer["unsupported"])
        if "error" in answer:
            raise RuntimeError(f"{self._name}, asked to {what}: {answer['error']}")
        return answer

    def __enter__(self) -> Asked:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._told.close()
