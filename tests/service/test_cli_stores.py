"""The command line with sessions and accounts elsewhere, as transcripts: what it says, and that no password is in it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from servers import Cluster, Redis, free_port
from stagedoor.jws import read_unverified
from stagedoor.service.composition import Composition
from stagedoor.vault import MasterKey

from .conftest import Transcript
from .test_cli import inside, log_in


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
    transcript("$ stagedoor migrate --data data\n…")
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
        stagedoor: error: there is no Stagedoor in {url} (no keys)
        stagedoor: hint: run `stagedoor migrate` with these settings, or change them
        (exit 1)
        $ STAGEDOOR_DATABASE={url} stagedoor migrate --data data
        the tables in {url} are up to date
        $ STAGEDOOR_DATABASE={url} stagedoor users list --data data --json
        []
        """,
        url=postgres_url,
    )


def test_an_emergency_with_sessions_on_redis(transcript: Transcript, redis_url: str):
    """Everything is revoked, and a key retired, where the sessions are: whoever follows them there hears of it."""
    transcript("$ STAGEDOOR_SESSIONS={url} stagedoor migrate --data data\n…", url=redis_url)
    transcript("$ echo 'correct horse' | stagedoor users add ada --password-stdin --data data\nusr_…")
    token = log_in(sessions=redis_url).access_token
    kid = str(read_unverified(token)[0]["kid"])
    transcript(
        """
        $ STAGEDOOR_SESSIONS={url} stagedoor sessions revoke --everything --yes --data data
        revoked all that http://localhost:8000 issued until 20…Z
        …
        $ STAGEDOOR_SESSIONS={url} stagedoor token verify {token} --data data
        stagedoor: error: all that its issuer had issued is revoked
        …
        (exit 1)
        $ STAGEDOOR_SESSIONS={url} stagedoor sessions list --data data --json
        []
        $ STAGEDOOR_SESSIONS={url} stagedoor keys retire {kid} --data data
        retired {kid}
        …
        """,
        url=redis_url,
        token=token,
        kid=kid,
    )

    async def written(house: Composition) -> list[tuple[str, str]]:
        page = await asyncio.to_thread(house.store.log.read, None)  # type: ignore[attr-defined]
        return [(record.kind, record.name) for record in page.records]

    assert sorted(inside(written, sessions=redis_url)) == [("issuer", "http://localhost:8000"), ("key", kid)]
    transcript(
        """
        $ STAGEDOOR_SESSIONS=redis://127.0.0.1:{port} stagedoor keys retire {kid} --data data
        stagedoor: error: the key {kid} may be retired, and not everybody told: the store cannot be used: …
        stagedoor: hint: …; then run this again
        (exit 1)
        """,
        port=str(free_port()),
        kid=kid,
    )


def test_a_second_machine_needs_the_master_key_of_the_first(transcript: Transcript, tmp_path: Path, postgres_url: str):
    """The keys are in the database, sealed: a machine opens them with the first one's master key, and makes none."""
    transcript(
        """
        $ STAGEDOOR_DATABASE={url} stagedoor migrate --data first
        the tables in {url} are up to date
        stagedoor: hint: made first/master.key: keep a copy elsewhere; …
        $ STAGEDOOR_DATABASE={url} stagedoor migrate --data second
        stagedoor: error: the keys in {url} are sealed, and second/master.key is missing
        stagedoor: hint: copy master.key from the data folder of a machine that uses this database, or from a backup; or set …
        (exit 1)
        $ STAGEDOOR_DATABASE={url} STAGEDOOR_MASTER_KEY={another} stagedoor migrate --data second
        stagedoor: error: the keys in {url} are sealed under another master key
        stagedoor: hint: copy master.key from the data folder of a machine that uses this database, or from a backup; or set …
        (exit 1)
        """,
        url=postgres_url,
        another=MasterKey.generate_text(),
    )
    assert not list((tmp_path / "second").iterdir())
    text = (tmp_path / "first" / "master.key").read_text().strip()
    transcript(
        "$ STAGEDOOR_DATABASE={url} STAGEDOOR_MASTER_KEY={master} stagedoor users list --data second --json\n[]",
        url=postgres_url,
        master=text,
    )
    shutil.copy(tmp_path / "first" / "master.key", tmp_path / "second")
    transcript("$ STAGEDOOR_DATABASE={url} stagedoor users list --data second --json\n[]", url=postgres_url)
    assert not list(tmp_path.rglob("*.db"))


