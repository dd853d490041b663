"""Flight: who asks shares the next call, and no thread that could not be started, no fork and no call that hangs keeps anybody."""

from __future__ import annotations

import multiprocessing
import threading

import pytest

from stagedoor.flight import Flight

from .scripted import PATIENCE


def test_a_call_has_a_thread_of_its_own():
    """It is told by its name, and a process that ends does not wait for it."""
    seen: list[threading.Thread] = []
    Flight(lambda: seen.append(threading.current_thread()), "flight-of-the-test").ask().result(PATIENCE)
    assert [(thread.name, thread.daemon) for thread in seen] == [("flight-of-the-test", True)]


def test_a_thread_that_could_not_be_started_is_started_later(monkeypatch: pytest.MonkeyPatch):
    """Who asks meanwhile is told so, and nobody waits for a call that will not come."""

    def no_more_threads(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    calls: list[int] = []
    flown = Flight(lambda: calls.append(1), "flight-of-the-test")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more_threads)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                flown.ask()
    flown.ask().result(PATIENCE)
    assert calls == [1]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 and later, where there are threads
def test_a_fork_while_somebody_asks():
    """The thread that held the lock is not in the child, which may ask all the same."""
    flown = Flight(lambda: None, "flight-of-the-test")
    with flown._own_lock():
        process = multiprocessing.get_context("fork").Process(target=lambda: flown.ask().result(PATIENCE))
        process.start()
    process.join(PATIENCE)
    ended = process.exitcode
    process.kill()
    process.join()
    assert ended == 0
