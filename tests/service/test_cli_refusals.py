"""What the command line refuses, as transcripts: one line that says why, one that says what to do, never a traceback."""

from __future__ import annotations

import contextlib
import getpass
import socket
import sqlite3
import stat
from pathlib import Path

import pytest

from .conftest import Stdin, Transcript

PASSWORD = "correct horse"


def test_adding_refuses_in_two_lines(transcript: Transcript):
    """What is wrong with a name, a password or a scope is said, with a hint, and nothing is added."""
    transcript(
        """
        $ stagedoor migrate --data data
        …
        $ echo 'short' | stagedoor users add ada --password-stdin --data data
        stagedoor: error: a password has 8 to 1024 characters
        stagedoor: hint: `stagedoor users add --help` says what names, passwords and scopes there can be
        (exit 1)
        $ echo 'password1' | stagedoor users add ada --password-stdin --data data
        stagedoor: error: this password is one of the first to be guessed: choose another
        stagedoor: hint: …
        (exit 1)
        $ echo '' | stagedoor users add ada --password-stdin --data data
        stagedoor: error: a password has 8 to 1024 characters
        stagedoor: hint: …
        (exit 1)
        $ echo 'correct horse' | stagedoor users add '' --password-stdin --data data
        stagedoor: error: a username has 1 to 255 characters, none of them invisible, and no space at either end
        stagedoor: hint: …
        (exit 1)
        $ echo 'correct horse' | stagedoor users add ada --password-stdin --scope 'a  b' --data data
        stagedoor: error: a scope is words separated by one space, such as "orders:read orders:write"
        stagedoor: hint: …
        (exit 1)
        $ stagedoor users list --data data --json
        []
        $ echo 'correct horse' | stagedoor users add ada --password-stdin --data data
        usr_…
        $ echo 'correct horse' | stagedoor users add ADA --password-stdin --data data
        stagedoor: error: there is an account 'ADA' already
        stagedoor: hint: …
        (exit 1)
        """
    )


def test_a_password_on_standard_input_is_one_line_of_utf_8(transcript: Transcript):
    """What is no text, or far too long, is refused before it is hashed, and not repeated."""
    transcript(
        """
        $ echo '{latin1}' | stagedoor users add ada --password-stdin --data data
        stagedoor: error: the password on standard input is not UTF-8
        stagedoor: hint: send it in UTF-8
        (exit 1)
        $ echo '{long}' | stagedoor users add ada --password-stdin --data data
        stagedoor: error: the first line of standard input is too long for a password
        stagedoor: hint: send the password alone, in one line
        (exit 1)
        """,
        latin1=b"caf\xe9 caf\xe9".decode("utf-8", "surrogateescape"),
        long="a" * 20_000,
    )


def test_a_password_is_asked_for_twice_on_a_terminal(transcript: Transcript, monkeypatch: pytest.MonkeyPatch):
    """Without --password-stdin it is typed, unseen, twice; where there is no terminal, the hint names the option."""
    transcript(
        """
        $ stagedoor users add ada --data data
        stagedoor: error: there is no terminal to ask for the password
        stagedoor: hint: send it to standard input and add --password-stdin
        (exit 1)
        """
    )
    typed = iter([PASSWORD, "another horse", PASSWORD, PASSWORD])
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(typed))
    monkeypatch.setattr(Stdin, "terminal", True)
    transcript(
        """
        $ stagedoor users add ada --data data
        stagedoor: error: the two passwords differ
        stagedoor: hint: type the same password twice
        (exit 1)
        $ stagedoor users add ada --data data
        usr_…
        """
    )


def test_a_password_is_never_an_argument(transcript: Transcript):
    """There is no option that would put a password into the history or the list of processes."""
    transcript(
        """
        $ stagedoor users add ada --password horse --data data
        stagedoor: error: no such option: --password…
        stagedoor: hint: `stagedoor users add --help` shows how it is called
        (exit 2)
        """
    )


@pytest.mark.parametrize(
    "command",
    [
        "users list",
        "users disable ada",
        "users enable ada",
        "users scope ada a",
        "users delete ada --yes",
        "sessions list",
        "sessions revoke --user ada",
        "sessions revoke --everything --yes",
        "sessions purge",
        "keys list",
        "keys rotate",
        "keys retire x",
        "keys jwks",
        "keys start-over --yes",
        "peppers list",
        "peppers rotate",
        "peppers retire 1",
        "token verify x",
    ],
)
def test_reading_commands_make_no_folder(transcript: Transcript, tmp_path: Path, command: str):
    """A wrong --data is an error that names the folder, and leaves no trace."""
    transcript(
        """
        $ stagedoor {command} --data data
        stagedoor: error: there is no Stagedoor in data (no such folder)
        stagedoor: hint: name the folder with --data, which after `make demo` is demo-data; `stagedoor serve` makes a new one
        (exit 1)
        """,
        command=command,
    )
    assert not list(tmp_path.iterdir())


