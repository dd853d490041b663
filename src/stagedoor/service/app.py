"""App: the service as one ASGI application: endpoints, pages, and the sample API of the demo.

Never knows an environment variable or a command line: those come in as Settings.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from stagedoor.endpoints import Endpoints, Throttle
from stagedoor.endpoints.mount import Answering
from stagedoor.endpoints.starlette import mount
from stagedoor.errors import MethodNotAllowed, NotFound, RequestError
from stagedoor.guards.response import Response, json_response, refusal
from stagedoor.service.composition import Composition, compose
from stagedoor.service.desk import ADMIN_SCOPE, Desk
from stagedoor.service.page import page
from stagedoor.service.sample import orders
from stagedoor.service.security_headers import SecurityHeaders
from stagedoor.service.settings import Settings
from stagedoor.stores.sql.counters import SQLCounters

_STATIC = Path(__file__).parent / "pages" / "static"


def create_app(settings: Settings, *, sample: bool = False) -> Starlette:
    """The service. `sample`: with the sample API of the demo at /api/orders, in the same origin."""
    house = compose(settings)
    shown = page(sample_api=sample)

    async def index(request: Request) -> Response:
        return shown

    routes: list[Route | Mount] = [Route("/", index), Mount("/static", StaticFiles(directory=_STATIC))]
    if sample:
        routes.append(orders("/api/orders", house.issuer.verifier()))
    app = Starlette(
        routes=routes,
        middleware=[Middleware(SecurityHeaders, https=settings.issuer_url.startswith("https://"))],
        exception_handlers={HTTPException: _not_here, Exception: _broken},
        lifespan=lambda _: _life(house),
    )
    throttle = Throttle(SQLCounters(house.database.database))
    endpoints = Endpoints(
        house.issuer,
        house.accounts.authenticate,
        origins=settings.origins,
        proxies=settings.trusted_proxies,
        throttle=throttle,
        feed_keys=settings.feed_keys or (),
        admin_scope=ADMIN_SCOPE,
    )
    mount(app, endpoints)
    for operation in Desk(house, endpoints.gate, throttle, proxies=settings.trusted_proxies).operations:
        app.router.routes.append(Route(f"/auth{operation.path}", Answering(endpoints, [operation])))
    return app


@contextlib.asynccontextmanager
async def _life(house: Composition) -> AsyncIterator[None]:
    await house.migrate()
    try:
        yield
    finally:
        await house.close()


async def _not_here(request: Request, error: Exception) -> Any:
    if isinstance(error, HTTPException) and error.status_code == 405:
        return refusal(MethodNotAllowed((error.headers or {}).get("Allow", "another method")))
    return refusal(NotFound() if getattr(error, "status_code", 404) == 404 else RequestError("This cannot be answered."))


async def _broken(request: Request, error: Exception) -> Any:
    # Starlette logs the traceback; nobody outside sees it.
    return json_response({"error": "server_error", "error_description": "This went wrong on our side."}, status=500)
