"""The command line with sessions and accounts elsewhere, as transcripts: what it says, and that no password is in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from servers import Redis, free_port

from .conftest import Transcript


def test_settings_show_no_password(transcript: Transcript, tmp_path: Path):
    """`stagedoor settings` shows where a URL came from, and three stars; a mistake in one quotes nothing of it."""
    (tmp_path / "my.toml").write_text('sessions = "rediss://:hidden@cache.example/0"')
    transcript(
        """
        $ STAGEDOOR_CONFIG=my.toml STAGEDOOR_DATABASE=postgresql://app:hidden@db.example/stagedoor stagedoor settings
        name              value                                      from
        data              stagedoor-data                             default
        database          postgresql://app:***@db.example/stagedoor  environment STAGEDOOR_DATABASE
        sessions          rediss://:***@cache.example/0              file my.toml
        …
        $ STAGEDOOR_DATABASE=postgresql://app:hidden@db.example/stagedoor stagedoor settings --json
        […
          {
            "name": "sessions",
            "value": "postgresql://app:***@db.example/stagedoor",
            "from": "default"
          },
        …
        $ STAGEDOOR_DATABASE=postgresql://app:hid/den@db.example/stagedoor stagedoor serve
        stagedoor: error: the setting database (from environment STAGEDOOR_DATABASE) is not a URL: …
        stagedoor: hint: in a name or a password write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25
        (exit 1)
        $ STAGEDOOR_DATABASE=mysql://app:hidden@db.example/stagedoor stagedoor users list
        stagedoor: error: the setting database (from environment STAGEDOOR_DATABASE) is a URL with mysql://
        stagedoor: hint: choose one of postgresql://
        (exit 1)
        """
    )


def test_a_store_that_does_not_answer(transcript: Transcript, tmp_path: Path):
    """To start with a store that is not there is two lines, without a password; no keys are made for a database that nobody asked."""
    for command in ("serve", "migrate"):
        transcript(
            """
            $ STAGEDOOR_DATABASE=postgresql://app:hidden@127.0.0.1:{port}/x stagedoor {command} --data data
            stagedoor: error: the store cannot be used: connection failed: …port {port} failed: Connection refused
            stagedoor: hint: see whether it runs, and whether the settings name it rightly: postgresql://app:***@127.0.0.1:{port}/x
            (exit 1)
            """,
            command=command,
            port=str(free_port()),
        )
    assert not list((tmp_path / "data").iterdir())
    for scheme in ("redis", "redis+cluster"):
        transcript(
            """
            $ STAGEDOOR_SESSIONS={scheme}://:hidden@127.0.0.1:{port} stagedoor serve --data data
            stagedoor: error: the store cannot be used: …Error 111 connecting to 127.0.0.1:{port}. …
            stagedoor: hint: see whether it runs, and whether the settings name it rightly: {scheme}://:***@127.0.0.1:{port}
            (exit 1)
            """,
            scheme=scheme,
            port=str(free_port()),
        )


def test_a_database_that_nobody_migrated(transcript: Transcript, postgres_url: str):
    """Commands that only read make no tables elsewhere either; `migrate` does."""
    transcript("$ stagedoor migrate --data data\n…")
    transcript(
        """
        $ STAGEDOOR_DATABASE={url} stagedoor users list --data data
        stagedoor: error: the store cannot be used: relation "stagedoor_accounts" does not exist
        stagedoor: hint: run `stagedoor migrate` with these settings
        (exit 1)
        $ STAGEDOOR_DATABASE={url} stagedoor migrate --data data
        the tables in {url} are up to date
        $ STAGEDOOR_DATABASE={url} stagedoor users list --data data --json
        []
        """,
        url=postgres_url,
    )


def test_a_second_machine_needs_the_keys_of_the_first(transcript: Transcript, tmp_path: Path, postgres_url: str):
    """Fresh keys beside a database in use would lock everybody out: they are not made; with the first machine's it works at once."""
    transcript(
        """
        $ STAGEDOOR_DATABASE={url} stagedoor migrate --data first
        the tables in {url} are up to date
        $ STAGEDOOR_DATABASE={url} stagedoor migrate --data second
        stagedoor: error: second/keys.json is missing beside a database in use, {url}
        stagedoor: hint: copy keys.json and peppers.json from the data folder of a machine that uses it, or bring them back from a backup
        (exit 1)
        """,
        url=postgres_url,
    )
    assert not list((tmp_path / "second").iterdir())
    for name in ("keys.json", "peppers.json"):
        shutil.copy(tmp_path / "first" / name, tmp_path / "second" / name)
    transcript("$ STAGEDOOR_DATABASE={url} stagedoor users list --data second --json\n[]", url=postgres_url)
    assert not list(tmp_path.rglob("*.db"))


def test_a_redis_that_evicts(transcript: Transcript, tmp_path: Path):
    """A Redis that may drop sessions is refused at the start, unless the URL says that it may."""
    with Redis(tmp_path / "redis", settings={"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}) as server:
        transcript(
            """
            $ STAGEDOOR_SESSIONS={url} stagedoor migrate --data data
            stagedoor: error: the store cannot be used: this Redis evicts keys …: sessions would be lost
            stagedoor: hint: set its maxmemory-policy to noeviction, or add ?allow_eviction=true to the URL in STAGEDOOR_SESSIONS
            (exit 1)
            $ STAGEDOOR_SESSIONS={url}?allow_eviction=true stagedoor migrate --data data
            the tables in data are up to date
            """,
            url=server.url,
        )
