"""The command line: parses, calls, prints.

Never knows a rule: whatever it refuses, something below it refused.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from stagedoor import jws
from stagedoor.encoding import decode, encode
from stagedoor.errors import AuthError, NotFound, TokenRevoked
from stagedoor.lifetime import seconds
from stagedoor.service.app import create_app
from stagedoor.service.composition import Composition, DataError, compose
from stagedoor.service.demo import first_user
from stagedoor.service.server import ServerError, listen
from stagedoor.service.server import serve as run_server
from stagedoor.service.settings import Settings, SettingsError
from stagedoor.service.terminal import (
    Moment,
    Problem,
    asked_password,
    line_from_stdin,
    print_json,
    print_rows,
    say,
    say_refusal,
    token_text,
)

# Typer carries its own click or depends on one, as its version has it: the root of their usage errors is where both agree.
UsageError: Any = typer.BadParameter.__mro__[1]

_A_DAY = 86_400  # the service may run with a longer STAGEDOOR_ACCESS than this shell knows of
DATA_HELP = "Folder of the database, the keys and the peppers. Default: STAGEDOOR_DATA, else ./stagedoor-data."
Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help=DATA_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts; moments are Unix seconds.")]
Host = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Address to listen on. Default: 127.0.0.1; 0.0.0.0 is every IPv4 address.")
]
Port = Annotated[int | None, typer.Option(metavar="N", help="TCP port to listen on, 1 to 65535. Default: 8000.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Username; upper and lower case are one.")]
Token = Annotated[
    str, typer.Argument(metavar="TOKEN", help="The token; - reads it from standard input, which keeps it out of the shell's history.")
]


def _group(help_: str) -> typer.Typer:
    return typer.Typer(help=help_, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


app = _group(
    "Token authentication as a service: accounts, login, sessions, keys and a page.\n\n"
    "Settings come from STAGEDOOR_* variables, or from the TOML file that STAGEDOOR_CONFIG names; `stagedoor settings` shows them. "
    "Exit codes: 0 done, 1 refused or failed, 2 called wrongly."
)
users = _group("Accounts: who may log in.")
sessions = _group("Sessions: what each login opened.")
keys = _group("Keys: what access tokens are signed with.")
token = _group("Access tokens: take them apart, check them.")
for group, name in ((users, "users"), (sessions, "sessions"), (keys, "keys"), (token, "token")):
    app.add_typer(group, name=name)


def _version(asked: bool) -> None:
    if asked:
        print(f"stagedoor {version('stagedoor')}")
        raise typer.Exit


@app.callback()
def _options(
    asked: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None: ...


@app.command(epilog="Example: stagedoor serve --port 8000 --data /var/lib/stagedoor")
def serve(port: Port = None, host: Host = None, data: Data = None) -> None:
    """Run the service until Ctrl-C.

    Endpoints under /auth, keys at /.well-known/jwks.json, the page at /. The data folder, its tables, keys and peppers are made on first
    use. There is no default account: add one with `stagedoor users add`. It speaks plain HTTP: put a proxy with TLS in front of it, name
    that proxy in STAGEDOOR_TRUSTED_PROXIES and the public URL in STAGEDOOR_ISSUER.
    """
    settings = _settings(data=data, host=host, port=port)
    with listen(settings) as listener:
        if not _with(settings, lambda house: house.accounts.list(), create=True):
            say("hint", f"there is no account yet: add one with `stagedoor users add NAME --data {settings.data}`")
        print(f"Stagedoor serves {settings.issuer_url} from {settings.data}", flush=True)
        run_server(create_app(settings), listener, settings)


@app.command(epilog="Example: stagedoor demo --port 8000")
def demo(port: Port = None, host: Host = None, data: Data = None) -> None:
    """Run the service with a first user and a sample API.

    The sample is /api/orders, guarded, in the same origin. The user is ada, with the scope "orders:read orders:write" and a random
    password, which is printed; each start sets a new one. Access tokens live for 60s unless STAGEDOOR_ACCESS says otherwise, so that one
    can watch them expire. The data folder is ./demo-data unless one is named.
    """
    settings = _settings({"data": "demo-data", "access": "60s"}, data=data, host=host, port=port)
    with listen(settings) as listener:
        password = _with(settings, first_user, create=True)
        print(f"url:      {settings.issuer_url}\nusername: ada\npassword: {password}", flush=True)
        run_server(create_app(settings, sample=True), listener, settings)


@app.command(epilog="Example: stagedoor migrate --data /var/lib/stagedoor")
def migrate(data: Data = None) -> None:
    """Bring the tables to this version's form.

    Makes the data folder, the keys and the peppers where they are missing. Safe to run again, and from many processes at once. `serve` does
    it by itself.
    """
    settings = _settings(data=data)
    _with(settings, lambda house: None, create=True)
    print(f"the tables in {settings.data} are up to date")


@app.command("settings")
def settings_(as_json: Json = False, data: Data = None) -> None:
    """Show every setting and where it came from.

    That is: default, file, environment or command line. STAGEDOOR_ and the name in capitals is its variable, such as STAGEDOOR_ACCESS=5m;
    the name alone is its key in the TOML file.
    """
    rows = [(name, str(value) if isinstance(value, Path) else value, source) for name, value, source in _settings(data=data).rows()]
    print_rows(("name", "value", "from"), rows, as_json=as_json)


@users.command("add", epilog='Example: pass show ada | stagedoor users add ada --password-stdin --scope "orders:read orders:write"')
def users_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Username, 1 to 255 characters; upper and lower case are one.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input instead of asking for it.")
    ] = False,
    scope: Annotated[
        str, typer.Option(metavar="SCOPE", help='What the account may be granted: words separated by one space. Default: "", nothing.')
    ] = "",
    data: Data = None,
) -> None:
    """Add an account; prints its subject.

    The subject is the `sub` of its tokens. Makes the data folder where it is missing. The password has 8 to 1024 characters of any kind,
    and is none of the most common; it is never an argument. On a terminal it is asked for twice.
    """
    settings = _settings(data=data)
    password = line_from_stdin("password") if password_stdin else asked_password()
    account = _with(settings, lambda house: house.accounts.add(name, password, scope), create=True)
    print(account.subject)


@users.command("disable", epilog="Example: stagedoor users disable ada")
def users_disable(name: Name, data: Data = None) -> None:
    """Let nobody log in to this account, and end all its sessions.

    Access tokens that are out already live until they expire (STAGEDOOR_ACCESS, 15m by default) in processes that do not hear of it, a
    running `stagedoor serve` among them.
    """
    settings = _settings(data=data)

    async def disable(house: Composition) -> int:
        subject = (await house.accounts.find(name)).subject
        ended = await house.issuer.revoke_subject(subject, reason="account_disabled")
        await house.accounts.disable(name)
        # Once more, for who logged in between. Cut short, this leaves an enabled account, never a disabled one that goes on refreshing.
        return ended + await house.issuer.revoke_subject(subject, reason="account_disabled")

    ended = _with(settings, disable)
    print(f"disabled {name}: {ended} session{'' if ended == 1 else 's'} ended")
    _until_expiry(settings)


@users.command("enable", epilog="Example: stagedoor users enable ada")
def users_enable(name: Name, data: Data = None) -> None:
    """Let people log in to this account again.

    Sessions that were ended stay ended.
    """
    _with(_settings(data=data), lambda house: house.accounts.enable(name))
    print(f"enabled {name}")


@users.command("list", epilog="Example: stagedoor users list --json")
def users_list(as_json: Json = False, data: Data = None) -> None:
    """Show all accounts."""
    found = _with(_settings(data=data), lambda house: house.accounts.list())
    rows = [(each.username, each.subject, each.disabled_at is not None, Moment(each.created_at), str(each.scope)) for each in found]
    print_rows(("username", "subject", "disabled", "created", "scope"), rows, as_json=as_json)


@sessions.command("list", epilog="Example: stagedoor sessions list --user ada")
def sessions_list(
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only this account's. Default: all accounts'.")] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Show live sessions.

    When they were opened and last refreshed, when they end unless refreshed again, and the client that logged in.
    """

    async def live(house: Composition) -> list[tuple[Any, ...]]:
        return [
            (encode(each.id), account.username, Moment(each.created_at), Moment(each.last_used_at), Moment(each.idle_ends_at), each.device)
            for account in (await house.accounts.list() if user is None else [await house.accounts.find(user)])
            for each in await house.issuer.sessions(account.subject)
        ]

    found = _with(_settings(data=data), live)
    print_rows(("id", "username", "created", "last_used", "ends", "client"), found, as_json=as_json)


