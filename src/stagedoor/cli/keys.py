"""The commands of `stagedoor keys`: what access tokens are signed with.

Never knows a private part.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from stagedoor.cli.house import settings_of, with_house
from stagedoor.cli.options import Announce, Data, Json, group, span
from stagedoor.service.composition import Composition
from stagedoor.service.terminal import Moment, Problem, print_json, print_rows, say
from stagedoor.vault import MasterKey

keys = group("Keys: what access tokens are signed with.")


@keys.command("list")
def keys_list(as_json: Json = False, data: Data = None) -> None:
    """Show all keys: id, algorithm, state and term.

    announced: in the JWKS, not signing yet. signing: makes new tokens. retiring: only checks what it signed. gone: accepted no more.
    """
    words = {"current": "signing", "old": "retiring"}

    def rows(house: Composition) -> list[tuple[Any, ...]]:
        now = time.time()
        found = [(entry, entry.value, house.keys.state(entry, now)) for entry in house.keys.entries()]
        return [
            (key.kid, key.algorithm.name, words.get(state, state), Moment.of(entry.starts or None), Moment.of(entry.ends))
            for entry, key, state in found
        ]

    print_rows(("kid", "algorithm", "state", "signs_from", "checks_until"), with_house(settings_of(data=data), rows), as_json=as_json)


@keys.command("rotate", epilog="Example: stagedoor keys rotate --announce 1h")
def keys_rotate(announce: Announce = "6m", data: Data = None) -> None:
    """Announce a new signing key; prints its id.

    It has the algorithm of the one that signs now. It stands in the JWKS at once and signs after 6 minutes, when everybody who caches the
    JWKS knows it. The old key then checks what it signed for a day, or for one access token's life where that is longer. Every running
    `stagedoor serve` on this database hears of it within a second. STAGEDOOR_KEY_ROTATION does this by itself.
    """
    lead = span(announce, "--announce")

    def rotate(house: Composition) -> tuple[str, int]:
        return house.keys.rotate(announce=lead).kid, house.keys.max_age

    kid, max_age = with_house(settings_of(data=data), rotate)
    print(kid)
    if lead < max_age:
        say("hint", f"others may keep the JWKS for {max_age}s: until then some refuse what it signs after {lead}s")


@keys.command(
    "retire", context_settings={"ignore_unknown_options": True}, epilog="Example: stagedoor keys retire KID"
)  # an id may begin with a dash
def keys_retire(
    kid: Annotated[str, typer.Argument(metavar="KID", help="Key to retire, as `stagedoor keys list` shows it.")],
    data: Data = None,
) -> None:
    """For an emergency: accept no token of this key any more; prints which key signs now.

    Every access token that it signed is refused: clients refresh, and nobody logs in again. If it signs, one that is announced takes over,
    or a fresh one. Every running `stagedoor serve` on this database hears of it within a second; who verifies elsewhere, when their copy of
    the JWKS ends, within 5 minutes.
    """

    def retire(house: Composition) -> str:
        try:
            house.keys.retire(kid)
        except LookupError:
            raise Problem(f"there is no key {kid}", "`stagedoor keys list` shows all keys") from None
        return house.keys.signing(time.time()).kid

    signing = with_house(settings_of(data=data), retire)
    print(f"retired {kid}\n{signing} signs now")
    say("hint", "access tokens that it signed are refused: clients refresh; who verifies elsewhere hears of it within 5 minutes")


@keys.command("jwks")
def keys_jwks(data: Data = None) -> None:
    """Print the public keys as a JWKS (RFC 7517).

    It is what the service publishes at /.well-known/jwks.json.
    """
    print_json(with_house(settings_of(data=data), lambda house: house.keys.jwks(time.time())))


@keys.command("master-key")
def keys_master_key(data: Data = None) -> None:
    """Print a fresh master key, for STAGEDOOR_MASTER_KEY.

    It is what keys and peppers are sealed under in the database. All machines have the same. Without the variable it is the file
    master.key in the data folder, made on first use. To change it: the new one, a comma and the old one, on all machines. Needs no data
    folder.
    """
    print(MasterKey.generate_text())
