"""Ring: the life cycle of keys and peppers, in memory and in files."""

import contextlib
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stagedoor.encoding import encode
from stagedoor.entry import Schedule
from stagedoor.keys import Key
from stagedoor.keyset import KeySet
from stagedoor.refresh_token import Peppers
from stagedoor.stores.memory import MemoryDocuments
from stagedoor.testing.clock import FixedClock
from stagedoor.vault import MasterKey, Vault

from .material import NOW, SECRET, key

OPENED = [KeySet, Peppers]
RACE = """
import sys
from stagedoor import KeySet, Peppers
print("ready", flush=True)
sys.stdin.readline()
keys, peppers = KeySet.open(sys.argv[1] + "/keys.json"), Peppers.open(sys.argv[1] + "/peppers.json")
print(keys.entries()[0].id, peppers.entries()[0].value.hex(), len(keys.entries()), len(peppers.entries()))
"""


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


def rotate(ring: Any, keep: str | int = "15m", announce: str | int = 300) -> Any:
    made = ring.rotate(keep=keep, announce=announce)
    return made.kid if isinstance(made, Key) else made


def states(ring: Any, now: float) -> dict[Any, str]:
    return {entry.id: ring.state(entry, now) for entry in ring.entries()}


PLACES = ["memory", "file", "vault"]


@pytest.fixture(params=PLACES)
def ring(request: pytest.FixtureRequest, kind: type[Any], clock: FixedClock, tmp_path: Path) -> Any:
    match request.param:
        case "memory":
            return kind.generate(clock=clock)
        case "file":
            return kind.open(tmp_path / "ring.json", clock=clock)
        case _:
            return kind.open(Vault(MemoryDocuments(), MasterKey(SECRET[:32])), clock=clock)


def scheduled(kind: type[Any], place: Any, clock: FixedClock, **spans: Any) -> Any:
    return kind.open(place, clock=clock, **({"rotate_every": 1000, "announce": 100, "keep": 300} | spans))


@pytest.mark.parametrize("kind", OPENED)
def test_the_life_of_an_entry(ring: Any, clock: FixedClock):
    """Announced, current, old, gone: each at its own second, and found from the announcement until the end."""
    first = ring.entries()[0].id
    second = rotate(ring, keep=900, announce=300)
    expected = [
        (0, "current", "announced"),
        (299.9, "current", "announced"),
        (300, "old", "current"),
        (1199.9, "old", "current"),
        (1200, "gone", "current"),
        (10**8, "gone", "current"),
    ]
    for later, of_first, of_second in expected:
        now = NOW + later
        assert states(ring, now) == {first: of_first, second: of_second}
        assert ring.current(now).id == (first if of_first == "current" else second)
        assert (ring.find(first, now) is None) is (of_first == "gone")
        assert ring.find(second, now) is not None


@pytest.mark.parametrize("kind", OPENED)
def test_rotating_twice(ring: Any, clock: FixedClock):
    """A second rotation before the first took place loses nobody: each is current in its turn."""
    first = ring.entries()[0].id
    second = rotate(ring, announce=300)
    clock.forward(10)
    third = rotate(ring, announce=300)
    assert [ring.current(NOW + later).id for later in (0, 299, 300, 309, 310)] == [first, first, second, second, third]
    assert len({first, second, third}) == 3


@pytest.mark.parametrize("kind", OPENED)
def test_what_was_to_start_later_never_takes_over_again(ring: Any, clock: FixedClock):
    """Where the latest starts before an earlier one would have (a clock set back, a hurry), it stays current."""
    rotate(ring, keep=900, announce=300)
    clock.forward(-5)
    second = ring.entries()[0].id
    third = rotate(ring, keep=900, announce=100)
    for later in (95, 294.9, 295, 300, 900, 994):
        assert ring.current(NOW + later).id == third
        assert ring.find(second, NOW + later) is not None


