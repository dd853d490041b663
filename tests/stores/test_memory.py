"""The store in memory keeps the contract, with and without await."""

import pytest

from stagedoor.stores.memory import MemoryStore, SyncMemoryStore
from stagedoor.testing.contract import LogContract, StoreContract, SyncLogContract, SyncStoreContract


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


class TestMemoryLog(LogContract):
    """What MemoryStore writes of what it ends."""

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestSyncMemoryLog(SyncLogContract):
    """The same of SyncMemoryStore."""

    @pytest.fixture
    def sync_store(self) -> SyncMemoryStore:
        return SyncMemoryStore()
