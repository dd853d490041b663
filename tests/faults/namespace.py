"""Namespace: a network of its own with one wire to ours, which can be pulled; where this machine lets us.

Never knows who lives in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import count
from types import TracebackType
from typing import Self

_numbers = count()


def allowed() -> bool:
    """Whether we may make one."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    try:
        with Namespace():
            return True
    except subprocess.CalledProcessError:
        return False


class Namespace:
    """`host`: our end of the wire, to which who lives there connects."""

    def __init__(self) -> None:
        number = next(_numbers)
        self.name = f"stagedoor-{os.getpid()}-{number}"
        self._wire = f"sd{os.getpid() % 10**7}-{number % 1000}"
        net = 4 * ((os.getpid() * 251 + number) % 16_384)
        self.host, self._guest = (f"198.18.{net >> 8}.{(net & 255) + end}" for end in (1, 2))  # RFC 2544: no real network's

    def pull(self) -> None:
        """The wire is out: what is sent is lost, and nobody says so."""
        _ip("link", "set", self._wire, "down")

    def plug(self) -> None:
        """It is in again."""
        _ip("link", "set", self._wire, "up")

    def __enter__(self) -> Self:
        _ip("netns", "add", self.name)
        try:
            _ip("link", "add", self._wire, "type", "veth", "peer", "name", "inside", "netns", self.name)
            _ip("addr", "add", f"{self.host}/30", "dev", self._wire)
            _ip("-n", self.name, "addr", "add", f"{self._guest}/30", "dev", "inside")
            _ip("-n", self.name, "link", "set", "lo", "up")
            _ip("-n", self.name, "link", "set", "inside", "up")
            self.plug()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)  # the wire goes with it


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=True)
