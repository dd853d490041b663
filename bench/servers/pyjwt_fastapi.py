"""FastAPI with PyJWT, as the tutorial of FastAPI shows it; `aud` and `iss` are checked too, which all others here do."""

from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException, status
from fastapi.security import OAuth2PasswordBearer
from jwt.exceptions import InvalidTokenError
from material import AUDIENCE, ISSUER, SECRET, SUBJECT, USERNAME, items
from pydantic import BaseModel

users = {
    SUBJECT: {"username": USERNAME, "full_name": "Ada Lovelace", "email": "ada@example.com", "hashed_password": "-", "disabled": False}
}


class TokenData(BaseModel):
    username: str | None = None


class User(BaseModel):
    username: str
    email: str | None = None
    full_name: str | None = None
    disabled: bool | None = None


class UserInDB(User):
    hashed_password: str


oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")
app = FastAPI()


async def current_user(token: Annotated[str, Depends(oauth2_scheme)]) -> User:
    refused = HTTPException(
        status_code=status.HTTP_401_UNAUTHORIZED, detail="Could not validate credentials", headers={"WWW-Authenticate": "Bearer"}
    )
    try:
        payload = jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
        name = payload.get("sub")
        if name is None:
            raise refused
        data = TokenData(username=name)
    except InvalidTokenError:
        raise refused from None
    if data.username not in users:
        raise refused
    return UserInDB(**users[data.username])


async def active_user(user: Annotated[User, Depends(current_user)]) -> User:
    if user.disabled:
        raise HTTPException(status_code=400, detail="Inactive user")
    return user


@app.get("/guarded")
async def guarded(user: Annotated[User, Depends(active_user)]):
    return items(user.username)


@app.get("/open")
async def unguarded():
    return items(USERNAME)