def test_a_database_that_is_none_says_so(transcript: Transcript, tmp_path: Path):
    """A database without tables is one that `migrate` mends; a file of another kind is named."""
    transcript("$ stagedoor migrate --data data\n…")
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "stagedoor.db")) as database:
        database.executescript("DROP TABLE stagedoor_accounts; DROP TABLE stagedoor_accounts_schema")
    transcript(
        """
        $ stagedoor users list --data data
        stagedoor: error: the database cannot be used: no such table: stagedoor_accounts
        stagedoor: hint: run `stagedoor migrate` on this data folder
        (exit 1)
        $ stagedoor migrate --data data
        the tables in data are up to date
        $ stagedoor users list --data data --json
        []
        """
    )
    for file in (tmp_path / "data").glob("stagedoor.db*"):
        file.unlink()
    (tmp_path / "data" / "stagedoor.db").write_text("a letter to a friend " * 100)
    transcript(
        """
        $ stagedoor migrate --data data
        stagedoor: error: the database cannot be used: file is not a database
        stagedoor: hint: see whether the disk is full, or the file is no database
        (exit 1)
        """
    )


def test_the_data_folder_is_its_owners_alone(transcript: Transcript, tmp_path: Path):
    """The folder gets mode 0700, every file in it 0600, also in a folder that others can read."""
    (tmp_path / "open").mkdir(mode=0o755)
    transcript("$ stagedoor migrate --data new\n…\n$ stagedoor migrate --data open\n…")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    for folder in ("new", "open"):
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / folder).iterdir()}
        assert {"stagedoor.db", "master.key"} <= modes.keys()
        assert set(modes.values()) == {0o600}, modes


def test_a_folder_that_is_a_file_is_refused(transcript: Transcript, tmp_path: Path):
    """Where the data folder cannot be made, the reason is told."""
    (tmp_path / "file").touch()
    transcript(
        """
        $ stagedoor migrate --data file
        stagedoor: error: cannot write to the data folder file: file exists
        stagedoor: hint: name another folder with --data
        (exit 1)
        $ stagedoor migrate --data file/data
        stagedoor: error: cannot write to the data folder file/data: not a directory
        stagedoor: hint: name another folder with --data
        (exit 1)
        """
    )


def test_a_port_in_use_is_told_before_anything_is_made(transcript: Transcript, tmp_path: Path):
    """`serve` and `demo` bind first: a second demo does not change the password of the first."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for command in ("serve", "demo"):
            transcript(
                """
                $ stagedoor {command} --port {port} --data data
                stagedoor: error: port {port} on 127.0.0.1 is in use
                stagedoor: hint: choose another with --port
                (exit 1)
                """,
                command=command,
                port=str(taken.getsockname()[1]),
            )
    transcript(
        """
        $ stagedoor serve --host 192.0.2.1
        stagedoor: error: cannot listen on 192.0.2.1 port 8000: …
        stagedoor: hint: choose others with --host and --port
        (exit 1)
        $ stagedoor serve --host a..b
        stagedoor: error: cannot listen on a..b port 8000: …
        stagedoor: hint: …
        (exit 1)
        $ stagedoor serve --port 70000
        stagedoor: error: the setting port (from command line) is 70000, not a number from 1 to 65535
        stagedoor: hint: …
        (exit 1)
        """
    )
    assert not list(tmp_path.iterdir())


def test_wrong_calls_end_with_2(transcript: Transcript):
    """A command that does not exist, or lacks something, says so in two lines."""
    transcript(
        """
        $ stagedoor swerve
        stagedoor: error: no such command 'swerve'…
        stagedoor: hint: `stagedoor --help` shows how it is called
        (exit 2)
        $ stagedoor users
        stagedoor: error: missing command
        stagedoor: hint: `stagedoor users --help` shows how it is called
        (exit 2)
        $ stagedoor users disable
        stagedoor: error: missing argument 'NAME'
        stagedoor: hint: `stagedoor users disable --help` shows how it is called
        (exit 2)
        $ stagedoor serve --port many
        stagedoor: error: invalid value for '--port': …
        stagedoor: hint: …
        (exit 2)
        $ stagedoor --version
        stagedoor 0.…
        """
    )


def test_a_file_that_cannot_be_opened_is_named(transcript: Transcript, tmp_path: Path):
    """A master key that cannot be read is told apart from one that is none."""
    (tmp_path / "data" / "master.key").mkdir(parents=True)
    transcript(
        """
        $ stagedoor migrate --data data
        stagedoor: error: cannot open data/master.key: is a directory
        stagedoor: hint: it must be a file that this user may read and write
        (exit 1)
        """
    )
