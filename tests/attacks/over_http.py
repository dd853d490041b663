"""OverHTTP: a running service under attack, request by request over its socket.

Never knows an attack.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service_process import ServiceProcess

from .forgery import GENERIC, Forgery, Given
from .sinkhole import Sinkhole
from .targets import Crashed, GotThrough, HeaderCase, Told, gravest, parts_of

SERVICE_GROWTH = 8 * 1024 * 1024
"""The same for a service, whose memory is only seen from outside."""


@dataclass(frozen=True)
class Answer:
    """An answer to a request; `headers` without the date."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


ME, ORDERS = "/auth/me", "/api/orders"
LARGEST_HEAD = 64 * 1024
_BATCH = 24


@dataclass
class OverHTTP:
    """A service in a process of its own. Each forgery goes to two guarded routes as a bearer token, and as the access cookie."""

    given: Given
    sinkhole: Sinkhole
    service: ServiceProcess
    login: Callable[[], str]
    end: Callable[[str], None]
    alike: dict[bytes, Answer] = field(default_factory=dict)
    """The first answer of each kind: all others are the same, header by header."""
    _seen: int = 0

    def refuse(self, forgeries: Iterable[Forgery]) -> None:
        found, carried, refused_below = list(forgeries), [], []
        for forgery in found:
            value = forgery.text.encode("utf-8", "surrogatepass")
            if value != value.rstrip(b" \t") or value.endswith(b"\r\n"):
                continue  # a blank or a line's end behind a header's value is the transport's (RFC 9110 section 5.5): no part of the token
            for head in self._ways(value):
                (carried if _can_be_carried(value) else refused_below).append((forgery, head))
        with gravest() as trying:
            for start in range(0, len(carried), _BATCH):
                batch = carried[start : start + _BATCH]
                for (forgery, head), answer in zip(batch, exchange(self.service.port, [head for _, head in batch]), strict=True):
                    trying(self._check, forgery, head, answer)
            for forgery, head in refused_below:
                (answer,) = exchange(self.service.port, [head])
                trying(self._check_transport, forgery, head, answer)
            trying(self._check_log, found)
        self.accept(self.given.tokens[0])
        assert self.sinkhole.connections == 0, "somebody followed an address in a token"

    @staticmethod
    def _ways(value: bytes) -> list[bytes]:
        found = [request(path, b"Authorization: Bearer " + value) for path in (ME, ORDERS)]
        if not set(b'; \t,"\\') & set(value) and _can_be_carried(value) and value:
            found.append(request(ME, b"Cookie: __Host-stagedoor_access=" + value))
        return found

    def _check(self, forgery: Forgery, head: bytes, answer: Answer) -> None:
        where = f"{forgery.name} at {head[:40]!r}"
        if answer.status == 200:
            raise GotThrough(where)
        if answer.status >= 500:
            raise Crashed(f"{where}: {answer.status} {answer.body!r:.200}")
        if self.alike.setdefault(answer.body, answer) != answer:
            raise Told(f"{where}: {answer}, not as for others")
        said = (answer.status, dict(answer.headers).get("www-authenticate"), answer.body)
        if said not in [refusal_of(code) for code in forgery.codes]:
            raise Told(f"{where}: {said}, not as for {sorted(forgery.codes)}")

    @staticmethod
    def _check_transport(forgery: Forgery, head: bytes, answer: Answer) -> None:
        """What HTTP itself does not carry: 400 for a byte that no header has, 413 for what is too long. The service's one shape even so."""
        where = f"{forgery.name} at {head[:40]!r}"
        if answer.status not in (400, 413):
            raise GotThrough(f"{where}: {answer.status}")
        expected = {400: "invalid_request", 413: "too_large"}[answer.status]
        told = json.loads(answer.body)
        if set(told) != {"error", "error_description"} or told["error"] != expected:
            raise Told(f"{where}: {answer.body!r:.200}")
        if any(part.encode() in answer.body for part in parts_of(forgery.text)):
            raise Told(f"{where}: the answer repeats the token")

    def refuse_lines(self, cases: Iterable[HeaderCase]) -> None:
        for case in cases:
            for path in (ME, ORDERS):
                (answer,) = exchange(self.service.port, [request(path, *case.lines)])
                where = f"{case.name} at {path}"
                if answer.status == 200:
                    raise GotThrough(where)
                if answer.status >= 500:
                    raise Crashed(f"{where}: {answer.status}")
                said = (answer.status, dict(answer.headers).get("www-authenticate"), answer.body)
                if case.code == "invalid_request":
                    if answer.status != 400 or set(json.loads(answer.body)) != {"error", "error_description"}:
                        raise Told(f"{where}: {said}")
                elif said != refusal_of(case.code):
                    raise Told(f"{where}: {said}, not as for {case.code}")
        self.accept(self.given.tokens[0])

    def flood(self, texts: list[str]) -> None:
        heads = [request(ME, b"Authorization: Bearer " + text.encode()) for text in texts]
        refused = refusal_of("key_unknown")
        times, before = [], 0
        for start in range(0, len(heads), _BATCH):
            begin = self._worked()
            for answer in exchange(self.service.port, heads[start : start + _BATCH]):
                assert (answer.status, dict(answer.headers).get("www-authenticate"), answer.body) == refused
            times.append(self._worked() - begin)
            before = before or self._memory()
        if self._memory() - before > SERVICE_GROWTH:
            raise Crashed(f"grew by {self._memory() - before} bytes")
        first, last = min(times[: len(times) // 2]), min(times[len(times) // 2 :])
        if last > 3 * first:
            raise Crashed(f"{last:.4f} s where it took {first:.4f} s")
        self.accept(self.given.tokens[0])

    def _worked(self) -> float:
        """Seconds that the process has had a processor."""
        return time.clock_gettime(~self.service.process.pid << 3 | 2)  # its clock, as the kernel numbers them

    def _memory(self) -> int:
        """Bytes of the process that are in memory."""
        status = Path(f"/proc/{self.service.process.pid}/status")
        assert status.exists(), "this test reads the memory of a process from /proc: run it on Linux"
        (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def _check_log(self, forgeries: Iterable[Forgery]) -> None:
        """The log, at its finest level, has no traceback, nothing of a token and no line that grows with what was sent."""
        log = self.service.log
        new, self._seen = log[self._seen :], len(log)
        assert "Traceback" not in new, new
        assert max(map(len, new.splitlines()), default=0) < 500
        for forgery in forgeries:
            for part in parts_of(forgery.text):
                if part in new:
                    raise Told(f"{forgery.name}: the log repeats {part:.40}")

    def accept(self, text: str) -> dict[str, Any]:
        shown, orders = exchange(self.service.port, [request(path, b"Authorization: Bearer " + text.encode()) for path in (ME, ORDERS)])
        assert (shown.status, orders.status) == (200, 200), (shown, shown.body, orders)
        return dict(json.loads(shown.body))

    def log_out(self, text: str) -> None:
        self.end(text)

    def fresh(self) -> str:
        return self.login()


def _can_be_carried(value: bytes) -> bool:
    return len(value) < LARGEST_HEAD // 4 and all((byte >= 0x20 and byte != 0x7F) or byte == 0x09 for byte in value)


def request(path: str, *lines: bytes) -> bytes:
    return b"\r\n".join([f"GET {path} HTTP/1.1".encode(), b"Host: localhost", *lines]) + b"\r\n\r\n"


_SAID = dict.fromkeys(GENERIC, "The access token is not valid.") | {
    "claim_rejected": "The access token is not meant for this use.",
    "token_expired": "The access token has expired.",
    "token_not_yet_valid": "The access token is not valid yet.",
    "token_revoked": "The access token has been revoked.",
}
"""What a client is told. Whoever has no key of ours meets the first sentence only, whichever step refused him."""


def refusal_of(code: str) -> tuple[int, str, bytes]:
    """Status, challenge and body that stand for this code, byte for byte."""
    if code == "token_missing":
        told = "This needs an access token: send Authorization: Bearer."
        return 401, 'Bearer realm="stagedoor"', f'{{"error":"token_missing","error_description":"{told}"}}'.encode()
    told = _SAID[code]
    challenge = f'Bearer realm="stagedoor", error="invalid_token", error_description="{told}"'
    return 401, challenge, f'{{"error":"invalid_token","error_description":"{told}"}}'.encode()


def exchange(port: int, heads: list[bytes]) -> list[Answer]:
    """The answers to these requests, all sent at once on one connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection, connection.makefile("rb") as reader:
        # What is refused before all of it was read has its answer there all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"".join(heads))
        return [_read(reader) for _ in heads]


def _read(reader: Any) -> Answer:
    status = int(reader.readline().split(b" ", 2)[1])
    headers: dict[str, str] = {}
    while line := reader.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        assert name.lower() not in headers, "a header twice"
        headers[name.lower()] = value.strip()
    headers.pop("date", None)
    return Answer(status, tuple(sorted(headers.items())), reader.read(int(headers["content-length"])))
