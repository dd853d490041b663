"""Several processes on one database, each with an issuer of the same keys: what they do at a barrier, and what must come of it."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

from patience import PATIENCE, patient
from stagedoor import KeySet, Peppers, Revocations, SyncIssuer
from stagedoor.stores.redis import SyncRedisStore
from stagedoor.stores.sql import SyncSQLStore
from stagedoor.testing.clock import FixedClock

PROCESSES = 6
THREADS = 4
ROUNDS = 3
NOW = 1_750_000_000.0

anew = multiprocessing.get_context("forkserver")
"""Processes that have nothing of ours but the modules, which are read once for all of them."""
anew.set_forkserver_preload(
    ["alembic.command", "psycopg", "redis.cluster", "stagedoor.stores.redis", "stagedoor.stores.sql", "stagedoor.testing.clock"]
)


def six_processes_with_one_token(url: str) -> None:
    text, issuer = first_token(url)
    barrier, answers = anew.Barrier(PROCESSES * THREADS + 1), anew.Queue()  # with us: a round begins when we have judged the last
    processes = [anew.Process(target=play, args=(barrier, answers, url, text)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for _ in range(ROUNDS):
        barrier.wait(60)
        found = [answers.get(timeout=60) for _ in range(PROCESSES * THREADS)]
        text = assert_one_rotated(found, text, issuer)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    issuer.store.close()


def six_processes_that_start_at_once(url: str) -> None:
    barrier = anew.Barrier(PROCESSES)
    processes = [anew.Process(target=migrate_and_open, args=(barrier, url)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    issuer = issuer_on(url, [])
    assert len(issuer.sessions("ada")) == PROCESSES
    issuer.store.close()


def issuer_on(url: str, told: list[str], now: float = NOW) -> SyncIssuer:
    store = (SyncRedisStore if url.startswith("redis") else SyncSQLStore)(url, server_clock=False)
    clock = FixedClock(now)
    issuer = SyncIssuer(
        "https://auth.example",
        audience="https://api.example",
        store=store,
        revocations=Revocations.following(store, clock=clock),
        keys=KeySet.from_secret(b"the same in each of these processes"),
        peppers=Peppers(b"the same in each of these processes"),
        events=lambda event: told.append(event.name),
        clock=clock,
    )
    patient(issuer.revocations, bound=PATIENCE)
    return issuer


def first_token(url: str) -> tuple[str, SyncIssuer]:
    issuer = issuer_on(url, [])
    issuer.store.migrate()
    return issuer.issue("ada").refresh_token, issuer


def refresh_at(barrier, url: str, text: str, now: float = NOW) -> tuple[list[str], str]:
    told: list[str] = []
    issuer = issuer_on(url, told, now)
    issuer.store.get(b"?" * 16)  # the database is open: what races is the rotation
    barrier.wait(60)
    answer = issuer.refresh(text).refresh_token
    issuer.store.close()
    return told, answer


def play(barrier, answers, url: str, text: str) -> None:
    for number in range(ROUNDS):
        with ThreadPoolExecutor(THREADS) as pool:
            now = NOW + 60 * number
            found = list(pool.map(lambda _: refresh_at(barrier, url, text, now), range(THREADS)))  # noqa: B023 - awaited here
        for each in found:
            answers.put(each)
        text = found[0][1]


def migrate_and_open(barrier, url: str) -> None:
    issuer = issuer_on(url, [])
    barrier.wait(60)
    issuer.store.migrate()
    issuer.issue("ada")
    issuer.store.close()


def assert_one_rotated(answers: list[tuple[list[str], str]], text: str, issuer: SyncIssuer) -> str:
    """One Rotated, the others Replayed; all with the one successor of the text, which is returned."""
    assert sorted(name for told, _ in answers for name in told) == ["refresh_replayed"] * (len(answers) - 1) + ["refresh_rotated"]
    (successor,) = {answer for _, answer in answers}
    before, after = (issuer.peppers.parse(each, 0.0) for each in (text, successor))
    assert (after.session_id, after.generation) == (before.session_id, before.generation + 1)
    assert after.secret == issuer.peppers.successor(before, 0.0)
    session = issuer.store.get(after.session_id)
    assert session is not None
    assert (session.generation, session.digest) == (after.generation, after.digest)
    return successor
