"""`stagedoor keys start-over`: the master key is lost, and the accounts are not."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stagedoor.encoding import encode
from stagedoor.errors import RefreshTokenUnknown
from stagedoor.service.composition import compose, start_over
from stagedoor.service.data_folder import DataError
from stagedoor.service.settings import Settings
from stagedoor.vault import MasterKey

from .conftest import Transcript
from .houses import ids, older, opened

MADE = "made data/master.key: keep a copy elsewhere; without it all keys and sessions are lost"


def settings_of(data: Path, **given: str) -> Settings:
    return Settings.load({}, data=data, **given)


def test_the_master_key_is_lost(transcript: Transcript, tmp_path: Path):
    """Nothing starts; the hint leads to the command, which wants a --yes, keeps the accounts and leaves alone what can be opened."""
    transcript("$ echo 'correct horse' | stagedoor users add ada --password-stdin --data data\nusr_…")
    transcript("$ stagedoor keys start-over --yes --data data\nnothing was changed: the keys and the peppers can be opened")
    (tmp_path / "data" / "master.key").unlink()
    transcript(
        """
        $ stagedoor users list --data data
        stagedoor: error: the keys in data/stagedoor.db are sealed, and data/master.key is missing
        stagedoor: hint: copy master.key …; if it is lost for good, see `stagedoor keys start-over --help`
        (exit 1)
        $ stagedoor keys start-over --data data
        stagedoor: error: everybody logs in again after this
        stagedoor: hint: nothing was changed: add --yes if the master key is lost for good
        (exit 1)
        $ stagedoor users list --data data
        stagedoor: error: …
        (exit 1)
        $ stagedoor keys start-over --yes --data data
        made fresh keys and peppers
        stagedoor: hint: {made}
        stagedoor: hint: everybody logs in again; start every `stagedoor serve` on this database again, all with this master key
        $ stagedoor users list --data data
        username  subject  …
        ada       usr_…
        $ stagedoor keys start-over --yes --data data
        nothing was changed: the keys and the peppers can be opened
        $ STAGEDOOR_MASTER_KEY={another} stagedoor users list --data data
        stagedoor: error: the keys in data/stagedoor.db are sealed under another master key
        stagedoor: hint: STAGEDOOR_MASTER_KEY goes before data/master.key: leave it out to use that file, or copy …
        (exit 1)
        """,
        made=MADE,
        another=MasterKey.generate_text(),
    )


def test_tokens_from_before_are_refused(tmp_path: Path):
    """A refresh token of any pepper that was is refused as unknown, and never put off: its client logs in again."""
    with opened(tmp_path / "data") as house:
        kids = ids(house)[0]
        for _ in range(3):
            house.peppers.rotate(announce=1)
        texts = [
            house.peppers.write(pepper_id=number, session_id=os.urandom(16), generation=0, secret=bytes(32), seed=bytes(32), now=0)
            for number in (1, 2, 3, 4)
        ]
    for _ in range(2):  # the master key is lost a second time
        (tmp_path / "data" / "master.key").unlink()
        assert start_over(settings_of(tmp_path / "data")) == ["keys", "peppers"]
        with opened(tmp_path / "data", create=False) as house:
            now = house.peppers.entries()[0].starts + 1
            assert not set(kids) & set(ids(house)[0])
            for text in texts:
                with pytest.raises(RefreshTokenUnknown):
                    house.peppers.parse(text, now)
            number = house.peppers.current_id(now)
            texts.append(
                house.peppers.write(pepper_id=number, session_id=bytes(16), generation=0, secret=bytes(32), seed=bytes(32), now=now)
            )
            pair = asyncio.run(house.issuer.issue("usr_ada"))
            assert house.issuer.verifier().verify(pair.access_token).subject == "usr_ada"


def test_only_what_cannot_be_opened(tmp_path: Path):
    """Where the keys alone are altered or missing the peppers stay, and so do the sessions."""
    with opened(tmp_path / "data") as house:
        keys, peppers = ids(house)
    for statement in (
        "UPDATE stagedoor_documents SET content = x'00' WHERE name = 'keys'",
        "DELETE FROM stagedoor_documents WHERE name = 'keys'",
    ):
        with closing(sqlite3.connect(tmp_path / "data" / "stagedoor.db", isolation_level=None)) as database:
            database.execute(statement)
        with pytest.raises(DataError):
            compose(settings_of(tmp_path / "data"))
        assert start_over(settings_of(tmp_path / "data")) == ["keys"]
        with opened(tmp_path / "data") as house:
            assert ids(house)[0] != keys
            assert ids(house)[1] == peppers


def test_where_keys_are_missing_in_a_database_in_use(tmp_path: Path):
    """The hint names the command, which makes what is missing; with files of an older version, or with nothing at all, it makes nothing."""
    with opened(tmp_path / "data"):
        pass
    with closing(sqlite3.connect(tmp_path / "data" / "stagedoor.db", isolation_level=None)) as database:
        database.execute("DELETE FROM stagedoor_documents")
        with pytest.raises(DataError) as refused:
            compose(settings_of(tmp_path / "data"))
        assert "keys start-over" in refused.value.hint
        (tmp_path / "data" / "keys.json").touch()
        with pytest.raises(DataError, match="still files"):
            start_over(settings_of(tmp_path / "data"))
        (tmp_path / "data" / "keys.json").unlink()
        assert start_over(settings_of(tmp_path / "data")) == ["keys", "peppers"]
        with opened(tmp_path / "data"):
            pass
        database.executescript("DELETE FROM stagedoor_documents; DROP TABLE stagedoor_accounts; DROP TABLE stagedoor_accounts_schema")
        with pytest.raises(DataError, match="there is no Stagedoor"):
            start_over(settings_of(tmp_path / "data"))
    with pytest.raises(DataError, match="no such folder"):
        start_over(settings_of(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_under_the_master_key_of_the_settings(tmp_path: Path):
    """It seals under STAGEDOOR_MASTER_KEY where that is set, and then makes no file; a file that is broken is not written over."""
    data, text = tmp_path / "data", encode(os.urandom(32))
    with opened(data):
        pass
    (data / "master.key").write_text("broken")
    with pytest.raises(DataError) as refused:
        start_over(settings_of(data))
    assert "delete it" in refused.value.hint
    (data / "master.key").unlink()
    assert start_over(settings_of(data, master_key=text)) == ["keys", "peppers"]
    assert not (data / "master.key").exists()
    with opened(data, master_key=text, create=False):
        pass


def test_the_locks_of_older_files_go_with_them(tmp_path: Path):
    """What an older version left beside its files is gone when they are taken over."""
    older(tmp_path / "data")
    assert (tmp_path / "data" / "keys.json.lock").exists()
    with opened(tmp_path / "data"):
        pass
    left = {file.name for file in (tmp_path / "data").iterdir() if ".json" in file.name}
    assert left == {"keys.json.moved", "peppers.json.moved"}
