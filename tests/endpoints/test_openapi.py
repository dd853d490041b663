"""OpenAPI of the FastAPI mount: complete, closed, and never with the framework's own errors."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.testclient import TestClient

from endpoints.house import House, authenticate
from stagedoor import Issuer, KeySet, Peppers
from stagedoor.endpoints import Endpoints
from stagedoor.endpoints.fastapi import mount
from stagedoor.stores.memory import MemoryStore

STATUSES = {
    ("post", "/auth/login"): {200, 400, 403, 413, 415, 429, 503},
    ("post", "/auth/refresh"): {200, 400, 403, 413, 415, 503},
    ("post", "/auth/logout"): {204, 400, 403, 413, 415, 503},
    ("post", "/auth/logout-all"): {204, 400, 401, 403, 413, 503},
    ("get", "/auth/sessions"): {200, 400, 401, 403, 413, 503},
    ("delete", "/auth/sessions/{id}"): {204, 400, 401, 403, 404, 413, 503},
    ("get", "/auth/me"): {200, 400, 401, 403, 413, 503},
    ("get", "/auth/revocations"): {200, 304, 400, 401, 413, 503},
    ("get", "/.well-known/jwks.json"): {200},
}
RESPONSES = {
    ("post", "/auth/login"): "TokenResponse",
    ("post", "/auth/refresh"): "TokenResponse",
    ("get", "/auth/sessions"): "SessionsResponse",
    ("get", "/auth/revocations"): "RevocationsResponse",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return House("fastapi", None, feed_keys=["k" * 32]).app.openapi()


def walk(node: Any, path: str = "#") -> Iterator[tuple[str, Any]]:
    yield path, node
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in inner:
        yield from walk(value, f"{path}/{name}")


def resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    root, *names = reference.split("/")
    assert root == "#"
    for name in names:
        found = found[name]
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(method, path): operation for path, item in document["paths"].items() for method, operation in item.items()}


def test_every_operation_is_there(document: dict[str, Any]):
    """Each operation shows, with all the statuses that it answers, and nothing else does."""
    found = {key: {int(status) for status in operation["responses"]} for key, operation in operations(document).items()}
    assert found == STATUSES


def test_every_reference_resolves(document: dict[str, Any]):
    """Each $ref leads somewhere, and each schema is led to."""
    references = [node["$ref"] for _, node in walk(document) if isinstance(node, dict) and "$ref" in node]
    assert references
    for reference in references:
        assert isinstance(resolve(document, reference), dict)
    assert {name.rpartition("/")[2] for name in references} == set(document["components"]["schemas"])


def test_no_error_of_the_framework(document: dict[str, Any]):
    """There is no 422 anywhere, nor the framework's model of one."""
    assert not [path for path, _ in walk(document) if "422" in path or "ValidationError" in path]


def test_errors_have_our_model(document: dict[str, Any]):
    """Each refusal is documented with our shape."""
    for operation in operations(document).values():
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                schema = resolve(document, answer["content"]["application/json"]["schema"]["$ref"])
                assert schema["properties"].keys() == {"error", "error_description"}
                assert sorted(schema["required"]) == ["error", "error_description"]
                assert answer["description"]


