"""Revocations that follow a feed: how old they are, whom they ask, and what they do when nobody answers."""

import asyncio
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import pytest

from patience import patient
from stagedoor import flight
from stagedoor.errors import RevocationsStale, StoreError
from stagedoor.revocation import Record, Revocations
from stagedoor.stores.memory import SyncMemoryStore
from stagedoor.stores.sql import SyncSQLStore

from .material import NOW
from .scripted import PATIENCE, Moment, ScriptedFeed, Token, answer, moments


def watches() -> set[threading.Thread]:
    """The threads that watch something, whoever's they are."""
    return {thread for thread in threading.enumerate() if thread.name == "stagedoor-watch"}


def end(threads: set[threading.Thread]) -> bool:
    """Whether these end soon, while what nobody holds is collected."""
    until = time.monotonic() + PATIENCE
    while any(thread.is_alive() for thread in threads) and time.monotonic() < until:
        time.sleep(0.02)
        gc.collect()
    return not any(thread.is_alive() for thread in threads)


@contextmanager
def following(stale: str = "ask", bound: float = 1.0) -> Iterator[tuple[Revocations, ScriptedFeed, Moment]]:
    """Revocations that follow a scripted feed, and the moment that both go by."""
    with moments() as moment:
        feed = ScriptedFeed()
        revocations = Revocations.following(feed, bound=bound, stale=stale, clock=lambda: moment.wall)
        try:
            yield revocations, feed, moment
        finally:
            feed.close()
            revocations.close()


def test_before_anything_was_heard_nothing_passes():
    """Not even a token of which nothing is known: what was revoked before is not known yet."""
    with following() as (revocations, _, moment):
        assert answer(revocations, moment) == 503
        assert not revocations.is_fresh
        assert revocations.knowledge().age is None


def test_what_is_known_counts_for_its_bound_and_no_longer():
    """From the moment that an answer tells of, for exactly the bound."""
    with following() as (revocations, feed, moment):
        feed.end("ended")
        revocations.hear()
        moment.passes(0.999)
        assert (answer(revocations, moment), answer(revocations, moment, "ended")) == (200, 401)
        assert revocations.knowledge().age == pytest.approx(0.999)
        moment.passes(0.001)
        assert (answer(revocations, moment), answer(revocations, moment, "ended")) == (503, 401)


def test_age_counts_from_the_question_not_from_the_answer():
    """An answer that took long is as old as its question: what was written after that may be missing in it."""
    with following() as (revocations, feed, moment):

        def slow() -> None:
            moment.passes(0.75)
            feed.age = 0.75

        feed.before = slow
        revocations.hear()
        assert answer(revocations, moment) == 200
        moment.passes(0.3)
        assert answer(revocations, moment) == 503


def test_an_answer_that_is_older_than_the_bound_is_no_knowledge():
    """It is taken in, and nothing passes by it."""
    with following() as (revocations, feed, moment):
        feed.end("ended")
        feed.age = 1.5
        revocations.hear()
        assert (answer(revocations, moment), answer(revocations, moment, "ended")) == (503, 401)


def test_an_older_answer_takes_nothing_away():
    """Of two reads that were under way at one time the younger counts, whichever comes last."""
    with following() as (revocations, feed, moment):
        revocations.hear()
        moment.passes(0.1)
        feed.age = 0.9
        revocations.hear()
        moment.passes(0.8)
        assert answer(revocations, moment) == 200


def test_the_thread_keeps_it_fresh():
    """Five times a bound it reads on from its cursor, and waits there for news as long as that."""
    with following() as (revocations, feed, moment):
        revocations.follow()
        for _ in range(20):
            feed.turn()
            assert answer(revocations, moment) == 200
            moment.passes(0.2)
        assert feed.asked[0] == (None, 0.2)
        assert set(feed.asked[1:]) == {("log:0", 0.2)}
        feed.end("s")
        feed.turn()
        assert answer(revocations, moment) == 401


def test_a_guard_that_asks_hears_what_is_new():
    """Past the bound `hear` reads at once; what comes is known when it returns."""
    with following() as (revocations, feed, moment):
        revocations.hear()
        moment.passes(5)
        feed.end("s")
        assert answer(revocations, moment, "other") == 503
        revocations.hear()
        assert (answer(revocations, moment, "other"), answer(revocations, moment)) == (200, 401)


