"""House: the settings of one command, and what they open, for as long as it works.

Never knows a command.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from stagedoor.errors import StoreError
from stagedoor.service.composition import Composition, compose
from stagedoor.service.keyring import MASTER_KEY
from stagedoor.service.server import log_to_stderr
from stagedoor.service.settings import Settings
from stagedoor.service.terminal import Problem, lacks_tables, say, store_trouble

R = TypeVar("R")


def settings_of(usual: Mapping[str, Any] | None = None, **given: Any) -> Settings:
    """The settings, with what was given on the command line, and with `usual` for what nobody has set."""
    settings = Settings.load(os.environ, **given)
    lacking = {name: value for name, value in (usual or {}).items() if name not in settings.sources}
    return Settings.load(os.environ, **{**given, **lacking}) if lacking else settings


def with_house(settings: Settings, work: Callable[[Composition], Any], *, create: bool = False) -> Any:
    """Do this work (sync or async) on what the data folder holds; with `create`, make and migrate it first. Problem for a StoreError."""

    if "log_level" in settings.sources:  # whoever keeps a log of the service keeps one of what commands change
        log_to_stderr(settings.log_level)

    async def run() -> Any:
        with told_of_master_key(settings):
            house = compose(settings, create=create)
        try:
            if create:
                await house.migrate()
            done = work(house)
            return await done if inspect.isawaitable(done) else done
        finally:
            await house.close()

    with store_trouble_told(settings):
        return asyncio.run(run())


def with_change(settings: Settings, may_be: str, work: Callable[[Composition], Awaitable[R]]) -> R:
    """As with_house, for work of several steps that is repeated where a StoreError cut it short: the Problem says what `may_be` done."""
    cut_short = False

    async def followed(house: Composition) -> R:
        nonlocal cut_short
        try:
            return await work(house)
        except StoreError:
            cut_short = True
            raise

    try:
        done: R = with_house(settings, followed)
    except Problem as problem:
        if not cut_short:
            raise
        raise Problem(f"{may_be}: {problem.args[0]}", f"{problem.hint}; then run this again") from None
    return done


@contextmanager
def told_of_master_key(settings: Settings) -> Iterator[None]:
    """Say so when a master key was made in here: it is the one thing that no backup of the database has."""
    path = settings.data / MASTER_KEY
    was_there = path.exists()
    yield
    if not was_there and path.exists():
        say("hint", f"made {path}: keep a copy elsewhere; without it all keys and sessions are lost")


@contextmanager
def store_trouble_told(settings: Settings) -> Iterator[None]:
    """A StoreError in here is a Problem."""
    try:
        yield
    except StoreError as error:
        raise Problem(f"the {_place(settings)} cannot be used: {store_trouble(error)}", _hint(error, settings)) from None


def _hint(error: StoreError, settings: Settings) -> str:
    if not settings.session_store:  # SQLite in the data folder: its file is all that there is to look at
        full = "see whether the disk is full, or the file is no database"
        return "run `stagedoor migrate` on this data folder" if lacks_tables(error) else full
    if lacks_tables(error):
        return "run `stagedoor migrate` with these settings"
    if "node of a cluster" in str(error):
        return "write redis+cluster:// (or rediss+cluster://) in the URL in STAGEDOOR_SESSIONS"
    if "evicts" in str(error):
        return "set its maxmemory-policy to noeviction, or add ?allow_eviction=true to the URL in STAGEDOOR_SESSIONS"
    places = dict.fromkeys(f"{place}" for place in (settings.database, settings.session_store) if place)
    return f"see whether it runs, and whether the settings name it rightly: {' and '.join(places)}"


def say_who_hears(settings: Settings) -> None:
    """Say when the access tokens of what was ended are refused, and by whom."""
    life = f"{settings.access}s" if isinstance(settings.access, int) else settings.access
    hears = f"whoever follows revocations, as every `stagedoor serve` on this {_place(settings)} does"
    say("hint", f"{hears}, refuses their access tokens within a second; others when they expire, in {life} at most")


def _place(settings: Settings) -> str:
    return "store" if settings.session_store else "database"
