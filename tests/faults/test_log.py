"""The event log, and the runs that go on from it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from faults import run as run_module
from faults.log import Complaint, Done, EventLog, Figure, Refresh, read, source
from faults.run import Run, parts
from faults.table import table
from stagedoor.encoding import encode
from stagedoor.refresh_token import Peppers

PROCESSES, LINES = 4, 3_000


def line(number: int, store: str = "sqlite") -> Refresh:
    return Refresh("R2", store, "session", number, 1.0, 2.0, "ok", number + 1, "digest of some length")


def done(count: int, *, source: str, test: str = "R2", store: str = "sqlite") -> Done:
    return Done(test, store, source, "rounds", count, 1.5)


def write_many(path: Path, store: str) -> None:
    log = EventLog(path)
    for number in range(LINES):
        log.write(line(number, store))
    log.close()


def write_until_killed(path: Path) -> None:
    log = EventLog(path)
    for number in range(10**9):
        log.write(line(number))
        log.flush()


def a_run(log: EventLog, wanted: int = 100, **other: str) -> Run:
    return Run(other.get("test", "R2"), other.get("store", "sqlite"), wanted, log, seed=1)


def test_lines_read_back(log: EventLog) -> None:
    """What was written is what is read, in order, once it is flushed."""
    lines = [
        line(1),
        done(3, source="x"),
        Figure("R2", "sqlite", "x", "a figure", 2.0),
        Complaint("R2", "sqlite", "x", "a text\nof two lines"),
    ]
    for each in lines:
        log.write(each)
    log.flush()
    assert list(read(log.path)) == lines


def test_what_was_done_is_in_the_file_at_once(log: EventLog) -> None:
    """A count is never ahead of the facts that it stands for: they are written with it, those before it first."""
    log.write(line(1))
    assert list(read(log.path)) == []
    log.write(done(1, source="x"))
    assert list(read(log.path)) == [line(1), done(1, source="x")]


def test_there_is_no_log_yet(tmp_path: Path) -> None:
    """Nothing was done."""
    assert list(read(tmp_path / "none.jsonl")) == []


def test_several_processes_append(tmp_path: Path) -> None:
    """No line of one process is mixed with another's, and none is lost."""
    path = tmp_path / "events.jsonl"
    context = multiprocessing.get_context("forkserver")
    writers = [context.Process(target=write_many, args=(path, f"store-{number}")) for number in range(PROCESSES)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    lines = list(read(path))
    for number in range(PROCESSES):
        assert [each for each in lines if each.store == f"store-{number}"] == [line(at, f"store-{number}") for at in range(LINES)]
    assert len(lines) == PROCESSES * LINES


def test_a_process_is_killed_while_it_writes(tmp_path: Path) -> None:
    """Everything before can be read."""
    path = tmp_path / "events.jsonl"
    writer = multiprocessing.get_context("forkserver").Process(target=write_until_killed, args=(path,))
    writer.start()
    until = time.monotonic() + 30
    while (not path.exists() or path.stat().st_size < 10_000) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    lines = list(read(path))
    assert len(lines) > 10
    assert lines == [line(number) for number in range(len(lines))]


@pytest.mark.parametrize("kept", [1, 20, 60])
def test_the_last_line_is_cut_off(log: EventLog, kept: int) -> None:
    """A power cut in the middle of a line costs this line only; what is appended by the next run can be read."""
    log.write(line(1))
    log.flush()
    with log.path.open("ab") as file:
        file.write(msgspec.json.encode(line(2))[:kept])
    assert list(read(log.path)) == [line(1)]
    again = EventLog(log.path)
    again.write(done(5, source="x"))
    again.close()
    assert list(read(log.path)) == [line(1), done(5, source="x")]


def test_a_run_goes_on_where_the_last_one_stopped(log: EventLog) -> None:
    """The counts of this code add up; what is left is what is still to do."""
    first = a_run(log)
    first.count(30)
    first.count(12)
    assert (first.done, first.left) == (42, 58)
    second = a_run(log)
    assert (second.already, second.done, second.left) == (42, 0, 58)
    second.count(60)
    assert second.left == 0
    assert a_run(log).left == 0


def test_a_resumed_run_does_not_play_the_same_again(log: EventLog) -> None:
    """The same seed gives the same sequence from the start, and another one from where it goes on."""
    first, same = a_run(log), a_run(log)
    assert first.rng.random() == same.rng.random()
    first.count(1)
    assert a_run(log).rng.random() != a_run(log, store="redis").rng.random()
    assert a_run(log).rng.getstate() != first.rng.getstate()


@pytest.mark.parametrize("other", [{"source": "another"}, {"test": "R3"}, {"store": "redis"}])
def test_other_counts_do_not_count(log: EventLog, other: dict[str, str]) -> None:
    """What was done with other code, by another test or on another store is not done."""
    log.write(done(50, **({"source": source()} | other)))
    assert (a_run(log).already, a_run(log).left) == (0, 100)
    log.write(done(50, source=source()))
    assert a_run(log).left == 50


def test_the_table_counts_this_code_only(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, figures, facts and complaints of other code stay in the log and out of the table."""
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "source", lambda: "another")
        old = a_run(log)
        old.count(40)
        old.complain("an old trouble")
        old.write(line(5))
        old.write(Refresh("R2", "sqlite", "session", 5, 3.0, 4.0, "ok", 6, "another token of this generation"))
    assert table(log.path, "another")[1] != []
    new = a_run(log)
    new.count(7)
    new.figure("loss window", 1.25, "s")
    text, complaints = table(log.path, source())
    assert complaints == []
    assert "7 rounds" in text
    assert "40 rounds" not in text
    assert "loss window 1.25 s" in text


def test_the_parts_of_a_token_are_read_without_a_pepper() -> None:
    """Session and generation as they are in it; the digest differs with the text."""
    peppers = Peppers(b"0123456789abcdefghijklmnopqrstuv")
    one, other = (
        peppers.write(pepper_id=1, session_id=b"s" * 16, generation=generation, secret=b"x" * 32, seed=b"y" * 32, now=0.0)
        for generation in (7, 8)
    )
    assert parts(one)[:2] == (encode(b"s" * 16), 7)
    assert parts(other)[1] == 8
    assert parts(one)[2] != parts(other)[2]
