"""The public race harness: it finds what races break, says nothing of a sound store, and tells of processes that fail."""

from __future__ import annotations

import os
import time
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import pytest

from broken_stores.faults_of_services import SelectThenUpdate
from stagedoor.session import Answer, Outcome, Presented
from stagedoor.stores.sql import SQLStore, SyncSQLStore
from stagedoor.testing.race import Race, Tab

CALLERS = 10


class Dies(SyncSQLStore):
    """A store whose process ends in the middle of a rotation."""

    def rotate(self, presented: Presented, now: float) -> Answer:
        os._exit(1)


class Raises(SyncSQLStore):
    """A store that raises what no store may raise."""

    def rotate(self, presented: Presented, now: float) -> Answer:
        raise KeyError("row")


class Forgets(SyncSQLStore):
    """A store that answers Rotated and writes nothing."""

    def rotate(self, presented: Presented, now: float) -> Answer:
        return Answer(Outcome.ROTATED, self.get(presented.session_id), now)


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'race.db'}"
    store = SyncSQLStore(url)
    store.migrate()
    store.close()
    return url


@pytest.mark.parametrize("store", [SQLStore, SyncSQLStore])
def test_a_sound_store(store: type, url: str) -> None:
    """Async or sync, callers at a barrier come from every process, in time, and end with one token; nothing is found wrong."""
    with Race(partial(store, url), processes=3, start_method="forkserver") as race:
        for text in race.login(3):
            before = time.monotonic()
            answers = race.at_once(text, CALLERS)
            assert race.faults(answers) == []
            assert len(answers) == CALLERS
            assert {each.process for each in answers} == {0, 1, 2}
            assert {each.presented for each in answers} == {text}
            assert all(before < each.sent < each.ended < time.monotonic() for each in answers)


def test_tabs_read_the_jar_when_they_start(url: str) -> None:
    """A tab that starts once the jar holds the successor presents that and keeps it; one whose forerunner's answer was lost does not."""
    browsers = {"heard": [Tab(), Tab(starts=0.5)], "lost": [Tab(back=None), Tab(starts=0.5)], "late": [Tab(back=1.0), Tab(starts=0.5)]}
    expected = {
        "heard": ["refresh_kept", "refresh_rotated"],
        "lost": ["refresh_replayed", "refresh_rotated"],
        "late": ["refresh_replayed", "refresh_rotated"],
    }
    with Race(partial(SQLStore, url), processes=2, start_method="forkserver") as race:
        for _ in range(10):  # a process may stand still for longer than lies between two tabs
            texts = race.login(len(browsers))
            answers = race.tabs(list(zip(texts, browsers.values(), strict=True)))
            assert [fault for each in answers for fault in race.faults(each)] == []
            told = {name: sorted(each.event for each in found) for name, found in zip(browsers, answers, strict=True)}
            if told == expected:
                break
    assert told == expected


def test_an_issuers_settings(url: str) -> None:
    """What the issuer is told is passed on: sessions end when it says."""
    with Race(partial(SQLStore, url), processes=2, start_method="forkserver", refresh_idle=3600) as race:
        row = race.session(race.login()[0])
    assert row is not None
    assert row.idle_ends_at - row.created_at == pytest.approx(3600, abs=1)


def test_the_session_can_be_looked_at(url: str) -> None:
    """The row is there to be looked at, before and after."""
    with Race(partial(SyncSQLStore, url), processes=1) as race:
        [text] = race.login()
        before, _, after = race.session(text), race.at_once(text, 2), race.session(text)
    assert before is not None
    assert after is not None
    assert (before.generation, after.generation) == (0, 1)


@pytest.mark.parametrize(
    ("store", "fault"),
    [(SelectThenUpdate, "calls rotated"), (Forgets, "not the one in the row"), (Raises, "a caller was refused: KeyError: 'row'")],
)
def test_a_broken_store(store: type, fault: str, url: str) -> None:
    """What a race broke is told."""
    with Race(partial(store, url), processes=4, start_method="forkserver") as race:
        found = [told for text in race.login(5) for told in race.faults(race.at_once(text, CALLERS))]
    assert any(fault in told for told in found), found


def test_a_process_that_dies(url: str) -> None:
    """A store that takes its process along ends the race with an error, and nothing is left running."""
    with Race(partial(Dies, url), processes=2, start_method="forkserver") as race, pytest.raises(RuntimeError, match="has ended"):
        race.at_once(race.login()[0], 2)
    assert [process for process in active_children() if process.name.startswith("stagedoor-race")] == []


def test_a_store_that_cannot_be_made() -> None:
    """What the function raises that makes the store is told to who wanted the race."""
    with pytest.raises(RuntimeError, match="a URL such as"):
        Race(partial(SQLStore, "nothing://"), processes=2, start_method="forkserver")


@pytest.mark.parametrize("wrong", [{"processes": 0}, {"start_method": "fork"}])
def test_what_no_race_can_be_run_with(wrong: dict[str, object]) -> None:
    """No processes, or processes that carry a store's connections along, are refused."""
    with pytest.raises(ValueError, match="spawn or forkserver"):
        Race(partial(SQLStore, "sqlite://"), **wrong)  # type: ignore[arg-type]
