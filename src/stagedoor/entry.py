"""Entry: one thing and its term; what a rotation, an emergency and the passing of time make of several.

Never knows what is in one, where they are kept, or a clock: the moment is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from stagedoor.lifetime import seconds

T = TypeVar("T")
Make = Callable[[list["Entry[T]"]], tuple[str | int, T]]
"""(the entries of this moment) -> the id and the value of a new one."""

ANNOUNCE = 360
"""Seconds from the announcement of an entry until it is current, unless said otherwise: five minutes for whoever keeps a copy, and one
for our own workers to hear of it, and for clocks that differ."""
_LONGEST = 3650 * 86_400
_GONE = 0.0


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One thing and its term, in Unix seconds."""

    id: str | int
    value: T = field(repr=False)
    starts: float
    """From when it is the current one."""
    ends: float | None = None
    """From when it is not accepted any more; None: not settled. 0: it was retired, on every clock."""

    def is_gone(self, now: float) -> bool:
        """Whether it is accepted no more."""
        return self.ends is not None and now >= self.ends


@dataclass(frozen=True, slots=True)
class Schedule:
    """When entries rotate by themselves; all in seconds."""

    every: int | None = None
    """From one entry's start to the next one's; None: only by hand."""
    announce: int = ANNOUNCE
    keep: int | None = None
    """How long an old entry is still accepted; None: to be said with each rotation."""

    @classmethod
    def of(cls, every: str | int | None, announce: str | int, keep: str | int | None) -> Schedule:
        """From spans such as "90d". ValueError where they do not go together, or are none."""
        made = cls(None if every is None else span(every), span(announce), None if keep is None else span(keep))
        if made.every is None:
            return made
        if made.keep is None:
            raise ValueError("what rotates by itself needs keep=: how long old ones are still accepted")
        if made.every <= made.announce:
            raise ValueError("rotate_every is longer than announce")
        return made

    @property
    def together(self) -> float:
        """How many entries are accepted at one time."""
        return 1.0 if self.every is None else 1 + (self.announce + (self.keep or 0)) / self.every


BY_HAND = Schedule()


def span(value: str | int) -> int:
    """Seconds, ten years at the most; ValueError for more, or for what is no span."""
    length = seconds(value)
    if length > _LONGEST:
        raise ValueError("ten years at the most")
    return length


def current(entries: Iterable[Entry[T]], now: float) -> Entry[T] | None:
    """Which started last and has not ended, of entries that stand in order, the latest to start first."""
    begins = None
    for entry in entries:
        if not entry.is_gone(now):
            if entry.starts <= now:
                return entry
            begins = entry
    return begins  # none has started: by our clock, which is behind that of whoever made it


def in_order(entries: Iterable[Entry[T]]) -> tuple[Entry[T], ...]:
    """The latest to start first."""
    return tuple(sorted(entries, key=lambda entry: -entry.starts))


def is_due(entries: Sequence[Entry[T]], schedule: Schedule, now: float) -> bool:
    """Whether the schedule asks for a rotation: it is time, or nothing is left that does not end some day."""
    lasting = [entry.starts for entry in entries if entry.ends is None]
    return schedule.every is not None and (not lasting or now >= max(lasting) + schedule.every - schedule.announce)


def rotated(entries: Sequence[Entry[T]], make: Make[T], schedule: Schedule, now: float) -> list[Entry[T]]:
    """With a new entry before them, which is announced now; and without those that are gone."""
    starts = now + schedule.announce
    ends = starts + (schedule.keep or 0)
    # What was to start later (the clock went back, or this one is in a hurry) gives way: it would take over again, and end soon.
    ending = (replace(e, starts=min(e.starts, starts), ends=ends if e.ends is None else e.ends) for e in entries if not e.is_gone(now))
    return [Entry(*make(list(entries)), starts=starts), *ending]


def retired(entries: Sequence[Entry[T]], id_: object, make: Make[T], now: float) -> list[Entry[T]]:
    """Without a term for this one, on whatever clock; and with one that goes on without an end. LookupError for an unknown id.

    If it was current, the next that is announced takes over now, or a new one. One that was to end never takes over again.
    """
    if all(entry.id != id_ for entry in entries):
        raise LookupError(f"nothing here has the id {id_!r}")
    was = current(in_order(entries), now)
    changed = [replace(entry, ends=_GONE) if entry.id == id_ else entry for entry in entries]
    left = [entry for entry in changed if not entry.is_gone(now)]
    announced = [entry for entry in left if entry.starts > now]
    takes_over = was is None or was.id == id_
    if takes_over and not announced:
        return [Entry(*make(list(entries)), starts=now), *changed]
    if takes_over:
        following = min(announced, key=lambda entry: entry.starts)
        changed = [replace(entry, starts=now) if entry is following else entry for entry in changed]
        left = [entry for entry in changed if not entry.is_gone(now)]
    if all(entry.ends is not None for entry in left):  # what those before it had made way for is the one that was taken away
        last = max(left, key=lambda entry: entry.starts)
        changed = [replace(entry, ends=None) if entry is last else entry for entry in changed]
    return changed
