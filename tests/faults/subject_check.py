"""The subject check of R4's service: the application's database of subjects, half of which is down while a file says so.

Never knows who makes the file, or when.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from faults import box
from stagedoor.session import Session
from stagedoor.token_pair import Grant

ALL = Grant()


def down_file(folder: str | Path) -> Path:
    """While it exists, half of the sessions cannot be asked about, and the box that signs is down for the others."""
    return Path(folder) / "subject-check-is-down"


def met_by_both(folder: str | Path) -> bool:
    """Whether the check as well as the box was asked while it was down."""
    return _met_file(folder).exists() and box.met_file(folder).exists()


def _met_file(folder: str | Path) -> Path:
    return Path(folder) / "subject-check-was-down"


def arguments(settings: Any) -> dict[str, Any]:
    """What the issuer of the service is given besides: `Settings.issuer`."""
    down = down_file(settings.folder)
    path, met = str(down), _met_file(settings.folder)

    async def check(session: Session) -> Grant:
        if session.id[0] % 2 and os.path.exists(path):  # noqa: PTH110 - once a refresh: a Path costs ten times as much
            met.touch()
            raise ConnectionError("the database of subjects is down")
        return ALL

    return {"subject_check": check, "keys": box.keys(down, settings.folder)}
