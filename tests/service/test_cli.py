"""The command line, as transcripts: `$ ` begins a command, what follows is all that it prints; `…` stands for anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stagedoor import cli
from stagedoor.follower import Follower
from stagedoor.jws import read_unverified
from stagedoor.service.composition import Composition, compose
from stagedoor.service.settings import Settings
from stagedoor.token_pair import TokenPair

from .conftest import Transcript


def inside(work: Callable[[Composition], Any], data: str = "data", sessions: str = "", **times: Any) -> Any:
    """What this work on the data folder returns."""

    async def run() -> Any:
        house = compose(Settings.load({"STAGEDOOR_SESSIONS": sessions}, data=data), **times)
        await house.migrate()
        try:
            return await work(house)
        finally:
            await house.close()

    return asyncio.run(run())


def log_in(name: str = "ada", device: str | None = None, **times: Any) -> TokenPair:
    """A session of an account, as a login opens it."""

    async def open_(house: Composition) -> Any:
        account = await house.accounts.find(name)
        return await house.issuer.issue(account.subject, scope=account.scope, claims={"username": account.username}, device=device)

    pair: TokenPair = inside(open_, **times)
    return pair


def test_an_account_from_first_to_last(transcript: Transcript):
    """Adding, listing, disabling and enabling an account."""
    transcript(
        """
        $ echo 'correct horse' | stagedoor users add Ada --password-stdin --scope "orders:write orders:read" --data data
        usr_…
        $ stagedoor users list --data data
        username  subject               disabled  created               scope
        Ada       usr_…  no        20…Z  orders:read orders:write
        $ stagedoor users disable ada --data data
        disabled ada: 0 sessions ended
        stagedoor: hint: whoever follows revocations, as every `stagedoor serve` on this database does, …; others …, in 15m at most
        $ stagedoor users list --data data
        username  subject               disabled  created               scope
        Ada       usr_…  yes       20…Z  orders:read orders:write
        $ stagedoor users enable ADA --data data
        enabled ADA
        $ stagedoor users list --data data --json
        [
          {
            "username": "Ada",
            "subject": "usr_…",
            "disabled": false,
            "created": …,
            "scope": "orders:read orders:write"
          }
        ]
        $ stagedoor users delete Ada --data data
        stagedoor: error: the account Ada cannot be brought back after this
        stagedoor: hint: nothing was changed: add --yes, or see `stagedoor users disable --help`
        (exit 1)
        $ stagedoor users delete ada --yes --data data
        deleted ada: 0 sessions ended
        stagedoor: hint: …
        $ stagedoor users list --data data --json
        []
        $ stagedoor users delete ada --yes --data data
        stagedoor: error: there is no account 'ada'
        stagedoor: hint: `stagedoor users list` shows all accounts
        (exit 1)
        $ echo 'correct horse' | stagedoor users add ada --password-stdin --data data
        usr_…
        """
    )


def test_an_account_is_changed(transcript: Transcript):
    """A new password or scope ends all sessions of the account, and no other's; what is refused changes nothing."""
    for name in ("ada", "bob"):
        transcript("$ echo 'correct horse' | stagedoor users add {name} --password-stdin --scope a --data data\nusr_…", name=name)
    log_in("bob"), log_in(), log_in()
    transcript(
        """
        $ echo 'short' | stagedoor users password ada --password-stdin --data data
        stagedoor: error: a password has 8 to 1024 characters
        stagedoor: hint: …
        (exit 1)
        $ stagedoor users scope ada "a  b" --data data
        stagedoor: error: a scope is words separated by one space, such as "orders:read orders:write"
        stagedoor: hint: …
        (exit 1)
        $ stagedoor users password ada --data data
        stagedoor: error: there is no terminal to ask for the password
        stagedoor: hint: send it to standard input and add --password-stdin
        (exit 1)
        $ echo 'battery staple' | stagedoor users password ADA --password-stdin --data data
        changed the password of ADA: 2 sessions ended
        stagedoor: hint: whoever follows revocations, as every `stagedoor serve` on this database does, …
        """
    )
    log_in()
    transcript(
        """
        $ stagedoor users scope ada "stagedoor:admin a" --data data
        changed the scope of ada: 1 session ended
        stagedoor: hint: whoever …
        $ stagedoor users list --data data
        username  subject               disabled  created               scope
        ada       usr_…  no        20…Z  a stagedoor:admin
        bob       usr_…  no        20…Z  a
        $ stagedoor users scope bob "" --data data
        changed the scope of bob: 1 session ended
        …
        $ stagedoor users list --data data
        username  subject               disabled  created               scope
        ada       …
        bob       usr_…  no        20…Z
        $ stagedoor users scope cyd a --data data
        stagedoor: error: there is no account 'cyd'
        stagedoor: hint: `stagedoor users list` shows all accounts
        (exit 1)
        $ echo 'battery staple' | stagedoor users password cyd --password-stdin --data data
        stagedoor: error: there is no account 'cyd'
        …
        (exit 1)
        """
    )

    async def of_ada(house: Composition) -> list[bool]:
        return [await house.accounts.authenticate("ada", password) is not None for password in ("correct horse", "battery staple")]

    assert inside(of_ada) == [False, True]


