"""The checker: reads a log of the fault suite and says what in it must not be. It knows the log alone.

Never knows a store, a token or the test that wrote the line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from faults.heard import complaints_of_answers, complaints_of_heard
from faults.log import Answers, Heard, Line, Loss, Refresh, Revoke, Theft

NOT_THE_TOKENS_FAULT = {
    *("ok", "lost", "overloaded", "too_many_attempts"),
    *("store_unavailable", "keys_unavailable", "subject_check_failed", "signing_failed", "revocations_stale", "issuing_paused"),
}
"""What may come of a good token."""


@dataclass
class _History:
    """What the log says of one session."""

    refreshes: list[Refresh] = field(default_factory=list)
    revokes: list[Revoke] = field(default_factory=list)
    stolen_at: float | None = None


def judge(lines: Iterable[Line]) -> Iterator[str]:
    """A complaint for each thing that must not be; none for a log in which all is well."""
    histories: dict[tuple[str, str, str], _History] = defaultdict(_History)
    losses: dict[tuple[str, str], list[Loss]] = defaultdict(list)
    for line in lines:
        if isinstance(line, Refresh):
            histories[line.test, line.store, line.session].refreshes.append(line)
        elif isinstance(line, Revoke):
            histories[line.test, line.store, line.session].revokes.append(line)
        elif isinstance(line, Theft):
            histories[line.test, line.store, line.session].stolen_at = line.at
        elif isinstance(line, Loss):
            losses[line.test, line.store].append(line)
        elif isinstance(line, Heard):
            yield from (f"{line.test} {line.store}: {complaint}" for complaint in complaints_of_heard(line))
        elif isinstance(line, Answers):
            yield from (f"{line.test} {line.store}: {complaint}" for complaint in complaints_of_answers(line))
    for (test, store, session), history in histories.items():
        for complaint in _complaints(history, losses[test, store]):
            yield f"{test} {store} session {session}: {complaint}"


def _complaints(history: _History, losses: list[Loss]) -> Iterator[str]:
    yield from _two_of_one_generation(history)
    yield from _two_live_secrets(history, losses)
    yield from _accepted_after_a_revoke(history, losses)
    yield from _false_logouts(history)


def _two_of_one_generation(history: _History) -> Iterator[str]:
    """Whoever asks, and however often: one generation is one token, byte for byte."""
    digests: dict[int, set[str]] = defaultdict(set)
    for each in history.refreshes:
        if each.returned is not None and each.digest is not None:
            digests[each.returned].add(each.digest)
    for generation, found in digests.items():
        if len(found) > 1:
            yield f"{len(found)} different tokens of generation {generation}"


def _two_live_secrets(history: _History, losses: list[Loss]) -> Iterator[str]:
    """What is answered never falls behind what was answered before it was asked, unless the store lost its last writes between."""
    answered = sorted((each for each in history.refreshes if each.returned is not None), key=lambda each: each.ended)
    asked = sorted(answered, key=lambda each: each.sent)
    newest, newest_at, place = -1, 0.0, 0
    for each in asked:
        while place < len(answered) and answered[place].ended <= each.sent:
            returned = answered[place].returned
            if returned is not None and returned > newest:
                newest, newest_at = returned, answered[place].ended
            place += 1
        if each.returned is not None and each.returned < newest and not any(newest_at <= loss.at <= each.ended for loss in losses):
            yield f"generation {each.returned} was answered after generation {newest}: two secrets are live"


def _accepted_after_a_revoke(history: _History, losses: list[Loss]) -> Iterator[str]:
    for revoke in filter(lambda each: each.acknowledged, history.revokes):
        for each in history.refreshes:
            lost = any(loss.revocations and revoke.ended <= loss.at <= each.ended for loss in losses)
            if each.returned is not None and each.sent >= revoke.ended and not lost:
                yield f"a refresh succeeded {each.sent - revoke.ended:.3f} s after its {revoke.why} was acknowledged"


def _false_logouts(history: _History) -> Iterator[str]:
    """An honest client is refused only once its session was revoked or somebody else had a token of it."""
    ends = [revoke.sent for revoke in history.revokes] + ([] if history.stolen_at is None else [history.stolen_at])
    since = min(ends, default=float("inf"))
    for each in history.refreshes:
        if not each.thief and each.ended < since and each.outcome not in NOT_THE_TOKENS_FAULT:
            yield f"an honest client was refused: {each.outcome}, generation {each.presented}"
