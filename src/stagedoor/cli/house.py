"""House: the settings of one command, and what they open, for as long as it works.

Never knows a command.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from stagedoor.errors import StoreError
from stagedoor.service.composition import Composition, compose
from stagedoor.service.settings import Settings
from stagedoor.service.terminal import Problem, lacks_tables, say, store_trouble


def settings_of(usual: Mapping[str, Any] | None = None, **given: Any) -> Settings:
    """The settings, with what was given on the command line, and with `usual` for what nobody has set."""
    settings = Settings.load(os.environ, **given)
    lacking = {name: value for name, value in (usual or {}).items() if name not in settings.sources}
    return Settings.load(os.environ, **{**given, **lacking}) if lacking else settings


def with_house(settings: Settings, work: Callable[[Composition], Any], *, create: bool = False) -> Any:
    """Do this work (sync or async) on what the data folder holds; with `create`, make and migrate it first. Problem for a StoreError."""

    async def run() -> Any:
        house = compose(settings, create=create)
        try:
            if create:
                await house.migrate()
            done = work(house)
            return await done if inspect.isawaitable(done) else done
        finally:
            await house.close()

    try:
        return asyncio.run(run())
    except StoreError as error:
        place = "store" if settings.session_store else "database"
        raise Problem(f"the {place} cannot be used: {store_trouble(error)}", _hint(error, settings)) from None


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


def until_expiry(settings: Settings) -> None:
    """Say how long access tokens of ended sessions still live elsewhere."""
    life = f"{settings.access}s" if isinstance(settings.access, int) else settings.access
    say("hint", f"access tokens that are out already live until they expire, at most {life}, where nobody hears of this")
