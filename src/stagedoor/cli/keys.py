"""The commands of `stagedoor keys`: what access tokens are signed with.

Never knows a private part.
"""

from __future__ import annotations

import time
from typing import Any

from stagedoor.cli.house import settings_of, with_house
from stagedoor.cli.options import Data, Json, group
from stagedoor.lifetime import seconds
from stagedoor.service.composition import Composition
from stagedoor.service.terminal import Moment, print_json, print_rows

_A_DAY = 86_400  # the service may run with a longer STAGEDOOR_ACCESS than this shell knows of

keys = group("Keys: what access tokens are signed with.")


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

    print_rows(("kid", "algorithm", "state", "signs_from", "checks_until"), with_house(settings_of(data=data), rows), as_json=as_json)


@keys.command("rotate")
def keys_rotate(data: Data = None) -> None:
    """Announce a new signing key; prints its id.

    It has the algorithm of the one that signs now. It stands in the JWKS at once and signs after 5 minutes, when everybody who caches the
    JWKS knows it. The old key then checks what it signed for a day, or for one access token's life where that is longer. A running
    `stagedoor serve` picks it up within seconds.
    """
    settings = settings_of(data=data)
    print(with_house(settings, lambda house: house.keys.rotate(keep=max(seconds(settings.access) + 60, _A_DAY)).kid))


@keys.command("jwks")
def keys_jwks(data: Data = None) -> None:
    """Print the public keys as a JWKS (RFC 7517).

    It is what the service publishes at /.well-known/jwks.json.
    """
    print_json(with_house(settings_of(data=data), lambda house: house.keys.jwks(time.time())))
