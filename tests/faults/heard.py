"""Of revocations in the log: what must not be, how long it took until all had heard, and what a guard answered in each fault, as a table.

Never knows a feed: the lines alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from faults.log import Answers, Heard


def lag(line: Heard) -> float:
    """Seconds from the acknowledgement to the first refusal in the last verifier; 0 where it knew before. Infinite: one never refused."""
    return max(math.inf if moment is None else max(0.0, moment - line.acknowledged) for moment in line.refused)


def lag_awake(line: Heard) -> float:
    """The same less the time in which a verifier itself stood still: it accepts nothing then, and has no processor to hear by."""
    found = zip(line.refused, line.stalled, strict=True)
    return max(math.inf if moment is None else max(0.0, moment - stall - line.acknowledged) for moment, stall in found)


def quantile(values: Iterable[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def complaints_of_heard(line: Heard) -> Iterator[str]:
    """The bar: nobody accepts it later than the bound, everybody has heard in time, and nobody knows before it was asked for."""
    latest = max((moment for moment in line.accepted if moment is not None), default=-math.inf)
    if latest > line.acknowledged + line.bound:
        yield f"a token was accepted {latest - line.acknowledged:.3f} s after its {line.why} was acknowledged"
    if (took := lag_awake(line)) > line.within:
        yield f"the last verifier heard of a {line.why} after {took:.3f} s, {line.within:g} are allowed"
    if any(moment is not None and moment < line.sent for moment in line.refused):
        yield f"a token was refused before its {line.why} was asked for"


def complaints_of_answers(line: Answers) -> Iterator[str]:
    """Never 200 for what was revoked longer ago than the bound; never 401 for what lives; both as they should be after the fault."""
    revoked, name = line.revoked, f"{line.fault}: the token that is {line.token}"
    again = max(line.mended, revoked or 0.0) + line.again
    if not line.spans or line.spans[-1].last < again or line.spans[0].first > (revoked or 0.0):
        yield f"{name}: nobody asked long enough to know"
    for span in line.spans:
        if span.status == 401 and (revoked is None or (line.sent is not None and span.first < line.sent)):
            yield f"{name} got 401 at {span.first:.2f} s, and was not revoked"
        if revoked is not None and span.status == 200 and span.last > revoked + line.bound:
            yield f"{name} got 200 {span.last - revoked:.2f} s after its revocation was acknowledged"
        if span.last > again and span.status != (200 if revoked is None else 401):
            yield f"{name} got {span.status} {span.last - again + line.again:.2f} s after all was well again"


def answered(lines: Sequence[Answers]) -> str:
    """What the guard answered in each fault, the latest time that it was played: a row for each token. Empty without any."""
    rows = [["feed", "fault", "over", "token", "revoked", "answers, with the second from which on"]]
    latest = {(line.store, line.fault, line.token): line for line in lines}
    for line in latest.values():
        spans = [f"{span.status} from {span.first:.2f}" if number else f"{span.status}" for number, span in enumerate(line.spans)]
        revoked = "-" if line.revoked is None else f"{line.revoked:.2f}"
        rows.append([line.store, line.fault.replace("_", " "), f"{line.mended:.2f}", line.token, revoked, ", ".join(spans)])
    if len(rows) == 1:
        return ""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows)