@pytest.mark.parametrize("kind", OPENED)
def test_what_is_gone_is_forgotten_at_the_next_rotation(ring: Any, clock: FixedClock):
    """Ended entries leave the ring, and its file."""
    first = ring.entries()[0].id
    rotate(ring, keep=60, announce=60)
    clock.forward(3600)
    rotate(ring, keep=60, announce=60)
    assert first not in states(ring, clock.now)
    assert len(ring.entries()) == 2


@pytest.mark.parametrize("kind", OPENED)
def test_what_is_to_end_keeps_its_end(ring: Any, clock: FixedClock):
    """A later rotation does not lengthen the term of one that is old already."""
    first = ring.entries()[0].id
    rotate(ring, keep=900, announce=300)
    clock.forward(600)
    rotate(ring, keep=86_400, announce=300)
    assert [states(ring, NOW + later)[first] for later in (1199, 1200)] == ["old", "gone"]


@pytest.mark.parametrize("kind", OPENED)
@pytest.mark.parametrize("span", ["", "15", 0, -1, "soon"])
def test_a_bad_span_changes_nothing(kind: type[Any], span: Any, tmp_path: Path):
    """A lifetime that is none is a ValueError, and the file stays as it was."""
    ring = kind.open(tmp_path / "ring.json")
    before = (tmp_path / "ring.json").read_bytes()
    for arguments in ({"keep": span, "announce": 300}, {"keep": 300, "announce": span}):
        with pytest.raises(ValueError):
            ring.rotate(**arguments)
    assert (tmp_path / "ring.json").read_bytes() == before


@pytest.mark.parametrize("kind", OPENED)
def test_retiring_what_is_current(ring: Any, clock: FixedClock):
    """For an emergency: it is refused from that moment on, and a fresh one takes over in its place at once."""
    first = ring.entries()[0].id
    assert ring.find(first, NOW) is not None
    ring.retire(first)
    assert ring.find(first, NOW) is None
    second = ring.current(NOW).id
    assert second != first
    assert states(ring, NOW) == {first: "gone", second: "current"}


@pytest.mark.parametrize("kind", OPENED)
def test_retiring_with_a_successor_announced(ring: Any, clock: FixedClock):
    """Who is announced takes over: others know it already. What was to end some day still does."""
    first = ring.entries()[0].id
    second, third = rotate(ring, announce=300), rotate(ring, announce=600)
    ring.retire(first)
    assert states(ring, NOW) == {first: "gone", second: "current", third: "announced"}
    ring.retire(third)
    assert states(ring, NOW) == {first: "gone", second: "current", third: "gone"}


@pytest.mark.parametrize("kind", OPENED)
def test_retiring_what_is_not_there(ring: Any, clock: FixedClock):
    """An unknown id is a LookupError; one that is retired already stays so, for whoever did not hear the first answer."""
    first = ring.entries()[0].id
    ring.retire(first)
    before = states(ring, NOW)
    ring.retire(first)
    for unknown in ("no such", 999):
        with pytest.raises(LookupError):
            ring.retire(unknown)
    assert states(ring, NOW) == before


@pytest.mark.parametrize("kind", OPENED)
def test_what_was_to_end_never_takes_over_again(ring: Any, clock: FixedClock):
    """Retired soon after it took over, a key is followed by a fresh one, not by the one before it; and something always goes on."""
    first = ring.entries()[0].id
    second = rotate(ring, keep=86_400, announce=300)
    clock.forward(3600)
    ring.retire(second)
    third = ring.current(clock.now).id
    assert third not in (first, second)
    assert states(ring, clock.now) == {first: "old", second: "gone", third: "current"}
    assert ring.current(clock.now + 10**8).id == third


@pytest.mark.parametrize("kind", OPENED)
def test_who_is_announced_takes_over_before_who_is_old(ring: Any, clock: FixedClock):
    """Where there is an old one beside the one announced, the latter is current from the moment of the retirement."""
    first = ring.entries()[0].id
    second = rotate(ring, keep=86_400, announce=300)
    clock.forward(3600)
    third = rotate(ring, keep=86_400, announce=300)
    ring.retire(second)
    assert states(ring, clock.now) == {first: "old", second: "gone", third: "current"}


