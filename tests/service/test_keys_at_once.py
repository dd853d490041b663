"""Processes that start at one moment agree on one key and one pepper."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service_process import environment
from stagedoor.vault import MasterKey

from .houses import ids, older, opened

OPEN = """
import json, multiprocessing, sys
from stagedoor.service.composition import compose
from stagedoor.service.data_folder import DataError
from stagedoor.service.settings import Settings

def start(environment):
    settings = Settings.load(environment)
    barrier.wait()
    try:
        house = compose(settings)
    except DataError as error:
        told.put([environment["STAGEDOOR_DATA"], str(error)])
    else:
        told.put([environment["STAGEDOOR_DATA"], *([entry.id for entry in ring.entries()] for ring in (house.keys, house.peppers))])

fork = multiprocessing.get_context("fork")  # what is imported once is not imported twenty times
environments = json.loads(sys.argv[1])
barrier, told = fork.Barrier(len(environments)), fork.SimpleQueue()
processes = [fork.Process(target=start, args=(each,)) for each in environments]
for process in processes:
    process.start()
print(json.dumps([told.get() for _ in processes]))
for process in processes:
    process.join()
"""


def at_once(processes: int, **settings: str) -> list[list[object]]:
    """What processes that start at one moment with these settings come to have: the ids of their keys and peppers."""
    return [found for _, *found in in_folders([settings] * processes)]


def in_folders(each: list[dict[str, str]]) -> list[list[object]]:
    """The same for processes with settings of their own: data folder, then ids, or why it did not start."""
    environments = [{f"STAGEDOOR_{name}": value for name, value in settings.items()} for settings in each]
    command = [sys.executable, "-W", "error", "-c", OPEN, json.dumps(environments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    found: list[list[object]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_twenty_at_once_make_one_key_and_one_pepper(tmp_path: Path, request: pytest.FixtureRequest, place: str):
    """Twenty processes that start on one new database, with one master key, all have the same single key and pepper."""
    settings = {"MASTER_KEY": MasterKey.generate_text(), "DATA": str(tmp_path / "data")}
    if place == "postgres":
        settings["DATABASE"] = request.getfixturevalue("postgres_url")
    answers = at_once(20, **settings)
    assert answers == [answers[0]] * 20
    assert [len(each) for each in answers[0]] == [1, 1]  # type: ignore[arg-type]


def test_two_machines_at_once_on_a_new_postgres(tmp_path: Path, postgres_url: str):
    """Without a master key of both, one wins and the other stops and says what to copy; it has made nothing that the winner reads."""
    folders = [tmp_path / "here", tmp_path / "there"]
    answers = in_folders([{"DATABASE": postgres_url, "DATA": str(folder)} for folder in folders])
    (won,), (lost,) = ([each for each in answers if len(each) == count] for count in (3, 2))
    assert "are sealed" in str(lost[1])
    shutil.copy(Path(str(won[0])) / "master.key", str(lost[0]))
    for folder in folders:
        with opened(folder, database=postgres_url) as house:
            assert ids(house) == won[1:]


def test_ten_at_once_take_the_files_over(tmp_path: Path):
    """Processes of a new version that start together on an old data folder end with its keys, and none stumbles over a file that went."""
    keys, peppers = older(tmp_path / "data")
    wanted = [[entry.id for entry in ring.entries()] for ring in (keys, peppers)]
    assert at_once(10, DATA=str(tmp_path / "data")) == [wanted] * 10
