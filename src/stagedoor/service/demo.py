"""Demo: its first user, whose password is new at each start.

Never knows an account that somebody else made.
"""

from __future__ import annotations

import secrets

from stagedoor.errors import NotFound
from stagedoor.service.composition import Composition
from stagedoor.service.data_folder import DataError

USER = "ada"
_MARK = "made-by-demo"


async def first_user(house: Composition) -> str:
    """The new password of ada, who is added or enabled again. DataError where there is an ada whom the demo did not make."""
    password, mark = secrets.token_urlsafe(12), house.settings.data / _MARK
    try:
        await house.accounts.find(USER)
    except NotFound:
        mark.touch(0o600)
        await house.accounts.add(USER, password, "orders:read orders:write")
        return password
    if not mark.exists():
        raise DataError(f"there is an account {USER} that the demo did not make", "name another folder with --data")
    await house.accounts.enable(USER)
    await house.accounts.set_password(USER, password)
    return password
