"""The commands of `stagedoor sessions`: what each login opened.

Never knows a token.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from stagedoor.cli.house import say_who_hears, settings_of, with_house
from stagedoor.cli.options import Data, Json, UsageError, group
from stagedoor.encoding import encode
from stagedoor.errors import NotFound
from stagedoor.service.composition import Composition
from stagedoor.service.settings import Settings
from stagedoor.service.terminal import Moment, Problem, print_rows, say

sessions = group("Sessions: what each login opened.")


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

    found = with_house(settings_of(data=data), live)
    print_rows(("id", "username", "created", "last_used", "ends", "client"), found, as_json=as_json)


@sessions.command(
    "revoke", context_settings={"ignore_unknown_options": True}, epilog="Example: stagedoor sessions revoke --user ada"
)  # an id may begin with a dash
def sessions_revoke(
    id_: Annotated[str | None, typer.Argument(metavar="ID", help="Session to end, as `stagedoor sessions list` shows it.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="End all sessions of this account instead.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="For an emergency: end all sessions of all accounts.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Really end everything: everybody logs in again.")] = False,
    data: Data = None,
) -> None:
    """End one session, all of one account, or everything.

    Their refresh tokens are refused from now on, and their access tokens within a second by every running `stagedoor serve` on the same
    store, and by who follows its revocations; elsewhere those live until they expire (STAGEDOOR_ACCESS, 15m by default).

    --everything refuses all that the issuer of the settings has issued until now, whatever is known of it. For some six seconds, until
    everybody has heard of that, nothing is issued: logins and refreshes are 503. Then everybody logs in again.
    """
    if (id_ is not None) + (user is not None) + everything != 1:
        raise UsageError("name one session by its id, one account with --user, or --everything")
    settings = settings_of(data=data)
    if everything:
        _revoke_everything(settings, yes)
        return

    async def revoke(house: Composition) -> int:
        if user is not None:
            return await house.issuer.revoke_subject((await house.accounts.find(user)).subject)
        try:
            await house.issuer.revoke_session(str(id_))
        except NotFound:
            raise Problem(f"there is no live session {id_}", "`stagedoor sessions list` shows all live ones") from None
        return 1

    ended = with_house(settings, revoke)
    print(f"{ended} session{'' if ended == 1 else 's'} ended")
    say_who_hears(settings)


def _revoke_everything(settings: Settings, yes: bool) -> None:
    if not yes:
        raise Problem("everybody logs in again after this", "nothing was changed: add --yes if everything is to be revoked")
    through = with_house(settings, lambda house: house.issuer.revoke_everything())
    print(f"revoked all that {settings.issuer_url} issued until {Moment(through)}")
    if "issuer" not in settings.sources:
        say("hint", "a service that was started with another --port is another issuer: name it in STAGEDOOR_ISSUER, and run this again")
    say("hint", "until then, some six seconds, nothing is issued (503); then everybody logs in again")
    say_who_hears(settings)


@sessions.command("purge")
def sessions_purge(data: Data = None) -> None:
    """Delete now what has been dead for more than a day.

    The service does so by itself, a little with each login: this is for whoever wants it gone at once, say after a flood of logins. It
    works in small batches beside a running service. Redis lets dead sessions go alone; there only their entries in the lists of accounts
    are left to delete, and are what is counted.
    """
    settings = settings_of(data=data)
    gone = with_house(settings, lambda house: house.store.purge(now=time.time()))
    if settings.session_store.is_redis:
        print(f"{gone} entr{'y' if gone == 1 else 'ies'} of dead sessions deleted from the lists of accounts")
    else:
        print(f"{gone} dead session{'' if gone == 1 else 's'} deleted")