@pytest.mark.parametrize("kind", OPENED)
def test_two_that_start_at_one_moment(ring: Any, clock: FixedClock):
    """The one that made way for the other before it began never takes over in its place."""
    first = ring.entries()[0].id
    made = {rotate(ring, announce=300), rotate(ring, announce=300)}
    clock.forward(300)
    assert sorted(states(ring, clock.now).values()) == ["current", "old", "old"]
    ring.retire(ring.current(clock.now).id)
    assert ring.current(clock.now).id not in {first, *made}


@pytest.mark.parametrize("kind", OPENED)
def test_retiring_what_is_announced(ring: Any, clock: FixedClock):
    """The one that had made way for it goes on as if it had never been."""
    first = ring.entries()[0].id
    second = rotate(ring, keep=60, announce=300)
    ring.retire(second)
    assert ring.current(NOW + 10**8).id == first
    third, fourth = rotate(ring, keep=60, announce=300), rotate(ring, keep=60, announce=600)
    ring.retire(fourth)
    assert [ring.current(NOW + later).id for later in (0, 300, 10**8)] == [first, third, third]


@pytest.mark.parametrize("kind", OPENED)
def test_what_is_retired_is_so_on_every_clock(ring: Any, clock: FixedClock):
    """A worker whose clock is behind neither accepts it nor makes anything with it."""
    first = ring.entries()[0].id
    ring.retire(first)
    for behind in (1, 60, 3600, 10**8):
        assert ring.find(first, NOW - behind) is None
        assert ring.current(NOW - behind).id != first


@pytest.mark.parametrize("kind", OPENED)
def test_rotating_beside_retiring(kind: type[Any], clock: FixedClock):
    """Threads that rotate a ring in memory undo no retirement."""
    ring = kind.generate(clock=clock)
    first = ring.entries()[0].id
    made, go_on = threading.Event(), threading.Event()
    slow = ring._make

    def slowly(entries: Any, *more: Any) -> Any:
        made.set()
        go_on.wait(0.3)  # the other thread cannot be done meanwhile
        return slow(entries, *more)

    ring._make = slowly
    rotating = threading.Thread(target=lambda: ring.rotate(keep="1d"))
    rotating.start()
    made.wait(10)
    ring._make = slow
    ring.retire(first)
    go_on.set()
    rotating.join()
    assert ring.find(first, NOW) is None


@pytest.mark.parametrize("kind", OPENED)
def test_all_have_ended(kind: type[Any], clock: FixedClock, tmp_path: Path):
    """Where nothing is left that anything could be made with, opening makes a fresh one, and keeps what else is there."""
    path = tmp_path / "ring.json"
    kind.open(path, clock=clock)
    document = json.loads(path.read_bytes())
    document["entries"][0]["ends"] = NOW - 1
    path.write_text(json.dumps(document))
    again = kind.open(path, clock=clock)
    assert [again.state(entry, NOW) for entry in again.entries()] == ["current", "gone"]
    assert len(kind.open(path, clock=clock).entries()) == 2


@pytest.mark.parametrize("kind", OPENED)
def test_a_schedule(kind: type[Any], clock: FixedClock, tmp_path: Path):
    """A new one is announced in time, current when the last has served its term, and the old one accepted for as long as was said."""
    ring = scheduled(kind, tmp_path / "ring.json", clock)
    first = ring.entries()[0].id
    for later, count in ((0, 1), (899, 1), (900, 2), (950, 2), (1899, 2), (1900, 2), (2900, 2)):
        clock.now = NOW + later
        ring.tend()
        assert len(ring.entries()) == count, later
        assert not ring._trouble
    clock.now = NOW
    again = scheduled(kind, tmp_path / "other.json", clock)
    first = again.entries()[0].id
    clock.now = NOW + 900
    again.tend()
    second = again.entries()[0].id
    for later, of_first, of_second in (
        (900, "current", "announced"),
        (1000, "old", "current"),
        (1299, "old", "current"),
        (1300, "gone", "current"),
    ):
        assert states(again, NOW + later) == {first: of_first, second: of_second}


