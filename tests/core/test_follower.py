"""Follower: how often its thread reads, what it writes into the log, how long who asks waits, and what opens who was closed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from stagedoor import watch
from stagedoor.errors import RevocationsStale, StoreError
from stagedoor.follower import FeedClosed, Follower

from .scripted import PATIENCE, Moment, moments


@dataclass
class Source:
    """Who is followed. Each answer takes `takes` seconds on the clock, which stands still otherwise."""

    moment: Moment
    takes: float = 0.0
    fails: Exception | None = None
    asked: list[float] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)

    def read(self, wait: float) -> float:
        self.asked.append(wait)
        self.threads.append(threading.current_thread().name)
        began = self.moment.up
        self.moment.passes(self.takes)
        if self.fails is not None:
            raise self.fails
        return began

    def follower(self, bound: Any = 1.0, stale: str = "ask", *, by_hand: bool = True) -> Follower:
        """Of its thread each turn is taken here, `by_hand`, or it has one."""
        made = Follower(self.read, bound=bound, stale=stale, wake=lambda: None)
        if by_hand:
            made._watch.start = lambda: None  # type: ignore[method-assign]
        return made


@pytest.fixture
def source() -> Iterator[Source]:
    with moments() as moment:
        yield Source(moment)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each turn waits for the next one."""
    seen: list[float] = []
    monkeypatch.setattr(watch, "pause", seen.append)
    return seen


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What a read that hangs waits for."""
    event = threading.Event()
    yield event
    event.set()


def refused(follower: Follower, **how: Any) -> str:
    with pytest.raises(RevocationsStale) as caught:
        follower.hear(**how)
    return str(caught.value)


def heard(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "stagedoor.revocations"]


@pytest.mark.parametrize(("bound", "length"), [(0.05, 0.05), (3600, 3600.0), ("1s", 1.0), ("1h", 3600.0)])
def test_bounds(source: Source, bound: Any, length: float):
    """From 50 milliseconds to an hour, the ends among them."""
    assert source.follower(bound).bound == length


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"bound": 0.0499}, ValueError),
        ({"bound": 3600.1}, ValueError),
        ({"bound": "2h"}, ValueError),
        ({"bound": None}, TypeError),
        ({"stale": "never"}, ValueError),
    ],
)
def test_no_bounds(source: Source, how: dict[str, Any], error: type[Exception]):
    """Whatever else is a mistake that is told at construction."""
    with pytest.raises(error):
        source.follower(**how)


def test_the_pace_of_the_thread(source: Source, pauses: list[float]):
    """A read is told to wait a fifth of the bound; the next one begins a hundredth of a second after this one began, or at once."""
    follower = source.follower(bound=2.0)
    follower.tend()
    source.takes = 0.004
    follower.tend()
    source.takes = 0.4
    follower.tend()
    assert source.asked == [0.4, 0.4, 0.4]
    assert pauses[:2] == pytest.approx([0.01, 0.006])
    assert pauses[2] < 0


def test_the_pace_where_nobody_answers(source: Source, pauses: list[float]):
    """It reads no more often than a fifth of the bound, however quickly that fails."""
    source.fails = StoreError("away")
    source.takes = 0.1
    source.follower(bound=2.0).tend()
    assert pauses == pytest.approx([0.3])


def test_a_thread_that_reads_again_without_a_pause(monkeypatch: pytest.MonkeyPatch):
    """In the thread nothing waits but the read, and the pause after it: once a second would be too late for a bound of less."""
    waits: list[float] = []
    often = threading.Event()

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if threading.current_thread().name == "stagedoor-watch" and timeout is not None:
                waits.append(timeout)
                if len(waits) == 6:
                    often.set()
            return super().wait(timeout)

    monkeypatch.setattr(threading, "Event", Event)
    with moments() as moment:
        source = Source(moment)
        follower = source.follower(by_hand=False)
        follower.begin()
        assert often.wait(PATIENCE)
        follower.close()
    assert set(waits) == {0.0, 0.01}


def test_the_log_says_once_that_nothing_is_heard(source: Source, pauses: list[float], caplog: pytest.LogCaptureFixture):
    """When what is known has become too old, and not before; and once that something is heard again."""
    caplog.set_level(logging.DEBUG)
    follower = source.follower()
    follower.tend()
    source.fails = StoreError("away")
    source.moment.passes(0.875)
    follower.tend()
    assert heard(caplog) == []
    source.moment.passes(0.125)
    for _ in range(3):
        follower.tend()
        source.moment.passes(1)
    lost = (logging.WARNING, "revocations are not heard, and guards refuse until they are: StoreError: away")
    assert heard(caplog) == [lost]
    source.fails = None
    for _ in range(3):
        follower.tend()
    again = (logging.WARNING, "revocations are heard again")
    assert heard(caplog) == [lost, again]
    source.fails = StoreError("away")
    source.moment.passes(1)
    follower.tend()
    assert heard(caplog) == [lost, again, lost]


@pytest.mark.parametrize("failed", [TimeoutError(), TimeoutError("2 s")])
def test_an_answer_that_came_too_late(source: Source, pauses: list[float], failed: Exception):
    """Is told as such, whoever was out of patience."""
    source.fails = failed
    follower = source.follower()
    follower.tend()
    assert refused(follower) == "no revocations were heard yet: no answer came in time"


async def test_who_asks_is_told_what_failed(source: Source):
    """The first by the failure itself; the next ones, who do not ask, too: for a fifth of the bound, until which nobody asks again."""
    follower = source.follower(bound=1.25)
    source.fails = StoreError("away")
    assert refused(follower) == "revocations could not be heard: StoreError: away"
    assert refused(follower) == "no revocations were heard yet: StoreError: away"
    source.moment.passes(0.25)
    source.fails = StoreError("gone")
    with pytest.raises(RevocationsStale) as caught:
        await follower.hear_async()
    assert str(caught.value) == "revocations could not be heard: StoreError: gone"
    with pytest.raises(RevocationsStale) as caught:
        await follower.hear_async()
    assert str(caught.value) == "no revocations were heard yet: StoreError: gone"
    source.moment.passes(0.25)
    source.fails = None
    await follower.hear_async()
    more = "verify_async waits for what is new, and so does hear()"
    assert str(follower.stale()) == f"what is known of revocations is older than its bound: {more}"


async def test_who_asks_strictly_is_never_refused_unasked(source: Source):
    """Who does not is, where stale="refuse". It is read on a thread that is told by its name."""
    follower = source.follower(stale="refuse")
    assert refused(follower) == 'no revocations were heard yet: stale="refuse" asks nobody'
    with pytest.raises(RevocationsStale):
        await follower.hear_async()
    assert source.asked == []
    follower.hear(strict=True)
    await follower.hear_async(strict=True)
    assert source.asked == [0.0, 0.0]
    assert source.threads == ["stagedoor-revocations"] * 2


@pytest.mark.parametrize("awaits", [False, True])
async def test_a_read_that_hangs(never: threading.Event, awaits: bool):
    """Who asks waits for a second where the bound is shorter, and who comes next is told at once."""
    with moments(patient=False):
        follower = Follower(lambda wait: float(never.wait(PATIENCE)), bound=0.05, stale="ask", wake=never.set)
        for told in ("revocations could not be heard", "no revocations were heard yet"):
            with pytest.raises(RevocationsStale) as caught:
                await follower.hear_async() if awaits else follower.hear()
            assert str(caught.value) == f"{told}: no answer came in time"
            assert not never.is_set()
        follower.close()


def test_closing_wakes_a_read_that_waits(never: threading.Event):
    """It is not waited for until it has waited for long enough."""
    waits = threading.Event()

    def read(wait: float) -> float:
        waits.set()
        assert never.wait(PATIENCE)
        return 0.0

    follower = Follower(read, bound=PATIENCE, stale="ask", wake=never.set)
    follower.begin()
    assert waits.wait(PATIENCE)
    follower.close()
    assert never.is_set()


def test_who_is_closed_is_opened_by_who_says_so_alone(source: Source, pauses: list[float], caplog: pytest.LogCaptureFixture):
    """`begin` alone waits for what is closed, which ends the thread without a word; `anew` reads without a wait, once, which opens it."""
    follower = source.follower()
    source.fails = FeedClosed()
    follower.begin(anew=True)
    follower.tend()
    assert source.asked == [0.2]  # nothing was closed as far as anybody knew
    follower.begin()
    follower.tend()
    assert source.asked == [0.2] * 2
    follower.begin(anew=True)
    source.fails = None
    follower.tend()
    follower.tend()
    assert source.asked == [0.2, 0.2, 0.0, 0.2]
    follower.close()
    follower.begin()
    follower.tend()
    follower.begin(anew=True)
    follower.tend()
    assert source.asked[4:] == [0.2, 0.0]
    assert heard(caplog) == []
