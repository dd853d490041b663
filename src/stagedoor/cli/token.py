"""The commands of `stagedoor token`: take an access token apart, check it.

Never knows a refresh token.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from stagedoor import jws
from stagedoor.cli.house import settings_of, with_house
from stagedoor.cli.options import Data, Json, group
from stagedoor.encoding import decode
from stagedoor.errors import TokenRevoked
from stagedoor.service.composition import Composition
from stagedoor.service.terminal import Moment, print_json, token_text

Token = Annotated[
    str, typer.Argument(metavar="TOKEN", help="The token; - reads it from standard input, which keeps it out of the shell's history.")
]

token = group("Access tokens: take them apart, check them.")


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
        access_token = await house.issuer.verifier().verify_async(token_text(text))
        session = await house.store.get(decode(access_token.session_id))
        if session is None or not session.is_live(time.time()):
            raise TokenRevoked("the token is genuine, but its session has ended", session_id=access_token.session_id)
        return access_token.claims

    payload = with_house(settings_of(data=data), verify)
    if as_json:
        print_json({"verified": True, "payload": dict(payload)})
        return
    print(f"verified: lives until {Moment(payload['exp'])}")
    print_json(dict(payload))