@pytest.mark.parametrize("stale", ["ask", "refuse"])
def test_nobody_answers(stale: str):
    """Past the bound everything is refused for as long as nothing is heard, whether it may ask or not."""
    with following(stale) as (revocations, feed, moment):
        revocations.follow()
        feed.turn()
        feed.fails = StoreError("away")
        for _ in range(3):
            moment.passes(0.5)
            with pytest.raises(RevocationsStale):
                revocations.hear()
        assert answer(revocations, moment) == 503
        feed.fails = None
        feed.turn()
        assert answer(revocations, moment) == 200


@pytest.mark.parametrize("stale", ["ask", "refuse"])
def test_a_refusal_says_why(stale: str):
    """Whoever is refused reads what was wrong last, however long ago the log has said it; before that, who waits for an answer."""
    with following(stale) as (revocations, feed, moment):
        feed.fails = StoreError("away")

        def told() -> str:
            with pytest.raises(RevocationsStale) as refused:
                revocations.check(Token(), moment.wall)
            return str(refused.value)

        assert ("hear()" in told()) == (stale == "ask")
        for reason in ("away", "no such endpoint"):
            feed.fails = StoreError(reason)
            feed.turn()
            assert told() == f"no revocations were heard yet: StoreError: {reason}"
        feed.fails = None
        feed.turn()
        revocations.check(Token(), moment.wall)
        moment.passes(1)
        assert "older than its bound" in told()
        assert "endpoint" not in told()


def test_who_is_to_refuse_asks_nobody():
    """With stale="refuse" only the thread reads."""
    with following("refuse") as (revocations, feed, _):
        with pytest.raises(RevocationsStale):
            revocations.hear()
        assert feed.asked == []


def test_after_a_failure_nobody_asks_again_at_once():
    """A feed that is away is not asked by every request: for a fifth of the bound what has failed has failed."""
    with following() as (revocations, feed, moment):
        feed.fails = StoreError("away")
        for _ in range(10):
            with pytest.raises(RevocationsStale):
                revocations.hear()
        assert len(feed.asked) == 1
        moment.passes(0.2)
        feed.fails = None
        revocations.hear()
        assert answer(revocations, moment) == 200


def test_many_who_ask_share_one_read():
    """Fifty threads that ask while one read is under way have one more between them, which began after they had asked."""
    with following(bound=PATIENCE) as (revocations, feed, moment):
        under_way, go_on = threading.Event(), threading.Event()

        def held() -> None:
            under_way.set()
            assert go_on.wait(PATIENCE)

        feed.before = held
        asked, flown = threading.Semaphore(0), revocations._follower._flight
        ask = flown.ask
        flown.ask = lambda: [ask(), asked.release()][0]
        threads = [threading.Thread(target=revocations.hear) for _ in range(51)]
        threads[0].start()
        assert under_way.wait(PATIENCE)
        for thread in threads[1:]:
            thread.start()
        for _ in threads:
            assert asked.acquire(timeout=PATIENCE)
        feed.end("s")
        go_on.set()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(feed.asked) == 2
        assert answer(revocations, moment) == 401


async def test_many_who_await_share_one_read():
    """As with threads; and whoever gives up takes nothing away from the others."""
    with following(bound=PATIENCE) as (revocations, feed, moment):
        under_way, go_on = threading.Event(), threading.Event()

        def held() -> None:
            under_way.set()
            assert go_on.wait(PATIENCE)

        feed.before = held
        first = asyncio.create_task(revocations.hear_async())
        assert await asyncio.to_thread(under_way.wait, PATIENCE)
        tasks = [asyncio.create_task(revocations.hear_async()) for _ in range(50)]
        await asyncio.sleep(0.1)
        tasks[7].cancel()
        feed.end("s")
        go_on.set()
        answers = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert [number for number, each in enumerate(answers) if each is not None] == [8]
        assert len(feed.asked) == 2
        assert answer(revocations, moment) == 401