def test_a_redis_that_evicts(transcript: Transcript, tmp_path: Path):
    """A Redis that may drop sessions is refused at the start, unless the URL says that it may."""
    with Redis(tmp_path / "redis", settings={"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}) as server:
        transcript(
            """
            $ STAGEDOOR_SESSIONS={url} stagedoor migrate --data data
            stagedoor: hint: made data/master.key: keep a copy elsewhere; …
            stagedoor: error: the store cannot be used: this Redis evicts keys …: sessions would be lost
            stagedoor: hint: set its maxmemory-policy to noeviction, or add ?allow_eviction=true to the URL in STAGEDOOR_SESSIONS
            (exit 1)
            $ STAGEDOOR_SESSIONS={url}?allow_eviction=true stagedoor migrate --data data
            the tables in data are up to date
            """,
            url=server.url,
        )


def test_a_node_of_a_cluster(transcript: Transcript, redis_cluster: Cluster):
    """A node of a cluster under redis:// is refused at the start; the hint says what to write."""
    transcript(
        """
        $ STAGEDOOR_SESSIONS={url} stagedoor migrate --data data
        stagedoor: hint: made data/master.key: keep a copy elsewhere; …
        stagedoor: error: the store cannot be used: this Redis is a node of a cluster
        stagedoor: hint: write redis+cluster:// (or rediss+cluster://) in the URL in STAGEDOOR_SESSIONS
        (exit 1)
        """,
        url=redis_cluster.nodes[0].url,
    )


def test_purging_redis_counts_entries(transcript: Transcript, redis_server: Redis, redis_url: str):
    """Redis lets dead sessions go alone: what is counted there is entries in the lists of accounts, under the prefix of the URL."""
    transcript("$ STAGEDOOR_SESSIONS={url} stagedoor migrate --data data\n…", url=redis_url)
    for subject, members in (("ada", {"a" * 16: 0, "b" * 16: 0}), ("ben", {"c" * 16: 0})):
        with redis_server.client() as client:
            client.zadd(f"{'stagedoor' if subject == 'ada' else 'shop'}:u:{subject}", members)
    transcript(
        """
        $ STAGEDOOR_SESSIONS={url} stagedoor sessions purge --data data
        2 entries of dead sessions deleted from the lists of accounts
        $ STAGEDOOR_SESSIONS={url}?prefix=shop stagedoor sessions purge --data data
        1 entry of dead sessions deleted from the lists of accounts
        $ STAGEDOOR_SESSIONS={url} stagedoor sessions purge --data data
        0 entries of dead sessions deleted from the lists of accounts
        """,
        url=redis_url,
    )


@pytest.mark.parametrize(
    ("line", "state", "done"),
    [
        ("STAGEDOOR_SESSIONS={url} stagedoor users disable ada", "disabled", "disabled ada"),
        ("STAGEDOOR_SESSIONS={url} stagedoor users delete ada --yes", "disabled", "deleted ada"),
        ("STAGEDOOR_SESSIONS={url} stagedoor users scope ada b", "changed", "changed the scope of ada"),
        (
            "echo 'battery staple' | STAGEDOOR_SESSIONS={url} stagedoor users password ada --password-stdin",
            "changed",
            "changed the password of ada",
        ),
    ],
)
def test_changing_while_the_sessions_cannot_be_ended(transcript: Transcript, redis_url: str, line: str, state: str, done: str):
    """Where the sessions of an account cannot be ended that is said, and the same command again does all of it."""
    transcript("$ echo 'correct horse' | stagedoor users add ada --password-stdin --data data\nusr_…")
    transcript("$ STAGEDOOR_SESSIONS={url} stagedoor migrate --data data\n…", url=redis_url)
    log_in(sessions=redis_url)
    transcript(
        """
        $ {line} --data data
        stagedoor: error: the account ada may be {state} or not, and a session be left: the store cannot be used: Error 111 connecting to …
        stagedoor: hint: see whether it runs, and whether the settings name it rightly: {url}; then run this again
        (exit 1)
        """,
        line=line,
        state=state,
        url=f"redis://127.0.0.1:{free_port()}",
    )
    transcript("$ {line} --data data\n{done}: 1 session ended\n…", line=line, done=done, url=redis_url)
