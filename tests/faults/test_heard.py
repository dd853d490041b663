"""What the checker says of revocations in a log, and the table of what a guard answered."""

from __future__ import annotations

import math
from typing import Any

import pytest

from faults.heard import answered, lag, lag_awake, quantile
from faults.log import Answers, Complaint, EventLog, Heard, Span, source
from faults.run import Run
from faults.short import judged
from faults.table import table


def heard(refused: list[float | None], accepted: list[float | None], **other: Any) -> Heard:
    stalled = other.pop("stalled", [0.0] * len(refused))
    return Heard("R12", "redis", source(), "logout", 99.9, 100.0, refused, accepted, 1.0, other.pop("within", 1.0), stalled)


def answers(spans: list[tuple[int, float, float]], revoked: float | None = None, mended: float = 3.0) -> Answers:
    token = "live" if revoked is None else "revoked"
    sent = None if revoked is None else revoked - 0.1
    return Answers("R13", "redis", source(), "down", token, mended, revoked, 1.0, 1.0, [Span(*span, 5) for span in spans], sent)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (heard([100.2, 100.9], [100.1, 100.8]), None),
        (heard([99.95, 100.0], [99.9, 99.95]), None),  # as soon as it was written, before the call has returned
        (heard([100.2, None], [100.1, 100.8]), "heard of a logout after inf"),
        (heard([100.2, 101.2], [100.1, 100.9]), "heard of a logout after 1.200 s"),
        (heard([100.2, 101.2], [100.1, 100.9], stalled=[0.0, 0.3]), None),
        (heard([100.2, 100.5], [100.1, 100.4], within=0.3), "heard of a logout after 0.500 s"),
        (heard([100.2, None], [100.1, 101.1]), "was accepted 1.100 s after its logout"),
        (heard([99.8, 100.1], [99.7, 100.0]), "was refused before its logout was asked for"),
    ],
)
def test_a_revocation(line: Heard, complaint: str | None, log: EventLog) -> None:
    """Nobody accepts it later than the bound, the last has heard of it in time, and nobody before it was asked for."""
    log.write(line)
    found = judged(log)
    assert (found == []) if complaint is None else any(complaint in text for text in found)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (answers([(200, -1, 0.9), (503, 0.92, 3.1), (200, 3.2, 5)]), None),
        (answers([(200, -1, 0.9), (503, 0.92, 3.1), (401, 3.2, 5)], revoked=0.1), None),
        (answers([(200, -1, 5)]), None),
        (answers([(200, -1, 0.4), (401, 0.5, 5)], revoked=0.45), None),
        (answers([(200, -1, 0.3), (401, 0.4, 5)], revoked=0.45), None),  # as soon as it was written, before the call has returned
        (answers([(200, -1, 0.3), (401, 0.34, 5)], revoked=0.45), "and was not revoked"),
        (answers([(200, -1, 2.0), (503, 2.1, 3.0), (401, 3.2, 5)], revoked=0.1), "got 200 1.90 s after its revocation"),
        (answers([(200, -1, 0.9), (503, 0.92, 3.1), (200, 3.2, 5)], revoked=0.1), "got 200 4.90 s after its revocation"),
        (answers([(200, -1, 0.9), (503, 1.0, 4.4), (200, 4.5, 6)]), "got 503 1.40 s after all was well"),
        (answers([(200, -1, 0.9), (503, 1.0, 4.4), (401, 4.5, 6)], revoked=0.1), "got 503 1.40 s after all was well"),
        (answers([(200, -1, 0.9), (401, 1.0, 5)]), "and was not revoked"),
        (answers([(401, -1, 5)], revoked=0.5), "and was not revoked"),
        (answers([(200, -1, 3.5)]), "nobody asked long enough"),
        (answers([]), "nobody asked long enough"),
    ],
)
def test_what_a_guard_answered(line: Answers, complaint: str | None, log: EventLog) -> None:
    """Never 200 beyond the bound, never 401 for what lives, and both as they should be when the fault has been over for a second."""
    log.write(line)
    found = judged(log)
    assert (found == []) if complaint is None else any(complaint in text for text in found)


def test_what_an_older_log_does_not_say(log: EventLog) -> None:
    """A line of before it was written down when a revocation was asked for: no 401 is too early, and all else is judged."""
    line = answers([(200, -1, 0.3), (401, 0.34, 5)], revoked=0.45)
    line.sent = None
    log.write(line)
    assert judged(log) == []
    line.spans = [Span(200, -1, 5, 5)]
    log.write(line)
    assert any("after its revocation" in text for text in judged(log))


def test_how_long_it_took() -> None:
    """Until the last has refused it; nothing where all knew before the call returned; the time in which one stood still is told apart."""
    assert lag(heard([100.2, 100.9], [None, None])) == pytest.approx(0.9)
    assert lag(heard([99.95, 99.99], [None, None])) == 0.0
    assert lag(heard([100.2, None], [None, None])) == math.inf
    assert lag_awake(heard([100.2, 100.9], [None, None], stalled=[0.0, 0.8])) == pytest.approx(0.2)
    assert [quantile(range(1, 101), share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]


def test_the_table_of_answers(log: EventLog) -> None:
    """The latest of each fault and token is shown below the other table, from the log alone."""
    run = Run("R13", "redis", 1, log, 1, "faults")
    run.write(answers([(200, -1, 0.9), (503, 0.92, 3.1), (200, 3.2, 5)]))
    run.write(answers([(200, -1, 0.9), (503, 0.95, 3.1), (200, 3.3, 5)]))
    run.write(answers([(200, -1, 0.9), (503, 0.92, 3.1), (401, 3.2, 5)], revoked=0.1))
    run.count()
    text, complaints = table(log.path, source())
    assert complaints == []
    rows = [line.split() for line in text.splitlines() if line.startswith("redis")]
    assert rows == [
        ["redis", "down", "3.00", "live", "-", "200,", "503", "from", "0.95,", "200", "from", "3.30"],
        ["redis", "down", "3.00", "revoked", "0.10", "200,", "503", "from", "0.92,", "401", "from", "3.20"],
    ]
    assert answered([]) == ""
    run.write(Complaint("R13", "redis", source(), "no"))
    log.flush()
    assert table(log.path, source())[1] == ["R13 redis: no"]