def test_sessions_are_listed_and_ended(transcript: Transcript):
    """All sessions or one account's; one is ended by its id, the others by the account's name."""
    transcript("$ echo 'correct horse' | stagedoor users add ada --password-stdin --data data\nusr_…")
    transcript("$ echo 'correct horse' | stagedoor users add bob --password-stdin --data data\nusr_…")
    transcript("$ stagedoor sessions list --data data\nid  username  created  last_used  ends  client")
    first, second, others = log_in(), log_in(device="a \x1b[31mred\r phone"), log_in("bob")
    transcript(
        """
        $ stagedoor sessions list --data data
        id                      username  created               last_used             ends                  client
        …  ada       20…Z  20…Z  20…Z  a \\x1b[31mred\\r phone
        …  ada       20…Z  20…Z  20…Z  -
        {bobs}  bob       20…Z  20…Z  20…Z  -
        $ stagedoor sessions list --user bob --json --data data
        [
          {
            "id": "{bobs}",
            "username": "bob",
            "created": …,
            "last_used": …,
            "ends": …,
            "client": null
          }
        ]
        $ stagedoor sessions revoke {first} --data data
        1 session ended
        stagedoor: hint: whoever follows revocations, as every `stagedoor serve` on this database does, …
        $ stagedoor sessions revoke {first} --data data
        stagedoor: error: there is no live session {first}
        stagedoor: hint: `stagedoor sessions list` shows all live ones
        (exit 1)
        $ stagedoor sessions revoke -no-such-id --data data
        stagedoor: error: there is no live session -no-such-id
        stagedoor: hint: …
        (exit 1)
        $ stagedoor sessions list --user ada --data data
        id                      username  created               last_used             ends                  client
        {second}  ada       …
        $ stagedoor sessions revoke --user ada --data data
        1 session ended
        …
        $ stagedoor users disable bob --data data
        disabled bob: 1 session ended
        …
        $ stagedoor sessions list --data data --json
        []
        $ stagedoor sessions revoke --data data
        stagedoor: error: name one session by its id, one account with --user, or --everything
        stagedoor: hint: `stagedoor sessions revoke --help` shows how it is called
        (exit 2)
        $ stagedoor sessions list --user cyd --data data
        stagedoor: error: there is no account 'cyd'
        stagedoor: hint: `stagedoor users list` shows all accounts
        (exit 1)
        """,
        first=first.session_id,
        second=second.session_id,
        bobs=others.session_id,
    )


def test_commands_follow_nothing(transcript: Transcript, monkeypatch: pytest.MonkeyPatch):
    """A command that changes something starts no thread that listens to others; one that must know what they ended asks once."""
    transcript("$ echo 'correct horse' | stagedoor users add ada --password-stdin --data data\nusr_…")
    pair = log_in()
    kid = str(read_unverified(pair.access_token)[0]["kid"])
    begun: list[Follower] = []
    monkeypatch.setattr(Follower, "begin", lambda follower: begun.append(follower))
    for line in (
        f"stagedoor sessions revoke {pair.session_id}",
        "stagedoor sessions revoke --user ada",
        "stagedoor sessions revoke --everything --yes",
        "stagedoor users scope ada a",
        "echo 'battery staple' | stagedoor users password ada --password-stdin",
        "stagedoor users disable ada",
        "stagedoor users enable ada",
        "stagedoor users delete ada --yes",
        "stagedoor users list",
        f"stagedoor keys retire {kid}",
    ):
        transcript("$ {line} --data data\n…", line=line)
    assert begun == []
    transcript("$ echo 'correct horse' | stagedoor users add ada --password-stdin --data data\nusr_…")
    transcript("$ stagedoor sessions list --data data --json\n[]")
    assert len(begun) == 1


