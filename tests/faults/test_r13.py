"""R13 in short on every kind of feed; and the faults that it must find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faults import r13_feeds
from faults.feeds import RedisSide
from faults.log import EventLog
from faults.places import FEEDS, Servers
from faults.short import judged, played, run_of, told

PLANTED = "broken_stores.faults_of_feeds"


@pytest.fixture(autouse=True)
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing lasts longer than it must to be seen."""
    for name, seconds in {"CALM": 0.3, "HEARD": 0.6, "OUTAGE": 1.9, "AFTERWARDS": 0.3}.items():
        monkeypatch.setattr(r13_feeds, name, seconds)


def test_no_guard_ever_fails_open(servers: Servers, tmp_path: Path) -> None:
    """Connections that end and servers that are killed, on every kind of feed: 503 beyond the bound, and soon afterwards 401 and 200."""
    servers.place("redis")  # the first server is started alone: who looks after them all is started with it

    def play(feed: str) -> list[str]:
        def whole(log: EventLog) -> list[str]:
            run, complaints = played("R13", feed, servers, log)
            assert run.left == 0, complaints
            return complaints

        return again(whole, tmp_path, feed)

    with ThreadPoolExecutor(6) as pool:  # they wait for real seconds most of the time
        for complaints in pool.map(play, FEEDS):
            assert complaints == []


def again(play: Callable[[EventLog], list[str]], folder: Path, name: str) -> list[str]:
    """What it complains of, played up to three times where a guard only takes longer until it is well, as one without a processor does."""
    for number in range(3):
        log = EventLog(folder / f"{name}-{number}.jsonl")
        found = play(log)
        log.close()
        if not found or not all("got 503" in text and "after all was well again" in text for text in found):
            break
    return found


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisSide]:
    """A Redis that things befall."""
    made = RedisSide(tmp_path_factory.mktemp("side"))
    yield made
    made.close()


def complaints_of(side: RedisSide, fault: str, log: EventLog) -> list[str]:
    r13_feeds.play_one(run_of("R13", "redis", log), side, fault)
    assert told(log) == []
    return judged(log)


def is_found(side: RedisSide, fault: str, log: EventLog) -> bool:
    """Whether 200 was seen for what was revoked. Where it can be seen for a second alone, it is tried three times."""
    return any("got 200" in text for _ in range(3) for text in complaints_of(side, fault, log))


@pytest.mark.parametrize("fault", ["silent", "too_slow", "replaced", "restored"])
def test_other_things_that_befall(fault: str, side: RedisSide, tmp_path: Path) -> None:
    """One that hangs, one that is slower than the bound, one that begins anew and one that is restored from a copy."""
    assert again(lambda log: complaints_of(side, fault, log), tmp_path, fault) == []


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ("drops_the_gap", "down"),
        ("believes_its_cursor", "replaced"),
        ("lagging_replica", "slow"),
    ],
)
def test_a_feed_that_is_wrong_is_found(planted: str, fault: str, side: RedisSide, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gap that is dropped, a cursor of another log that is believed, a replica that lags: 200 for what was revoked."""
    monkeypatch.setattr(r13_feeds, "SOURCE", f"{PLANTED}:{planted}")
    assert is_found(side, fault, log)


def test_a_guard_that_fails_open_is_found(side: RedisSide, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is heard any more, and everything passes."""
    monkeypatch.setattr(r13_feeds, "REVOCATIONS", f"{PLANTED}:FailsOpen")
    assert is_found(side, "down", log)
