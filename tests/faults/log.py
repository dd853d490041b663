"""EventLog: what the fault suite did and saw, one JSON line each, only ever appended; the checker and the table know nothing else.

Never knows what is right.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parents[2]
_CUT_OFF = b"\x18\n"
"""Ends a line that a kill cut off: what is appended afterwards is not glued to it."""
_TOGETHER = 32_768  # bytes a write; one write of O_APPEND is never mixed with another process's


class Refresh(msgspec.Struct, tag="refresh", omit_defaults=True):
    """One presented refresh token and what came of it. Moments on this machine's monotonic clock, seconds."""

    test: str
    store: str
    session: str
    presented: int
    """Generation."""
    sent: float
    ended: float
    outcome: str
    """"ok", the code of a refusal, or "lost" where the client never had an answer."""
    returned: int | None = None
    """Generation of the token that was answered."""
    digest: str | None = None
    """Of the token that was answered: two of one generation must be the same."""
    thief: bool = False


class Revoke(msgspec.Struct, tag="revoke"):
    """A revocation (logout, disable, logout-all)."""

    test: str
    store: str
    session: str
    sent: float
    ended: float
    why: str
    acknowledged: bool = True
    """False: it was asked for and no answer came; it may have happened."""


class Theft(msgspec.Struct, tag="theft"):
    """From here on somebody else holds a token of this session as well: refusing its owner is no false logout any more."""

    test: str
    store: str
    session: str
    at: float


class Loss(msgspec.Struct, tag="loss"):
    """A moment at which the store may have lost its last acknowledged writes, as its durability setting allows."""

    test: str
    store: str
    at: float
    what: str
    revocations: bool = False
    """Whether acknowledged revocations may be gone as well."""


class Heard(msgspec.Struct, tag="heard"):
    """A revocation, and when each verifier heard of it: a moment each. None: it never refused, or never accepted."""

    test: str
    store: str
    source: str
    why: str
    sent: float
    acknowledged: float
    refused: list[float | None]
    """First refusal, of each verifier."""
    accepted: list[float | None]
    """Last acceptance."""
    bound: float
    """Seconds after which nobody may accept it."""
    within: float
    """Seconds in which the last one is to have heard of it."""
    stalled: list[float]
    """Seconds before its first refusal in which the verifier itself was not given the processor, and looked at nothing."""


class Span(msgspec.Struct):
    """The same answer again and again, seconds from the moment when the fault began."""

    status: int
    first: float
    """When it was asked for that was answered so first; of a 401, when that was answered: it may have been revoked in between."""
    last: float
    """When it was asked for that was answered so last."""
    count: int


class Answers(msgspec.Struct, tag="answers"):
    """What a guard answered before, in and after one fault, in time. Moments in seconds from when the fault began."""

    test: str
    store: str
    source: str
    fault: str
    token: str
    """"live", "revoked" while the fault lasts, or "revoked before"."""
    mended: float
    """When the fault was over."""
    revoked: float | None
    """When the revocation of this token was acknowledged; None: it is live."""
    bound: float
    again: float
    """Seconds after the end of the fault in which all is well again."""
    spans: list[Span]
    sent: float | None = None
    """When its revocation was asked for; None too in a log of before that was written down."""


class Done(msgspec.Struct, tag="done"):
    """So much was done and judged, in so many seconds."""

    test: str
    store: str
    source: str
    what: str
    count: int
    seconds: float


class Figure(msgspec.Struct, tag="figure"):
    """Something measured."""

    test: str
    store: str
    source: str
    name: str
    value: float | str
    unit: str = ""


class Complaint(msgspec.Struct, tag="complaint"):
    """Something that must not be, seen by the test itself."""

    test: str
    store: str
    source: str
    text: str


class Begin(msgspec.Struct, tag="begin"):
    """A run begins: what ran, on what, from which seed."""

    test: str
    store: str
    source: str
    commit: str
    seed: int
    wanted: int
    already: int
    at: float
    python: str = platform.python_version()


Line = Refresh | Revoke | Theft | Loss | Heard | Answers | Done | Figure | Complaint | Begin


class EventLog:
    """Appends lines to a file that other processes append to as well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, _CUT_OFF)
        self._encode = msgspec.json.Encoder().encode
        self._waiting = bytearray()

    def write(self, line: Line) -> None:
        """Append; it may wait for more unless it is about what was done."""
        self._waiting += self._encode(line) + b"\n"
        if len(self._waiting) > _TOGETHER or not isinstance(line, Refresh | Revoke | Theft | Heard):
            self.flush()

    def flush(self) -> None:
        """Everything is in the file now."""
        if self._waiting:
            os.write(self._file, self._waiting)
            self._waiting = bytearray()

    def close(self) -> None:
        """Flush, and let go of the file."""
        self.flush()
        os.close(self._file)


def read(path: Path) -> Iterator[Line]:
    """All lines. One that was cut off by a kill is passed over."""
    decode = msgspec.json.Decoder(Line).decode
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and not line.endswith(_CUT_OFF):
                yield decode(line)


@cache
def source() -> str:
    """What the code under test is: counts made with other code do not count."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*")):
        if path.is_file() and path.suffix in (".py", ".lua"):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def commit() -> str:
    """The commit that is checked out; with a + where files differ from it."""
    done = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def fields(line: Line) -> dict[str, Any]:
    """A line as plain values."""
    return msgspec.to_builtins(line)


now = time.monotonic
