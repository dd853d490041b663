"""FastAPI, guarded by Stagedoor."""

from typing import Annotated

from fastapi import FastAPI
from material import USERNAME, items
from stagedoor_verifier import verifier

from stagedoor import AccessToken
from stagedoor.guards.fastapi import Guard

app, guard = FastAPI(), Guard(verifier)


@app.get("/guarded")
async def guarded(token: Annotated[AccessToken, guard()]):
    return items(token.claims["username"])


@app.get("/open")
async def unguarded():
    return items(USERNAME)
