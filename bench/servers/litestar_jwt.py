"""Litestar with its own JWTAuth, as its documentation shows it."""

from dataclasses import dataclass
from typing import Any

from litestar import Litestar, Request, get
from litestar.connection import ASGIConnection
from litestar.security.jwt import JWTAuth, Token
from material import AUDIENCE, ISSUER, SECRET, SUBJECT, USERNAME, items


@dataclass
class User:
    id: str
    name: str


users = {SUBJECT: User(SUBJECT, USERNAME)}


async def retrieve_user(token: Token, connection: ASGIConnection[Any, Any, Any, Any]) -> User | None:
    return users.get(token.sub)


auth = JWTAuth[User](
    retrieve_user_handler=retrieve_user, token_secret=SECRET, exclude=["/open"], accepted_audiences=[AUDIENCE], accepted_issuers=[ISSUER]
)


@get("/guarded")
async def guarded(request: Request[User, Token, Any]) -> list[dict[str, str]]:
    return items(request.user.name)


@get("/open")
async def unguarded() -> list[dict[str, str]]:
    return items(USERNAME)


app = Litestar([guarded, unguarded], on_app_init=[auth.on_app_init])
