"""The contract on every broken store and on the two intact ones. Not collected with the other tests: test_suite_fails.py runs it."""

import pytest

from broken_stores import faults_of_logs, faults_of_races, faults_of_rotation, faults_of_sessions
from broken_stores.base import Intact, SyncIntact
from broken_stores.base_of_logs import Logged
from stagedoor.testing.contract import LogContract, StoreContract, SyncStoreContract

STORES = {
    name: store
    for faults in (faults_of_rotation, faults_of_sessions, faults_of_races, faults_of_logs)
    for name, store in vars(faults).items()
    if isinstance(store, type) and issubclass(store, Intact | SyncIntact) and store is not Logged  # the intact ones are among them
}


def contract_on(store: type) -> type:
    """The contract class for a store: whole for an intact one, for a broken one the tests that are to find its fault."""

    @pytest.fixture
    def given(self) -> object:
        return store()

    base, fixture = (SyncStoreContract, "sync_store") if issubclass(store, SyncIntact) else (StoreContract, "store")
    if issubclass(store, Logged):
        base = LogContract
    found_by = getattr(store, "found_by", None)
    passed_over = [name for name in dir(base) if name.startswith("test_") and found_by is not None and name not in found_by]
    return type(f"Test{store.__name__}", (base,), {fixture: given, "__module__": __name__, **dict.fromkeys(passed_over)})


globals().update({f"Test{name}": contract_on(store) for name, store in STORES.items()})
