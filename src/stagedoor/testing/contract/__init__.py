"""The contract of stores, as pytest classes: whoever writes a store subclasses one and gives the store as a fixture.

    class TestMyStore(StoreContract):
        @pytest_asyncio.fixture
        async def store(self, clock):
            store = MyStore(clock)
            await store.migrate()
            yield store
            await store.close()

Where nothing is to be awaited, a plain fixture does:

        @pytest.fixture
        def store(self): return MyStore()

Never knows a store. `clock` is the moment of the scene: a store that takes its own clock's time must take this one here.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{part}" for part in ("witness", "scene", "rotation", "proofs", "sessions", "races", "walk", "log"))
)

from stagedoor.errors import AuthError  # noqa: E402 - rewriting comes before importing
from stagedoor.session import Store, SyncStore  # noqa: E402
from stagedoor.testing.clock import FixedClock  # noqa: E402
from stagedoor.testing.contract.log import LogRules  # noqa: E402
from stagedoor.testing.contract.proofs import ProofRows  # noqa: E402
from stagedoor.testing.contract.races import AT_ONCE, ROUNDS, Races  # noqa: E402
from stagedoor.testing.contract.rotation import RotationRows  # noqa: E402
from stagedoor.testing.contract.scene import WINDOW, Scene  # noqa: E402
from stagedoor.testing.contract.sessions import SessionRules  # noqa: E402
from stagedoor.testing.contract.walk import RandomWalk  # noqa: E402
from stagedoor.testing.threaded import Threaded  # noqa: E402

__all__ = ["LogContract", "StoreContract", "SyncLogContract", "SyncStoreContract"]

_EAGER = 1e-5  # seconds after which a thread gives way: threads meet in the middle of a statement


class _Given:
    """What the tests are given; the fixture `store` comes from whoever subclasses a contract."""

    @pytest.fixture
    def clock(self) -> FixedClock:
        """The moment, as the tests say it."""
        return FixedClock()

    @pytest.fixture
    def scene(self, store: Store, clock: FixedClock) -> Scene:
        """The store with issuers on it."""
        return Scene(store, clock)


class _SyncGiven(_Given):
    """The same of a sync store: the fixture to give is `sync_store`."""

    @pytest.fixture
    def store(self, sync_store: SyncStore) -> Iterator[Threaded]:
        """The sync store with await."""
        threaded = Threaded(sync_store, threads=AT_ONCE)
        yield threaded
        threaded.close()


@pytest.mark.asyncio
class StoreContract(_Given, RotationRows, ProofRows, SessionRules, Races, RandomWalk):
    """What every store must do. Subclass it as `Test…` and give the fixture `store`: an empty store, migrated, for one test."""


@pytest.mark.asyncio
class LogContract(_Given, LogRules):
    """What a store must do that has a `log`, so that other processes hear of what it ends. To be given as for StoreContract."""


class SyncLogContract(_SyncGiven, LogContract):
    """LogContract for a sync store."""


class SyncStoreContract(_SyncGiven, StoreContract):
    """What every sync store must do. The fixture to give is `sync_store`; the races run on threads."""

    @pytest.fixture(autouse=True)
    def eager_threads(self) -> Iterator[None]:
        """Threads change places as often as they can."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(_EAGER)
        yield
        sys.setswitchinterval(interval)

    async def test_sixteen_threads_with_one_token(self, scene: Scene, sync_store: SyncStore) -> None:
        """Sixteen threads at a barrier, a SyncIssuer each: one is Rotated, the others Replayed, all with the same successor."""
        text = await scene.login()
        for number in range(1, ROUNDS + 1):
            scene.clock.forward(WINDOW)
            expected = await scene.ahead(text, 1)
            assert set(_at_once(scene, sync_store, text)) == {expected}
            assert scene.told("refresh_rotated") == number
            assert scene.told("refresh_replayed") == number * (AT_ONCE - 1)
            text = expected


def _at_once(scene: Scene, store: SyncStore, text: str) -> list[str]:
    barrier = threading.Barrier(AT_ONCE)
    answers: list[str] = []

    def caller() -> None:
        issuer = scene.sync_issuer_on(store)
        barrier.wait()
        try:
            answers.append(issuer.refresh(text).refresh_token)
        except AuthError as error:
            answers.append(error.code)

    threads = [threading.Thread(target=caller) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
