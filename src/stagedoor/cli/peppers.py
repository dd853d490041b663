"""The commands of `stagedoor peppers`: what refresh tokens are made under.

Never knows a pepper, only its number.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from stagedoor.cli.house import settings_of, with_house
from stagedoor.cli.options import Announce, Data, Json, group, span
from stagedoor.service.composition import Composition
from stagedoor.service.terminal import Moment, Problem, print_rows, say

peppers = group("Peppers: what refresh tokens are made under.")


@peppers.command("list")
def peppers_list(as_json: Json = False, data: Data = None) -> None:
    """Show all peppers: number, state and term.

    announced: known, not used yet. current: new refresh tokens are made under it. old: only checks what was made under it. gone:
    accepted no more.
    """

    def rows(house: Composition) -> list[tuple[Any, ...]]:
        now = time.time()
        return [
            (entry.id, house.peppers.state(entry, now), Moment.of(entry.starts or None), Moment.of(entry.ends or None))
            for entry in house.peppers.entries()
        ]

    print_rows(("id", "state", "current_from", "checks_until"), with_house(settings_of(data=data), rows), as_json=as_json)


@peppers.command("rotate", epilog="Example: stagedoor peppers rotate")
def peppers_rotate(announce: Announce = "6m", data: Data = None) -> None:
    """Announce a new pepper; prints its number.

    It is used after 6 minutes, when every running `stagedoor serve` on this database has long heard of it. A session moves to it with its
    next refresh; the old one is accepted for one absolute lifetime of a session more, so nobody is logged out. STAGEDOOR_KEY_ROTATION does
    this by itself.
    """
    lead = span(announce, "--announce")
    print(with_house(settings_of(data=data), lambda house: house.peppers.rotate(announce=lead)))


@peppers.command("retire", epilog="Example: stagedoor peppers retire 1")
def peppers_retire(
    id_: Annotated[int, typer.Argument(metavar="ID", help="Pepper to retire, as `stagedoor peppers list` shows it.")],
    data: Data = None,
) -> None:
    """For an emergency: accept no refresh token made under this pepper any more; prints which one is current now.

    Everybody whose session is under it logs in again. If it is the current one, one that is announced takes over, or a fresh one. Every
    running `stagedoor serve` on this database hears of it within a second.
    """

    def retire(house: Composition) -> int:
        try:
            house.peppers.retire(id_)
        except LookupError:
            raise Problem(f"there is no pepper {id_}", "`stagedoor peppers list` shows all peppers") from None
        return house.peppers.current_id(time.time())

    current = with_house(settings_of(data=data), retire)
    print(f"retired {id_}\n{current} is current now")
    say("hint", "refresh tokens that were made under it are refused: whose session that is logs in again")
