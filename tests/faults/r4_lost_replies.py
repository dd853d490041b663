"""R4: lost replies: a proxy between clients and service loses answers, and nobody honest may be logged out by that.

Clients retry at once, within the window with and without attempt ids, and far beyond it with them; half of them start anew for each try,
from what they had written down: the token, and the attempt id beside it. In the middle, for five minutes in the time of the test, nobody
can say of half the sessions whether they may go on, and the box with the signing key is down for the others. Never knows what a store does
with a token.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import uvloop

from faults.crowd import Crowd, Pace
from faults.places import Servers
from faults.run import Run
from faults.service import Settings, free_port
from faults.subject_check import met_by_both

DEFAULT_WINDOW, FIVE_MINUTES = 60.0, 300.0
SHOWN = 250
"""Refreshes from which on a run must have met all that it is about; the rest of an interrupted one may be less."""
SHORT = Pace(window=1, people=120, longest=1.4, outage=0.3)
FULL = Pace(window=2, people=6_000, longest=15.0, outage=FIVE_MINUTES * 2 / DEFAULT_WINDOW)


def play(run: Run, servers: Servers) -> None:
    """Play what is left."""
    play_on(run, servers)


def play_on(run: Run, servers: Servers, *, wrap: str | None = None, issuer: str = "faults.subject_check:arguments") -> None:
    """`wrap` and `issuer` as in Settings: a service with a fault planted has others."""
    pace = FULL if run.wanted > 10_000 else SHORT
    folder = servers.folder / f"r4-{run.store}-{time.monotonic_ns()}"
    folder.mkdir()
    settings = Settings(
        servers.place(run.store),
        free_port(),
        retry_window=f"{pace.window}s",
        refresh_idle=f"{90 * pace.window}s",
        refresh_absolute=f"{240 * pace.window}s",
        wrap=wrap,
        events=str(folder / "events"),
        issuer=issuer,
        folder=str(folder),
    )
    crowd = Crowd(run, pace, folder)
    service = servers.nursery().start(settings)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(crowd.lives(settings.port))
    finally:
        servers.nursery().kill(service)
    if crowd.served >= SHOWN and not met_by_both(folder):
        run.complain("nobody met the check and the box while they were down: nothing is shown")
    _tell(run, crowd, Counter(line.split()[0] for line in (folder / "events").read_text().splitlines()))


def _tell(run: Run, crowd: Crowd, events: Counter[str]) -> None:
    """The figures, and what the test needs to be one: tokens that rotate, answers that are lost, a check that was down."""
    run.figure("refreshes", crowd.served / max(crowd.seconds, 0.001), "/s")
    for name in sorted(crowd.counts.keys() | {"false logouts", "too late without an id"}):
        run.figure(name, crowd.counts[name])
    for name in sorted(events):
        run.figure(name, events[name])
    windows = crowd.pace.outage / crowd.pace.window
    run.figure("the subject check and the signer were down for", crowd.pace.outage, f"s: {windows:g} windows of {crowd.pace.window} s")
    if crowd.served < SHOWN:
        return
    if events["refresh_rotated"] < crowd.served / 2:
        run.complain(f"only {events['refresh_rotated']} of {crowd.served} refreshes rotated: nothing is shown")
    if not crowd.counts["lost"] or not events["refresh_replayed"] or not crowd.counts["unavailable"]:
        run.complain(f"nothing is shown: {dict(crowd.counts)}")
    # In a short run a single pause of the machine is a large share.
    if run.wanted > 10_000 and crowd.counts["too late without an id"] > max(2, crowd.served / 10_000):
        run.complain(f"the machine stands still too often: {crowd.counts['too late without an id']} retries came late")
