"""GuardTime: what the guard takes of a request inside a running server, microseconds.

Never knows the guard: the servers timed_asgi, timed_fastapi and timed_starlette look at the clock before and behind it, in each request,
while they are kept busy, and tell the medians.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bench import peers
from bench.load import Load
from bench.options import Options
from bench.served import Served
from bench.table import Table
from bench.token_file import ours
from bench.turns import in_turns

CASES = {
    "plain ASGI, token seen before": ("timed_asgi", ["/guarded"], 1.0, 0.5),
    "plain ASGI, new token": ("timed_asgi", ["/guarded"], 5.0, 2.5),
    "FastAPI above an empty Security dependency, token seen before": ("timed_fastapi", ["/guarded", "/empty"], 2.0, 1.0),
    "FastAPI above an empty Security dependency, new token": ("timed_fastapi", ["/guarded", "/empty"], None, None),
    "Starlette above an open route, token seen before": ("timed_starlette", ["/guarded", "/open"], None, None),
    "Starlette above an open route, new token": ("timed_starlette", ["/guarded", "/open"], None, None),
}
"""The server, the paths that take turns, the bar and the aim, in microseconds."""
Serve = Callable[[str], Served]


def a_turn(serve: Serve, load: Load, many: Path, seconds: float, case: str) -> dict[str, float]:
    """The guard's own time, and what it is the difference of."""
    program, paths, _, _ = CASES[case]
    with serve(program) as server, tempfile.NamedTemporaryFile("w", suffix=".tokens") as file:
        file.write(ours())
        file.flush()
        one = Path(file.name)
        if server.get("/guarded")[0] != 401 or server.get("/guarded", ours() + "A")[0] != 401:
            raise AssertionError(f"{program} lets in whom it should not")
        load(server.url, seconds / 3, one, paths)
        server.get("/times")  # told once, they begin anew
        load(server.url, seconds, many if "new" in case else one, paths)
        told: dict[str, dict[str, float]] = json.loads(server.get("/times")[1])
    with_it, without = told["guarded"], told["without"]
    if with_it["count"] < 10 or without["count"] < 10:
        raise AssertionError(f"{program} has timed {told}")
    own = with_it["median"] - without["median"]
    return {"own": own / 1000, "with": with_it["median"] / 1000, "without": without["median"] / 1000, "p99": with_it["p99"] / 1000}


def table(options: Options, serve: Serve, load: Load, many: Path, seconds: float) -> Table:
    """The guard's own time, and its bars."""
    turns: Mapping[str, Callable[[], dict[str, float]]] = {case: partial(a_turn, serve, load, many, seconds, case) for case in CASES}
    made = Table("The guard's own time inside a running server", "µs", also=["with it", "without", "p99 with it"])
    if options.peers:
        try:
            peers.wrk(), peers.environment("asgi")
        except peers.Missing as why:
            for case in CASES:
                made.missing(case, why)
            return made
    reached = in_turns(turns, options.rounds, options.log, "own time")
    for case, found in reached.items():
        parts = [f"{statistics.median(each[what] for each in found):.2f}" for what in ("with", "without", "p99")]
        made.row(case, [each["own"] for each in found], *parts)
        _, _, bar, aim = CASES[case]
        if bar is not None and not options.smoke:
            made.bar(f"{case} (aim {aim:g})", statistics.median(each["own"] for each in found), at_most=bar, unit=" µs")
    made.notes += [
        "Medians of all requests of a turn, 64 connections.",
        "Plain ASGI: from the call of the guard to its call of the application, less the same without a guard, timed in the same request.",
        "FastAPI: from the call of the application to that of the route, less that with an empty Security dependency, requests in turns.",
        "Starlette: likewise, less that to a route without a guard.",
    ]
    return made