def test_answers_have_their_models(document: dict[str, Any]):
    """Token answers and lists of sessions are documented member by member; a 204 has no body."""
    for key, operation in operations(document).items():
        if key in RESPONSES:
            schema = resolve(document, operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"])
            assert schema["title"] == RESPONSES[key]
        assert "content" not in operation["responses"].get("204", {})
    schemas = document["components"]["schemas"]
    assert schemas["TokenResponse"]["required"] == ["token_type", "expires_in", "scope"]
    assert schemas["TokenResponse"]["properties"].keys() == {"token_type", "expires_in", "scope", "access_token", "refresh_token"}
    assert schemas["SessionView"]["required"] == ["id", "created", "last_used", "client", "current"]


def test_requests_have_their_models(document: dict[str, Any]):
    """What login, refresh and logout read is documented, limits included."""
    found = operations(document)
    login = found["post", "/auth/login"]["requestBody"]
    assert login["required"] is True
    schema = login["content"]["application/json"]["schema"]
    assert schema["required"] == ["username", "password"]
    assert schema["properties"]["username"] == {"type": "string", "minLength": 1, "maxLength": 255}
    assert sorted(schema["properties"]["transport"]["enum"]) == ["body", "cookie", "cookie_only"]
    for path in ("/auth/refresh", "/auth/logout"):
        body = found["post", path]["requestBody"]
        assert body["required"] is False
        schema = body["content"]["application/json"]["schema"]
        token = {"refresh_token": {"type": "string", "minLength": 1, "maxLength": 1024}}
        narrower = {"scope": {"anyOf": [{"maxLength": 4096, "type": "string"}, {"type": "null"}]}}
        assert schema["properties"] == (token | narrower if path.endswith("refresh") else token)
        assert not schema.get("required")


def test_parameters(document: dict[str, Any]):
    """The session's id and the attempt id are documented; each parameter of a path is."""
    found = operations(document)
    (id_,) = found["delete", "/auth/sessions/{id}"]["parameters"]
    assert (id_["name"], id_["in"], id_["required"]) == ("id", "path", True)
    (attempt,) = found["post", "/auth/refresh"]["parameters"]
    assert (attempt["name"], attempt["in"], attempt["required"]) == ("Idempotency-Key", "header", False)
    assert (attempt["schema"]["minLength"], attempt["schema"]["maxLength"]) == (16, 255)
    asked = found["get", "/auth/revocations"]["parameters"]
    assert [(each["name"], each["in"], each["required"]) for each in asked] == [
        ("after", "query", False),
        ("wait", "query", False),
        ("If-None-Match", "header", False),
    ]
    with_parameters = {path for (_, path), each in found.items() if "parameters" in each}
    assert with_parameters == {"/auth/refresh", "/auth/sessions/{id}", "/auth/revocations"}


def test_security(document: dict[str, Any]):
    """Guarded operations ask for the access token, revocations for a feed key, the others for nothing."""
    schemes = document["components"]["securitySchemes"]
    assert schemes.keys() == {"AccessToken", "FeedKey"}
    assert {scheme["scheme"] for scheme in schemes.values()} == {"bearer"}
    for (_, path), operation in operations(document).items():
        guarded = path.startswith(("/auth/logout-all", "/auth/sessions", "/auth/me"))
        keyed = [{"FeedKey": []}] if path == "/auth/revocations" else None
        assert operation.get("security") == ([{"AccessToken": []}] if guarded else keyed)


def test_every_operation_has_a_name(document: dict[str, Any]):
    """Generated clients get one stable name for each operation."""
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(names)) == len(names) == len(STATUSES)
    assert all(name.startswith("stagedoor_") for name in names)
    assert all(operation["summary"] for operation in operations(document).values())


def test_the_shape_of_the_document(document: dict[str, Any]):
    """The members that OpenAPI 3.1 asks for are there, and every schema has types that JSON schema knows."""
    assert document["openapi"].startswith("3.1")
    assert {"title", "version"} <= document["info"].keys()
    known = {"string", "integer", "number", "boolean", "object", "array", "null"}
    for path, node in walk(document):
        if isinstance(node, dict) and isinstance(node.get("type"), str) and "securitySchemes" not in path:
            assert node["type"] in known, path
        if isinstance(node, dict) and "responses" in node and "paths" in path:
            assert all(answer["description"] for answer in node["responses"].values())


def test_beside_an_applications_own_routes():
    """In an application with models of its own, of the same names too, all references still resolve."""

    class TokenResponse(BaseModel):
        mine: int

    app = FastAPI()

    @app.post("/own")
    async def own(body: TokenResponse) -> TokenResponse:
        return body

    issuer = Issuer("https://auth.example", audience="x", store=MemoryStore(), keys=KeySet.generate(), peppers=Peppers.generate())
    mount(app, Endpoints(issuer, authenticate), prefix="/api/auth")
    with TestClient(app) as client:
        document = client.get("/openapi.json").json()
    for _, node in walk(document):
        if isinstance(node, dict) and "$ref" in node:
            assert resolve(document, node["$ref"])
    own_schema = document["paths"]["/own"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert resolve(document, own_schema)["properties"].keys() == {"mine"}
    login = document["paths"]["/api/auth/login"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    assert "expires_in" in resolve(document, login)["properties"]
