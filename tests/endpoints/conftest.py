"""Houses for the tests of endpoints: each mount on each store."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from endpoints.house import House


@pytest.fixture(params=["starlette", "fastapi"])
def mount(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(params=["memory", "sqlite"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "sqlite" else None


@pytest.fixture
def build(mount: str) -> Iterator[Callable[..., House]]:
    """A house with settings of its own, started, in memory unless a folder is given."""
    with ExitStack() as running:

        def start(folder: Path | None = None, **options: Any) -> House:
            house = House(mount, folder, **options)
            running.enter_context(house.client)
            return house

        yield start


@pytest.fixture
def house(build: Callable[..., House], folder: Path | None) -> House:
    return build(folder)
