"""Watch: it calls for as long as its owner lives, and once stopped it works on nothing any more."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from stagedoor import watch


class Slow:
    """Takes its time, and tells when it works."""

    def __init__(self) -> None:
        self.calls, self.works, self.begun = 0, False, threading.Event()

    def tend(self) -> None:
        self.works = True
        self.begun.set()
        time.sleep(0.2)
        self.works = False
        self.calls += 1


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.01)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "stagedoor-watch"]


def test_stopping_waits_for_what_is_under_way():
    """After `stop` nothing is called, nor still at work: whoever stopped it may close what it worked on."""
    owner = Slow()
    watching = watch.Watch(owner)
    watching.start()
    assert owner.begun.wait(10)
    watching.stop()
    assert (owner.works, owner.calls) == (False, 1)
    time.sleep(0.1)
    assert owner.calls == 1
    watching.stop()


def test_it_keeps_nobody_alive():
    """When its owner is gone, the thread ends by itself."""
    before, owner = threads(), Slow()
    watching = watch.Watch(owner)
    watching.start()
    assert owner.begun.wait(10)
    del owner
    until = time.monotonic() + 10
    while set(threads()) - set(before):
        gc.collect()
        assert time.monotonic() < until
        time.sleep(0.01)
    watching.stop()


def test_many_who_start_it_at_one_time_start_one_thread(monkeypatch: pytest.MonkeyPatch):
    """And `stop` ends it: of two threads one would go on for ever."""
    begin = watch.Watch._begin

    def slowly(self: watch.Watch) -> None:
        time.sleep(0.05)
        begin(self)

    monkeypatch.setattr(watch.Watch, "_begin", slowly)
    before, owner = threads(), Slow()
    watching = watch.Watch(owner)
    callers = [threading.Thread(target=watching.start) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(set(threads()) - set(before)) == 1
    watching.stop()
    assert set(threads()) <= set(before)


def test_a_thread_that_could_not_be_started_is_started_later(monkeypatch: pytest.MonkeyPatch):
    """Where the process may have no more threads for a while."""
    owner = Slow()
    watching = watch.Watch(owner)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_more_threads)
        with pytest.raises(RuntimeError):
            watching.start()
    watching.start()
    assert owner.begun.wait(10)
    watching.stop()


def _no_more_threads(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
