"""fastapi-users with its JWT strategy, as its documentation shows it: each request reads the user from the database (SQLite)."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from material import AUDIENCE, SECRET, USERNAME, UUID, items
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    username: Mapped[str] = mapped_column()


engine = create_async_engine("sqlite+aiosqlite:///./users.db")
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


async def user_db(opened: Annotated[AsyncSession, Depends(session)]) -> AsyncIterator[SQLAlchemyUserDatabase]:
    yield SQLAlchemyUserDatabase(opened, User)


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


async def user_manager(db: Annotated[SQLAlchemyUserDatabase, Depends(user_db)]) -> AsyncIterator[UserManager]:
    yield UserManager(db)


def strategy() -> JWTStrategy:
    return JWTStrategy(secret=SECRET, lifetime_seconds=3600, token_audience=[AUDIENCE])


backend = AuthenticationBackend(name="jwt", transport=BearerTransport(tokenUrl="auth/jwt/login"), get_strategy=strategy)
users = FastAPIUsers[User, uuid.UUID](user_manager, [backend])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
    async with sessions() as opened:
        opened.add(User(id=uuid.UUID(UUID), email="ada@example.com", hashed_password="-", is_active=True, username=USERNAME))
        await opened.commit()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/guarded")
async def guarded(user: Annotated[User, Depends(users.current_user(active=True))]):
    return items(user.username)


@app.get("/open")
async def unguarded():
    return items(USERNAME)
