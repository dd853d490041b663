"""The commands of `stagedoor users`: accounts.

Never knows a rule: whatever it refuses, something below it refused.
"""

from __future__ import annotations

from typing import Annotated

import typer

from stagedoor.cli.house import settings_of, until_expiry, with_house
from stagedoor.cli.options import Data, Json, Name, group
from stagedoor.service.composition import Composition
from stagedoor.service.terminal import Moment, Problem, asked_password, line_from_stdin, print_rows

users = group("Accounts: who may log in.")


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
    settings = settings_of(data=data)
    password = line_from_stdin("password") if password_stdin else asked_password()
    account = with_house(settings, lambda house: house.accounts.add(name, password, scope), create=True)
    print(account.subject)


@users.command("disable", epilog="Example: stagedoor users disable ada")
def users_disable(name: Name, data: Data = None) -> None:
    """Let nobody log in to this account, and end all its sessions.

    Access tokens that are out already live until they expire (STAGEDOOR_ACCESS, 15m by default) in processes that do not hear of it, a
    running `stagedoor serve` among them.
    """
    settings = settings_of(data=data)
    state = "was not disabled"

    async def disable(house: Composition) -> int:
        nonlocal state
        subject = (await house.accounts.find(name)).subject
        ended = await house.issuer.revoke_subject(subject, reason="account_disabled")
        state = "may be disabled or not"  # an answer can be lost
        await house.accounts.disable(name)
        state = "is disabled, but a session may be left"
        # Once more, for who logged in between. Cut short, this leaves an enabled account, never a disabled one that goes on refreshing.
        return ended + await house.issuer.revoke_subject(subject, reason="account_disabled")

    try:
        ended = with_house(settings, disable)
    except Problem as problem:
        raise Problem(f"{name} {state}: {problem.args[0]}", f"{problem.hint}; then run this again") from None
    print(f"disabled {name}: {ended} session{'' if ended == 1 else 's'} ended")
    until_expiry(settings)


@users.command("enable", epilog="Example: stagedoor users enable ada")
def users_enable(name: Name, data: Data = None) -> None:
    """Let people log in to this account again.

    Sessions that were ended stay ended.
    """
    with_house(settings_of(data=data), lambda house: house.accounts.enable(name))
    print(f"enabled {name}")


@users.command("list", epilog="Example: stagedoor users list --json")
def users_list(as_json: Json = False, data: Data = None) -> None:
    """Show all accounts."""
    found = with_house(settings_of(data=data), lambda house: house.accounts.list())
    rows = [(each.username, each.subject, each.disabled_at is not None, Moment(each.created_at), str(each.scope)) for each in found]
    print_rows(("username", "subject", "disabled", "created", "scope"), rows, as_json=as_json)
