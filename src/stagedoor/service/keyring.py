"""Keyring: the keys and the peppers of the service, sealed in its database under the master key of the settings or the data folder.

Never knows an account or a session.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import inspect

from stagedoor.entry import Entry
from stagedoor.errors import KeyRejected
from stagedoor.keys import Key
from stagedoor.keyset import KeySet
from stagedoor.lifetime import seconds
from stagedoor.refresh_token import Peppers
from stagedoor.service import data_folder
from stagedoor.service.accounts import HISTORY
from stagedoor.service.data_folder import BACKUP, DATABASE, DataError, opening
from stagedoor.service.settings import Settings
from stagedoor.stores.sql import SQLStore
from stagedoor.vault import MasterKey, Vault

MASTER_KEY = "master.key"
Kind = type[KeySet] | type[Peppers]
FILES: Mapping[Kind, str] = {KeySet: "keys.json", Peppers: "peppers.json"}
"""Where older versions kept them, in the data folder."""
_A_DAY = 86_400
_DISAGREEMENT = 60  # of the machines' clocks
_LAST_PEPPER = 65535
_BEYOND = 1000
_LOST = "if it is lost for good, see `stagedoor keys start-over --help`"
_HINT = (
    f"copy {MASTER_KEY} from the data folder of a machine that uses this database, or from a backup; "
    f"or set STAGEDOOR_MASTER_KEY to what that machine has; {_LOST}"
)
_log = logging.getLogger("stagedoor.keys")


def open_keyring(settings: Settings, database: SQLStore, *, create: bool, clock: Callable[[], float]) -> tuple[KeySet, Peppers]:
    """The keys and the peppers of these settings. DataError where they cannot be opened, StoreError where there is no database.

    With `create` they are made in a database that is new, or taken over from the files of older versions; and they rotate by themselves if
    the settings say so.
    """
    # This order, because others may be doing the same: keys are made before the tables of a database in use, and files
    # are renamed when they have been taken over.
    in_use = create and _is_in_use(database)
    old = [ring for ring, name in FILES.items() if (settings.data / name).exists()]
    missing = [ring for ring in FILES if database.documents.read(ring.NAME) is None]
    if not create:
        _check_nothing_is_missing(settings, missing, old)
    elif in_use or any(ring in old for ring in missing):
        _check_all_are_old(settings, missing, old)
    with _unsealing(settings):
        vault = Vault(database.documents, _master_key(settings, is_new=len(missing) == len(FILES)), reseals=create)
        if create and old:
            _take_over(settings.data, [ring for ring in missing if ring in old], vault)
        return _opened(vault, settings, rotates=create, clock=clock)


def start_over(settings: Settings, database: SQLStore, *, clock: Callable[[], float]) -> list[str]:
    """Put fresh ones in the place of those keys and peppers that are missing or cannot be opened; the names of what was made.

    For when the master key is lost: where there is none one is made. DataError where there is no Stagedoor, StoreError.
    """
    found = {ring: database.documents.read(ring.NAME) for ring in FILES}
    missing = [ring for ring in FILES if found[ring] is None]
    old = [ring for ring in missing if (settings.data / FILES[ring]).exists()]
    if old or (len(missing) == len(FILES) and not _is_in_use(database)):
        _check_nothing_is_missing(settings, missing, old)
    data_folder.make(settings.data, with_database=False)
    master_key = _master_key(settings, is_new=True)
    vault = Vault(database.documents, master_key, reseals=False)
    made = []
    for ring, document in found.items():
        if document is not None and _opens(ring, vault):
            continue
        version = 0 if document is None else document[0]
        sealed = master_key.seal(_fresh(ring, settings, version, clock()), ring.NAME)
        if not database.documents.write(ring.NAME, sealed, expected=version):
            raise DataError(f"somebody else changed the {ring.NAME} in {_place(settings)} meanwhile", "run this again")
        made.append(ring.NAME)
    return made


def _opens(ring: Kind, vault: Vault) -> bool:
    try:
        ring.open(vault).close()
    except ValueError:  # KeyRejected above all
        return False
    return True


def _fresh(ring: Kind, settings: Settings, version: int, now: float) -> bytes:
    """What stands in place of this version, which nobody can read."""
    if ring is KeySet:
        key = Key.generate(settings.algorithm)
        return KeySet._document([Entry(key.kid, key, starts=now)])
    # The number is beyond all that were: a token of a pepper a little above it would be answered 503, because that one might yet come, and
    # its client would never log in again. A rotation counts the version up too; what came from files may be ahead of it.
    number = (version + _BEYOND) % _LAST_PEPPER + 1
    return Peppers._document([Entry(number, secrets.token_bytes(32), starts=now)])


def _is_in_use(database: SQLStore) -> bool:
    return database.database.run(lambda connection: inspect(connection).has_table(HISTORY.version_table))


def _opened(vault: Vault, settings: Settings, *, rotates: bool, clock: Callable[[], float]) -> tuple[KeySet, Peppers]:
    every = settings.key_rotation if rotates and settings.key_rotation else None
    # A day: the service may run with a longer STAGEDOOR_ACCESS than the shell knows of in which somebody rotates.
    keep = max(seconds(settings.access) + _DISAGREEMENT, _A_DAY)
    keys = KeySet.open(vault, settings.algorithm, rotate_every=every, keep=keep, clock=clock)
    try:
        _tell_of_another_algorithm(settings, keys.signing(clock()).algorithm.name)
        return keys, Peppers.open(vault, rotate_every=every, keep=seconds(settings.refresh_absolute) + _DISAGREEMENT, clock=clock)
    except BaseException:
        keys.close()
        raise


def _tell_of_another_algorithm(settings: Settings, signs: str) -> None:
    """The setting is for the first key: where it was changed since, nothing happens by itself."""
    if "algorithm" in settings.sources and settings.algorithm != signs:
        hint = f"`stagedoor keys rotate --algorithm {settings.algorithm}` changes that"
        _log.warning("The setting algorithm is %s, the key that signs is for %s: %s", settings.algorithm, signs, hint)


def _check_nothing_is_missing(settings: Settings, missing: Sequence[Kind], old: Sequence[Kind]) -> None:
    if not missing:
        return
    if old:
        raise DataError(f"the keys in {settings.data} are still files, as in older versions", "run `stagedoor migrate` on this data folder")
    place = settings.database or settings.data
    raise DataError(f"there is no Stagedoor in {place} (no keys)", "run `stagedoor migrate` with these settings, or change them")


def _check_all_are_old(settings: Settings, missing: Sequence[Kind], old: Sequence[Kind]) -> None:
    """Fresh ones beside a database in use would log everybody out, or leave the tokens that are out without their key."""
    for ring, name in FILES.items():
        if ring in missing and ring not in old:
            if old:
                raise DataError(f"{settings.data / name} is missing beside {FILES[KeySet if ring is Peppers else Peppers]}", BACKUP)
            hint = (
                f"bring the database back from a backup, or {' and '.join(FILES.values())} where an older version used it; "
                "if there is none, see `stagedoor keys start-over --help`"
            )
            raise DataError(f"the {ring.NAME} are missing in a database in use, {_place(settings)}", hint)


def _master_key(settings: Settings, *, is_new: bool) -> MasterKey:
    """That of the settings, else that of the data folder; a fresh one only where nothing is sealed yet."""
    if settings.master_key is not None:
        return settings.master_key
    path = settings.data / MASTER_KEY
    if not is_new and not path.exists():
        raise DataError(f"the keys in {_place(settings)} are sealed, and {path} is missing", _HINT)
    try:
        with opening(path):
            return MasterKey.open(path)
    except KeyRejected as error:
        raise DataError(f"cannot read {path}: {error}", f"{BACKUP}; if there is none, delete it, and {_LOST.partition(', ')[2]}") from None


def _take_over(folder: Path, rings: Sequence[Kind], vault: Vault) -> None:
    """Into the vault under the same ids and terms; then the files get out of the way."""
    for ring in rings:
        with opening(folder / FILES[ring]), suppress(FileNotFoundError):  # another process was faster, and it is in the vault
            ring.take_over(folder / FILES[ring], vault)
    moved = []
    for name in FILES.values():
        with suppress(FileNotFoundError):
            (folder / name).rename(folder / f"{name}.moved")
            moved.append(f"{name}.moved")
        with suppress(FileNotFoundError):
            (folder / f"{name}.lock").unlink()
    if moved:
        _log.warning("The keys and the peppers are in the database now, sealed. Delete what is left in %s: %s", folder, ", ".join(moved))


@contextmanager
def _unsealing(settings: Settings) -> Iterator[None]:
    """What goes wrong with the vault is a DataError."""
    try:
        yield
    except KeyRejected as error:
        if error.code == "master_key_wrong":
            path = settings.data / MASTER_KEY
            unread = f"STAGEDOOR_MASTER_KEY goes before {path}: leave it out to use that file, or " if _passes_over(settings) else ""
            raise DataError(f"the keys in {_place(settings)} are sealed under another master key", f"{unread}{_HINT}") from None
        if error.code == "vault_damaged":
            raise DataError(f"the keys in {_place(settings)} were altered: {error}", "bring the database back from a backup") from None
        raise DataError(f"the keys in {_place(settings)} cannot be used ({error.code})", "bring the database back from a backup") from None
    except ValueError as error:
        kind = type(error).__name__
        raise DataError(f"the keys in {_place(settings)} cannot be read ({kind})", "bring the database back from a backup") from None


def _passes_over(settings: Settings) -> bool:
    return settings.master_key is not None and (settings.data / MASTER_KEY).exists()


def _place(settings: Settings) -> str:
    return str(settings.database or settings.data / DATABASE)