@sessions.command(
    "revoke", context_settings={"ignore_unknown_options": True}, epilog="Example: stagedoor sessions revoke --user ada"
)  # an id may begin with a dash
def sessions_revoke(
    id_: Annotated[str | None, typer.Argument(metavar="ID", help="Session to end, as `stagedoor sessions list` shows it.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="End all sessions of this account instead.")] = None,
    data: Data = None,
) -> None:
    """End one session, or all of one account.

    Their refresh tokens are refused from now on. Access tokens that are out already live until they expire (STAGEDOOR_ACCESS, 15m by
    default) in processes that do not hear of it, a running `stagedoor serve` among them.
    """
    if (id_ is None) == (user is None):
        raise UsageError("name one session by its id, or one account with --user")
    settings = _settings(data=data)

    async def revoke(house: Composition) -> int:
        if user is not None:
            return await house.issuer.revoke_subject((await house.accounts.find(user)).subject)
        try:
            await house.issuer.revoke_session(str(id_))
        except NotFound:
            raise Problem(f"there is no live session {id_}", "`stagedoor sessions list` shows all live ones") from None
        return 1

    ended = _with(settings, revoke)
    print(f"{ended} session{'' if ended == 1 else 's'} ended")
    _until_expiry(settings)


@keys.command("list")
def keys_list(as_json: Json = False, data: Data = None) -> None:
    """Show all keys: id, algorithm, state and term.

    announced: in the JWKS, not signing yet. signing: makes new tokens. retiring: only checks what it signed.
    """
    words = {"current": "signing", "old": "retiring"}

    def rows(house: Composition) -> list[tuple[Any, ...]]:
        now = time.time()
        found = [(entry, entry.value, house.keys.state(entry, now)) for entry in house.keys.entries()]
        return [
            (key.kid, key.algorithm.name, words.get(state, state), Moment.of(entry.starts or None), Moment.of(entry.ends))
            for entry, key, state in found
        ]

    print_rows(("kid", "algorithm", "state", "signs_from", "checks_until"), _with(_settings(data=data), rows), as_json=as_json)


@keys.command("rotate")
def keys_rotate(data: Data = None) -> None:
    """Announce a new signing key; prints its id.

    It has the algorithm of the one that signs now. It stands in the JWKS at once and signs after 5 minutes, when everybody who caches the
    JWKS knows it. The old key then checks what it signed for a day, or for one access token's life where that is longer. A running
    `stagedoor serve` picks it up within seconds.
    """
    settings = _settings(data=data)
    print(_with(settings, lambda house: house.keys.rotate(keep=max(seconds(settings.access) + 60, _A_DAY)).kid))


@keys.command("jwks")
def keys_jwks(data: Data = None) -> None:
    """Print the public keys as a JWKS (RFC 7517).

    It is what the service publishes at /.well-known/jwks.json.
    """
    print_json(_with(_settings(data=data), lambda house: house.keys.jwks(time.time())))


@token.command("decode", epilog="Example: pbpaste | stagedoor token decode -")
def token_decode(text: Token, as_json: Json = False, data: Data = None) -> None:
    """Take a token apart WITHOUT verifying it.

    Neither who signed it is checked nor whether it still lives: never trust what this shows. Needs no data folder.
    """
    header, payload = jws.read_unverified(token_text(text))
    print("NOT VERIFIED: anybody can write such a token; `stagedoor token verify` checks one", file=sys.stderr)
    if as_json:
        print_json({"verified": False, "header": header, "payload": payload})
        return
    print("header  (not verified)")
    print_json(header)
    print("payload (not verified)")
    print_json(payload)


@token.command("verify")
def token_verify(text: Token, as_json: Json = False, data: Data = None) -> None:
    """Check an access token of this service.

    As a guard does it; then the database is asked whether its session still lives. Issuer and audience are those of the settings. Prints
    what it says; exit code 1 where it is refused, with the reason.
    """

    async def verify(house: Composition) -> Mapping[str, Any]:
        access_token = house.issuer.verifier().verify(token_text(text))
        session = await house.store.get(decode(access_token.session_id))
        if session is None or not session.is_live(time.time()):
            raise TokenRevoked("the token is genuine, but its session has ended", session_id=access_token.session_id)
        return access_token.claims

    payload = _with(_settings(data=data), verify)
    if as_json:
        print_json({"verified": True, "payload": dict(payload)})
        return
    print(f"verified: lives until {Moment(payload['exp'])}")
    print_json(dict(payload))


def _settings(usual: Mapping[str, Any] | None = None, **given: Any) -> Settings:
    """The settings, with what was given on the command line, and with `usual` for what nobody has set."""
    settings = Settings.load(os.environ, **given)
    lacking = {name: value for name, value in (usual or {}).items() if name not in settings.sources}
    return Settings.load(os.environ, **{**given, **lacking}) if lacking else settings


def _with(settings: Settings, work: Callable[[Composition], Any], *, create: bool = False) -> Any:
    """Do this work (sync or async) on what the data folder holds; with `create`, make and migrate it first."""

    async def run() -> Any:
        house = compose(settings, create=create)
        try:
            if create:
                await house.migrate()
            done = work(house)
            return await done if inspect.isawaitable(done) else done
        finally:
            await house.close()

    return asyncio.run(run())


def _until_expiry(settings: Settings) -> None:
    life = f"{settings.access}s" if isinstance(settings.access, int) else settings.access
    say("hint", f"access tokens that are out already live until they expire, at most {life}, where nobody hears of this")


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. What can be foreseen ends in two lines on standard error, never in a traceback."""
    try:
        code = app(list(arguments) or ["--help"], prog_name="stagedoor", standalone_mode=False)
        sys.stdout.flush()
    except (Problem, SettingsError, DataError, ServerError) as error:
        say("error", str(error.args[0]))
        say("hint", error.hint)
        return 1
    except AuthError as error:
        say_refusal(error)
        return 1
    except UsageError as error:
        say("error", error.format_message())
        say("hint", f"`{error.ctx.command_path if error.ctx else 'stagedoor'} --help` shows how it is called")
        return 2
    except (typer.Abort, KeyboardInterrupt):
        say("error", "stopped")
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, above all
        say("error", f"{error.strerror or error} {error.filename or ''}".strip().lower())
        say("hint", "nothing was changed")
        return 1
    return code if isinstance(code, int) else 0


def main() -> None:
    """The command `stagedoor`."""
    sys.exit(run(sys.argv[1:]))
