"""Load: requests that keep a server busy, by wrk on a core of its own; or, where only whether it works is asked, a few by Python.

Never knows what is served. A request that was not answered with 200 is an error, never a fast one.
"""

from __future__ import annotations

import http.client
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from bench import peers
from bench.machine import on_core

SCRIPT = Path(__file__).parent / "servers" / "load.lua"
CONNECTIONS = 64
_FEW = 60


class NotServed(Exception):
    """Some requests were not answered with 200."""


@dataclass(frozen=True)
class Reached:
    """Requests a second, and how long one took, in milliseconds."""

    per_second: float
    p50: float
    p99: float


class Load(Protocol):
    """Keeps a server busy."""

    def __call__(self, url: str, seconds: float, tokens: Path, paths: Sequence[str]) -> Reached:
        """These paths in turn, with the tokens of this file in turn, one a line."""


class Wrk:
    """64 connections of wrk, in one thread on the second core."""

    def __call__(self, url: str, seconds: float, tokens: Path, paths: Sequence[str]) -> Reached:
        """As Load."""
        texts = tokens.read_text().split() if len(paths) == 1 else []
        command = [str(peers.wrk()), "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT)]
        command += ["--timeout", "20s"]  # after 2 s it would call an answer of a slow server on a busy machine a failure
        if len(texts) == 1:  # wrk writes the request once, as for any page
            command += ["-H", f"Authorization: Bearer {texts[0]}", url + paths[0]]
        else:
            command += [url, "--", str(tokens), *paths]
        with on_core(1):
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
        told = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("found ")]
        if done.returncode or not told:
            raise NotServed(f"wrk: {done.stdout}{done.stderr}")
        requests, microseconds, p50, p99, wrong = map(int, told[0])
        if wrong or not requests:
            raise NotServed(f"{wrong} of {requests} requests of {paths} failed: {done.stdout}")
        return Reached(requests / microseconds * 1e6, p50 / 1000, p99 / 1000)


class Few:
    """A few requests, one after another."""

    def __call__(self, url: str, seconds: float, tokens: Path, paths: Sequence[str]) -> Reached:
        """As Load, but for how long."""
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        texts, spent = tokens.read_text().split(), []
        try:
            for _, path, token in zip(range(_FEW), cycle(paths), cycle(texts), strict=False):
                began = time.perf_counter()
                connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
                answer = connection.getresponse()
                answer.read()
                spent.append(time.perf_counter() - began)
                if answer.status != 200:
                    raise NotServed(f"{answer.status} for {path}")
        finally:
            connection.close()
        return Reached(len(spent) / sum(spent), statistics.median(spent) * 1000, sorted(spent)[len(spent) * 99 // 100] * 1000)
