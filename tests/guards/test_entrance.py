"""The short way in: what it takes is what the long one takes, and who checks more is asked."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from guards.material import APPS, ISSUER, bearer, client, token
from stagedoor import AccessToken, Verifier
from stagedoor.errors import AuthError, GuardRefused
from stagedoor.guards import starlette
from stagedoor.guards.guard import Demand, Gate
from stagedoor.guards.headers import Headers

GOOD = token().encode()
SENT = [
    b"Bearer " + GOOD,
    b"bearer " + GOOD,
    b"Bearer" + GOOD,
    b"Bearer  " + GOOD,
    b"Bearer\t" + GOOD,
    b"Bearer " + GOOD + b" ",
    b"Bearer " + GOOD + b"\n",
    b"Bearer " + GOOD + b"=",
    b"Bearer " + GOOD + b"\xa0",
    b"Bearer " + GOOD + b"," + GOOD,
    b"Bearer " + GOOD + b", Bearer " + GOOD,
    b"Bearer " + GOOD[:-1],
    b"Bearer \xff" + GOOD,
    b"Bearer \xc3\xa4" + GOOD,
    b"Bearer \x00" + GOOD,
    b"Bearer ",
    b"Bearer",
    b"",
    b"Basic " + GOOD,
]


async def outcome(gate: Gate[Any], headers: list[tuple[bytes, bytes]], *, short: bool) -> object:
    try:
        found = gate.entrance(Demand())(headers) if short else None
        return (found or await gate.admit_async("GET", Headers(headers), Demand())).id
    except AuthError as error:
        return error.code, str(error)


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("more", [[], [b"Bearer " + GOOD], [b"Bearer x"]], ids=["alone", "twice", "and another"])
async def test_both_ways_say_the_same(sent: bytes, more: list[bytes]):
    """Whatever an Authorization header looks like, it is let in or refused with the same code and sentence by either way."""
    headers = [(b"host", b"x"), *((b"authorization", value) for value in (sent, *more)), (b"cookie", b"a=b")]
    gate = Gate(ISSUER.verifier())
    found = await outcome(gate, headers, short=True)
    assert found == await outcome(gate, headers, short=False)
    assert isinstance(found, str) is (sent in SENT[:2] and not more)


def test_the_short_way_is_taken():
    """A plain bearer header is read without waiting for anybody, unless the route asks the store."""
    headers = [(b"authorization", b"Bearer " + GOOD)]
    gate = Gate(ISSUER.verifier())
    assert gate.entrance(Demand())(headers) is not None
    assert gate.entrance(gate.demand(("orders:read",), max_age="5m"))(headers) is not None
    assert gate.entrance(gate.demand((), strict=True))(headers) is None


class Wary(starlette.Guard):
    """Lets nobody in."""

    async def admit_async(self, *arguments: Any) -> AccessToken[Any]:
        raise GuardRefused


class WaryReader(Verifier[Any]):
    """Believes nothing."""

    async def verify_async(self, token: str) -> AccessToken[Any]:
        raise GuardRefused


def app_of(guard: starlette.Guard) -> Starlette:
    async def show(request: Request) -> JSONResponse:
        return JSONResponse({})

    return Starlette(routes=[Route("/any", guard()(show))])


def test_a_guard_that_checks_more_is_asked():
    """What an application's own guard or verifier adds is not passed by: not in a subclass, and not set on one guard."""
    verifier = ISSUER.verifier()
    wary = WaryReader("x", audience="y", keys=verifier._keys, revocations=verifier.revocations)
    patched = starlette.Guard(verifier)
    patched.admit_async = Wary(verifier).admit_async  # type: ignore[method-assign]
    for guard, status in ((starlette.Guard(verifier), 200), (Wary(verifier), 403), (starlette.Guard(wary), 403), (patched, 403)):
        assert client(app_of(guard)).get("/any", headers=bearer(GOOD.decode())).status_code == status


@pytest.mark.parametrize("kind", APPS)
def test_headers_that_can_be_read_once(kind: str):
    """A server that hands over headers of another type than a list is served as well."""
    app = APPS[kind]()

    async def server(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "headers": tuple(scope["headers"])} if scope["type"] == "http" else scope, receive, send)

    assert client(server).get("/any", headers=bearer(GOOD.decode())).status_code == 200  # type: ignore[arg-type]
    assert client(server).get("/any", headers=bearer("x")).status_code == 401  # type: ignore[arg-type]