def test_a_gap_is_read_after_it():
    """What was written while nothing could be read is read from the cursor on, as soon as something can be."""
    with following() as (revocations, feed, moment):
        revocations.follow()
        feed.turn()
        feed.fails = StoreError("away")
        feed.turn()
        feed.end("s")
        feed.fails = None
        feed.turn()
        assert answer(revocations, moment) == 401
        assert [after for after, _ in feed.asked] == [None, "log:0", "log:0"]


def test_a_log_that_was_replaced_is_read_whole():
    """Its cursors name another log; what was known before is still known."""
    with following() as (revocations, feed, moment):
        feed.end("old")
        revocations.hear()
        feed.name, feed.records = "another", []
        feed.end("new")
        revocations.hear()
        assert (answer(revocations, moment, "old"), answer(revocations, moment, "new")) == (401, 401)
        revocations.hear()
        assert feed.asked[-1][0] == "another:1"


def test_a_log_that_was_restored_is_read_whole():
    """It ends before the cursor: what it has now at earlier positions is read."""
    with following() as (revocations, feed, moment):
        for name in ("a", "b", "c"):
            feed.end(name)
        revocations.hear()
        del feed.records[1:]
        feed.end("new")
        revocations.hear()
        assert [answer(revocations, moment, name) for name in ("a", "b", "c", "new")] == [401, 401, 401, 401]


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_jumps(jump: float):
    """By a wall clock that had jumped records may have been forgotten too early: once it is back all is read again."""
    with following() as (revocations, feed, moment):
        feed.end("s")
        revocations.hear()
        moment.wall += jump
        revocations.hear()
        assert feed.asked[-1][0] is None
        moment.wall -= jump
        assert len(revocations) == (0 if jump > 0 else 1)
        revocations.hear()
        assert feed.asked[-1][0] is None
        assert answer(revocations, moment) == 401
        moment.passes(0.1)
        revocations.hear()
        assert feed.asked[-1][0] == "log:1"


def test_after_a_clock_that_jumped_one_read_that_fails_is_made_up_for():
    """Another read was under way meanwhile, and does not bring what was forgotten: all is still to be read."""
    with following() as (revocations, feed, moment):
        feed.end("s")
        revocations.hear()
        moment.wall += 3600
        revocations.hear()
        feed.turn()
        moment.wall -= 3600
        feed.fails = StoreError("away")
        with pytest.raises(RevocationsStale):
            revocations.hear()
        feed.fails = None
        feed.turn()
        moment.passes(2)
        revocations.hear()
        assert answer(revocations, moment) == 401


def test_a_feed_that_is_closed_ends_the_thread():
    """Without a word in the log; the next check begins anew."""
    with following() as (revocations, feed, moment):
        before = watches()
        revocations.follow()
        assert feed.waits()
        own = watches() - before
        feed.close()
        assert own
        assert end(own)
        feed._waiting = threading.Semaphore(0)
        feed.open()
        assert answer(revocations, moment) == 503
        feed.turn()
        assert answer(revocations, moment) == 200


def test_who_asks_nobody_follows_again_what_was_closed():
    """`follow` opens a store that was closed, also where guards are to refuse: else they would for good."""
    with TemporaryDirectory() as folder:
        store = SyncSQLStore(f"sqlite:///{folder}/auth.db")
        store.migrate()
        revocations = Revocations.following(store, bound=0.5, stale="refuse")
        for _ in range(2):
            revocations.follow()
            until = time.monotonic() + PATIENCE
            while not revocations.is_fresh:
                assert time.monotonic() < until
                time.sleep(0.01)
            revocations.close()
            store.close()
            time.sleep(0.6)


def test_the_thread_ends_with_its_owner():
    """Revocations that nobody has any more are collected, and nothing reads for them."""
    before = watches()
    store = SyncMemoryStore()
    revocations = patient(Revocations.following(store, bound=0.1))
    revocations.hear()
    own = watches() - before
    gone = weakref.ref(revocations)
    del revocations
    assert own
    assert end(own)
    assert gone() is None


FORKED = """
import os, sys, time
from stagedoor import Revocations
from stagedoor.stores.memory import SyncMemoryStore
from stagedoor.stores.sql import SyncSQLStore
log = SyncMemoryStore().log
log.end_session(bytes(16), time.time())
revocations = Revocations.following(log, bound=1)
follower = revocations._follower
follower._patience = 30
revocations.hear()
child = os.fork()
known, until = follower.fresh_until, time.monotonic() + 30
while follower.fresh_until == known and time.monotonic() < until:
    time.sleep(0.01)  # by its thread alone
heard = follower.fresh_until > known
revocations.hear()
if child == 0:
    os._exit(0 if heard and len(revocations) == 1 else 1)
assert heard
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
revocations.close()
"""


