"""The commands of `stagedoor keys`: what access tokens are signed with.

Never knows a private part.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from stagedoor.cli.house import settings_of, store_trouble_told, told_of_master_key, with_change, with_house
from stagedoor.cli.options import Announce, Data, Json, group, span
from stagedoor.errors import NotFound
from stagedoor.feeds.feed_keys import FeedKeys
from stagedoor.service.composition import Composition, start_over
from stagedoor.service.settings import ALGORITHMS
from stagedoor.service.terminal import Moment, Problem, print_json, print_rows, say
from stagedoor.vault import MasterKey

Algorithm = Annotated[str | None, typer.Option("--algorithm", metavar="NAME", help="ES256, RS256 or Ed25519.")]

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
            (key.kid, key.algorithm.name, words.get(state, state), Moment.of(entry.starts or None), Moment.of(entry.ends or None))
            for entry, key, state in found
        ]

    print_rows(("kid", "algorithm", "state", "signs_from", "checks_until"), with_house(settings_of(data=data), rows), as_json=as_json)


@keys.command("rotate", epilog="Example: stagedoor keys rotate --announce 1h")
def keys_rotate(announce: Announce = "6m", algorithm: Algorithm = None, data: Data = None) -> None:
    """Announce a new signing key; prints its id.

    It has the algorithm of the one that signs now, or another one (--algorithm). It stands in the JWKS at once and signs after 6 minutes,
    when everybody who caches the JWKS knows it. The old key then checks what it signed for a day, or for one access token's life where that
    is longer. Every running `stagedoor serve` on this database hears of it within a second. STAGEDOOR_KEY_ROTATION does this by itself.
    """
    lead = span(announce, "--announce")
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise Problem(f"{algorithm!r} is no algorithm for this service", f"choose one of {', '.join(ALGORITHMS)}")

    def rotate(house: Composition) -> tuple[str, int]:
        return house.keys.rotate(announce=lead, algorithm=algorithm).kid, house.keys.max_age

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
    or a fresh one. Every running `stagedoor serve` on this database hears of it within a second, and so does who follows its revocations;
    others when their copy of the JWKS ends, within 5 minutes.
    """

    async def retire(house: Composition) -> str:
        try:
            await house.issuer.revoke_key(kid)
        except NotFound:
            raise Problem(f"there is no key {kid}", "`stagedoor keys list` shows all keys") from None
        return house.keys.signing(time.time()).kid

    signing = with_change(settings_of(data=data), f"the key {kid} may be retired, and not everybody told", retire)
    print(f"retired {kid}\n{signing} signs now")
    say("hint", "access tokens that it signed are refused: clients refresh; who follows no revocations hears of it within 5 minutes")


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


@keys.command("feed-key")
def keys_feed_key(data: Data = None) -> None:
    """Print a fresh feed key, for STAGEDOOR_FEED_KEYS.

    With it another service reads what was revoked here, so that it refuses it within a second: HTTPFeed("https://…/auth/revocations",
    key=…). To change it: the old one, a comma and the new one here; then the new one there; then the new one alone here. Needs no data
    folder.
    """
    print(FeedKeys.generate_text())


@keys.command("start-over", epilog="Example: stagedoor keys start-over --yes")
def keys_start_over(
    yes: Annotated[bool, typer.Option("--yes", help="Really do it: no command brings the old ones back.")] = False,
    data: Data = None,
) -> None:
    """For when the master key is lost: make fresh keys and peppers.

    Those that cannot be opened are forgotten, and fresh ones sealed under the master key of now: STAGEDOOR_MASTER_KEY, else master.key in
    the data folder, which is made where it is missing. Accounts stay; everybody logs in again. What can be opened is left alone. Then start
    every `stagedoor serve` on this database again, all with this one master key: one that runs with another goes on with the keys that it
    knows.
    """
    settings = settings_of(data=data)
    if not yes:
        raise Problem("everybody logs in again after this", "nothing was changed: add --yes if the master key is lost for good")
    with store_trouble_told(settings), told_of_master_key(settings):
        made = start_over(settings)
    if not made:
        print("nothing was changed: the keys and the peppers can be opened")
        return
    print(f"made fresh {' and '.join(made)}")
    say("hint", "everybody logs in again; start every `stagedoor serve` on this database again, all with this master key")
