"""The keys and the peppers of the service: in its database, sealed; never made anew beside what is in use."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from patience import PATIENCE
from stagedoor import watch
from stagedoor.service.composition import compose
from stagedoor.service.data_folder import DataError
from stagedoor.service.settings import Settings
from stagedoor.stores.sql.documents import SQLDocuments
from stagedoor.testing.clock import FixedClock
from stagedoor.vault import MasterKey

from .houses import ids, opened

DAY = 86_400
FIRST, SECOND = MasterKey.generate_text(), MasterKey.generate_text()


def text_of(data: Path) -> str:
    """All that an eye finds in the folder's database."""
    return "".join(file.read_bytes().decode("latin-1") for file in data.glob("stagedoor.db*"))


def test_they_live_in_the_database_sealed(tmp_path: Path):
    """One key and one pepper are made, opened again they are the same, and nothing of them can be read in the database's file."""
    with opened(tmp_path / "data") as house:
        made = ids(house)
        secret = house.keys.signing(0).jwk(private=True)["d"]
    assert [len(each) for each in made] == [1, 1]
    for create in (True, False):
        with opened(tmp_path / "data", create=create) as house:
            assert ids(house) == made
    assert sorted(file.name.partition(".db")[0] for file in (tmp_path / "data").iterdir()) == ["master.key", "master.key.lock", "stagedoor"]
    assert secret not in text_of(tmp_path / "data")
    assert made[0][0] not in text_of(tmp_path / "data")


@pytest.mark.parametrize("name", ["keys", "peppers"])
def test_they_are_not_remade_beside_a_database_in_use(tmp_path: Path, name: str):
    """Missing keys or peppers are an error: fresh ones would end every session in silence."""
    with opened(tmp_path / "data"):
        pass
    with closing(sqlite3.connect(tmp_path / "data" / "stagedoor.db", isolation_level=None)) as database:
        database.execute("DELETE FROM stagedoor_documents WHERE name = ?", (name,))
        with pytest.raises(DataError, match=f"the {name} are missing in a database in use"):
            compose(Settings.load({}, data=tmp_path / "data"))
        assert name not in [row[0] for row in database.execute("SELECT name FROM stagedoor_documents")]
    (tmp_path / "data" / "master.key").unlink()
    with pytest.raises(DataError):
        compose(Settings.load({}, data=tmp_path / "data"))
    assert not (tmp_path / "data" / "master.key").exists()


def test_a_first_start_that_was_cut_short_goes_on(tmp_path: Path):
    """Keys that were made before the process was killed are kept; peppers that were not are made: nobody has used either."""
    with opened(tmp_path / "data") as house:
        keys = ids(house)[0]
    with closing(sqlite3.connect(tmp_path / "data" / "stagedoor.db", isolation_level=None)) as database:
        database.executescript("DELETE FROM stagedoor_documents WHERE name = 'peppers'; DROP TABLE stagedoor_accounts_schema;")
        database.execute("DROP TABLE stagedoor_accounts")
    with opened(tmp_path / "data") as house:
        assert ids(house) == [keys, [1]]


def test_another_machine_that_is_done_between_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Who finds a new database, and then another's keys in it, takes those: it is no database in use that has lost its keys."""
    read, made = SQLDocuments.read, []

    def read_slowly(documents: SQLDocuments, name: str) -> tuple[int, bytes] | None:
        found = read(documents, name)
        if name == "peppers" and found is None and not made:
            made.append(None)
            with opened(tmp_path / "data") as other:
                made[:] = ids(other)
        return found

    monkeypatch.setattr(SQLDocuments, "read", read_slowly)
    with opened(tmp_path / "data") as house:
        assert ids(house) == made


def test_a_master_key_that_was_laid_there(tmp_path: Path):
    """A file from elsewhere, a mounted secret say, is only read: nothing is written beside it."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "master.key").write_text(f"{FIRST}\n")
    (tmp_path / "data" / "master.key").chmod(0o640)
    with opened(tmp_path / "data") as house:
        made = ids(house)
    assert not (tmp_path / "data" / "master.key.lock").exists()
    with opened(tmp_path / "data", master_key=FIRST) as house:
        assert ids(house) == made


def test_closing_ends_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever looked into the database looks no more when it is closed."""
    monkeypatch.setattr(watch, "_PATIENCE", PATIENCE)
    before = set(threading.enumerate())
    with opened(tmp_path / "data"):
        assert len([thread for thread in set(threading.enumerate()) - before if thread.name == "stagedoor-watch"]) == 2
    assert set(threading.enumerate()) <= before  # others of before may have ended meanwhile


