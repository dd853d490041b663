"""The commands of `stagedoor users`: accounts.

Never knows a rule: whatever it refuses, something below it refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from stagedoor.cli.house import say_who_hears, settings_of, with_change, with_house
from stagedoor.cli.options import Data, Json, Name, group
from stagedoor.service.custody import Custody
from stagedoor.service.settings import Settings
from stagedoor.service.terminal import Moment, Problem, asked_password, line_from_stdin, print_rows

PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input instead of asking for it.")
]
_BY = "the command line"

users = group("Accounts: who may log in.")


@users.command("add", epilog='Example: pass show ada | stagedoor users add ada --password-stdin --scope "orders:read orders:write"')
def users_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Username, 1 to 255 characters; upper and lower case are one.")],
    password_stdin: PasswordStdin = False,
    scope: Annotated[
        str, typer.Option(metavar="SCOPE", help='What the account may be granted: words separated by one space. Default: "", nothing.')
    ] = "",
    data: Data = None,
) -> None:
    """Add an account; prints its subject.

    The subject is the `sub` of its tokens. Makes the data folder where it is missing. The password has 8 to 1024 characters of any kind,
    and is none of the most common; it is never an argument. On a terminal it is asked for twice.
    """
    settings = settings_of(data=data)
    password = line_from_stdin("password") if password_stdin else asked_password()
    account = with_house(settings, lambda house: house.accounts.add(name, password, scope), create=True)
    print(account.subject)


@users.command("password", epilog="Example: pass show ada | stagedoor users password ada --password-stdin")
def users_password(name: Name, password_stdin: PasswordStdin = False, data: Data = None) -> None:
    """Set a new password, and end all sessions of the account.

    As for `stagedoor users add`: 8 to 1024 characters, never an argument, asked for twice on a terminal.
    """
    settings = settings_of(data=data)
    password = line_from_stdin("password") if password_stdin else asked_password()
    ended = _changed(settings, name, "changed", lambda custody: custody.set_password(name, password, by=_BY))
    print(f"changed the password of {name}: {ended}")
    say_who_hears(settings)


@users.command("scope", epilog='Example: stagedoor users scope ada "orders:read stagedoor:admin"')
def users_scope(
    name: Name,
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help='All that it may be granted from now on; "" is nothing.')],
    data: Data = None,
) -> None:
    """Change what an account may be granted, and end all its sessions.

    What it had before is forgotten: name all that it is to have. People log in again, for what there is now. An account with the scope
    stagedoor:admin may end others' sessions and change their accounts over HTTP.
    """
    settings = settings_of(data=data)
    ended = _changed(settings, name, "changed", lambda custody: custody.set_scope(name, scope, by=_BY))
    print(f"changed the scope of {name}: {ended}")
    say_who_hears(settings)


@users.command("disable", epilog="Example: stagedoor users disable ada")
def users_disable(name: Name, data: Data = None) -> None:
    """Let nobody log in to this account, and end all its sessions."""
    settings = settings_of(data=data)
    ended = _changed(settings, name, "disabled", lambda custody: custody.disable(name, by=_BY))
    print(f"disabled {name}: {ended}")
    say_who_hears(settings)


@users.command("enable", epilog="Example: stagedoor users enable ada")
def users_enable(name: Name, data: Data = None) -> None:
    """Let people log in to this account again.

    Sessions that were ended stay ended.
    """
    with_house(settings_of(data=data), lambda house: house.custody.enable(name, by=_BY))
    print(f"enabled {name}")


@users.command("delete", epilog="Example: stagedoor users delete ada --yes")
def users_delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Really do it: no command brings the account back.")] = False,
    data: Data = None,
) -> None:
    """Delete an account, and end all its sessions.

    Its subject is never given to another: who is added under this name later is somebody else. What is cut short leaves the account
    disabled, to be deleted again.
    """
    settings = settings_of(data=data)
    if not yes:
        raise Problem(
            f"the account {name} cannot be brought back after this",
            "nothing was changed: add --yes, or see `stagedoor users disable --help`",
        )
    ended = _changed(settings, name, "disabled", lambda custody: custody.delete(name, by=_BY))
    print(f"deleted {name}: {ended}")
    say_who_hears(settings)


@users.command("list", epilog="Example: stagedoor users list --json")
def users_list(as_json: Json = False, data: Data = None) -> None:
    """Show all accounts."""
    found = with_house(settings_of(data=data), lambda house: house.accounts.list())
    rows = [(each.username, each.subject, each.disabled_at is not None, Moment(each.created_at), str(each.scope)) for each in found]
    print_rows(("username", "subject", "disabled", "created", "scope"), rows, as_json=as_json)


def _changed(settings: Settings, name: str, state: str, change: Callable[[Custody], Awaitable[int]]) -> str:
    """How many sessions this change of an account has ended, in words."""
    may_be = f"the account {name} may be {state} or not, and a session be left"  # an answer can be lost
    ended = with_change(settings, may_be, lambda house: change(house.custody))
    return f"{ended} session{'' if ended == 1 else 's'} ended"