def test_everything_is_revoked(transcript: Transcript):
    """Only with --yes, and with nothing else beside it; says until when, and lists no session that was ended by it."""
    transcript("$ echo 'correct horse' | stagedoor users add ada --password-stdin --data data\nusr_…")
    pair = log_in()
    for words in ("--everything x", "--everything --user ada", "--yes", "--user ada x"):
        transcript(
            """
            $ stagedoor sessions revoke {words} --data data
            stagedoor: error: name one session by its id, one account with --user, or --everything
            stagedoor: hint: `stagedoor sessions revoke --help` shows how it is called
            (exit 2)
            """,
            words=words,
        )
    transcript(
        """
        $ stagedoor sessions revoke --everything --data data
        stagedoor: error: everybody logs in again after this
        stagedoor: hint: nothing was changed: add --yes if everything is to be revoked
        (exit 1)
        $ stagedoor token verify {token} --data data
        verified: …
        $ stagedoor sessions revoke --everything --yes --data data
        revoked all that http://localhost:8000 issued until 20…Z
        stagedoor: hint: a service that was started with another --port is another issuer: name it in STAGEDOOR_ISSUER, and run this again
        stagedoor: hint: until then, some six seconds, nothing is issued (503); then everybody logs in again
        stagedoor: hint: whoever follows revocations, as every `stagedoor serve` on this database does, …
        $ stagedoor token verify {token} --data data
        stagedoor: error: all that its issuer had issued is revoked
        stagedoor: hint: its code is token_revoked; …
        (exit 1)
        $ stagedoor sessions list --data data --json
        []
        """,
        token=pair.access_token,
    )


def test_dead_sessions_are_deleted_by_hand(transcript: Transcript):
    """What has been dead for more than a day goes, by hand; what lives, or died just now, stays."""
    transcript("$ echo 'correct horse' | stagedoor users add ada --password-stdin --data data\nusr_…")
    ended, live = log_in(), log_in()
    for _ in range(3):  # each login deletes some dead ones, too: only by clocks as late as these none of these is dead yet
        log_in(clock=lambda: time.time() - 100 * 86_400)
    transcript(
        """
        $ stagedoor sessions revoke {ended} --data data
        1 session ended
        …
        $ stagedoor sessions purge --data data
        3 dead sessions deleted
        $ stagedoor sessions purge --data data
        0 dead sessions deleted
        $ stagedoor sessions list --data data
        id                      username  created               last_used             ends                  client
        {live}  ada       …
        """,
        ended=ended.session_id,
        live=live.session_id,
    )


def test_a_token_is_taken_apart_and_checked(transcript: Transcript):
    """`decode` says loudly that it verifies nothing; `verify` checks signature, time and session."""
    transcript("$ echo 'correct horse' | stagedoor users add ada --password-stdin --scope a --data data\nusr_…")
    pair = log_in()
    transcript(
        """
        $ stagedoor token decode {token} --data nowhere
        header  (not verified)
        {
          "alg": "ES256",
          "kid": "…",
          "typ": "at+jwt"
        }
        payload (not verified)
        {
          "username": "ada",
          …
        }
        NOT VERIFIED: anybody can write such a token; `stagedoor token verify` checks one
        $ echo '{token}' | stagedoor token decode - --json
        {
          "verified": false,
          "header": {…},
          "payload": {…}
        }
        NOT VERIFIED: …
        $ stagedoor token verify {token} --data data
        verified: lives until 20…Z
        {
          "username": "ada",
          …
        }
        $ echo '{token}' | stagedoor token verify - --json --data data
        {
          "verified": true,
          "payload": {…}
        }
        $ STAGEDOOR_AUDIENCE=https://other.example stagedoor token verify {token} --data data
        stagedoor: error: claim 'aud': …
        stagedoor: hint: its code is claim_rejected; `stagedoor token decode` shows what it says
        (exit 1)
        $ stagedoor token verify {forged} --data data
        stagedoor: error: …
        stagedoor: hint: its code is signature_invalid; `stagedoor token decode` shows what it says
        (exit 1)
        $ stagedoor token verify {refresh} --data data
        stagedoor: error: this is a refresh token: nobody but the service can read it
        stagedoor: hint: hand over an access token
        (exit 1)
        $ stagedoor token decode rubbish
        stagedoor: error: …
        stagedoor: hint: a token is three parts of base64url, with dots between
        (exit 1)
        $ stagedoor sessions revoke {session} --data data
        1 session ended
        …
        $ stagedoor token verify {token} --data data
        stagedoor: error: the access token has been revoked
        stagedoor: hint: its code is token_revoked; `stagedoor token decode` shows what it says
        (exit 1)
        $ stagedoor token verify {old} --data data
        stagedoor: error: claim 'exp': expired
        stagedoor: hint: its code is token_expired; `stagedoor token decode` shows what it says
        (exit 1)
        """,
        token=pair.access_token,
        forged=pair.access_token.rpartition(".")[0] + "." + log_in().access_token.rpartition(".")[2],
        refresh=pair.refresh_token,
        session=pair.session_id,
        old=log_in(clock=lambda: time.time() - 3600).access_token,
    )


