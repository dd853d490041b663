"""R12 in short on every kind of feed; and the faults that it must find."""

from __future__ import annotations

import pytest

from faults import r12_latency
from faults.log import EventLog
from faults.places import FEEDS, Servers
from faults.short import judged, played

PLANTED = "broken_stores.faults_of_feeds"


@pytest.mark.parametrize("feed", FEEDS)
def test_eight_verifiers_hear_of_every_revocation(feed: str, servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second after each acknowledged revocation, in whatever way it was done, nobody accepts the token; all eight hear of it."""
    # How soon the last one hears is measured where nothing else runs. That it hears, and that nobody accepts it beyond the bound, is here.
    monkeypatch.setattr(r12_latency, "WITHIN", r12_latency.PATIENCE)
    monkeypatch.setattr(r12_latency, "POLLED_WITHIN", r12_latency.PATIENCE)
    run, complaints = played("R12", feed, servers, log)
    assert complaints == []
    assert run.left == 0


@pytest.mark.parametrize("fault", ["lagging_replica", "misses_some"])
def test_a_feed_that_lags_or_misses_some_is_found(fault: str, servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed that reads from a copy that lags, or by positions that commit out of order: the checker sees tokens accepted too late."""
    monkeypatch.setattr(r12_latency, "SOURCE", f"{PLANTED}:{fault}")
    monkeypatch.setattr(r12_latency, "PATIENCE", 3.0)
    for revocations in (40, 80, 120):  # one that lags for two seconds can be seen for one; each run goes on where the last one stopped
        played("R12", "redis", servers, log, revocations)
        found = judged(log)
        if all(any(said in text for text in found) for said in ("was accepted", "the last verifier heard of")):
            return
    pytest.fail("nobody saw that some heard of it too late")


def test_a_store_that_answers_before_it_has_written_is_found(servers: Servers, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a revocation is acknowledged a second and a half before it is written, the checker sees tokens accepted too late."""
    monkeypatch.setattr(r12_latency, "WRAP", f"{PLANTED}:AnswersFirst")
    played("R12", "redis", servers, log)
    assert [text for text in judged(log) if "was accepted" in text]
