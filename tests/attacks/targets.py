"""Targets: what a named test asks of what it attacks, and how it fails.

Never knows an attack, nor how a target is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from .forgery import Forgery, Given
from .sinkhole import Sinkhole


class GotThrough(AssertionError):
    """A forgery was accepted."""


class Crashed(AssertionError):
    """A forgery ended in something else than a refusal of ours, or cost too much."""


class Told(AssertionError):
    """A forgery was refused, but with another code or answer than the others, or something of it was repeated."""


_GRAVE = (GotThrough, Crashed, Told, AssertionError)


@contextmanager
def gravest() -> Iterator[Callable[..., None]]:
    """Everything is tried, and the worst that was found is raised."""
    found: list[AssertionError] = []

    def trying(check: Callable[..., None], *arguments: Any) -> None:
        try:
            check(*arguments)
        except AssertionError as error:
            found.append(error)

    yield trying
    if found:
        worst = min(found, key=lambda error: next(place for place, kind in enumerate(_GRAVE) if isinstance(error, kind)))
        worst.add_note(f"one of {len(found)}")
        raise worst


@dataclass(frozen=True)
class HeaderCase:
    """Lines of a request's head that are no bearer token, and the code that refuses them."""

    name: str
    lines: tuple[bytes, ...]
    code: str


class Target(Protocol):
    """What a named test attacks."""

    given: Given
    sinkhole: Sinkhole

    def refuse(self, forgeries: Iterable[Forgery]) -> None:
        """Each is refused as it should be, and a genuine token is accepted afterwards; GotThrough, Crashed, Told."""

    def refuse_lines(self, cases: Iterable[HeaderCase]) -> None:
        """The same for whole header lines."""

    def flood(self, texts: list[str]) -> None:
        """All are refused, and nothing grows, slows down or is asked; Crashed."""

    def accept(self, text: str) -> dict[str, Any]:
        """The claims of a token that is accepted."""

    def log_out(self, text: str) -> None:
        """End the session of this token."""

    def fresh(self) -> str:
        """A token of a session of its own."""


def parts_of(text: str) -> list[str]:
    """What of a token nothing may repeat: each part that says something, and the whole."""
    return [part for part in {text, *text[:20_000].split(".")} if len(part) >= 16]
