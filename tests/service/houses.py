"""A house of the service, opened and closed again, and the data folder of an older version."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stagedoor import KeySet, Peppers
from stagedoor.service.composition import Composition, compose
from stagedoor.service.settings import Settings
from stagedoor.testing.clock import FixedClock


@contextmanager
def opened(data: Path, *, create: bool = True, clock: FixedClock | None = None, **settings: str) -> Iterator[Composition]:
    house = compose(Settings.load({}, data=data, **settings), create=create, **({"clock": clock} if clock else {}))

    async def migrate_or_close(name: str) -> None:
        await getattr(house, name)()

    try:
        if create:
            asyncio.run(migrate_or_close("migrate"))
        yield house
    finally:
        asyncio.run(migrate_or_close("close"))


def ids(house: Composition) -> list[list[str | int]]:
    return [[entry.id for entry in ring.entries()] for ring in (house.keys, house.peppers)]


def older(data: Path, clock: FixedClock | None = None) -> tuple[KeySet, Peppers]:
    """The files of an older version, each with two entries."""
    data.mkdir(mode=0o700)
    moment = {"clock": clock} if clock else {}
    keys, peppers = KeySet.open(data / "keys.json", **moment), Peppers.open(data / "peppers.json", **moment)
    keys.rotate(keep="1d")
    peppers.rotate(keep="90d")
    keys.close()
    peppers.close()
    return keys, peppers
