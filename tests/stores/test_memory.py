"""The store in memory keeps the contract, with and without await."""

import pytest

from stagedoor.stores.memory import MemoryStore, SyncMemoryStore
from stagedoor.testing.contract import StoreContract, SyncStoreContract


class TestMemoryStore(StoreContract):
    """MemoryStore under the contract."""

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestSyncMemoryStore(SyncStoreContract):
    """SyncMemoryStore under the contract, raced by threads."""

    @pytest.fixture
    def sync_store(self) -> SyncMemoryStore:
        return SyncMemoryStore()