@pytest.mark.parametrize("kind", OPENED)
def test_many_workers_with_one_schedule(kind: type[Any], clock: FixedClock):
    """Of twenty that find it is time, one rotates; the others take what it made."""
    vault = Vault(MemoryDocuments(), MasterKey(SECRET[:32]))
    workers = [scheduled(kind, vault, clock) for _ in range(20)]
    clock.forward(900)
    for worker in workers:
        worker.tend()
    assert {tuple(states(worker, clock.now)) for worker in workers} == {tuple(states(workers[0], clock.now))}
    assert len(workers[0].entries()) == 2


@pytest.mark.parametrize("kind", OPENED)
def test_a_worker_whose_clock_is_behind(kind: type[Any], clock: FixedClock, tmp_path: Path):
    """What another made this very moment is current here too, though by our clock it has not started."""
    kind.open(tmp_path / "ring.json", clock=clock)
    behind = kind.open(tmp_path / "ring.json", clock=FixedClock(NOW - 3600))
    assert behind.state(behind.current(NOW - 3600), NOW - 3600) == "current"


@pytest.mark.parametrize(
    "spans",
    [
        {"rotate_every": "1d"},
        {"rotate_every": 300, "keep": 60},
        {"rotate_every": 360, "announce": 360, "keep": 60},
        {"rotate_every": "soon", "keep": 60},
        {"keep": 0},
        {"announce": "x"},
        {"announce": "9999w"},
    ],
)
@pytest.mark.parametrize("kind", OPENED)
def test_schedules_that_are_none(kind: type[Any], spans: dict[str, Any], tmp_path: Path):
    """A schedule without `keep`, shorter than its announcement or with a bad span is a ValueError before anything is made."""
    with pytest.raises(ValueError):
        kind.open(tmp_path / "ring.json", **spans)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", OPENED)
def test_the_longest_span(kind: type[Any], tmp_path: Path):
    """Ten years are kept, a second more is none."""
    assert kind.open(tmp_path / "ring.json", keep="3650d").schedule.keep == 315_360_000
    with pytest.raises(ValueError):
        kind.open(tmp_path / "ring.json", keep=315_360_001)


@pytest.mark.parametrize("kind", OPENED)
def test_rotating_without_keep(ring: Any):
    """How long old ones are accepted is said, at opening or now: TypeError."""
    with pytest.raises(TypeError, match="keep="):
        ring.rotate()
    assert len(ring.entries()) == 1
    ring.schedule = Schedule.of(None, "5m", "1h")
    ring.rotate()
    assert len(ring.entries()) == 2


@pytest.mark.parametrize(
    ("announce", "max_age"), [(None, 300), ("1d", 300), ("6m", 300), ("5m", 240), ("2m", 60), ("20s", 10), (3, 2), (2, 1), (1, 1)]
)
def test_others_keep_the_jwks_for_less_than_a_key_is_announced(announce: Any, max_age: int, tmp_path: Path):
    """Whoever cached the JWKS just before a rotation, from a worker that heard of it late, has the new key when it begins to sign."""
    assert KeySet.open(tmp_path / "keys.json", **({} if announce is None else {"announce": announce})).max_age == max_age


def private(path: Path) -> Path:
    path.touch(0o600)
    return path


@pytest.mark.parametrize("empty", [KeySet(), Peppers()])
def test_an_empty_ring(empty: Any):
    """Nothing is found in an empty ring, and nothing can be made with it."""
    assert empty.find("x", NOW) is None
    with pytest.raises(ValueError):
        empty.current(NOW)