def test_a_missing_or_a_wrong_master_key(tmp_path: Path):
    """Where keys are sealed, no fresh master key is made and another one is refused; both say where the right one is."""
    data = tmp_path / "data"
    with opened(data):
        pass
    (data / "master.key").rename(tmp_path / "kept")
    for create in (True, False):
        with pytest.raises(DataError, match=r"are sealed, and .*/master\.key is missing") as refused:
            compose(Settings.load({}, data=data), create=create)
        assert "copy master.key from the data folder of a machine" in refused.value.hint
        with pytest.raises(DataError, match="sealed under another master key") as refused:
            compose(Settings.load({}, data=data, master_key=FIRST), create=create)
        assert "STAGEDOOR_MASTER_KEY" in refused.value.hint
    for broken in ("", "short", "A" * 43, "\xff" * 43):
        (data / "master.key").write_text(broken, "latin-1")
        (data / "master.key").chmod(0o600)
        with pytest.raises(DataError, match=r"cannot read .*/master\.key"):
            compose(Settings.load({}, data=data))
    (data / "master.key").chmod(0o644)
    with pytest.raises(DataError, match=r"cannot open .*/master\.key: others may read it"):
        compose(Settings.load({}, data=data))
    shutil.copy(tmp_path / "kept", data / "master.key")
    with opened(data, master_key=(tmp_path / "kept").read_text().strip()):
        pass
    with opened(data, create=False):
        pass


def test_a_master_key_is_changed(tmp_path: Path):
    """The new one before the old one opens what the old one sealed, and seals it anew; then the new one does alone."""
    with opened(tmp_path / "data", master_key=FIRST) as house:
        made = ids(house)
    assert not (tmp_path / "data" / "master.key").exists()
    with opened(tmp_path / "data", master_key=f"{SECOND}, {FIRST}") as house:
        assert ids(house) == made
    with opened(tmp_path / "data", master_key=SECOND) as house:
        assert ids(house) == made
    with pytest.raises(DataError, match="another master key"):
        compose(Settings.load({}, data=tmp_path / "data", master_key=FIRST))


def test_what_somebody_altered_in_the_database(tmp_path: Path):
    """Sealed keys with one bit changed, or put under another name, are refused, and left as they are."""
    with opened(tmp_path / "data"):
        pass
    with closing(sqlite3.connect(tmp_path / "data" / "stagedoor.db", isolation_level=None)) as database:
        change = "UPDATE stagedoor_documents SET content = ? WHERE name = 'keys'"
        (keys,), (peppers,) = database.execute("SELECT content FROM stagedoor_documents ORDER BY name")
        for content in (keys[:-1] + bytes([keys[-1] ^ 1]), peppers, b"", b"\x00" * 80):
            database.execute(change, (content,))
            with pytest.raises(DataError, match="were altered") as refused:
                compose(Settings.load({}, data=tmp_path / "data"))
            assert refused.value.hint == "bring the database back from a backup"
            assert database.execute("SELECT content FROM stagedoor_documents WHERE name = 'keys'").fetchone() == (content,)
        database.execute(change, (keys,))
    with opened(tmp_path / "data"):
        pass


def test_they_rotate_by_themselves(tmp_path: Path):
    """With key_rotation a key and a pepper are announced in time; what is old stays for a day, or for a session's absolute lifetime."""
    clock = FixedClock()
    with opened(tmp_path / "data", clock=clock, key_rotation="30d", refresh_absolute="60d") as house:
        begun = clock()
        for ring, keep in ((house.keys, DAY), (house.peppers, 60 * DAY + 60)):
            clock.now = begun + 30 * DAY - 361
            ring.tend()
            assert [entry.ends for entry in ring.entries()] == [None]
            clock.now += 1
            ring.tend()
            new, old = ring.entries()
            assert new.starts == pytest.approx(begun + 30 * DAY, abs=1)
            assert old.ends == pytest.approx(new.starts + keep, abs=1)
        assert house.keys.max_age == 300
    with opened(tmp_path / "data", clock=clock, refresh_absolute="60d") as house:
        clock.now += 90 * DAY
        house.keys.tend()
        assert len(house.keys.entries()) == 2, "without the setting nothing rotates"
