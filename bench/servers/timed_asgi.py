"""Plain ASGI, guarded by Stagedoor's middleware, that looks at the clock before and behind the guard. /times tells what it saw."""

from time import perf_counter_ns
from typing import Any

from stagedoor_asgi import answer
from stagedoor_verifier import verifier
from times import Times

from stagedoor.guards.asgi import GuardMiddleware

times, seen = Times("guarded", "without"), [0]


async def stop(scope: Any, receive: Any, send: Any) -> None:
    """As an application that is entered."""
    seen[0] = perf_counter_ns()


guard = GuardMiddleware(stop, verifier)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/guarded":
        seen[0] = 0
        began = perf_counter_ns()
        await guard(scope, receive, send)
        if not seen[0]:
            return  # refused
        times.guarded.append(seen[0] - began)
        # The same without a guard: what the clock takes, and the call.
        began = perf_counter_ns()
        await stop(scope, receive, send)
        times.without.append(seen[0] - began)
    elif scope["path"] == "/times":
        await times.tell(send)
        return
    await answer(scope, receive, send)