def test_the_first_is_the_current_one():
    """`KeySet(a, b)` signs with a and verifies with both; of peppers the highest id is current, and an id stays with its pepper."""
    a, b = key("ES256"), key("ES384")
    keys = KeySet(a, b)
    assert keys.signing(NOW) is a
    assert keys.find(b.kid, NOW) is b
    old, new = SECRET[:32], SECRET[32:]
    peppers = Peppers({1: old, 2: new})
    assert peppers.current_id(NOW) == 2
    assert peppers.find(1, NOW) == old == Peppers(old).find(1, NOW)
    assert Peppers({2: new}).find(2, NOW) == new == Peppers({3: old, 2: new}).find(2, NOW)


@pytest.mark.parametrize("kind", OPENED)
def test_first_use_makes_the_file_for_its_owner_only(kind: type[Any], tmp_path: Path):
    """Whatever the umask, nothing that opening and rotating leave behind can be read by others, the lock neither."""
    before = os.umask(0)
    try:
        ring = kind.open(tmp_path / "ring.json")
        ring.rotate(keep=60, announce=60)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ring.json": 0o600, "ring.json.lock": 0o600}


@pytest.mark.parametrize("kind", OPENED)
def test_what_lies_in_the_way_of_the_new_file_is_not_written_to(kind: type[Any], tmp_path: Path):
    """A left-over part file, readable by all or a link elsewhere, is put away and not filled with secrets."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    (tmp_path / f"ring.json.{os.getpid()}.part").symlink_to(elsewhere)
    kind.open(tmp_path / "ring.json")
    assert elsewhere.read_text() == ""
    assert stat.S_IMODE((tmp_path / "ring.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", OPENED)
@pytest.mark.parametrize("swept", [False, True])
def test_a_disk_that_is_full(kind: type[Any], swept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What went wrong is told, the file stays as it was, and nothing lies beside it, whoever swept it away."""
    ring = kind.open(tmp_path / "ring.json")
    before = (tmp_path / "ring.json").read_bytes()

    def full(descriptor: int) -> None:
        for part in tmp_path.glob("*.part") if swept else ():
            part.unlink()
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError) as caught:
        ring.rotate(keep=60)
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "ring.json").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("kind", OPENED)
def test_a_power_cut_forgets_neither_the_content_nor_the_name(kind: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What was written is on the disk before opening returns: the file first, then its folder."""
    synced: list[bool] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
    kind.open(tmp_path / "ring.json")
    assert synced == [False, True]


@pytest.mark.parametrize("kind", OPENED)
def test_opening_again(kind: type[Any], tmp_path: Path):
    """What was made on first use is found again, and opening does not write."""
    first = kind.open(tmp_path / "ring.json")
    before = (tmp_path / "ring.json").read_bytes()
    again = kind.open(str(tmp_path / "ring.json"))
    assert [entry.id for entry in again.entries()] == [entry.id for entry in first.entries()]
    assert (tmp_path / "ring.json").read_bytes() == before


def test_six_processes_at_once_make_one_key(tmp_path: Path):
    """Workers that start together all end with the same single key and the same single pepper."""
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = {worker.communicate(timeout=60)[0] for worker in workers}
    assert [worker.returncode for worker in workers] == [0] * 6
    assert len(answers) == 1
    assert answers.pop().split()[2:] == ["1", "1"]
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("kind", OPENED)
def test_a_changed_file_is_picked_up(kind: type[Any], tmp_path: Path):
    """What another process announced is found when it is first asked for, and becomes the current one in its time."""
    ours, theirs = kind.open(tmp_path / "ring.json"), kind.open(tmp_path / "ring.json")
    ours.close()  # or its watch might be quicker
    made = rotate(theirs)
    assert made not in states(ours, NOW)
    assert ours.find(made, NOW) is not None
    far = theirs.entries()[0].starts
    assert ours.current(far).id == made


@pytest.mark.parametrize("kind", OPENED)
@pytest.mark.parametrize("kept", ["file", "vault"])
def test_reload(kind: type[Any], kept: str, tmp_path: Path):
    """`reload` reads at once, and says whether there was anything new."""
    place = tmp_path / "ring.json" if kept == "file" else Vault(MemoryDocuments(), MasterKey(SECRET[:32]))
    ours, theirs = kind.open(place), kind.open(place)
    ours.close()  # or its watch might be quicker
    assert not ours.reload()
    made = rotate(theirs)
    assert ours.reload()
    assert not ours.reload()
    assert made in states(ours, NOW)
    assert not kind.generate().reload()


@pytest.mark.parametrize("kind", OPENED)
def test_a_file_is_looked_at_once_a_second(kind: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """However often something unknown is asked for, the file is not read again within a second of the last look."""
    ours, theirs = kind.open(tmp_path / "ring.json"), kind.open(tmp_path / "ring.json")
    ours.close()
    moment = SimpleNamespace(monotonic=lambda: 1000.0)
    monkeypatch.setattr("stagedoor.ring.time", moment)
    assert ours.find("unknown", NOW) is None
    made = rotate(theirs)
    for later, found in ((0.0, False), (0.999, False), (1.0, True)):
        moment.monotonic = lambda later=later: 1000.0 + later
        assert (ours.find(made, NOW) is not None) is found, later


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", OPENED)
def test_a_child_forked_in_the_middle_of_a_change(kind: type[Any]):
    """The lock that a thread of the parent held hinders nobody in the child, where that thread is not."""
    ring = kind.generate()
    with ring._own_lock():
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # rather than to wait for ever
            with contextlib.suppress(BaseException):
                rotate(ring)
            os._exit(0 if len(ring.entries()) == 2 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_two_threads_that_come_first_have_one_lock(monkeypatch: pytest.MonkeyPatch):
    """As after a fork, where all threads of the child may ask at one time for the lock that it has not yet."""
    ring = KeySet.generate()
    monkeypatch.setattr("stagedoor.ring.os.getpid", lambda: -1)
    others, lock = [], threading.Lock

    def made() -> Any:
        monkeypatch.setattr("stagedoor.ring.threading.Lock", lock)
        others.append(ring._own_lock())
        return lock()

    monkeypatch.setattr("stagedoor.ring.threading.Lock", made)
    assert [ring._own_lock()] == others


def test_a_key_announced_elsewhere_is_published_here(tmp_path: Path):
    """The JWKS of a process that signs nothing still holds a key that another one announced."""
    ours, theirs = KeySet.open(tmp_path / "keys.json"), KeySet.open(tmp_path / "keys.json")
    made = rotate(theirs)
    assert made in [jwk["kid"] for jwk in ours.jwks(NOW)["keys"]]


@pytest.mark.parametrize("kind", OPENED)
def test_two_processes_that_rotate_in_turn(kind: type[Any], tmp_path: Path):
    """Who rotates without having seen another's rotation loses nothing of it and takes no id twice."""
    ours, theirs = kind.open(tmp_path / "ring.json"), kind.open(tmp_path / "ring.json")
    first = ours.entries()[0].id
    made = [rotate(theirs), rotate(ours), rotate(theirs)]
    assert set(states(kind.open(tmp_path / "ring.json"), NOW)) == {first, *made}
    assert len({first, *made}) == 4


BROKEN = [
    b"",
    b"{",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b'{"entries": 1}',
    b'{"entries": [1]}',
    b'{"entries": [{}]}',
    b'{"entries": [{"id": 1, "starts": 0, "ends": null, "value": null}]}',
    b'{"entries": [{"id": 1, "starts": 0, "ends": null, "value": "AA=="}]}',
    b'{"entries": [{"id": 1, "starts": 0, "ends": null, "value": ""}]}',
    b'{"entries": [{"id": 1, "starts": "x", "ends": null, "value": {"kty": "EC"}}]}',
]


@pytest.mark.parametrize("kind", OPENED)
@pytest.mark.parametrize("content", BROKEN, ids=repr)
def test_a_broken_file_is_refused_at_the_start(kind: type[Any], content: bytes, tmp_path: Path):
    """A file that makes no sense is a ValueError that does not carry the file's text, and it is not overwritten."""
    private(tmp_path / "ring.json").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        kind.open(tmp_path / "ring.json")
    assert not hasattr(caught.value, "doc")
    assert (tmp_path / "ring.json").read_bytes() == content


def test_which_file_is_broken(tmp_path: Path):
    """Whoever has to put it right is told its name."""
    private(tmp_path / "ring.json").write_bytes(b"{")
    with pytest.raises(ValueError) as caught:
        KeySet.open(tmp_path / "ring.json")
    assert str(tmp_path / "ring.json") in str(caught.value)


@pytest.mark.parametrize("content", [None, *BROKEN], ids=repr)
@pytest.mark.parametrize("kind", OPENED)
def test_a_file_that_breaks_later_takes_nothing_away(kind: type[Any], content: bytes | None, tmp_path: Path):
    """A26: when the file is lost or broken while we run, what is known stays, and the unknown is unknown, not an accident."""
    path = tmp_path / "ring.json"
    ring = kind.open(path)
    known = ring.entries()[0].id
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert ring.find(99, NOW) is None
    assert ring.find(known, NOW) is not None
    assert ring.current(NOW).id == known
    with pytest.raises((OSError, ValueError)):
        ring.reload()
    assert ring.find(known, NOW) is not None


@pytest.mark.parametrize("weak", [b"", b"short", b"x" * 31])
def test_a_weak_pepper_is_refused_by_every_way_in(weak: bytes, tmp_path: Path):
    """A13: a pepper has 32 bytes at least, as an argument and in a file."""
    with pytest.raises(ValueError):
        Peppers(weak)
    entry = {"id": 1, "starts": 0, "ends": None, "value": encode(weak)}
    private(tmp_path / "p.json").write_text(json.dumps({"entries": [entry]}))
    with pytest.raises(ValueError):
        Peppers.open(tmp_path / "p.json")
    with pytest.raises(ValueError):
        Peppers("x" * 32)


def test_one_id_for_two_entries(tmp_path: Path):
    """A file in which two entries have one id is refused."""
    entry = {"id": 1, "starts": 0, "ends": None, "value": encode(SECRET[:32])}
    private(tmp_path / "p.json").write_text(json.dumps({"entries": [entry, entry]}))
    with pytest.raises(ValueError):
        Peppers.open(tmp_path / "p.json")


def test_nothing_secret_in_repr(tmp_path: Path):
    """Neither a ring nor an entry of it shows what it holds."""
    peppers = Peppers(SECRET[:32])
    secret = Key.from_secret(SECRET)
    keys = KeySet(secret)
    shown = f"{peppers!r} {peppers} {peppers.entries()!r} {keys!r} {keys} {keys.entries()!r}"
    for form in (repr(SECRET[:32])[2:-1], SECRET[:32].hex(), encode(SECRET[:32]), encode(SECRET), repr(SECRET)[2:-1]):
        assert form not in shown


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o602, 0o666])
@pytest.mark.parametrize("kind", [KeySet, Peppers])
def test_a_file_for_others_is_refused(kind: Any, mode: int, tmp_path: Path):
    """Secrets that everybody may read, or others may write, are not used."""
    kind.open(tmp_path / "ring.json")
    (tmp_path / "ring.json").chmod(mode)
    with pytest.raises(PermissionError) as caught:
        kind.open(tmp_path / "ring.json")
    assert (caught.value.errno, caught.value.filename) == (errno.EPERM, str(tmp_path / "ring.json"))
    (tmp_path / "ring.json").chmod(0o440)
    kind.open(tmp_path / "ring.json")
