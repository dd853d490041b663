"""Starlette with PyJWT, and as little around it as can be."""

from typing import Any

import jwt
from material import AUDIENCE, ISSUER, SECRET, USERNAME, items
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

key = SECRET.encode()


def claims(request: Request) -> dict[str, Any]:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() == "bearer":
            return jwt.decode(token, key, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    except jwt.InvalidTokenError:
        pass
    raise HTTPException(status_code=401, headers={"WWW-Authenticate": "Bearer"})


async def guarded(request: Request) -> JSONResponse:
    return JSONResponse(items(claims(request)["username"]))


async def unguarded(request: Request) -> JSONResponse:
    return JSONResponse(items(USERNAME))


app = Starlette(routes=[Route("/guarded", guarded), Route("/open", unguarded)])
