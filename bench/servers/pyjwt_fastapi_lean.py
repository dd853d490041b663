"""FastAPI with PyJWT and as little around it as can be: one dependency, no user, no model, a key that was made once."""

from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from material import AUDIENCE, ISSUER, SECRET, USERNAME, items

app = FastAPI()
key = SECRET.encode()


async def claims(request: Request) -> dict[str, Any]:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() == "bearer":
            return jwt.decode(token, key, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    except jwt.InvalidTokenError:
        pass
    raise HTTPException(status_code=401, headers={"WWW-Authenticate": "Bearer"})


@app.get("/guarded")
async def guarded(found: Annotated[dict[str, Any], Depends(claims)]):
    return items(found["username"])


@app.get("/open")
async def unguarded():
    return items(USERNAME)
