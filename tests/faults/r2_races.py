"""R2: callers in four processes with one token: 2, 5 and 50 at a barrier; and browsers whose tabs come one after the other.

Each round of the bar is counted in its own sort. Half of each is on the async store, half on the sync one.
Never knows a store: only what each caller was answered, and the row.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence

from faults.places import Servers, migrate
from faults.run import Run
from stagedoor import Revocations
from stagedoor.testing.race import Answered, Race, Tab

PROCESSES = 4
CALLERS = (2, 5, 50)
BURSTS = "bursts of tabs"
BROWSERS = 250
"""Side by side; each goes on with what its tabs were answered."""
WINDOW = 3
"""Seconds: a burst must be over by then, and a browser rotates once in it."""
TOO_SLOW = 20
"""How often one may last longer, of each sort: in its place another one is played."""
LATE = {"ok", "refresh_token_reused", "session_revoked"}
"""What may come of a call in one that lasts longer."""
SPREAD = 0.4
LATENCY = 0.05
LONGEST = 0.3
LOST = 0.3


def play(run: Run, servers: Servers) -> None:
    """The four sorts, first on the async store, then on the sync one."""
    place = servers.place(run.store)
    migrate(place)
    each = run.wanted // (len(CALLERS) + 1)
    for make, goal in ((place.store, (each + 1) // 2), (place.sync_store, each)):
        if all(run.tally[sort] >= goal for sort in (*map(_sort, CALLERS), BURSTS)):
            continue
        # Nobody listens for revocations: access tokens are R12's.
        settings = {"retry_window": WINDOW, "revocations": Revocations()}
        with Race(make, processes=PROCESSES, start_method="forkserver", **settings) as race:
            for callers in CALLERS:
                _barrier(run, race, callers, goal)
            _bursts(run, race, goal)


def _sort(callers: int) -> str:
    return f"rounds of {callers} callers"


def _barrier(run: Run, race: Race, callers: int, goal: int) -> None:
    """Each round another fresh session: its first rotation waits for no window."""
    sort, at_once, too_slow = _sort(callers), [], 0
    while (left := goal - run.tally[sort]) > 0 and _goes_on(run, sort, too_slow):
        for text in race.login(left):
            answers = race.at_once(text, callers)
            if _judge(run, race, answers, sort):
                at_once.append(_at_once(answers))
            else:
                too_slow += 1
    if at_once and callers == max(CALLERS):
        run.figure("under way at once", float(statistics.median(at_once)), f"of {callers}")


def _bursts(run: Run, race: Race, goal: int) -> None:
    texts = race.login(min(BROWSERS, max(0, goal - run.tally[BURSTS])))
    over, too_slow = 0.0, 0
    while (left := goal - run.tally[BURSTS]) > 0 and _goes_on(run, BURSTS, too_slow):
        texts = texts[:left]
        time.sleep(max(0.0, over + WINDOW + LATENCY - time.monotonic()))
        bursts = race.tabs([(text, tabs(run.rng)) for text in texts])
        judged = [answers for answers in bursts if _judge(run, race, answers, BURSTS)]
        # One answer of each burst came back: its jar holds the successor. One that was wrong has been told of, and goes no further.
        texts = [successor for answers in judged if (successor := _successor(answers))]
        texts += race.login(len(bursts) - len(judged))
        too_slow += len(judged) < len(bursts)
        if not texts:
            return
        over = max(answer.ended for answers in bursts for answer in answers)


def tabs(rng: random.Random) -> list[Tab]:
    """Some tabs of a browser; the answer of the first of them is never lost: what happens when all are, R4 looks at."""
    found = []
    for number in range(rng.choice([2, 3, 5, 12])):
        lost = number > 0 and rng.random() < LOST
        found.append(Tab(rng.uniform(0, SPREAD), _latency(rng), None if lost else _latency(rng)))
    return found


def _latency(rng: random.Random) -> float:
    return min(LONGEST, rng.expovariate(1 / LATENCY))


def _goes_on(run: Run, sort: str, too_slow: int) -> bool:
    if too_slow > TOO_SLOW:
        run.complain(f"{sort}: {too_slow} times one lasted longer than the window")
    return too_slow <= TOO_SLOW


def _judge(run: Run, race: Race, answers: Sequence[Answered], sort: str) -> bool:
    """Whether it could be judged: one that lasts longer than the window may rotate twice, and whoever comes late may look like a thief."""
    if max(each.ended for each in answers) - min(each.sent for each in answers) >= WINDOW:
        for each in answers:
            if each.code not in LATE:
                run.complain(f"{sort}: a caller was refused: {each.code}")
        return False
    for each in answers:
        run.refreshed(each.presented, each.sent, each.code, each.token, ended=each.ended)
    for fault in race.faults(answers):
        run.complain(f"{sort}: {fault}")
    run.count(1, sort)
    return True


def _successor(answers: Sequence[Answered]) -> str | None:
    tokens = {each.token for each in answers}
    return tokens.pop() if len(tokens) == 1 else None


def _at_once(answers: Sequence[Answered]) -> int:
    """The most calls of a round that were under way at one moment."""
    steps = sorted([(each.sent, 1) for each in answers] + [(each.ended, -1) for each in answers])
    now = most = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most