def test_a_fork_goes_on():
    """A child hears by a thread of its own, and may ask, though its parent's thread was in the middle of a read."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 and later, where there are threads
def test_two_threads_that_ask_at_once_after_a_fork(monkeypatch: pytest.MonkeyPatch):
    """Both hear: the second to find itself in another process takes nothing away from the first."""
    late_looks, others_asked, under_way, go_on = (threading.Event() for _ in range(4))
    process = 1

    def own_process() -> int:
        if threading.current_thread() is late and not late_looks.is_set():
            late_looks.set()
            others_asked.wait(0.5)
        return process

    def read() -> None:
        under_way.set()
        assert go_on.wait(PATIENCE)

    monkeypatch.setattr(flight.os, "getpid", own_process)
    late = threading.Thread(target=lambda: flown.ask())
    flown = flight.Flight(read, "flight-of-the-test")
    process = 2
    late.start()
    assert late_looks.wait(PATIENCE)
    first = flown.ask()
    assert under_way.wait(PATIENCE)
    second = flown.ask()
    others_asked.set()
    late.join(PATIENCE)
    go_on.set()
    first.result(PATIENCE)
    second.result(PATIENCE)


def test_a_fork_while_something_is_taken_in_goes_on():
    """The thread that held the lock is not in the child: what is heard there is taken in all the same."""
    revocations = Revocations()

    def child() -> None:
        revocations.add(Record("session", "s", NOW + 960, NOW), now=NOW)

    with revocations._locks.setdefault(os.getpid(), threading.Lock()):
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
    process.join(PATIENCE)
    hangs = process.is_alive()
    process.kill()
    process.join()
    assert not hangs


def test_checks_need_no_lock():
    """A token is checked while records are taken in: no request waits for a feed that has much to tell."""
    with following() as (revocations, _, moment):
        revocations.hear()
        with revocations._locks.setdefault(os.getpid(), threading.Lock()):
            assert answer(revocations, moment) == 200


def test_many_records_at_once():
    """However many there are, all are known when the read is over; and how late the latest was."""
    with following() as (revocations, feed, moment):
        for n in range(2_500):
            feed.records.append(Record("session", f"s{n}", NOW + 960, NOW - 2.5 - n))
        revocations.hear()
        assert len(revocations) == 2_500
        assert revocations.knowledge().lag == 2.5
        assert answer(revocations, moment, "s2499") == 401


def test_what_is_heard_while_a_token_is_checked_does_not_make_fresh_what_was_read_before():
    """A thread may stand still between looking and judging: what it had seen was too old, so it is 503, never 200."""
    with following() as (revocations, feed, moment):

        class Interrupted(dict[str, int]):
            """Sessions; between a look and its answer everything new is heard."""

            def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
                found = super().get(name, default)
                if threading.current_thread() is threading.main_thread():
                    revocations.hear()
                return found

        feed.end("ended")
        revocations._sessions = Interrupted()
        assert answer(revocations, moment, "ended") == 503
        assert answer(revocations, moment, "ended") == 401


def test_strict_without_a_store():
    """Of a feed alone `check_strictly` has everything read that is new, each time, though what is known is fresh."""
    with following() as (revocations, feed, moment):
        revocations.hear()
        asyncio.run(revocations.check_strictly(Token(), moment.wall))
        feed.end("s")
        assert answer(revocations, moment) == 200
        with pytest.raises(Exception, match="revoked"):
            asyncio.run(revocations.check_strictly(Token(), moment.wall))


def test_where_no_thread_can_be_started_the_answer_is_503(monkeypatch: pytest.MonkeyPatch):
    """And not an error; when there can be threads again it follows."""
    with following() as (revocations, feed, moment):
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", _no_more_threads)
            assert answer(revocations, moment) == 503
            with pytest.raises(RevocationsStale):
                revocations.hear()
        assert answer(revocations, moment) == 503
        assert feed.waits()


def _no_more_threads(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
