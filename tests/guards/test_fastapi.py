"""Guard for FastAPI: the dependency, in both of its forms, and in OpenAPI."""

from typing import Annotated, Any

import msgspec
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse
from starlette.routing import Route

from guards.material import ISSUER, bearer, client, token
from stagedoor import AccessToken
from stagedoor.errors import AuthError, InvalidRequest, MissingToken, TokenError
from stagedoor.guards import starlette
from stagedoor.guards.fastapi import Guard, answer_refusals

GOOD = token()
guard = Guard(ISSUER.verifier())


class Mine(msgspec.Struct):
    sub: str
    level: int


typed = Guard(ISSUER.verifier(claims=Mine))


def current(found: Annotated[AccessToken, guard()]) -> str:
    return found.subject


def app() -> FastAPI:
    made = FastAPI()

    @made.get("/annotated")
    async def annotated(found: Annotated[AccessToken, guard("orders:read")]) -> str:
        return found.subject

    @made.get("/default")
    async def default(found: AccessToken = guard("orders:read")) -> str:  # noqa: B008 - the form under test
        return found.subject

    @made.get("/blocking")
    def blocking(found: Annotated[AccessToken, guard()]) -> str:
        return found.subject

    @made.get("/below")
    async def below(subject: Annotated[str, Depends(current)], found: Annotated[AccessToken, guard("orders:write")]) -> str:
        return subject + found.subject

    @made.get("/level")
    async def level(found: AccessToken[Mine] = typed()) -> int:  # noqa: B008 - the form under test
        return found.claims.level

    @made.get("/optional")
    async def optional(found: Annotated[AccessToken | None, guard.optional("orders:read")]) -> str | None:
        return found and found.subject

    @made.get("/dependency", dependencies=[guard("orders:write")])
    async def dependency() -> str:
        return "in"

    @made.get("/unguarded")
    async def unguarded() -> str:
        raise InvalidRequest("of the route itself")

    @made.post("/body")
    async def body(payload: dict[str, int], found: Annotated[AccessToken, guard()]) -> int:
        return payload["n"]

    return made


@pytest.mark.parametrize("path", ["/annotated", "/default", "/blocking"])
def test_forms(path: str):
    """Both forms hand over the token, to routes with async and without."""
    made = client(app())
    assert made.get(path, headers=bearer(GOOD)).json() == "ada"
    assert made.get(path).json()["error"] == "token_missing"


def test_a_guard_below_a_dependency():
    """Guards may stand at several places of one route; each asks for its own."""
    made = client(app())
    assert made.get("/below", headers=bearer(token("orders:write"))).json() == "adaada"
    assert made.get("/below", headers=bearer(GOOD)).json()["error"] == "insufficient_scope"


def test_a_guard_whose_token_nobody_reads():
    """A guard among the `dependencies` of a route, a router or the application guards as well."""
    made = app()
    router = APIRouter(dependencies=[guard("orders:write")])
    router.add_api_route("/of-router", lambda: "in")
    made.include_router(router)
    whole = FastAPI(dependencies=[guard("orders:write")])
    whole.add_api_route("/of-app", lambda: "in")
    for each, path in ((made, "/dependency"), (made, "/of-router"), (whole, "/of-app")):
        assert client(each).get(path, headers=bearer(token("orders:write"))).json() == "in"
        assert client(each).get(path, headers=bearer(GOOD)).json()["error"] == "insufficient_scope"
        assert client(each).get(path).status_code == 401


def test_typed_claims():
    """The application's own struct arrives on the token."""
    made = client(app())
    assert made.get("/level", headers=bearer(token(level=7))).json() == 7
    assert made.get("/level", headers=bearer(token(level="7"))).json()["error"] == "invalid_token"
    assert made.get("/level", headers=bearer(GOOD)).json()["error"] == "invalid_token"


def test_optional_with_a_scope():
    """An optional guard asks a token for its scope all the same."""
    made = client(app())
    assert made.get("/optional").json() is None
    assert made.get("/optional", headers=bearer(GOOD)).json() == "ada"
    assert made.get("/optional", headers=bearer(token(""))).json()["error"] == "insufficient_scope"


def test_the_guard_comes_before_the_framework_reads_values():
    """Who has no token is told so, not what is wrong with the body."""
    made = client(app())
    assert made.post("/body", json={"n": "x"}).status_code == 401
    assert made.post("/body", json={"n": "x"}, headers=bearer(GOOD)).status_code == 422


def own(request: Request, error: AuthError) -> PlainTextResponse:
    return PlainTextResponse(f"own: {error.code}", status_code=418)


@pytest.mark.parametrize("kind", [AuthError, MissingToken])
def test_the_applications_own_handler_wins(kind: type[AuthError]):
    """An application that handles AuthError, or this refusal, answers it its own way, whenever it says so."""
    made = app()
    made.add_exception_handler(kind, own)
    answers = [client(made).get("/annotated") for _ in range(2)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(418, "own: token_missing")}


@pytest.mark.parametrize("kind", [TokenError, Exception, 401])
def test_a_handler_for_something_else_does_not(kind: Any):
    """A handler for another refusal, for a status or for all exceptions leaves ours alone."""
    made = app()
    made.add_exception_handler(kind, own)
    answer = client(made).get("/annotated")
    assert (answer.status_code, answer.json()["error"]) == (401, "token_missing")


def test_an_error_of_the_route_is_its_own():
    """What a route raises itself fares the same before and after a guard has refused something."""
    made = client(app())
    with pytest.raises(InvalidRequest):
        made.get("/unguarded")
    assert made.get("/annotated").status_code == 401
    with pytest.raises(InvalidRequest):
        made.get("/unguarded")


def test_answer_refusals():
    """`answer_refusals` answers what the application's own routes let out, and leaves guards as they are."""
    made = app()
    answer_refusals(made)
    assert client(made).get("/unguarded").json() == {"error": "invalid_request", "error_description": "of the route itself"}
    assert client(made).get("/annotated").json()["error"] == "token_missing"


def test_openapi():
    """Each guarded route names the scheme and its scopes; a route without a guard names none."""
    made = app()
    made.add_api_route("/free", lambda: "in")
    document = made.openapi()
    scheme = document["components"]["securitySchemes"]["AccessToken"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    asked = {path: item["get"].get("security") for path, item in document["paths"].items() if "get" in item}
    assert asked["/annotated"] == asked["/default"] == asked["/optional"] == [{"AccessToken": ["orders:read"]}]
    assert asked["/blocking"] == asked["/level"] == [{"AccessToken": []}]
    assert asked["/dependency"] == [{"AccessToken": ["orders:write"]}]
    assert asked["/free"] is None
    assert not any("parameters" in item["get"] for item in document["paths"].values() if "get" in item)


def test_two_applications_with_one_guard():
    """One guard serves two applications, and the handler of one is not the other's."""
    first, second = app(), app()
    first.add_exception_handler(AuthError, own)
    assert client(first).get("/annotated").status_code == 418
    assert client(second).get("/annotated").status_code == 401
    assert client(first).get("/annotated").status_code == 418


def test_guards_of_two_frameworks_in_one_application():
    """A Starlette route in a FastAPI application is refused in our shape, before and after a dependency has refused something."""
    made = app()
    decorate = starlette.Guard(ISSUER.verifier())
    made.router.routes.append(Route("/plain", decorate()(lambda request: PlainTextResponse("in"))))
    for path in ("/plain", "/annotated", "/plain", "/annotated"):
        assert client(made).get(path).json()["error"] == "token_missing"
    assert client(made).get("/plain", headers=bearer(GOOD)).text == "in"
