"""InProcess: verifiers in this process under attack, and what a refusal may cost and touch.

Never knows an attack.
"""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from stagedoor import AuthError, errors
from stagedoor.guards.guard import Demand, Gate
from stagedoor.guards.headers import Headers

from .forgery import GENERIC, Forgery, Given
from .sinkhole import Sinkhole
from .targets import Crashed, GotThrough, HeaderCase, Told, gravest, parts_of
from .witness import watched

SLOWEST = 0.005
"""Seconds that one refusal in process may take: of CPU, so that a busy machine does not count."""


GROWTH = 64 * 1024
"""Bytes that a flood may leave behind in this process."""


@dataclass
class InProcess:
    """Verifiers with the keys of one issuer: its own, and those of resource servers."""

    given: Given
    sinkhole: Sinkhole
    verifiers: dict[str, Any]
    issue: Callable[[], str]
    revoke: Callable[[str], None]
    exact: bool = True
    """Whether a forgery is refused by the code that it names; else by any that says nothing of claims."""

    def refuse(self, forgeries: Iterable[Forgery]) -> None:
        found = list(forgeries)
        for name, verifier in self.verifiers.items():
            verifier.verify(self.given.tokens[0])  # what is loaded at first use is loaded now
            with gravest() as trying:
                for forgery in found:
                    trying(self._refuse, name, verifier, forgery)
            verifier.verify(self.given.tokens[0])
        assert self.sinkhole.connections == 0, "somebody followed an address in a token"

    def _refuse(self, name: str, verifier: Any, forgery: Forgery) -> None:
        begin = time.thread_time()
        try:
            with watched() as seen:
                accepted = verifier.verify(forgery.text)
        except errors.TokenError as error:
            caught = error
        except Exception as error:
            raise Crashed(f"{name}: {forgery.name}: {error!r:.200}") from error
        else:
            raise GotThrough(f"{name}: {forgery.name}: {accepted!r:.200}")
        if time.thread_time() - begin > SLOWEST and self._always_slow(verifier, forgery):
            raise Crashed(f"{name}: {forgery.name}: over {SLOWEST} s")
        if seen:
            raise Crashed(f"{name}: {forgery.name}: touched {seen[:3]}")
        if caught.code not in (forgery.codes if self.exact else forgery.codes | GENERIC):
            raise Told(f"{name}: {forgery.name}: {caught.code}, not {sorted(forgery.codes)}: {caught}")
        said = f"{caught} {caught!r} {caught.told}"
        repeated = [part for part in parts_of(forgery.text) if part in said]
        if repeated:
            raise Told(f"{name}: {forgery.name}: the refusal repeats {repeated[0]:.40}")

    def refuse_lines(self, cases: Iterable[HeaderCase]) -> None:
        for name, verifier in self.verifiers.items():
            gate: Gate[Any] = Gate(verifier)
            for case in cases:
                headers = Headers([(key.lower(), value.strip(b" \t")) for key, _, value in (line.partition(b":") for line in case.lines)])
                try:
                    gate.admit("GET", headers, Demand())
                except AuthError as error:
                    if error.code != case.code:
                        raise Told(f"{name}: {case.name}: {error.code}, not {case.code}") from error
                except Exception as error:
                    raise Crashed(f"{name}: {case.name}: {error!r:.200}") from error
                else:
                    raise GotThrough(f"{name}: {case.name}")

    def flood(self, texts: list[str]) -> None:
        for name, verifier in self.verifiers.items():
            _refuse_all(verifier, texts[:200])  # what is made once is made now
            tracemalloc.start()
            try:
                with watched() as seen:
                    before, _ = tracemalloc.get_traced_memory()
                    _refuse_all(verifier, texts)
                    after, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            first, last = (min(_refuse_all(verifier, texts[:200]) for _ in range(5)) for _ in range(2))
            if seen:
                raise Crashed(f"{name}: touched {seen[:3]}")
            if after - before > GROWTH or peak - before > 10 * GROWTH:
                raise Crashed(f"{name}: grew by {after - before} bytes, {peak - before} in between")
            if last > 3 * first:
                raise Crashed(f"{name}: {last:.4f} s where it took {first:.4f} s")
            verifier.verify(self.given.tokens[0])

    @staticmethod
    def _always_slow(verifier: Any, forgery: Forgery) -> bool:
        """A collection of garbage may fall into one try, not into the best of five."""
        for _ in range(5):
            begin = time.thread_time()
            try:
                verifier.verify(forgery.text)
            except errors.TokenError:
                if time.thread_time() - begin <= SLOWEST:
                    return False
        return True

    def accept(self, text: str) -> dict[str, Any]:
        found = [dict(verifier.verify(text).claims) for verifier in self.verifiers.values()]
        assert all(each == found[0] for each in found)
        return found[0]

    def log_out(self, text: str) -> None:
        self.revoke(text)

    def fresh(self) -> str:
        return self.issue()


def _refuse_all(verifier: Any, texts: list[str]) -> float:
    """Seconds of CPU that it took."""
    begin = time.thread_time()
    for text in texts:
        with contextlib.suppress(errors.TokenError):
            verifier.verify(text)
            raise GotThrough(text[:40])
    return time.thread_time() - begin
