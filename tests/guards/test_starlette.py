"""Guard for Starlette: the decorator."""

from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from guards.material import AUDIENCE, ISSUER, NAME, bearer, client, token
from stagedoor.errors import AuthError, InsufficientScope, InvalidRequest, MissingToken, TokenError
from stagedoor.guards.asgi import GuardMiddleware
from stagedoor.guards.starlette import Guard

GOOD = token()
guard = Guard(ISSUER.verifier())


@guard("orders:read")
async def orders(request: Request) -> JSONResponse:
    """Lists orders."""
    return JSONResponse({"subject": guard.token(request).subject})


@guard()
def blocking(request: Request) -> PlainTextResponse:
    return PlainTextResponse(guard.token(request).subject)


def app(*routes: Route, **options: Any) -> Starlette:
    return Starlette(routes=[Route("/orders", orders), Route("/blocking", blocking), *routes], **options)


def test_the_endpoint_keeps_its_name():
    """A guarded endpoint is still itself to whoever looks at it."""
    assert (orders.__name__, orders.__doc__) == ("orders", "Lists orders.")


def test_a_sync_endpoint():
    """An endpoint without async is guarded as well."""
    assert client(app()).get("/blocking", headers=bearer(GOOD)).text == "ada"
    assert client(app()).get("/blocking").status_code == 401


def test_no_token_without_a_guard():
    """Where no guard stands there is no token to be had."""

    async def unguarded(request: Request) -> PlainTextResponse:
        with pytest.raises(LookupError):
            guard.token(request)
        return PlainTextResponse(str(guard.token_or_none(request)))

    assert client(app(Route("/x", unguarded))).get("/x", headers=bearer(GOOD)).text == "None"


def test_the_token_of_the_middleware():
    """What GuardMiddleware admitted is there for the endpoint."""

    async def behind(request: Request) -> PlainTextResponse:
        return PlainTextResponse(guard.token(request).subject)

    made = app(Route("/x", behind))
    made.add_middleware(GuardMiddleware, verifier=ISSUER.verifier())
    assert client(made).get("/x", headers=bearer(GOOD)).text == "ada"


def test_typed_claims():
    """The application's own struct arrives on the token."""

    class Mine(msgspec.Struct):
        sub: str
        level: int

    typed = Guard(ISSUER.verifier(claims=Mine))

    @typed()
    async def level(request: Request) -> JSONResponse:
        return JSONResponse({"level": typed.token(request).claims.level})

    made = client(app(Route("/level", level)))
    assert made.get("/level", headers=bearer(token(level=7))).json() == {"level": 7}
    assert made.get("/level", headers=bearer(token(level="7"))).json()["error"] == "invalid_token"
    assert made.get("/level", headers=bearer(GOOD)).json()["error"] == "invalid_token"


async def own(request: Request, error: Exception) -> PlainTextResponse:
    assert isinstance(error, AuthError)
    return PlainTextResponse(f"own: {error.code}", status_code=418)


@pytest.mark.parametrize("kind", [AuthError, MissingToken])
def test_the_applications_own_handler_wins(kind: type[AuthError]):
    """An application that handles AuthError, or this refusal, answers it its own way."""
    answer = client(app(exception_handlers={kind: own})).get("/orders")
    assert (answer.status_code, answer.text) == (418, "own: token_missing")


@pytest.mark.parametrize("kind", [TokenError, Exception, 401])
def test_a_handler_for_something_else_does_not(kind: Any):
    """A handler for another refusal, for a status or for all exceptions leaves ours alone."""
    answer = client(app(exception_handlers={kind: own})).get("/orders")
    assert (answer.status_code, answer.json()["error"]) == (401, "token_missing")


def test_an_error_of_the_endpoint_is_its_own():
    """The guard answers its own refusals, not what the endpoint raises."""

    @guard()
    async def raising(request: Request) -> None:
        raise InvalidRequest("of the endpoint")

    made = app(Route("/x", raising), exception_handlers={InvalidRequest: own})
    assert client(made).get("/x", headers=bearer(GOOD)).text == "own: invalid_request"
    with pytest.raises(InvalidRequest):
        client(app(Route("/x", raising))).get("/x", headers=bearer(GOOD))


def test_a_check_sees_the_request():
    """The application's own check gets the token and the request."""

    async def own_order(found: Any, request: Request) -> bool:
        if request.path_params["owner"] != found.subject:
            raise InsufficientScope("orders:all")
        return request.method == "GET"

    @guard(check=own_order)
    async def order(request: Request) -> PlainTextResponse:
        return PlainTextResponse("an order")

    made = client(app(Route("/orders/{owner}", order, methods=["GET", "POST"])))
    assert made.get("/orders/ada", headers=bearer(GOOD)).text == "an order"
    assert made.get("/orders/ben", headers=bearer(GOOD)).json()["error"] == "insufficient_scope"
    assert made.post("/orders/ada", headers=bearer(GOOD)).json()["error"] == "access_denied"


@pytest.mark.parametrize("scopes", [("a  b",), (" a",), ('a"b',), ("a\nb",), ("ä",)])
def test_what_is_no_scope(scopes: tuple[str, ...]):
    """A scope that no token can hold is a mistake at construction, not a route that nobody reaches."""
    with pytest.raises(ValueError):
        guard(*scopes)


@pytest.mark.parametrize("scopes", [(orders,), (["orders:read"],), (None,)])
def test_a_guard_without_its_brackets(scopes: Any):
    """`@guard` for `@guard()` is a mistake at construction."""
    with pytest.raises(TypeError):
        guard(*scopes)


@pytest.mark.parametrize("verifier", [None, object(), NAME, AUDIENCE, ISSUER])
def test_what_is_no_verifier(verifier: Any):
    """A guard without a verifier is a mistake at construction."""
    with pytest.raises(TypeError):
        Guard(verifier)
