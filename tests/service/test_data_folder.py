"""The data folder: whose it is, and what is left when a command is cut short."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path

import pytest

from stagedoor.cli import run
from stagedoor.errors import StoreError
from stagedoor.service.accounts import Accounts
from stagedoor.service.composition import Composition, compose
from stagedoor.service.data_folder import DataError
from stagedoor.service.demo import first_user
from stagedoor.service.settings import Settings

PASSWORD = "a long password of ben"


@pytest.fixture
async def house(tmp_path: Path):
    made = compose(Settings.load({}, data=tmp_path / "data"))
    await made.migrate()
    yield made
    await made.close()


async def test_a_folder_that_others_may_write_to(house: Composition):
    """A data folder in which others could plant their keys is not used."""
    house.settings.data.chmod(0o777)
    with pytest.raises(DataError, match="others may write"):
        compose(house.settings)


async def test_a_folder_of_another_user(house: Composition, monkeypatch: pytest.MonkeyPatch):
    """A data folder that somebody else laid out is not used."""
    monkeypatch.setattr(os, "geteuid", lambda: house.settings.data.stat().st_uid + 1)
    with pytest.raises(DataError, match="belongs to another user"):
        compose(house.settings)


async def test_the_demo_leaves_a_real_ada_alone(house: Composition):
    """An ada whom the demo did not make keeps her password, and stays disabled where she was."""
    await house.accounts.add("ada", PASSWORD)
    await house.accounts.disable("ada")
    before = await house.accounts.find("ada")
    with pytest.raises(DataError, match="did not make"):
        await first_user(house)
    assert await house.accounts.find("ada") == before


async def test_the_demo_knows_its_own_ada(house: Composition):
    """The demo's own ada gets a new password at each start."""
    first, second = await first_user(house), await first_user(house)
    assert await house.accounts.authenticate("ada", first) is None
    assert await house.accounts.authenticate("ada", second) is not None


def test_disabling_that_is_cut_short_leaves_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Sessions end before the account is disabled: cut short in between, nobody goes on refreshing on a disabled account."""
    data = str(tmp_path / "data")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PASSWORD.encode() + b"\n")))
    assert run(["users", "add", "ben", "--password-stdin", "--data", data]) == 0

    async def sessions(open_one: bool) -> int:
        made = compose(Settings.load({}, data=Path(data)))
        subject = (await made.accounts.find("ben")).subject
        if open_one:
            await made.issuer.issue(subject)
        live = len(await made.issuer.sessions(subject))
        await made.close()
        return live

    async def cut(self: Accounts, username: str) -> str:
        raise StoreError("killed")

    assert asyncio.run(sessions(open_one=True)) == 1
    monkeypatch.setattr(Accounts, "disable", cut)
    assert run(["users", "disable", "ben", "--data", data]) == 1
    assert asyncio.run(sessions(open_one=False)) == 0
