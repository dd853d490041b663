"""Mount for Starlette: the operations as routes, and the store's life with the application's.

Never knows a rule of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.routing import Route

from stagedoor.endpoints.endpoints import Endpoints
from stagedoor.endpoints.mount import Answering, check_app, lifespan, paths_of


def mount(
    app: Starlette,
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
    check_app(app, Starlette, table)
    for path, operations in table.items():
        app.router.routes.append(Route(path, Answering(endpoints, operations), name=f"stagedoor_{operations[0].name}"))
    app.router.lifespan_context = lifespan(app.router.lifespan_context, endpoints.issuer)