def test_settings_say_where_they_came_from(transcript: Transcript, tmp_path: Path):
    """Each setting is shown with its value and its source; a mistake in one is two lines."""
    (tmp_path / "my.toml").write_text('origins = ["https://a.example", "https://b.example"]')
    transcript(
        """
        $ STAGEDOOR_CONFIG=my.toml STAGEDOOR_ACCESS=5m STAGEDOOR_PASSWORD_THREADS=2 stagedoor settings --data elsewhere
        name              value                                 from
        data              elsewhere                             command line
        database                                                default
        sessions                                                default
        host              127.0.0.1                             default
        port              8000                                  default
        issuer            http://localhost:8000                 default
        audience          http://localhost:8000                 default
        algorithm         ES256                                 default
        master_key                                              default
        key_rotation                                            default
        access            5m                                    environment STAGEDOOR_ACCESS
        refresh_idle      30d                                   default
        refresh_absolute  90d                                   default
        retry_window      60s                                   default
        session_limit     100                                   default
        origins           https://a.example, https://b.example  file my.toml
        trusted_proxies                                         default
        feed_keys                                               default
        password_threads  2                                     environment STAGEDOOR_PASSWORD_THREADS
        log_level         info                                  default
        $ stagedoor settings --json
        [
          {
            "name": "data",
            "value": "stagedoor-data",
            "from": "default"
          },
          …
        ]
        $ STAGEDOOR_ACESS=5m stagedoor settings
        stagedoor: error: unknown setting STAGEDOOR_ACESS (from environment)
        stagedoor: hint: did you mean STAGEDOOR_ACCESS?
        (exit 1)
        $ STAGEDOOR_ACCESS=15 stagedoor users list
        stagedoor: error: the setting access (from environment STAGEDOOR_ACCESS) is '15', not a lifetime
        stagedoor: hint: write a number and its unit, such as "90s", "15m", "1h", "7d"; at most "3650d"
        (exit 1)
        """
    )
    assert [file.name for file in tmp_path.iterdir()] == ["my.toml"]


def every_command() -> list[list[str]]:
    found = []
    for command in cli.app.registered_commands:
        found.append([command.name or command.callback.__name__])  # type: ignore[union-attr]
    for group in cli.app.registered_groups:
        assert group.typer_instance is not None
        found += [[str(group.name), str(command.name)] for command in group.typer_instance.registered_commands]
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_explains_itself(transcript: Transcript, words: list[str]):
    """Each command has a help of its own and takes --data; one whose answer a script would read takes --json."""
    transcript(
        "$ stagedoor {command} --help\nUsage: stagedoor {command} …--data DIR …Folder of the database …",
        command=" ".join(words),
    )
    if words[-1] in ("list", "decode", "verify", "settings"):
        transcript("$ stagedoor {command} --help\n…--json …", command=" ".join(words))


def test_the_command_lists_its_commands(transcript: Transcript):
    """`stagedoor` alone shows the help."""
    for line in ("stagedoor", "stagedoor --help"):
        transcript("$ " + line + "\nUsage: stagedoor …serve …demo …migrate …settings …users …sessions …keys …peppers …token …")
