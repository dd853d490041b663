"""FastAPI with AuthX, as its documentation shows it."""

from typing import Annotated

from authx import AuthX, AuthXConfig, TokenPayload
from fastapi import Depends, FastAPI
from material import AUDIENCE, ISSUER, SECRET, USERNAME, items

app = FastAPI()
config = AuthXConfig(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["headers"], JWT_DECODE_AUDIENCE=AUDIENCE, JWT_DECODE_ISSUER=ISSUER)
auth = AuthX(config=config)
auth.handle_errors(app)


@app.get("/guarded")
async def guarded(payload: Annotated[TokenPayload, Depends(auth.access_token_required)]):
    return items(payload.username)


@app.get("/open")
async def unguarded():
    return items(USERNAME)
