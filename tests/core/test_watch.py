"""Watch: it calls for as long as its owner lives, and once stopped it works on nothing any more."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from stagedoor import watch

from .scripted import PATIENCE


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


class Calls:
    """Does this."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    def tend(self) -> None:
        self._function()


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds are less than a thread may stand still."""
    monkeypatch.setattr(watch, "_PATIENCE", PATIENCE)


def often(owner: watch.Watched) -> watch.Watch:
    return watch.Watch(owner, interval=0.01)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "stagedoor-watch"]


def test_stopping_waits_for_what_is_under_way():
    """After `stop` nothing is called, nor still at work: whoever stopped it may close what it worked on."""
    owner = Slow()
    watching = often(owner)
    watching.start()
    assert owner.begun.wait(PATIENCE)
    watching.stop()
    assert not owner.works
    calls = owner.calls
    time.sleep(0.1)
    assert (owner.works, owner.calls) == (False, calls)
    watching.stop()


def test_it_keeps_nobody_alive():
    """When its owner is gone, the thread ends by itself."""
    before, owner = threads(), Slow()
    watching = often(owner)
    watching.start()
    assert owner.begun.wait(PATIENCE)
    del owner
    until = time.monotonic() + PATIENCE
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
    watching = often(owner)
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
    watching = often(owner)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_more_threads)
        with pytest.raises(RuntimeError):
            watching.start()
    watching.start()
    assert owner.begun.wait(PATIENCE)
    watching.stop()


def _no_more_threads(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_process_that_ends_waits_for_no_watch():
    """Its thread is one that holds nobody up, whatever it calls."""
    seen: list[threading.Thread] = []
    begun = threading.Event()
    owner = Calls(lambda: (seen.append(threading.current_thread()), begun.set()))
    watching = often(owner)
    watching.start()
    assert begun.wait(PATIENCE)
    watching.stop()
    assert seen[0].daemon


def test_stopping_waits_only_so_long(monkeypatch: pytest.MonkeyPatch):
    """What hangs goes on to hang, and whoever stops it goes on."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    owner = Calls(lambda: (begun.set(), go_on.wait(PATIENCE), ended.set()))
    watching = often(owner)
    watching.start()
    assert begun.wait(PATIENCE)
    monkeypatch.setattr(watch, "_PATIENCE", 0.05)
    watching.stop()
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(PATIENCE)


def test_stopping_waits_for_as_long_as_it_has_patience(monkeypatch: pytest.MonkeyPatch):
    """Were that no more than a second."""
    monkeypatch.setattr(watch, "_PATIENCE", 1.0)
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    owner = Slow()
    watching = often(owner)
    watching.start()
    assert owner.begun.wait(PATIENCE)
    watching.stop()
    assert not owner.works


def test_who_is_under_way_is_woken_until_it_wakes():
    """A wake that comes before the waiting begins is lost: one is not enough."""
    begun, wakes, ended = threading.Event(), threading.Semaphore(0), threading.Event()
    owner = Calls(lambda: (begun.set(), [wakes.acquire(timeout=PATIENCE) for _ in range(3)], ended.set()))
    watching = often(owner)
    watching.start()
    assert begun.wait(PATIENCE)
    watching.stop(wake=wakes.release)
    assert ended.is_set()


def test_a_pause(monkeypatch: pytest.MonkeyPatch):
    """It lasts as long as is said, or not at all; also where no watch calls."""
    waits: list[float] = []
    elsewhere = threading.Thread(target=lambda: [watch.pause(seconds) for seconds in (-1.0, 0.0, 0.02)])

    class Stopped(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if threading.current_thread() is elsewhere:  # threads wait for others in Events, too
                waits.append(timeout or 0.0)
            return super().wait(timeout)

    monkeypatch.setattr(watch.threading, "Event", Stopped)
    elsewhere.start()
    elsewhere.join(PATIENCE)
    assert waits == [0.0, 0.0, 0.02]


def in_a_child(function: Callable[[], Any]) -> int | None:
    """The exit code of a child that is forked here and does this; None where it hangs."""
    process = multiprocessing.get_context("fork").Process(target=function)
    process.start()
    process.join(PATIENCE)
    code = process.exitcode
    process.kill()
    process.join()
    return code


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 and later, where there are threads
def test_a_child_calls_too():
    """Of a fork, though somebody was about to start or stop the watch in its parent; and there it can be stopped."""
    called = {os.getpid(): threading.Event()}
    owner = Calls(lambda: called.setdefault(os.getpid(), threading.Event()).set())
    watching = often(owner)
    watching.start()

    def child() -> None:
        here = called.setdefault(os.getpid(), threading.Event())
        assert here.wait(PATIENCE)
        watching.stop()
        here.clear()
        assert not here.wait(0.1)

    with watching._lock:
        code = in_a_child(child)
    assert code == 0
    watching.stop()


def test_whose_thread_is_gone_begins_again():
    """As in a child, where no thread goes on but the one that forked; whose thread is there goes on with it."""
    called = threading.Event()
    owner = Calls(called.set)
    watching = often(owner)
    watching.start()
    there = watching._thread
    watch._begin_again()
    assert watching._thread is there
    watching.stop()
    called.clear()
    watching._thread = there
    watch._begin_again()
    assert called.wait(PATIENCE)
    watching.stop()


def test_who_was_stopped_does_not_go_on():
    """Nor does who never began."""
    owner = Calls(lambda: None)
    before, watching = threads(), often(owner)
    watching.go_on()
    watching.start()
    watching.stop()
    watching.go_on()
    assert set(threads()) <= set(before)


def test_one_hook_for_all(monkeypatch: pytest.MonkeyPatch):
    """A hook for forks can never be taken back: there is one, however many watches begin."""
    hooks: list[dict[str, Any]] = []
    monkeypatch.setattr(watch, "_hooked", threading.Event())
    monkeypatch.setattr(os, "register_at_fork", lambda **hook: hooks.append(hook), raising=False)
    owner = Calls(lambda: None)
    for _ in range(3):
        watching = often(owner)
        watching.start()
        watching.stop()
    assert [list(hook) for hook in hooks] == [["after_in_child"]]
