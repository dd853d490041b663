"""Mount for FastAPI: the operations as routes that show in OpenAPI, with their models and errors.

Never knows a rule of its own; FastAPI neither reads nor writes our bodies, it only documents them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, create_model
from starlette.routing import Route

from stagedoor.endpoints.endpoints import Endpoints
from stagedoor.endpoints.mount import Answering, check_app, lifespan, paths_of
from stagedoor.endpoints.operation import Operation
from stagedoor.endpoints.revocations import LONGEST_WAIT
from stagedoor.endpoints.shapes import ErrorResponse

_MEANINGS = {
    400: "The request, the credentials or the refresh token is refused",
    401: "The access token, or the feed key, is missing or refused",
    403: "The scope does not suffice, or the request comes from another site",
    404: "There is no such thing, or it belongs to somebody else",
    413: "The request is too large",
    415: "The body is not JSON",
    429: "Too many failed logins",
    503: "The service cannot answer just now: try again",
}


def mount(
    app: FastAPI,
    endpoints: Endpoints,
    *,
    prefix: str = "/auth",
    paths: Mapping[str, str] | None = None,
    jwks: str = "/.well-known/jwks.json",
) -> None:
    """Add the operations to `app`, below `prefix`; `paths` gives an operation, by name, another path below it.

    The store is migrated when the application starts and closed when it stops. ValueError for a name that is no operation.
    """
    table = paths_of(endpoints, prefix, paths, jwks)
    check_app(app, FastAPI, table)
    models: dict[type, type[BaseModel]] = {}
    for path, operations in table.items():
        answering = Answering(endpoints, operations)
        for operation in operations:
            _add(app, answering, operation, path, models)
        # A wrong method comes to us too, so that it is refused in our shape.
        app.router.routes.append(Route(path, answering, include_in_schema=False))
    app.router.lifespan_context = lifespan(app.router.lifespan_context, endpoints.issuer)


class _Documented(SecurityBase):
    """Says in OpenAPI that a route takes an access token, or a feed key; the operation itself looks at it."""

    def __init__(self, operation: Operation) -> None:
        if operation.guarded:
            self.model = HTTPBearer(bearerFormat="JWT", description="An access token.")
            self.scheme_name = "AccessToken"
        else:
            self.model = HTTPBearer(description="A secret that both services share.")
            self.scheme_name = "FeedKey"

    async def __call__(self) -> None:
        """Nothing to do."""


def _add(app: FastAPI, answering: Answering, operation: Operation, path: str, models: dict[type, type[BaseModel]]) -> None:
    async def handler(request: Request) -> Any:
        return await answering.answer(request.scope, request.receive)

    class Answered(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Any]]:
            return handler

    async def documented() -> None:
        """Stand-in that FastAPI documents; Answered answers."""

    responses: dict[int | str, dict[str, Any]] = {
        status: {"model": _model(ErrorResponse, models), "description": _MEANINGS[status]} for status in operation.errors
    }
    if operation.response is not None and issubclass(operation.response, msgspec.Struct):
        responses[200] = {"model": _model(operation.response, models), "description": "Done"}
    if operation.name == "revocations":
        responses[304] = {"description": "Nothing is new after the cursor of this ETag"}
    app.router.add_api_route(
        path,
        documented,
        methods=[operation.method],
        name=f"stagedoor_{operation.name}",
        operation_id=f"stagedoor_{operation.name}",
        summary=operation.summary,
        description=operation.summary,
        tags=["auth"],
        status_code=operation.status,
        response_model=None,
        responses=responses,
        dependencies=[Security(_Documented(operation))] if 401 in operation.errors else None,
        openapi_extra=_extra(operation),
        route_class_override=Answered,
    )


def _extra(operation: Operation) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if operation.request is not None:
        content = {"application/json": {"schema": _inline(operation.request)}}
        extra["requestBody"] = {"required": operation.name == "login", "content": content}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in operation.parameters
    ]
    if operation.name == "refresh":
        attempt = {"type": "string", "minLength": 16, "maxLength": 255}
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": attempt})
    if operation.name == "revocations":
        wait = {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT, "default": 0}
        for name, where, schema in (
            ("after", "query", {"type": "string"}),
            ("wait", "query", wait),
            ("If-None-Match", "header", {"type": "string"}),
        ):
            parameters.append({"name": name, "in": where, "required": False, "schema": schema})
    if parameters:
        extra["parameters"] = parameters
    return extra


def _inline(shape: type) -> dict[str, Any]:
    """The JSON schema of a flat shape, with nothing to refer to."""
    _, components = msgspec.json.schema_components([shape])
    schema: dict[str, Any] = components[shape.__name__]
    return schema


def _model(shape: Any, models: dict[type, type[BaseModel]]) -> type[BaseModel]:
    """The pydantic twin of a shape, made once, for FastAPI's OpenAPI only."""
    if shape not in models:
        members: dict[str, Any] = {}
        for member in msgspec.structs.fields(shape):
            default = ... if member.required else member.default
            members[member.name] = (_twin(member.type, models), default)
        models[shape] = create_model(shape.__name__, __doc__=shape.__doc__, **members)
    return models[shape]


def _twin(kind: Any, models: dict[type, type[BaseModel]]) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _model(kind, models)
    inner = getattr(kind, "__args__", ())
    if getattr(kind, "__origin__", None) is list:
        return list[_twin(inner[0], models)]  # type: ignore[misc]
    return kind
