"""Keys and peppers that an older version kept in files are taken over into the database."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from pathlib import Path

import pytest

from stagedoor import Issuer, KeySet
from stagedoor.service.composition import compose
from stagedoor.service.data_folder import DataError
from stagedoor.service.settings import Settings
from stagedoor.stores.memory import MemoryStore
from stagedoor.testing.clock import FixedClock
from stagedoor.vault import MasterKey, Vault

from .houses import ids, older


async def test_the_files_of_an_older_version_are_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Same ids, same terms: tokens from before are good, keys and files are told about once, and reading commands change nothing."""
    data, clock = tmp_path / "data", FixedClock()
    keys, peppers = older(data, clock)
    settings = Settings.load({}, data=data)
    before = await Issuer(settings.issuer_url, audience="a", store=MemoryStore(), keys=keys, peppers=peppers, clock=clock).issue("ada")
    with pytest.raises(DataError, match="there is no Stagedoor"):
        compose(settings, create=False)
    with contextlib.closing(sqlite3.connect(data / "stagedoor.db", isolation_level=None)) as database:
        database.execute("CREATE TABLE stagedoor_accounts_schema (version_num)")  # in use
    with pytest.raises(DataError, match="still files, as in older versions"):
        compose(settings, create=False)
    assert (data / "keys.json").exists()
    with caplog.at_level(logging.INFO, logger="stagedoor.keys"):
        house = compose(settings, clock=clock)
    for ours, theirs in ((house.keys, keys), (house.peppers, peppers)):
        assert [(e.id, e.starts, e.ends) for e in ours.entries()] == [(e.id, e.starts, e.ends) for e in theirs.entries()]
    assert house.peppers.parse(before.refresh_token, clock()).pepper_id == 1
    assert house.keys.find(keys.signing(clock()).kid, clock()) is not None
    await house.close()
    assert {file.name for file in data.glob("*.moved")} == {"keys.json.moved", "peppers.json.moved"}
    assert not (data / "keys.json").exists()
    again = compose(settings, clock=clock)
    assert ids(again) == ids(house)
    await again.close()
    assert [record.getMessage() for record in caplog.records if record.name == "stagedoor.keys"] == [
        f"The keys and the peppers are in the database now, sealed. Delete what is left in {data}: keys.json.moved, peppers.json.moved"
    ]


def test_what_is_in_the_vault_is_not_taken_over_again(tmp_path: Path):
    """A file that is taken over when its keys have gone on in the vault brings nothing back."""
    retired = older(tmp_path / "data")[0].signing(time.time()).kid
    vault = Vault(MemoryStore().documents, MasterKey.parse(MasterKey.generate_text()))
    for found in (True, False):
        KeySet.take_over(tmp_path / "data" / "keys.json", vault)
        ours = KeySet.open(vault)
        ours.close()
        assert (ours.find(retired, time.time()) is not None) is found
        if found:
            ours.retire(retired)
    with pytest.raises(FileNotFoundError):
        KeySet.take_over(tmp_path / "nowhere", vault)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("lost", ["keys.json", "peppers.json"])
def test_half_of_the_files_of_an_older_version(tmp_path: Path, lost: str):
    """Where one file of two is missing nothing is taken over and nothing is made."""
    older(tmp_path / "data")
    (tmp_path / "data" / lost).unlink()
    with pytest.raises(DataError, match=f"{lost} is missing beside "):
        compose(Settings.load({}, data=tmp_path / "data"))
    assert not (tmp_path / "data" / "master.key").exists()
    assert not list((tmp_path / "data").glob("*.moved"))


@pytest.mark.parametrize("broken", ["not JSON: hidden", '{"entries": 5, "d": "hidden"}', '{"entries": [{"id": "hidden"}]}', "[]", ""])
def test_broken_files_of_an_older_version(tmp_path: Path, broken: str):
    """A file that cannot be read is named, not quoted, and left as it is."""
    older(tmp_path / "data")
    for name in ("keys.json", "peppers.json"):
        whole = (tmp_path / "data" / name).read_text()
        (tmp_path / "data" / name).write_text(broken)
        with pytest.raises(DataError, match=f"cannot read .*{name}: it is not what Stagedoor wrote") as refused:
            compose(Settings.load({}, data=tmp_path / "data"))
        assert "hidden" not in str(refused.value)
        assert (tmp_path / "data" / name).read_text() == broken
        (tmp_path / "data" / name).write_text(whole)
