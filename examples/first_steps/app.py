"""What every tutorial on tokens shows, done right.

An access token of 1 h and a refresh token of 7 d for {username, sub}; POST /refresh-token, which takes the cookie and answers
{"accessToken": …}; a guard with a check of one's own; a protected route. It needs "stagedoor[fastapi,sql]" and uvicorn:

    python app.py        and open http://localhost:8000
"""

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import BaseModel

from stagedoor import AccessToken, Issuer, KeySet, Peppers
from stagedoor.errors import BadCredentials, GrantError, MissingToken
from stagedoor.guards.cookies import REFRESH_COOKIE, clear_cookie, read_cookie, set_cookie
from stagedoor.guards.cross_site import check_cross_site
from stagedoor.guards.fastapi import Guard, answer_refusals
from stagedoor.guards.headers import Headers
from stagedoor.stores.sql import SQLStore

HERE = Path(__file__).parent
SITE = "http://localhost:8000"

# The users table stays yours. Here it has one row: ada, whose password is "correct horse battery".
SALT = b"an example's salt"


def password_hash(password: str) -> bytes:
    return hashlib.scrypt(password.encode(), salt=SALT, n=2**14, r=8, p=5, maxmem=2**26)


@dataclass
class User:
    sub: str
    password: bytes
    suspended: bool = False


USERS = {"ada": User("user-42", password_hash("correct horse battery"))}
NOBODY = User("", password_hash("nobody has this password"))


def create_app(data: Path = HERE, site: str = SITE) -> FastAPI:
    store = SQLStore(f"sqlite:///{data}/first_steps.db")
    issuer = Issuer(
        site,
        audience=site,
        store=store,
        keys=KeySet.open(data / "keys.json"),  # made on first use, readable by you alone
        peppers=Peppers.open(data / "peppers.json"),
        access="1h",
        refresh_idle="7d",
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await store.migrate()
        yield
        await store.close()

    app = FastAPI(lifespan=lifespan)
    answer_refusals(app)
    guard = Guard(issuer.verifier())

    class Login(BaseModel):
        username: str
        password: str

    @app.post("/login")
    async def login(login: Login, request: Request, response: Response) -> dict[str, str]:
        check_cross_site(Headers(request.headers.raw), frozenset())  # the answer sets a cookie
        user = USERS.get(login.username, NOBODY)  # an unknown name costs as long as a known one
        given = await run_in_threadpool(password_hash, login.password)
        if not hmac.compare_digest(given, user.password) or user is NOBODY:
            raise BadCredentials
        pair = await issuer.issue(user.sub, claims={"username": login.username})
        return answer(pair, response)

    @app.post("/refresh-token")
    async def refresh_token(request: Request, response: Response) -> dict[str, str]:
        pair = await issuer.refresh(cookie(request), attempt=request.headers.get("idempotency-key"))
        return answer(pair, response)

    @app.post("/logout", status_code=204)
    async def logout(request: Request, response: Response) -> None:
        with suppress(GrantError):  # dead already: that is what was asked for
            await issuer.revoke(cookie(request))
        response.headers.append("set-cookie", clear_cookie(REFRESH_COOKIE))

    def answer(pair: Any, response: Response) -> dict[str, str]:
        cookie = set_cookie(REFRESH_COOKIE, pair.refresh_token, max_age=pair.refresh_expires_in, same_site="Strict")
        response.headers.append("set-cookie", cookie)
        response.headers["cache-control"] = "no-store"
        return {"accessToken": pair.access_token}

    def cookie(request: Request) -> str:
        headers = Headers(request.headers.raw)
        check_cross_site(headers, frozenset())  # a cookie is used
        found = read_cookie(headers, REFRESH_COOKIE)
        if found is None:
            raise MissingToken
        return found

    # A guard of your own: canActivate in other houses. Only True lets a request pass.
    def not_suspended(token: AccessToken, request: Request) -> bool:
        return not USERS[token.claims["username"]].suspended

    @app.get("/profile")
    async def profile(token: Annotated[AccessToken, guard(check=not_suspended)]) -> dict[str, Any]:
        return {"sub": token.subject, "username": token.claims["username"]}

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(HERE / "index.html")

    @app.get("/first_steps.js")
    async def script() -> FileResponse:
        return FileResponse(HERE / "first_steps.js", media_type="text/javascript")

    return app


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(create_app(), port=8000)
