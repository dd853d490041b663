"""python -m bench.libraries.worker LIBRARY: one contestant, which is asked over standard input and answers in lines of JSON.

Never knows what its figures are compared with.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from bench.libraries.contestant import Contestant, Given, Unsupported

LEAST = 2
"""Passes that count, at least; one before them does not, in which caches and branches are warmed."""
SLOW, ENOUGH = 1e6, 20
"""Nanoseconds from which a call is so slow (a key read anew each time) that this many calls a pass are enough."""


class Worker:
    """Has one contestant, and times it."""

    def __init__(self, library: str) -> None:
        self._library = library
        self._contestant: Contestant | None = None
        self._tokens: list[Any] = []
        self._payloads: list[Any] = []
        self._seen: Callable[[Any], Any] | None = None

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        if asked["ask"] == "prepare":
            module = importlib.import_module(f"bench.libraries.{self._library}")
            self._contestant = made = module.make(asked["variant"], Given(**asked["given"]))
            self._tokens, self._payloads = made.tokens(asked["tokens"]), made.payloads(asked["payloads"])
            return {}
        made = self._contestant
        assert made is not None
        match asked["ask"]:
            case "prove":
                return self._proved(made, asked["good"], asked["bad"])
            case "new":
                return {"µs": _timed(made.verifier, self._tokens, asked["seconds"])}
            case "seen":
                verify = self._seen = self._seen or made.verifier()
                some = self._tokens[: asked["tokens"]]
                return {"µs": _timed(lambda: verify, some * (len(self._tokens) // len(some)), asked["seconds"])}
            case "sign":
                return {"µs": _timed(lambda: made.sign, self._payloads, asked["seconds"])}
            case "memory":
                assert made.memory is not None
                return made.memory(asked["tokens"])
        raise ValueError(asked["ask"])

    def _proved(self, made: Contestant, good: str, bad: dict[str, str]) -> dict[str, Any]:
        verify = made.verifier()
        (taken,) = made.tokens([good])
        verify(taken)
        verify(taken)
        accepted = []
        for name, token in bad.items():
            (taken,) = made.tokens([token])
            for _ in range(2):  # a second time, when it may have been remembered
                try:
                    verify(taken)
                except Exception:  # noqa: S112 - refused, as it must
                    continue
                accepted.append(name)
        if made.prove is not None:
            made.prove()
        signed = made.sign(self._payloads[0])
        return {"accepted": accepted, "judges_claims": made.judges_claims, "signed": signed if isinstance(signed, str) else ""}


def _timed(make: Callable[[], Callable[[Any], Any]], inputs: Sequence[Any], seconds: float) -> float:
    """Microseconds of one call: the median of passes over all inputs, each with a new verifier where `make` makes one.

    Of the processor's time that this process had, with all its threads: what else runs on the machine is not in it.
    """
    clock = time.process_time_ns
    spent: list[int] = []
    while len(spent) <= LEAST or sum(spent) < seconds * 1e9:
        # Texts are new objects, as a request brings them: one that was a key of a dict before would bring its hash along.
        given = [each.encode().decode() if isinstance(each, str) else each for each in inputs]
        call = make()
        if not spent and len(given) > ENOUGH:
            began = clock()
            call(given[0])
            call(given[1])
            if clock() - began > 2 * SLOW:
                inputs = given = given[:ENOUGH]
        began = clock()
        for each in given:
            call(each)
        spent.append(clock() - began)
    return statistics.median(spent[1:]) / len(inputs) / 1000


def main() -> None:
    """Answer until nobody asks any more."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except (Unsupported, ImportError) as error:
            answer = {"unsupported": str(error)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
